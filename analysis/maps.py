"""An address space at one instant, as /proc/PID/maps would have shown it.

The work is done in SQL, by the files of analysis/sql/maps in the order of their numbers: the last of them makes the
table `lines`. This module runs them, and writes lines as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import pyarrow as pa

from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.spaces import Place, condition, exactly
from analysis.text import device, inert

__all__ = ["Change", "Maps", "changes", "how_sure", "line", "maps_at"]

_SHOWN = 5  # doubtful ranges that are listed
_HALF = 1 << 62  # of all addresses; no process has as many
_WIDTH = 72  # fs/proc/task_mmu.c: 25 + sizeof(void *) * 6 - 1; seq_pad adds a space in any case

_DOUBTS = """
    SELECT start, "end", reason FROM doubts
    WHERE {condition} AND from_ns <= {at_ns} AND (to_ns IS NULL OR to_ns > {at_ns})
    ORDER BY start, "end"
"""


@dataclass(frozen=True)
class Maps:
    """The lines of an address space at an instant, in order; and where nothing is certain, mapped or not."""

    place: Place
    table: pa.Table
    doubts: list[dict[str, Any]]

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows


@cache
def _statements() -> list[str]:
    found = sorted(files("analysis").joinpath("sql", "maps").iterdir(), key=lambda path: path.name)
    return [path.read_text() for path in found if path.name.endswith(".sql")]


def maps_at(engine: Engine, place: Place) -> Maps:
    """The address space as the kernel would have printed it."""
    engine.need_timeline()
    engine.execute(f"SET VARIABLE capture = {text_literal(place.capture)}")
    engine.execute(f"SET VARIABLE space = {place.space}; SET VARIABLE at_ns = {place.at_ns}")
    for statement in _statements():
        engine.execute(statement)
    doubts = engine.query(_DOUBTS.format(condition=condition(place), at_ns=place.at_ns)).dicts()
    return Maps(
        place, engine.query(f"SELECT *, {place.pid}::UINTEGER AS pid FROM lines ORDER BY start").table(), doubts
    )


def line(row: dict[str, Any]) -> str:
    """A row of `lines` as the kernel prints it, inert, without the line's end."""
    text = (
        f"{row['start']:08x}-{row['end']:08x} {row['perms'] or '????'} {row['offset_bytes'] or 0:08x} "
        f"{device(row['dev'] or 0)} {row['inode'] or 0} "
    )
    path: bytes = row["path_bytes"] or b""
    if not path:
        return text
    # paths that are no UTF-8 come with their newlines
    return f"{text:{_WIDTH}} " + inert(path.replace(b"\n", rb"\012").decode(errors="backslashreplace"))


def how_sure(engine: Engine, maps: Maps) -> Iterator[str]:
    """Whether the answer is certain, or which parts of it are only possible and why; a line each, inert."""
    place = maps.place
    when = f"of process {place.pid} at {exactly(place.at_ns, engine.captures[place.capture])}"
    rows = maps.lines
    doubtful = [row for row in rows if row["certainty"] == "possible"]
    unmapped = [doubt for doubt in maps.doubts if not any(_overlap(doubt, row) for row in doubtful)]
    if not rows and any(_everywhere(doubt) for doubt in unmapped):
        yield f"nothing is known {when}, it can have had any mappings"
    elif not doubtful and not unmapped:
        yield f"certain: {len(rows)} mapping{'s' * (len(rows) != 1)} {when}"
        return
    else:
        yield f"possible: {len(doubtful)} of {len(rows)} mapping{'s' * (len(rows) != 1)} {when}"
    places: dict[str, list[str]] = {}
    for row in [*doubtful, *unmapped]:
        where = "everywhere" if _everywhere(row) else f"{row['start']:08x}-{row['end']:08x}"
        places.setdefault(row["reason"], []).append(where)
    for reason, ranges in places.items():
        where = ", ".join(ranges) if len(ranges) <= _SHOWN else f"{len(ranges)} ranges"
        yield f"  {inert(reason)}: {where}"


def _everywhere(row: dict[str, int]) -> bool:
    return row["end"] - row["start"] > _HALF


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return one["start"] < other["end"] and other["start"] < one["end"]


@dataclass(frozen=True)
class Change:
    """A line that is there at one of two instants only."""

    new: bool
    row: dict[str, Any]


def changes(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> Iterator[Change]:
    """The lines that differ, in order of addresses, what is gone before what is new."""
    old, new = {_seen(row) for row in before}, {_seen(row) for row in after}
    differing = [Change(False, row) for row in before if _seen(row) not in new]
    differing += [Change(True, row) for row in after if _seen(row) not in old]
    yield from sorted(differing, key=lambda change: (change.row["start"], change.new))


def _seen(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("start", "end", "perms", "offset_bytes", "dev", "inode", "path_bytes"))
