"""`analyze diff`: what was created and freed in a stretch of time, and what is still there?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.options import CapturesArgument, Format, FormatOption, FromOption, PidOption, ToOption

if TYPE_CHECKING:
    from analysis.diff import Class
    from analysis.engine import Engine

__all__ = ["diff"]

_SHOWN = 20  # groups in a table


def diff(
    captures: CapturesArgument,
    since: FromOption = None,
    until: ToOption = None,
    pid: PidOption = None,
    by: Annotated[
        str, typer.Option(metavar="WHAT", help="Group by file, stack, size, cause or process; or list each mapping.")
    ] = "file",
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="CLASS",
            help="AIFO, AIFI, AOFI or AOFO; can be repeated. Default: AIFO in a table, else all.", show_default=False,
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Sort mappings by whether they were created and freed inside a window of time.

    AIFO, allocated inside and freed outside: created in the window and still there at its end. This is the list to
    look for a leak in, so it is what a table shows, the largest group first. AIFI came and went. AOFI was there
    before and was freed in the window. AOFO was there all the time.

    Created means that pages became mapped, freed that they became unmapped. A change of permissions is neither, nor
    is a move by mremap; what mremap adds is created by it. A part that is unmapped is freed, the rest is still there.
    mmap over a mapping, and remap_file_pages, free what was there and create anew, and so do exec and, for the child,
    fork. What stood when the recording began was created outside. Counted is what one call made; its bytes are what
    is left of it in that class. The rule in SQL: `analyze schema mappings`.

    A stack is that of the call which created the mapping (`record --stacks`), the innermost frame first, each as
    module+offset in the file that was mapped there at that time.
    """
    from analysis import filters
    from analysis.commands.common import counted, next_command, open_engine, style
    from analysis.diff import By, Class, compare, groups
    from analysis.errors import UsageError
    from analysis.output import print_rows

    try:
        grouped = By(by.lower())
        chosen = [Class(each.upper()) for each in classes or []]
    except ValueError as error:
        raise UsageError(f"{error}", f"--by {', '.join(By)}; --class {', '.join(Class)}") from None
    with open_engine(captures) as engine:
        windows = filters.windows(engine, since, until)
        compare(engine, windows, pid)
        if format is Format.TABLE:
            _totals(engine, windows)
            chosen = chosen or [Class.AIFO]
            _heading(chosen, grouped)
        rows, count = counted(groups(engine, grouped, chosen or list(Class), format is Format.TABLE))
        print_rows(rows if format is not Format.TABLE else rows.first(_SHOWN), format, style(engine))
    ...
