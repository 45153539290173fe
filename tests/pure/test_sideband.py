"""Decoding of side-band records, against a plain walk of the bytes, one record at a time."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.schema import TABLES, arrow_schema
from recorder.sideband import RawChunk, SidebandDecoder, lost_in, record_bounds

LOST, COMM, EXIT, THROTTLE, FORK, MMAP2, NEWER = 2, 3, 4, 5, 7, 10, 63
COMM_EXEC = 1 << 13
CPU = 3


@dataclass(frozen=True)
class Record:
    """A record before it is bytes; `body` lies between header and trailer."""

    kind: int
    body: bytes
    ts_ns: int = 1000
    id: int = 1
    tid: int = 11
    misc: int = 2

    def encode(self) -> bytes:
        trailer = struct.pack("<IIQQII", 10, self.tid, self.ts_ns, self.id, CPU, 0)
        return struct.pack("<IHH", self.kind, self.misc, 8 + len(self.body) + len(trailer)) + self.body + trailer


def padded(text: bytes) -> bytes:
    return text + bytes(8 - len(text) % 8)


def mmap2(
    path: bytes = b"//anon", pid: int = 10, tid: int = 11, addr: int = 0x1000, length: int = 0x1000,
    pgoff_bytes: int = 0, major: int = 0, minor: int = 0, inode: int = 0, generation: int = 0,
    prot: int = 3, flags: int = 2, **kw: int,
) -> Record:  # fmt: skip
    fields = struct.pack(
        "<IIQQQIIQQII", pid, tid, addr, length, pgoff_bytes, major, minor, inode, generation, prot, flags
    )
    return Record(MMAP2, fields + padded(path), **kw)


def comm(name: bytes, pid: int = 10, tid: int = 11, **kw: int) -> Record:
    return Record(COMM, struct.pack("<II", pid, tid) + padded(name), **kw)


def task(kind: int, pid: int, parent_pid: int, tid: int, parent_tid: int, **kw: int) -> Record:
    return Record(kind, struct.pack("<IIIIQ", pid, parent_pid, tid, parent_tid, 5), **kw)


def lost(count: int, **kw: int) -> Record:
    return Record(LOST, struct.pack("<QQ", 1, count), **kw)


def words_of(data: bytes) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.frombuffer(data, np.uint64)


def plain_bounds(data: bytes) -> list[int]:
    """First words of the records, a step each, with the end of the last whole one appended."""
    bounds, at = [0], 0
    while at < len(data):
        at += struct.unpack_from("<H", data, at + 6)[0]
        if at <= len(data):
            bounds.append(at // 8)
    return bounds


def chunks_of(records: Iterable[Record], cuts: Iterable[int] = (), since_ns: int = 0) -> list[RawChunk]:
    """The records as chunks of one ring, cut before the given records."""
    encoded = [record.encode() for record in records]
    edges = sorted({0, len(encoded), *(cut for cut in cuts if cut <= len(encoded))})
    chunks, position = [], 0
    for first, end in pairwise(edges):
        data = b"".join(encoded[first:end])
        words = words_of(data)
        chunks.append(RawChunk(CPU, words, record_bounds(words), position, since_ns))
        since_ns = int(words[-3])
        position += len(data)
    return chunks


def rows_of(records: Iterable[Record], exclude: Iterable[int] = ()) -> dict[str, list[dict[str, Any]]]:
    """What a record-at-a-time decoder says."""
    rows: dict[str, list[dict[str, Any]]] = {"vmas": [], "tasks": []}
    for record in records:
        pid, second = struct.unpack_from("<II", record.body)
        if pid in exclude:
            continue
        common = {"ts_ns": record.ts_ns, "pid": pid, "cpu": CPU}
        if record.kind == MMAP2:
            _, tid, addr, length, pgoff, major, minor, inode, generation, prot, flags = struct.unpack_from(
                "<IIQQQIIQQII", record.body
            )
            letters = "".join(c if prot & bit else "-" for c, bit in zip("rwx", (1, 2, 4), strict=True))
            rows["vmas"].append(
                common | {
                    "tid": tid, "start": addr, "end": (addr + length) % 2**64, "pgoff": pgoff // 4096,
                    "perms": letters + ("s" if flags & 1 else "p"), "flags": flags,
                    "dev": (major << 20 | minor) % 2**32, "inode": inode, "generation": generation % 2**32,
                    "path": record.body[64:].rstrip(b"\0"),
                }
            )  # fmt: skip
        elif record.kind in (COMM, FORK, EXIT):
            row: dict[str, Any] = dict.fromkeys(column.name for column in TABLES["tasks"].columns)
            row |= common | {"source": "perf"}
            if record.kind == COMM:
                row |= {
                    "tid": second, "event": "exec" if record.misc & COMM_EXEC else "rename",
                    "comm": record.body[8:].rstrip(b"\0"),
                }  # fmt: skip
            else:
                tid, parent_tid = struct.unpack_from("<II", record.body, 8)
                event = "fork" if record.kind == FORK else "exit"
                row |= {"tid": tid, "event": event, "parent_pid": second, "parent_tid": parent_tid}
            rows["tasks"].append(row)
    return rows


u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
header_like = st.builds(
    lambda kind, misc, size: kind | misc << 32 | size << 48,
    st.integers(0, 70), st.sampled_from((0, 2, COMM_EXEC)), st.sampled_from((0, 8, 36, 40, 48, 64, 72, 104, 112, 4000)),
)  # fmt: skip
value = st.one_of(u64, header_like, st.integers(0, 100))
times = st.one_of(st.integers(1, 2**63), header_like)
text = st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"\xff"))
pids = st.one_of(st.integers(1, 40), u32)
mmap2s = st.builds(
    mmap2, path=text, pid=pids, tid=pids, addr=value, length=value, pgoff_bytes=value, major=st.integers(0, 4095),
    minor=st.integers(0, 2**20 - 1), inode=value, generation=value, prot=st.integers(0, 7),
    flags=st.sampled_from((1, 2, 0x2002, 0x40001)), ts_ns=times, id=value,
)  # fmt: skip
comms = st.builds(
    comm, name=text.map(lambda b: b[:15]), pid=pids, tid=pids, ts_ns=times, misc=st.sampled_from((0, COMM_EXEC))
)
tasks = st.builds(task, st.sampled_from((FORK, EXIT)), pids, pids, pids, pids, ts_ns=times)
known = st.one_of(mmap2s, comms, tasks)
# any kind with any bytes inside: whole words that look like headers too
wild = st.builds(
    lambda kind, body, **kw: Record(kind, struct.pack(f"<{len(body)}Q", *body), **kw),
    st.integers(1, NEWER), st.lists(value, max_size=12), ts_ns=times, id=value,
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.one_of(wild, known), min_size=1, max_size=40), st.integers(1, 10_000))
@example([Record(MMAP2, struct.pack("<Q", MMAP2 | 48 << 48) * 6)], 10_000)
@example([mmap2(inode=MMAP2 | 56 << 48), mmap2(inode=MMAP2 | 136 << 48), mmap2()], 10_000)
def test_bounds_are_those_of_a_step_by_step_walk(records: list[Record], words: int) -> None:
    data = b"".join(record.encode() for record in records)[: words * 8]
    assert record_bounds(words_of(data)).tolist() == plain_bounds(data)


def test_bounds_of_many_records_with_a_false_header_in_each() -> None:
    # each false header leads to the next one, so the false chain is as long as the true one
    data = mmap2(inode=MMAP2 | 112 << 48).encode() * 100_003
    assert len(data) == 112 * 100_003
    began_s = time.thread_time()
    bounds = record_bounds(words_of(data))
    assert time.thread_time() - began_s < 2  # a step a record takes minutes
    assert bounds.tolist() == plain_bounds(data)


@pytest.mark.parametrize(
    "data",
    [
        bytes(64),
        mmap2().encode() + bytes(8) + mmap2().encode(),
        mmap2().encode()[8:],
        struct.pack("<IHH", MMAP2, 0, 8) + bytes(64),
        mmap2().encode() + bytes(8),
    ],
)
def test_bytes_that_are_not_records_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="side-band"):
        record_bounds(words_of(data))


def test_nothing_decodes_to_empty_tables() -> None:
    decoded = SidebandDecoder().decode([])
    assert decoded.records == 0
    for name, table in decoded.tables.items():
        assert table.num_rows == 0
        assert table.schema.equals(arrow_schema(TABLES[name]), check_metadata=True)


@settings(max_examples=400, deadline=None)
@given(st.lists(known, max_size=40), st.sets(st.integers(1, 39)), st.sets(st.integers(1, 40), max_size=3))
def test_rows_are_those_of_a_plain_decoder_however_the_chunks_are_cut(
    records: list[Record], cuts: set[int], exclude: set[int]
) -> None:
    # one event a ring: no second copies
    records = [Record(r.kind, r.body, r.ts_ns, 1, r.tid, r.misc) for r in records]
    decoded = SidebandDecoder(exclude).decode(chunks_of(records, cuts))
    expected = rows_of(records, exclude)
    for name, table in decoded.tables.items():
        table.validate(full=True)
        assert table.schema.equals(arrow_schema(TABLES[name]), check_metadata=True)
        assert table.to_pylist() == expected[name]
    stored = sum(table.num_rows for table in decoded.tables.values())
    assert (decoded.records, decoded.repeats, decoded.others) == (len(records), 0, 0)
    assert stored + decoded.own == len(records)


def test_hostile_names_come_out_byte_exact() -> None:
    names = [b"a\nb", b"\x1b[31m", b"\xff\xfe\x80", "\u202etxt".encode(), b"[red]'\";--", b"x" * 4086, b" "]
    paths = [b"/" + name for name in names]
    decoded = SidebandDecoder().decode(chunks_of([mmap2(path) for path in paths] + [comm(b"\x1b[2J\xff", misc=0)]))
    assert decoded.tables["vmas"]["path"].to_pylist() == paths
    assert decoded.tables["tasks"]["comm"].to_pylist() == [b"\x1b[2J\xff"]


def test_a_path_is_kept_once() -> None:
    decoded = SidebandDecoder().decode(chunks_of([mmap2(b"/a"), mmap2(b"/b"), mmap2(b"/a")] * 7, cuts=(5, 11)))
    assert decoded.tables["vmas"]["path"].chunk(0).dictionary.to_pylist() == [b"/a", b"/b"]


def test_a_loss_lies_between_the_records_around_it() -> None:
    records = [lost(3, ts_ns=20), mmap2(ts_ns=20), mmap2(ts_ns=30)]
    records += [lost(7, ts_ns=50), mmap2(ts_ns=50), lost(2, ts_ns=60)]
    chunks = chunks_of(records, cuts=(5,), since_ns=13)
    decoded = SidebandDecoder(exclude={1}).decode(chunks)  # 1 is these records' event id, no process
    assert [loss[1:5] for loss in decoded.losses] == [(CPU, 13, 20, 3), (CPU, 30, 50, 7), (CPU, 50, 60, 2)]
    assert sum(lost_in(chunk.words, chunk.bounds) for chunk in chunks) == 12
    assert decoded.own == 0
    assert decoded.records == decoded.tables["vmas"].num_rows + len(decoded.losses)


def test_records_of_other_kinds_are_counted() -> None:
    records = [mmap2(), Record(THROTTLE, bytes(24)), Record(NEWER, bytes(16)), mmap2()]
    decoded = SidebandDecoder().decode(chunks_of(records))
    assert (decoded.records, decoded.others, decoded.tables["vmas"].num_rows) == (4, 2, 2)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from((0x1000, 0x2000)), st.booleans()), max_size=30),
    st.lists(st.integers(1, 89), max_size=5),
)
def test_second_copies_go_and_real_repetitions_stay(changes: list[tuple[int, int, bool]], cuts: list[int]) -> None:
    """Threads 1, 2 and 3 have that many events each; every change is written once for each event."""
    written: list[Record] = []
    meant: list[Record] = []
    for number, (tid, addr, maps) in enumerate(changes):
        for event in range(tid):
            ts_ns = number * 10 + event
            if maps:
                record = mmap2(tid=tid, addr=addr, ts_ns=ts_ns, id=tid * 10 + event)
            else:  # a fork's body holds a time of its own
                record = Record(FORK, struct.pack("<IIIIQ", 10, 10, addr, tid, ts_ns), ts_ns, tid * 10 + event, tid)
            written.append(record)
            if event == 0:
                meant.append(record)
    decoded = SidebandDecoder().decode(chunks_of(written, cuts))
    expected = rows_of(meant)
    assert {name: table.to_pylist() for name, table in decoded.tables.items()} == expected
    assert decoded.repeats == len(written) - len(meant)


def test_a_gap_between_chunks_ends_a_run() -> None:
    first, second = chunks_of([mmap2(id=1), mmap2(id=2)], cuts=(1,))
    apart = RawChunk(CPU, second.words, second.bounds, second.position + 4096, second.since_ns)
    assert SidebandDecoder().decode([first, second]).repeats == 1
    assert SidebandDecoder().decode([first, apart]).repeats == 0
