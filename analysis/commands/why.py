"""`analyze why`: what became of an address, and who did it?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.errors import UsageError
from analysis.options import CapturesArgument, Format, FormatOption, MemoryOption, PidOption, SymbolsOption

if TYPE_CHECKING:
    from analysis.engine import Engine
    from analysis.output import Style
    from analysis.rows import Rows

__all__ = ["why"]


def why(
    captures: CapturesArgument,
    pid: PidOption = None,
    addr: Annotated[
        str | None, typer.Option(metavar="ADDR", help="The address, as 0x7f0000001000.", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When. Default: the last fault at that address, else the end of the process.",
            show_default=False,
        ),
    ] = None,
    symbols: SymbolsOption = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """Say why a process died of SIGBUS or SIGSEGV or ran out of VMAs, or what became of an address.

    Without an address: every fault, explained, and every call refused at vm.max_map_count, deadly ones first; of an
    incident of the flight recorder, what made it, and why, before all. With one: the verdict, certain or possible and
    then why, and the life of that address until then, newest first: what was mapped there, who mapped it and took it
    away, who truncated the file behind it, the faults, and where records were lost. Without --pid the process is the
    one that faulted there, or the only one that had something there.

    Stacks are shown where they were recorded (`record --stacks`), the innermost frame first; --symbols names functions.

    Ends with 1 where nothing is known of the address; that there was no fault is an answer, and ends with 0. json, csv,
    parquet and arrow hold the same rows with all columns.
    """
    from analysis import filters
    from analysis.commands.common import next_command, open_engine
    from analysis.engine import Limits
    from analysis.output import emit
    from analysis.spaces import exactly
    from analysis.why import life, lines, listed, owner, place_of, sent, triggers, troubles

    if at is not None and addr is None:
        raise UsageError("--at needs the address that is asked about", "give it with --addr")
    with open_engine(captures, Limits(memory), symbols=symbols) as engine:
        if addr is None:
            if pid is not None:
                filters.of_pid(engine, pid)  # refused where nothing was recorded of it
            if format is Format.TABLE:
                emit(triggers(engine))
            found = _print(engine, troubles(engine, pid), format, listed)
            if found and found[0]["what"] == "refusal":
                next_command("how its VMAs grew, and who made them", "counts", captures, f"--pid {found[0]['pid']}")
            elif found:
                first = found[0]
                options = f"--pid {first['pid']} --addr {first['start']:#x}"
                next_command("the life of an address", "why", captures, options)
            else:
                print(
                    f"no fault of memory {'in the recording' if pid is None else f'of process {pid}'}"
                    f"{sent(engine, pid)}",
                    file=sys.stderr,
                )
                if pid is not None:
                    next_command("the addresses that it had", "timeline", captures, f"--pid {pid}")
                else:
                    next_command("whatever else can go wrong", "edges", captures)
                    next_command("how near to vm.max_map_count processes came", "counts", captures)
            return
        address, _ = filters.address_range(addr)
        if pid is None and (pid := owner(engine, address)) is None:
            print(
                f"nothing is known of {address:#x}: no process had it mapped, and none faulted there", file=sys.stderr
            )
            raise typer.Exit(1)
        place, faulted = place_of(engine, pid, address, at)
        rows = _print(engine, life(engine, place, address, faulted), format, lines)
        when = exactly(place.at_ns, engine.captures[place.capture])
        print(f"\naddress {address:#x} of process {pid} at {when}", file=sys.stderr)
        if not {row["what"] for row in rows} - {"verdict", "doubt", "loss"}:
            raise typer.Exit(1)
        next_command("all that was mapped then", "maps", captures, f"--pid {pid} --at {when}")


def _print(
    engine: Engine, rows: Rows, format: Format, read: Callable[[Engine, list[dict[str, Any]], Style], Iterator[str]]
) -> list[dict[str, Any]]:
    """Print rows, and return them: they are few."""
    from analysis.commands.common import style
    from analysis.output import emit, print_rows
    from analysis.rows import Rows

    table = rows.table()
    found: list[dict[str, Any]] = table.to_pylist()
    if format is Format.TABLE:
        emit(read(engine, found, style(engine)))
    else:
        print_rows(Rows.of(table), format, style(engine))
    return found
