"""Writes a capture as a Perfetto trace, for ui.perfetto.dev and trace_processor.

A track for each process; below it, for each address space, the VMAs over time (a counter) and the mappings (slices; a
track a file, with lanes where mappings of it stood at the same time); the calls of each thread; findings and faults
(instants); losses (slices on tracks of their own).

The protobuf is made in bulk, without Python per event: all packets of a kind have one layout, so they are a numpy array
of bytes, a row a packet. This works because a varint may be longer than it need be: 0x81 0x80 0x00 is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.engine import Engine
from analysis.scripts import run
from analysis.text import inert

__all__ = ["lanes", "write"]

Numbers = npt.NDArray[np.uint64]

# protos/perfetto/trace/perfetto_trace.proto: the numbers of the fields
_PACKET = 1
_CLOCKS, _TIMESTAMP, _SEQUENCE, _EVENT, _INTERNED, _FLAGS, _DEFAULTS, _TRACK = 6, 8, 10, 11, 12, 13, 59, 60
_MONOTONIC, _REALTIME, _CLOCK_ID = 3, 1, 58
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4
_ONE_SEQUENCE = 1
_NAMES, _KEYS, _VALUES = 2, 3, 29  # of InternedData
_UNIT_COUNT = 2


class Slot(NamedTuple):
    """A number that differs from packet to packet: the column it is in, and the bytes it gets, seven bits each."""

    column: str
    width: int


_TIME, _ID, _TRACK_ID, _U64 = 9, 4, 5, 10
Field = tuple[int, "int | str | Slot | Sequence[Field]"]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


class _Layout:
    """A message with slots: its bytes, and at which of them the slots are."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.data = b""
        self.slots: list[tuple[int, Slot]] = []
        for number, value in fields:
            if isinstance(value, int):
                self.data += _varint(number << 3) + _varint(value)
            elif isinstance(value, Slot):
                self.data += _varint(number << 3)
                self.slots.append((len(self.data), value))
                self.data += bytes(value.width)
            elif isinstance(value, str):
                text = value.encode(errors="backslashreplace")
                self.data += _varint(number << 3 | 2) + _varint(len(text)) + text
            else:
                inner = _Layout(value)
                self.data += _varint(number << 3 | 2) + _varint(len(inner.data))
                self.slots += [(len(self.data) + offset, slot) for offset, slot in inner.slots]
                self.data += inner.data

    def fill(self, columns: Mapping[str, Numbers], count: int) -> npt.NDArray[np.uint8]:
        """So many of these messages, a row each."""
        rows = np.tile(np.frombuffer(self.data, np.uint8), (count, 1))
        for offset, slot in self.slots:
            numbers = columns[slot.column]
            for at in range(slot.width):
                more = 0x80 if at < slot.width - 1 else 0
                rows[:, offset + at] = (numbers >> np.uint64(7 * at)) & np.uint64(0x7F) | np.uint64(more)
        return rows


def _packet(*fields: Field) -> Field:
    return _PACKET, [*fields, (_SEQUENCE, _ONE_SEQUENCE), (_FLAGS, 2)]


def _event(type: int, *fields: Field) -> _Layout:
    event: list[Field] = [(9, type), (11, Slot("track", _TRACK_ID)), *fields]
    return _Layout([_packet((_TIMESTAMP, Slot("ts_ns", _TIME)), (_EVENT, event))])


_ANNOTATED = {
    "mapping": ("start", "end", "perms", "size_bytes", "offset_bytes", "inode", "cause", "by thread",
                "end cause", "certainty"),
    "call": ("address", "size_bytes", "offset_bytes", "returned", "error"),
    "finding": ("severity", "certainty", "what", "address"),
    "loss": ("records lost", "gaps of unknown size", "cause"),
}  # fmt: skip
_KIND_OF_NUMBER = {"start": 7, "end": 7, "address": 7, "returned": 7} | dict.fromkeys(
    ("size_bytes", "offset_bytes", "inode", "by thread", "records lost", "gaps of unknown size"), 3
)
"""Annotations that are numbers: pointer_value (7, shown in hexadecimal) or uint_value (3); the others are text (17)."""


def _annotations(kind: str) -> list[Field]:
    keys = list(dict.fromkeys(key for each in _ANNOTATED.values() for key in each))
    fields: list[Field] = []
    for key in _ANNOTATED[kind]:
        number = _KIND_OF_NUMBER.get(key)
        value = (17, Slot(key, _ID)) if number is None else (number, Slot(key, _U64))
        fields.append((4, [(1, keys.index(key) + 1), value]))
    return fields


