"""The perf side-band, from drained bytes to Arrow tables, whole chunks at a time.

Pure: it needs neither root nor a kernel. `recorder.perfring` drains the rings and fixes what every
record ends with (`TRAILER_WORDS`). Layouts: include/uapi/linux/perf_event.h, enum perf_event_type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recorder.schema import TABLES, arrow_schema

__all__ = [
    "RING_FULL",
    "TRAILER_WORDS",
    "Decoded",
    "RawChunk",
    "SidebandDecoder",
    "SidebandLoss",
    "lost_in",
    "record_bounds",
]

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

RING_FULL = "the ring was full"

TRAILER_WORDS = 4
"""Every record ends with {u32 pid, tid; u64 time; u64 id; u32 cpu, 0} (struct sample_id): the thread
that made it, when, through which event, where."""

_TIME, _ID = -3, -2  # words of it, from a record's end

_LOST, _COMM, _EXIT, _FORK, _MMAP2 = 2, 3, 4, 7, 10  # PERF_RECORD_*
# A header is {u32 kind; u16 misc; u16 size}. The kernel has 22 kinds: below 64 leaves room for more.
# Sizes are multiples of 8, and no record is shorter than its header and trailer.
_NOT_IN_A_HEADER = np.uint64(0x0007_0000_FFFF_FFC0)
_KIND_ASIDE = np.uint64(0xFFFF_0000_FFFF_FFC0)  # of a header, all but the kind and misc
_SHORTEST = np.uint64(8 * (1 + TRAILER_WORDS) << 48)
_COMM_EXEC = np.uint64(1 << (32 + 13))  # PERF_RECORD_MISC_COMM_EXEC, in a header word
_MAP_SHARED = 0x01

_JOINED_BYTES = 1 << 20  # a chunk takes 0.2 ms to decode, however little is in it

_MMAP2_PATH_WORD = 9
_COMM_WORD = 2
_HEAD_WORDS = 3  # header, pid and tid, and what tells a thread's records apart: address, name or parent

# indexed by PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4, and 8 for shared
_PERMS = pa.array([r + w + x + s for s in "ps" for x in "-x" for w in "-w" for r in "-r"])
_EVENTS = pa.array(["exit", "fork", "rename", "exec"])
_SOURCE = pa.array(["perf"])
_SCHEMAS = {name: arrow_schema(TABLES[name]) for name in ("vmas", "tasks")}


SidebandLoss = tuple[str, int, int, int, int | None, str]
"""A gap, as a row of table `losses`: source, CPU, from and to (ns), how many records, cause."""


@dataclass(frozen=True)
class RawChunk:
    """Whole records of one CPU's ring, as they lay there.

    `bounds` are the records' first words in `words`, with the end of the last one appended.
    `position` is where the chunk began, in bytes since the ring was made, and `since_ns` the time of
    the record before it (or of the opening).
    """

    cpu: int
    words: Words
    bounds: Ints
    position: int
    since_ns: int

    @property
    def records(self) -> int:
        return len(self.bounds) - 1

    @property
    def nbytes(self) -> int:
        return self.words.nbytes


def _joined(chunks: Iterable[RawChunk]) -> list[RawChunk]:
    """The chunks, those that follow one another in their ring made one, up to _JOINED_BYTES."""
    groups: list[list[RawChunk]] = []
    last: dict[int, list[RawChunk]] = {}
    for chunk in chunks:
        group = last.get(chunk.cpu)
        follows = group and chunk.position == group[-1].position + group[-1].nbytes
        if group and follows and chunk.position + chunk.nbytes <= group[0].position + _JOINED_BYTES:
            group.append(chunk)
        else:
            last[chunk.cpu] = [chunk]
            groups.append(last[chunk.cpu])
    return [_join(group) for group in groups]


def _join(chunks: list[RawChunk]) -> RawChunk:
    first = chunks[0]
    if len(chunks) == 1:
        return first
    starts = [chunk.bounds[:-1] + (chunk.position - first.position) // 8 for chunk in chunks]
    words = np.concatenate([chunk.words for chunk in chunks])
    return RawChunk(first.cpu, words, np.append(np.concatenate(starts), len(words)), first.position, first.since_ns)


class _Records:
    """Records among `words`: where each starts and ends.

    Records of one length (`step` words; 0: they differ, or some are left out), as those of a ring mostly are while
    anonymous memory is mapped, are looked at through a view of rows: with what `texts` saves, a third less time than
    to gather their words.
    """

    def __init__(self, words: Words, starts: Ints, ends: Ints, step: int) -> None:
        self.words = words
        self.starts = starts
        self.ends = ends
        self.step = step

    @classmethod
    def of(cls, chunk: RawChunk) -> _Records:
        starts, ends = chunk.bounds[:-1], chunk.bounds[1:]
        lengths = ends - starts
        step = int(lengths[0]) if (lengths == lengths[0]).all() else 0
        return cls(chunk.words, starts, ends, step)

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, mask: Mask) -> _Records:
        return self if mask.all() else _Records(self.words, self.starts[mask], self.ends[mask], 0)

    def word(self, k: int) -> Words:
        """The k-th word of each record; of a negative k, counted from its end."""
        if self.step:
            return self.words.reshape(-1, self.step)[:, k]
        return self.words[(self.starts if k >= 0 else self.ends) + k]

    def half(self, k: int) -> npt.NDArray[np.uint32]:
        """The k-th half of a word of each record."""
        halves = self.words.view(np.uint32)
        if self.step:
            return halves.reshape(-1, 2 * self.step)[:, k]
        return halves[2 * self.starts + k]

    def texts(self, first: int) -> tuple[pa.Array, Numbers]:
        """The bytes from word `first` to the trailer, NUL padding included, and how many records in a row have them.

        Equal neighbours are only found among records of one length.
        """
        changed = np.full(len(self), not self.step)
        changed[0] = True
        for k in range(first, self.step - TRAILER_WORDS):
            word = self.word(k)
            changed[1:] |= word[1:] != word[:-1]
        heads = np.flatnonzero(changed)
        # Arrow's offsets may as well step over what lies between the texts: of the array made so, every other
        # element is a text
        offsets = np.empty(2 * len(heads), np.int32)
        offsets[::2] = (self.starts[heads] + first) * 8
        offsets[1::2] = (self.ends[heads] - TRAILER_WORDS) * 8
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.words)]
        array = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)
        return array.take(pa.array(np.arange(0, len(offsets), 2))), np.diff(heads, append=len(self))


@dataclass(frozen=True)
class Decoded:
    """What chunks held: tables `vmas` and `tasks`, and the gaps.

    Every record is accounted for: records = rows of `tables` + len(losses) + own + repeats + others.
    `own` were about excluded processes. `repeats` are second copies made by a second event on a
    thread. `others` are of kinds that say nothing about mappings.
    """

    tables: dict[str, pa.Table]
    losses: list[SidebandLoss]
    records: int
    own: int
    repeats: int
    others: int


def record_bounds(words: Words) -> Ints:
    """First words of the whole records in `words`, with the end of the last one appended.

    `words` begins with a record and may end inside one. Raises ValueError when the records do not
    follow one another.

    A record's length is in its header, so the honest way is a step a record. Instead, every word
    that could be a header is found at once. When each of these ends where the next one begins they
    are the records, by induction from the first. Else some word inside a record (a FUSE inode
    number is anyone's choice) looks like a header, and those reachable from the first are found by
    pointer doubling: after step k the first 2^k records are known, and each jump leaps 2^k records.

    Mostly all records are as long as the first, which only takes a look at the headers.
    """
    if not len(words):
        return np.zeros(1, np.int64)
    step = int(words[0] >> np.uint64(51))
    if words[0] >= _SHORTEST and (words[::step] & _KIND_ASIDE == step << 51).all():
        return np.arange(0, len(words) + 1, step)
    starts = np.flatnonzero((words & _NOT_IN_A_HEADER == 0) & (words >= _SHORTEST))
    lengths = (words[starts] >> np.uint64(48)).astype(np.int64)
    ends = starts + (lengths >> 3)
    if not len(starts) or starts[0] != 0:
        raise ValueError("side-band bytes do not begin with a record")
    if not np.array_equal(ends[:-1], starts[1:]):
        reached = _reachable(starts, ends, len(words))
        starts, ends = starts[reached], ends[reached]
    if ends[-1] < len(words):
        raise ValueError(f"side-band records do not follow one another at word: {ends[-1]}")
    return np.append(starts, ends[-1]) if ends[-1] == len(words) else starts


def _reachable(starts: Ints, ends: Ints, length: int) -> Mask:
    """Which candidates the chain from the first one passes through, up to where it leaves them."""
    count = len(starts)
    jump = np.append(np.searchsorted(starts, ends), count)  # the last slot: out of the candidates, and stays there
    jump[:-1][np.append(starts, length)[jump[:-1]] != ends] = count
    reached = np.zeros(count + 1, np.bool_)
    reached[0] = True
    while not reached[count]:
        reached[jump[reached]] = True
        jump = jump[jump]
    return reached[:-1]


def lost_in(words: Words, bounds: Ints) -> int:
    """How many records the LOST records among these say were dropped."""
    starts = bounds[:-1]
    lost = starts[words[starts].astype(np.uint32) == _LOST]
    return int(words[lost + 2].sum())


def _low(words: Words) -> npt.NDArray[np.uint32]:
    return words.astype(np.uint32)


def _high(words: Words) -> npt.NDArray[np.uint32]:
    return (words >> np.uint64(32)).astype(np.uint32)


def _dictionary(texts: list[tuple[pa.Array, Numbers]]) -> tuple[Numbers, pa.Array]:
    """Indices and distinct values of NUL-padded texts; padding goes from the distinct values only."""
    if not texts:
        return np.zeros(0, np.int32), pa.array([], pa.binary())
    encoded = pa.chunked_array([array for array, _ in texts]).dictionary_encode()  # its chunks share one dictionary
    # an ASCII kernel takes bytes as they are; it is only declared for strings
    values = pc.ascii_rtrim(encoded.chunk(0).dictionary.view(pa.string()), characters="\0").view(pa.binary())
    indices = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    return np.repeat(indices, np.concatenate([counts for _, counts in texts])), values


@dataclass
class _Edge:
    """Where a ring's last chunk ended: its last record, and the event that began its run."""

    position: int
    head: Words
    id: int
    run_id: int


class SidebandDecoder:
    """Decodes chunks in the order they were drained; rows of the processes in `exclude` are dropped."""

    def __init__(self, exclude: Collection[int] = ()) -> None:
        self._exclude = tuple(exclude)
        self._edges: dict[int, _Edge] = {}

    def decode(self, chunks: Iterable[RawChunk]) -> Decoded:
        """Tables and gaps of `chunks`; rows of one CPU are in time order."""
        chunks = _joined(chunk for chunk in chunks if chunk.records)
        records = sum(chunk.records for chunk in chunks)
        vmas = _Rows(_VMA_COLUMNS, records)
        tasks = _Rows(_TASK_COLUMNS, records)
        losses: list[SidebandLoss] = []
        kept = second = others = 0
        for chunk in chunks:
            found = _Records.of(chunk)
            times = found.word(_TIME)
            kinds = found.half(0)
            lost = kinds == _LOST
            for i in np.flatnonzero(lost).tolist():
                since_ns = int(times[i - 1]) if i else chunk.since_ns
                count = int(chunk.words[chunk.bounds[i] + 2])
                losses.append(("sideband", chunk.cpu, since_ns, int(times[i]), count, RING_FULL))
            repeats = self._repeats(chunk, found)
            wanted = ~repeats
            pids = found.half(2)
            for pid in self._exclude:  # a few at most: np.isin costs more
                wanted &= (pids != pid) | lost
            mapped = wanted & (kinds == _MMAP2)
            tasked = wanted & ((kinds == _COMM) | (kinds == _FORK) | (kinds == _EXIT))
            if mapped.any():
                _add_vmas(vmas, chunk.cpu, found.only(mapped))
            if tasked.any():
                _add_tasks(tasks, chunk.cpu, found.only(tasked))
            kept += int(np.count_nonzero(wanted))
            others += int(np.count_nonzero(wanted & ~(mapped | tasked | lost)))
            second += int(np.count_nonzero(repeats))
        tables = {"vmas": _vmas(vmas), "tasks": _tasks(tasks)}
        return Decoded(tables, losses, records, records - kept - second, second, others)

    def _repeats(self, chunk: RawChunk, found: _Records) -> Mask:
        """Which records are second copies.

        A thread that was born while its process was being attached may carry its parent's event
        and one of its own. The kernel then writes each record once for either, one right after the
        other with preemption off (perf_iterate_sb), differing in event id and time only. Within
        such a run those of the run's first id are kept, so a change really made twice stays twice.
        """
        words, starts = chunk.words, chunk.bounds[:-1]
        ids = found.word(_ID)
        repeats = np.zeros(len(ids), np.bool_)
        edge = self._edges.get(chunk.cpu)
        if edge is not None and edge.position != chunk.position:
            edge = None
        pairs = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        for k in range(_HEAD_WORDS):
            pairs = pairs[words[starts[pairs] + k] == words[starts[pairs - 1] + k]]
        continued = edge is not None and edge.id != ids[0] and np.array_equal(edge.head, words[:_HEAD_WORDS])
        run_id = int(ids[-1])
        if len(pairs) or continued:
            first = np.arange(len(ids))
            first[pairs] = 0
            first = np.maximum.accumulate(first)
            run_ids = ids[first]
            if edge is not None and continued:
                run_ids[first == 0] = edge.run_id
            repeats = ids != run_ids
            run_id = int(run_ids[-1])
        head = words[starts[-1] : starts[-1] + _HEAD_WORDS].copy()
        self._edges[chunk.cpu] = _Edge(chunk.position + chunk.nbytes, head, int(ids[-1]), run_id)
        return repeats


class _Rows:
    """Columns of a known greatest length, filled chunk by chunk while its bytes are in the cache."""

    def __init__(self, types: dict[str, type[np.generic]], capacity: int) -> None:
        self._columns = {name: np.empty(capacity, kind) for name, kind in types.items()}
        self._count = 0
        self.texts: list[tuple[pa.Array, Numbers]] = []

    def add(self, **columns: Numbers | int) -> None:
        """Append rows; values are cut to the column's width."""
        count = len(columns["ts_ns"])  # type: ignore[arg-type]
        for name, values in columns.items():
            self._columns[name][self._count : self._count + count] = values
        self._count += count

    def columns(self) -> dict[str, Any]:
        return {name: values[: self._count] for name, values in self._columns.items()}


_VMA_COLUMNS: dict[str, type[np.generic]] = {
    "ts_ns": np.uint64, "pid": np.uint32, "tid": np.uint32, "cpu": np.uint16, "start": np.uint64, "end": np.uint64,
    "pgoff": np.uint64, "perms": np.int32, "flags": np.uint32, "dev": np.uint32, "inode": np.uint64,
    "generation": np.uint32,
}  # fmt: skip
_TASK_COLUMNS: dict[str, type[np.generic]] = {
    "ts_ns": np.uint64, "event": np.int32, "pid": np.uint32, "tid": np.uint32, "cpu": np.uint16,
    "parent_pid": np.uint32, "parent_tid": np.uint32, "named": np.bool_,
}  # fmt: skip


def _add_vmas(rows: _Rows, cpu: int, records: _Records) -> None:
    """struct perf_mmap_event (kernel/events/core.c); its pgoff is in bytes."""
    start = records.word(2)
    flags = records.half(17)
    rows.add(
        ts_ns=records.word(_TIME),
        pid=records.half(2),
        tid=records.half(3),
        cpu=cpu,
        start=start,
        end=start + records.word(3),
        pgoff=records.word(4) >> np.uint64(12),
        dev=(records.half(10) << np.uint32(20)) | records.half(11),
        inode=records.word(6),
        generation=records.half(14),
        perms=(records.half(16) & 7) | (flags & _MAP_SHARED) << np.uint32(3),
        flags=flags,
    )
    rows.texts.append(records.texts(_MMAP2_PATH_WORD))


def _add_tasks(rows: _Rows, cpu: int, records: _Records) -> None:
    """struct perf_comm_event {pid, tid, comm}, struct perf_task_event {pid, ppid, tid, ptid, time}."""
    headers, first, second = (records.word(k) for k in range(3))
    kinds = _low(headers)
    named = kinds == _COMM
    rows.add(
        ts_ns=records.word(_TIME),
        event=np.where(named, np.where(headers & _COMM_EXEC, 3, 2), kinds == _FORK),
        pid=_low(first),
        tid=np.where(named, _high(first), _low(second)),
        cpu=cpu,
        parent_pid=_high(first),
        parent_tid=_high(second),
        named=named,
    )
    if named.any():
        rows.texts.append(records.only(named).texts(_COMM_WORD))


def _vmas(rows: _Rows) -> pa.Table:
    columns = rows.columns()
    columns["perms"] = pa.DictionaryArray.from_arrays(columns["perms"], _PERMS)
    columns["path"] = pa.DictionaryArray.from_arrays(*_dictionary(rows.texts))
    schema = _SCHEMAS["vmas"]
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)


def _tasks(rows: _Rows) -> pa.Table:
    columns = rows.columns()
    named = columns["named"]
    found, values = _dictionary(rows.texts)
    names = np.zeros(len(named), np.int32)
    names[named] = found
    columns["event"] = pa.DictionaryArray.from_arrays(columns["event"], _EVENTS)
    columns["source"] = pa.DictionaryArray.from_arrays(np.zeros(len(named), np.int32), _SOURCE)
    columns["parent_pid"] = pa.array(columns["parent_pid"], mask=named)
    columns["parent_tid"] = pa.array(columns["parent_tid"], mask=named)
    columns["comm"] = pa.DictionaryArray.from_arrays(pa.array(names, mask=~named), values)
    schema = _SCHEMAS["tasks"]
    for name in ("ts_enter_ns", "clone_flags", "path", "mm", "elf_class", "exit_status"):
        columns[name] = pa.nulls(len(named), schema.field(name).type)
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)
