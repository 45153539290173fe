"""`analyze edges`: which edge cases does a capture hold, who caused them, and who suffered?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis import completion
from analysis.options import (
    CapturesArgument,
    Certainty,
    Format,
    FormatOption,
    FromOption,
    MemoryOption,
    Severity,
    ToOption,
    pid_option,
)

__all__ = ["edges"]


def edges(
    captures: CapturesArgument,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only this kind. Can be repeated.", show_default=False)
    ] = None,
    severity: Annotated[Severity, typer.Option(help="So grave, or graver.")] = Severity.MEDIUM,
    expected: Annotated[bool, typer.Option("--expected", help="All of them, what is normal too.")] = False,
    pid: Annotated[int | None, pid_option("A process took part in it.")] = None,
    addr: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="It touches an address, or a range as 0x..+8K.", show_default=False),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="It is about such files: see `analyze timeline`.",
            show_default=False,
            autocompletion=completion.file,
        ),
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    certainty: Annotated[Certainty | None, typer.Option(help="Only what is so sure.", show_default=False)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where anything is found.")] = False,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """List edge cases: files truncated under a mapping, mappings clobbered, calls that race, faults explained.

    Each is a sentence with its severity: high, a process was harmed; medium, it can be; low, worth knowing; info, for
    the picture. What only looks like one, as a loader that maps over its own reservation, is shown with --expected.

    json, csv, parquet and arrow hold addresses, both parties and more of each (`analyze schema findings`).
    """
    from analysis import lookups
    from analysis.commands.common import again, next_command, open_engine, style
    from analysis.edges import checked_kinds, gather, hidden, sentences, shown
    from analysis.engine import Limits
    from analysis.output import emit, print_rows

    kinds = checked_kinds(kind or ())
    with open_engine(captures, Limits(memory)) as engine:
        conditions = lookups.finding_conditions(engine, pid, addr, file, since, until, certainty)
        gather(engine, kinds, conditions)
        left_out = hidden(engine, severity, expected)
        first = "first(coalesce(other_pid, pid)) AS pid, first(start) AS start"
        [sums] = engine.query(f"SELECT count(*) AS findings, {first} FROM ({shown(severity, expected)})").dicts()
        rows = engine.query(shown(severity, expected))
        if format is Format.TABLE:
            emit(sentences(engine, rows.dicts(), style(engine)))
        else:
            print_rows(rows, format, style(engine))
    count = sums["findings"]
    told = f"{count:,} finding{'s' * (count != 1)}"
    if left_out:
        told += f", not shown: {', '.join(f'{number:,} {what}' for what, number in left_out.items())}"
    print(told, file=sys.stderr)
    if left_out:
        options = "--expected" if "expected" in left_out else f"--severity {list(left_out)[-1]}"
        asked = again(since, until, pid, addr=addr, file=file, certainty=certainty)
        asked += "".join(f"--kind {each} " for each in kind or ())
        next_command("what is not shown", "edges", captures, asked + options)
    elif count and sums["pid"] is not None and sums["start"] is not None:
        options = f"--pid {sums['pid']} --addr {sums['start']:#x}"
        next_command("what became of the first one's address", "why", captures, options)
    if not count and not kind:
        next_command("how near to vm.max_map_count processes came", "counts", captures)
    if strict and count:
        raise typer.Exit(1)
