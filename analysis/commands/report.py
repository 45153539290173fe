"""`analyze report`: the capture as one HTML file, to be looked at, zoomed into and sent along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.options import (
    CapturesArgument,
    FromOption,
    MemoryOption,
    OverwriteOption,
    SymbolsOption,
    ToOption,
    pid_option,
)

__all__ = ["report"]


def report(
    captures: CapturesArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = Path(
        "report.html"
    ),
    pid: Annotated[list[int] | None, pid_option("Only this process. Can be repeated.")] = None,
    since: FromOption = None,
    until: ToOption = None,
    overwrite: OverwriteOption = False,
    memory: MemoryOption = None,
    symbols: SymbolsOption = None,
) -> None:
    """Write a report to look at: findings, the picture of the address spaces over time, counts of VMAs, shared memory.

    It is one HTML file that needs a browser and no network. Zoom into addresses and time, point at a mapping to see who
    made it and when, and move the time slider to read /proc/PID/maps as it was. Names that were recorded cannot do
    anything in it.

    The 200 address spaces with most to tell and the 700,000 mappings that stood longest are in it; what is not drawn
    is counted where it would be. --pid, --from and --to choose what to see all of.
    """
    from analysis.commands.common import next_command, open_engine
    from analysis.engine import Limits
    from analysis.picture import lay_out
    from analysis.replacing import check_output
    from analysis.report import write
    from analysis.text import inert, size

    check_output(output, overwrite)
    with open_engine(captures, Limits(memory), symbols=symbols) as engine:
        bounds = lay_out(engine, pid or (), since, until)
        written = write(engine, bounds, output)
    print(f"wrote {inert(str(output))}, {size(written.size_bytes)}: open it in a browser", file=sys.stderr)
    if bounds.spaces < bounds.spaces_there:
        print(f"{bounds.spaces:,} of {bounds.spaces_there:,} address spaces are in it: --pid chooses", file=sys.stderr)
    if written.kept < written.rectangles:
        told = f"{written.kept:,} of {written.rectangles:,} mappings are in it one by one, the others are counted"
        print(f"{told}: --from, --to and --pid choose", file=sys.stderr)
    next_command("the findings as text", "edges", captures)
