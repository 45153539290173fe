"""`analyze maps`: an address space as it was, in the kernel's own words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.errors import UsageError
from analysis.options import CapturesArgument, Format, FormatOption, MemoryOption, pid_option

if TYPE_CHECKING:
    from analysis.engine import Engine
    from analysis.maps import Maps

__all__ = ["maps"]

_LATELY_NS = 1_000_000_000


def maps(
    captures: CapturesArgument,
    pid: Annotated[int | None, pid_option("The process.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When. Default: the last instant.", show_default=False)
    ] = None,
    diff: Annotated[
        str | None,
        typer.Option("--diff", metavar="TIME", help="Show what changed until then.", show_default=False),
    ] = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """Show the address space of a process at an instant, in the format of /proc/PID/maps.

    A TIME is +1.5s from the start of the recording, 2026-01-31T12:00:00.5Z, or 123ns of CLOCK_MONOTONIC. Standard
    error says whether the answer is certain, or which mappings are only possible and why. What is not plainly visible
    in a path is escaped; json, csv, parquet and arrow have its bytes, and who made each mapping.

    With --diff, lines that are gone then begin with -, new ones with +.
    """
    from analysis.commands.common import open_engine, style
    from analysis.engine import Limits
    from analysis.maps import line, maps_at
    from analysis.output import emit, print_rows
    from analysis.rows import Rows
    from analysis.spaces import find

    if pid is None:
        raise UsageError("whose address space is not said", "give --pid; `analyze summary` lists the processes")
    if diff is not None and at is None:
        raise UsageError("--diff needs the time to compare with", "give it with --at")
    with open_engine(captures, Limits(memory)) as engine:
        now = maps_at(engine, find(engine, pid, at))
        if diff is not None:
            later = maps_at(engine, find(engine, pid, diff))
            _changes(engine, now, later, format)
            _say_how_sure(engine, now)
            _say_how_sure(engine, later)
            _hint_who(engine, now, later)
        else:
            if format is Format.TABLE:
                emit(f"{line(row)}\n" for row in now.lines)
            else:
                print_rows(Rows.of(now.table), format, style(engine))
            _say_how_sure(engine, now)
            _hint_changes(engine, now)


def _changes(engine: Engine, before: Maps, after: Maps, format: Format) -> None:
    """Print what differs between two instants."""
    from analysis.commands.common import style
    from analysis.maps import changes, line
    from analysis.output import emit, print_rows
    from analysis.rows import Rows

    found = list(changes(before.lines, after.lines))
    look = style(engine)
    if format is Format.TABLE:
        red, green, plain = ("\x1b[31m", "\x1b[32m", "\x1b[0m") if look.colour else ("", "", "")
        emit(
            f"{green if change.new else red}{'+' if change.new else '-'}{line(change.row)}{plain}\n" for change in found
        )
    else:
        import pyarrow as pa

        rows = [{"change": "new" if change.new else "gone", **change.row} for change in found]
        schema = pa.schema([pa.field("change", pa.string()), *before.table.schema])
        print_rows(Rows.of(pa.Table.from_pylist(rows, schema)), format, look)
    gone = sum(not change.new for change in found)
    print(f"{gone} gone, {len(found) - gone} new, {len(before.lines) - gone} unchanged", file=sys.stderr)


def _say_how_sure(engine: Engine, maps: Maps) -> None:
    from analysis.maps import how_sure

    for told in how_sure(engine, maps):
        print(told, file=sys.stderr)


def _hint_changes(engine: Engine, maps: Maps) -> None:
    """Print the next useful command: what changed until then, or, where nothing is known yet, when something is."""
    from analysis.commands.common import next_command
    from analysis.dictionary import text_literal
    from analysis.spaces import exactly

    place = maps.place
    capture = engine.captures[place.capture]
    began_ns = max(place.from_ns, capture.manifest.clock.started_ns)
    if not maps.lines:
        from analysis.filters import during, of_pid

        [first] = engine.query(
            "SELECT min(greatest(from_ns, since_ns)) AS ns FROM timeline "
            f"JOIN {of_pid(engine, place.pid)} AS used USING (capture, space) "
            f"WHERE capture = {text_literal(place.capture)} AND {during('timeline', 'used')} "
            f"AND greatest(from_ns, since_ns) > {place.at_ns}"
        ).dicts()
        if first["ns"] is not None:
            at = exactly(first["ns"], capture)
            next_command("the first that is known of it", "maps", [capture.path], f"--pid {place.pid} --at {at}")
    elif began_ns < place.at_ns:
        since_ns = max((began_ns + place.at_ns) // 2, place.at_ns - _LATELY_NS)  # when it began there was nothing
        options = f"--pid {place.pid} --at {exactly(since_ns, capture)} --diff {exactly(place.at_ns, capture)}"
        next_command("what changed until then", "maps", [capture.path], options)


def _hint_who(engine: Engine, before: Maps, after: Maps) -> None:
    """Print the next useful command: what made and what ended the lines that differ."""
    from analysis.commands.common import next_command

    spaces = ", ".join(str(space) for space in sorted({before.place.space, after.place.space}))
    first_ns, last_ns = sorted((before.place.at_ns, after.place.at_ns))
    begun, ended = (f"{name} > {first_ns} AND {name} <= {last_ns}" for name in ("from_ns", "to_ns"))
    query = f"FROM timeline WHERE space IN ({spaces}) AND ({begun} OR {ended}) ORDER BY from_ns"
    next_command("who did it", "sql", [engine.captures[before.place.capture].path], f'-q "{query}"')