def lanes(group: npt.NDArray[Any], begins: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A lane for each interval, so that none of a lane overlap; intervals of different groups never share one.

    An interval takes the lane that its group freed last, else a new one. Which that is, is a matter of brackets: an end
    opens one, a begin closes the innermost that is open. So all are found by sorting, none by going through them.
    """
    count = len(group)
    if not count:
        return np.zeros(0, np.int64)
    which = np.tile(np.arange(count), 2)
    closing = np.repeat([False, True], count)  # a begin
    when = np.concatenate([ends, begins])
    order = np.lexsort((which, closing, when, group[which]))
    which, closing = which[order], closing[order]
    free = np.cumsum(np.where(closing, -1, 1))  # lanes free, give or take a number for each group
    level = free + closing  # an end and the begin that takes its lane have the same
    by_level = np.lexsort((np.arange(2 * count), level, group[which]))
    earlier, later = by_level[:-1], by_level[1:]
    taken = closing[later] & ~closing[earlier] & (level[earlier] == level[later])
    taken &= group[which[earlier]] == group[which[later]]
    source = np.arange(count)
    source[which[later[taken]]] = which[earlier[taken]]
    while True:  # to the first interval of each lane, in twice as long steps each time
        further = source[source]
        if np.array_equal(further, source):
            break
        source = further
    return np.unique(source, return_inverse=True)[1].astype(np.int64)


def write(engine: Engine, sink: IO[bytes]) -> None:
    """Write the trace of the engine's one capture."""
    [capture] = engine.captures.values()
    engine.need_timeline()
    engine.execute(f"SET VARIABLE covered_to_ns = {capture.covered_to_ns}")
    run(engine, "names", "naming heaps and stacks")
    run(engine, "perfetto", "gathering what the trace shows")
    for kind in ("mapping", "loss"):
        _lay_out(engine, kind)
    run(engine, "perfetto_tracks", "laying out tracks")

    clock = capture.manifest.clock
    clocks: list[Field] = [
        (1, [(1, _MONOTONIC), (2, clock.monotonic_ns)]), (1, [(1, _REALTIME), (2, clock.realtime_ns)]),
        (2, _MONOTONIC),
    ]  # fmt: skip
    sink.write(_Layout([(_PACKET, [(_SEQUENCE, _ONE_SEQUENCE), (_CLOCKS, clocks)])]).data)
    keys = list(dict.fromkeys(key for each in _ANNOTATED.values() for key in each))
    first: list[Field] = [(_SEQUENCE, _ONE_SEQUENCE), (_FLAGS, 1), (_DEFAULTS, [(_CLOCK_ID, _MONOTONIC)])]
    named: list[Field] = [(_KEYS, [(1, number), (2, key)]) for number, key in enumerate(keys, 1)]
    sink.write(_Layout([(_PACKET, [*first, (_INTERNED, named)])]).data)
    for row in _rows(engine, "FROM texts ORDER BY id"):
        for field in (_NAMES, _VALUES):
            sink.write(_Layout([_packet((_INTERNED, [(field, [(1, row["id"]), (2, inert(row["text"]))])]))]).data)
    for row in _rows(engine, "FROM tracks ORDER BY track"):
        sink.write(_Layout([_packet((_TRACK, list(_described(row))))]).data)
    for kind in _ANNOTATED:
        type, extra = (_INSTANT, ()) if kind == "finding" else (_BEGIN, ())
        layout = _event(type, (10, Slot("name", _ID)), *extra, *_annotations(kind))
        if type == _INSTANT:
            _stream(engine, f"FROM {kind}_events ORDER BY ts_ns", layout, sink)
        else:
            _stream(engine, f"FROM {kind}_events ORDER BY ts_ns, closing DESC", layout, sink, _event(_END))
    _stream(engine, "FROM counter_events ORDER BY ts_ns", _event(_COUNTER, (30, Slot("value", _U64))), sink)


def _rows(engine: Engine, sql: str) -> Iterator[dict[str, Any]]:
    for batch in engine.query(sql, "writing the trace"):
        yield from batch.to_pylist()


def _described(row: dict[str, Any]) -> Iterator[Field]:
    """A track as a TrackDescriptor."""
    name = inert(row["name"])
    yield 1, row["track"]
    if row["parent"]:
        yield 5, row["parent"]
    if row["kind"] == "process":
        yield 3, [(1, row["pid"]), (6, name)]
    elif row["kind"] == "thread":
        yield 4, [(1, row["pid"]), (2, row["tid"]), (5, name)]
    else:
        yield 2, name
    if row["kind"] == "counter":
        yield 8, [(3, _UNIT_COUNT)]


def _lay_out(engine: Engine, kind: str) -> None:
    """Make the table KIND_lanes: a lane for each row of KIND_slices."""
    sql = f"SELECT id, group_id, from_ns, to_ns FROM {kind}_slices ORDER BY id"
    rows = engine.query(sql, "laying out tracks").table()
    columns = [rows[name].to_numpy().astype(np.int64) for name in ("group_id", "from_ns", "to_ns")]
    engine.put(f"{kind}_lanes", pa.table({"id": rows["id"], "lane": lanes(*columns)}))


def _stream(engine: Engine, sql: str, layout: _Layout, sink: IO[bytes], ending: _Layout | None = None) -> None:
    """Write a packet for each row; of rows that are `closing`, the other layout."""
    for batch in engine.query(sql, "writing the trace"):
        columns = {
            name: batch.column(name).to_numpy(zero_copy_only=False).astype(np.uint64)
            for name in batch.schema.names
            if name != "closing"
        }
        if ending is None:
            sink.write(layout.fill(columns, batch.num_rows).tobytes())
            continue
        closing = batch.column("closing").to_numpy(zero_copy_only=False)
        # runs of begins and of ends take turns; both kinds are made in bulk, then put into one another
        both = np.empty((batch.num_rows, len(layout.data)), np.uint8)
        both[~closing] = layout.fill({name: each[~closing] for name, each in columns.items()}, int((~closing).sum()))
        used = np.ones(both.shape, bool)
        both[closing, : len(ending.data)] = ending.fill(
            {name: each[closing] for name, each in columns.items()}, int(closing.sum())
        )
        used[closing, len(ending.data) :] = False
        sink.write(both[used].tobytes())
