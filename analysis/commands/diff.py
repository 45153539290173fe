"""`analyze diff`: what was created and freed in a stretch of time, and what is still there?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.options import (
    By,
    CapturesArgument,
    Class,
    Format,
    FormatOption,
    FromOption,
    MemoryOption,
    PidOption,
    SymbolsOption,
    ToOption,
)

__all__ = ["diff"]

_SHOWN = 20  # rows of the second table


def diff(
    captures: CapturesArgument,
    since: FromOption = None,
    until: ToOption = None,
    pid: PidOption = None,
    by: Annotated[
        By,
        typer.Option(metavar="WHAT", help="file, stack, size, cause, process or thread; or mapping: each by itself."),
    ] = By.FILE,
    classes: Annotated[
        list[Class] | None,
        typer.Option(
            "--class",
            case_sensitive=False,
            help="Can be repeated. Default: AIFO in a table, else all.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
    symbols: SymbolsOption = None,
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
    function+offset (file), or as file+offset where the function is not known, from what was mapped there at that time.
    --symbols looks for those functions in debug files. Names are as the compiler wrote them: c++filt reads them.
    """
    from analysis import filters
    from analysis.commands.common import again, has_stacks, next_command, open_engine, style
    from analysis.diff import MEANING, compare, ended, group, ordered, totals
    from analysis.engine import Limits
    from analysis.output import emit, print_rows
    from analysis.spaces import exactly

    table = format is Format.TABLE
    chosen = classes or ([Class.AIFO] if table else list(Class))
    with open_engine(captures, Limits(memory), symbols=symbols) as engine:
        compare(engine, filters.windows(engine, since, until), pid)
        count = group(engine, by, chosen, table)
        if table:
            print_rows(totals(engine), format, style(engine))
            named = ", ".join(f"{MEANING[each]} ({each})" for each in chosen)
            emit([f"\n{named}{f' by {by}' if by is not By.MAPPING else ''}:\n"])
        limit = f"LIMIT {_SHOWN}" if table else ""
        print_rows(engine.query(f"{ordered(by)} {limit}"), format, style(engine))
        gone = ended(engine) if table and not count and Class.AIFO in chosen else None
        if gone:
            capture = engine.captures[gone.capture]
            when, before = (exactly(ns, capture) for ns in (gone.ended_ns, gone.ended_ns - 1))
    if gone:
        told = f"process {gone.pid} ended at {when}, which freed {gone.mappings:,} mapping{'s' * (gone.mappings != 1)}"
        print(f"nothing matched: {told}", file=sys.stderr)
        asked = again(since, before, gone.pid)
        how = "--by stack" if by is By.STACK else ""
        next_command("what it still had just before", "diff", [capture.path], f"{asked}{how}")
        return
    if not count:
        print("nothing matched", file=sys.stderr)
    if table and count > _SHOWN:
        print(f"and {count - _SHOWN} more: --format json has all", file=sys.stderr)
    asked = again(since, until, pid)
    if by is not By.STACK and has_stacks(engine):
        next_command("who made them", "diff", captures, f"{asked}--by stack")
    elif by is not By.MAPPING:
        next_command("each of them, and when it was made", "diff", captures, f"{asked}--by mapping")
    else:
        next_command("and all that became of them", "timeline", captures, asked)
