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

_LOST, _COMM, _EXIT, _FORK, _MMAP2 = 2, 3, 4, 7, 10  # PERF_RECORD_*
# A header is {u32 kind; u16 misc; u16 size}. The kernel has 22 kinds: below 64 leaves room for more.
# Sizes are multiples of 8, and no record is shorter than its header and trailer.
_NOT_IN_A_HEADER = np.uint64(0x0007_0000_FFFF_FFC0)
_SHORTEST = np.uint64(8 * (1 + TRAILER_WORDS) << 48)
_COMM_EXEC = np.uint64(1 << (32 + 13))  # PERF_RECORD_MISC_COMM_EXEC, in a header word
_MAP_SHARED = 0x01

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
    """
    if not len(words):
        return np.zeros(1, np.int64)
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


def _texts(words: Words, starts: Ints, ends: Ints) -> pa.Array:
    """The bytes between word positions, NUL padding included, as a binary array.

    Arrow's offsets may as well step over what lies between the texts: of the array made so, every
    other element is a text, and nothing was copied to make it.
    """
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[::2] = starts * 8
    offsets[1::2] = ends * 8
    array = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(words)])
    return array.take(pa.array(np.arange(0, len(offsets), 2)))


def _dictionary(texts: list[pa.Array]) -> tuple[Numbers, pa.Array]:
    """Indices and distinct values of NUL-padded texts; padding goes from the distinct values only."""
    if not texts:
        return np.zeros(0, np.int32), pa.array([], pa.binary())
    encoded = pa.chunked_array(texts).dictionary_encode()  # all its chunks share one dictionary
    # an ASCII kernel takes bytes as they are; it is only declared for strings
    values = pc.ascii_rtrim(encoded.chunk(0).dictionary.view(pa.string()), characters="\0").view(pa.binary())
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]), values


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
        chunks = [chunk for chunk in chunks if chunk.records]
        records = sum(chunk.records for chunk in chunks)
        vmas = _Rows(_VMA_COLUMNS, records)
        tasks = _Rows(_TASK_COLUMNS, records)
        losses: list[SidebandLoss] = []
        kept = second = others = 0
        for chunk in chunks:
            words, starts, ends = chunk.words, chunk.bounds[:-1], chunk.bounds[1:]
            times = words[ends - 3]
            kinds = _low(words[starts])
            lost = kinds == _LOST
            for i in np.flatnonzero(lost).tolist():
                since_ns = int(times[i - 1]) if i else chunk.since_ns
                count = int(words[starts[i] + 2])
                losses.append(("sideband", chunk.cpu, since_ns, int(times[i]), count, RING_FULL))
            repeats = self._repeats(chunk)
            wanted = ~repeats
            pids = _low(words[starts + 1])
            for pid in self._exclude:  # a few at most: np.isin costs more
                wanted &= (pids != pid) | lost
            mapped = wanted & (kinds == _MMAP2)
            tasked = wanted & ((kinds == _COMM) | (kinds == _FORK) | (kinds == _EXIT))
            if mapped.any():
                _add_vmas(vmas, chunk, starts[mapped], ends[mapped], times[mapped])
            if tasked.any():
                _add_tasks(tasks, chunk, starts[tasked], ends[tasked], times[tasked])
            kept += int(np.count_nonzero(wanted))
            others += int(np.count_nonzero(wanted & ~(mapped | tasked | lost)))
            second += int(np.count_nonzero(repeats))
        tables = {"vmas": _vmas(vmas), "tasks": _tasks(tasks)}
        return Decoded(tables, losses, records, records - kept - second, second, others)

    def _repeats(self, chunk: RawChunk) -> Mask:
        """Which records are second copies.

        A thread that was born while its process was being attached may carry its parent's event
        and one of its own. The kernel then writes each record once for either, one right after the
        other with preemption off (perf_iterate_sb), differing in event id and time only. Within
        such a run those of the run's first id are kept, so a change really made twice stays twice.
        """
        words, starts = chunk.words, chunk.bounds[:-1]
        ids = words[chunk.bounds[1:] - 2]
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
        self.texts: list[pa.Array] = []

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


def _add_vmas(rows: _Rows, chunk: RawChunk, at: Ints, to: Ints, times: Words) -> None:
    """struct perf_mmap_event (kernel/events/core.c); its pgoff is in bytes."""
    words = chunk.words
    halves = words.view(np.uint32)
    half = at * 2
    start = words[at + 2]
    flags = halves[half + 17]
    rows.add(
        ts_ns=times,
        pid=halves[half + 2],
        tid=halves[half + 3],
        cpu=chunk.cpu,
        start=start,
        end=start + words[at + 3],
        pgoff=words[at + 4] >> np.uint64(12),
        dev=(halves[half + 10] << np.uint32(20)) | halves[half + 11],
        inode=words[at + 6],
        generation=halves[half + 14],
        perms=(halves[half + 16] & 7) | (flags & _MAP_SHARED) << np.uint32(3),
        flags=flags,
    )
    rows.texts.append(_texts(words, at + _MMAP2_PATH_WORD, to - TRAILER_WORDS))


def _add_tasks(rows: _Rows, chunk: RawChunk, at: Ints, to: Ints, times: Words) -> None:
    """struct perf_comm_event {pid, tid, comm}, struct perf_task_event {pid, ppid, tid, ptid, time}."""
    words = chunk.words
    headers, first, second = words[at], words[at + 1], words[at + 2]
    kinds = _low(headers)
    named = kinds == _COMM
    rows.add(
        ts_ns=times,
        event=np.where(named, np.where(headers & _COMM_EXEC, 3, 2), kinds == _FORK),
        pid=_low(first),
        tid=np.where(named, _high(first), _low(second)),
        cpu=chunk.cpu,
        parent_pid=_high(first),
        parent_tid=_high(second),
        named=named,
    )
    if named.any():
        rows.texts.append(_texts(words, at[named] + _COMM_WORD, to[named] - TRAILER_WORDS))


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
    for name in ("clone_flags", "path", "mm", "elf_class"):
        columns[name] = pa.nulls(len(named), schema.field(name).type)
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)
