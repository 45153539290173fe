"""`analyze counts`: how many VMAs are there, who makes them, and when is vm.max_map_count reached?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.errors import UsageError
from analysis.options import By, CapturesArgument, Format, FormatOption, MemoryOption, PidOption, SymbolsOption

__all__ = ["counts"]

_SHOWN = 20  # address spaces in a table


def counts(
    captures: CapturesArgument,
    pid: PidOption = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The count over time, in steps of so long: 100ms.", show_default=False),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            metavar="cause|file|stack|thread",
            help="What made the VMAs at the peak, and at the end.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
    symbols: SymbolsOption = None,
) -> None:
    """Count the VMAs of each address space against vm.max_map_count, and forecast when it is reached.

    A VMA can be made of several mappings that the kernel merged. Its records of mappings tell the whole VMA, so it is
    known where it did. Where no record tells (after mremap, and in the child of a child) neighbours of the same kind
    are counted as one, and vmas_at_most counts them as two: where the two differ, the count is possible. VMAs that
    madvise, mlock, mbind or prctl split are not seen. What maps calls vsyscall is no VMA.

    The rate is the slope of the straight line with the least squares through 65 evenly spaced instants of the last
    half of the time in which the address space is known. At that rate, going on from the count at the end, the limit
    is reached at the time shown. A line that gains less than one VMA in that half is flat. Where it would be a tenth
    earlier with neighbours counted as two, both rates are shown, and no time; the limit "can have been reached" where
    only that count did.

    A table shows the address spaces with the most VMAs. "makers" is what made most of those there at the peak. A
    mapping that the kernel merged into a VMA that was there made none, so calls can be more than the VMAs they made.
    "certainty" is that of the count at the end: while records were lost, there can have been more than the peak.
    """
    from analysis import counts as counting
    from analysis.commands.common import again, counted, has_stacks, next_command, open_engine, style
    from analysis.engine import Limits
    from analysis.output import print_rows

    if every is not None and by is not None:
        raise UsageError("--every is a series and --by is groups", "give one or the other")
    group = counting.group_of(by) if by is not None else None
    every_ns = counting.step_ns(every) if every is not None else None
    table = format is Format.TABLE
    with open_engine(captures, Limits(memory), symbols=symbols) as engine:
        counting.count(engine, pid)
        if every_ns is not None:
            sql = counting.series(engine, every_ns, table)
        elif group is not None:
            sql = counting.makers(engine, group, table)
        else:
            sql = counting.forecasts(engine, table)
        some = table and every_ns is None
        rows, count = counted(engine.query(f"FROM ({sql}) LIMIT {_SHOWN}" if some else sql))
        print_rows(rows, format, style(engine))
    if not count():
        print("nothing matched", file=sys.stderr)
    elif some and count() == _SHOWN:
        print(f"the first {_SHOWN} are shown; --pid chooses, and --format json has all", file=sys.stderr)
    asked = again(pid=pid)
    if by is None:
        next_command("who made them", "counts", captures, f"{asked}--by {'stack' if has_stacks(engine) else 'file'}")
    else:
        next_command("how they grew", "counts", captures, f"{asked}--every 100ms")
