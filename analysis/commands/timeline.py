"""`analyze timeline`: what was mapped where, from when to when, by what, and how sure is that?"""

from __future__ import annotations

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
    PidOption,
    ToOption,
)

__all__ = ["timeline"]

_COLUMNS = (
    'pid, start, "end", perms, offset_bytes, from_ns, to_ns, cause, end_cause, '
    "certainty || coalesce(': ' || reason, '') AS certainty, "
    'place_name(path, inode, start, "end", start_brk, brk, start_stack) AS path'
)


def timeline(
    captures: CapturesArgument,
    pid: PidOption = None,
    addr: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR", help="What touches an address, or a range: 0x..-0x.. or 0x..+8K.", show_default=False
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            help="Mappings of files with this text in their path, as the kernel gave it; with * ? or [, a glob over "
            "the whole path; or major:minor:inode, as /proc/PID/maps shows them.",
            autocompletion=completion.file,
            show_default=False,
        ),
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="What stood at one instant.", show_default=False)
    ] = None,
    cause: Annotated[
        list[str] | None, typer.Option(help="Made by this: mmap, exec, fork, ... Can be repeated.", show_default=False)
    ] = None,
    end_cause: Annotated[
        list[str] | None, typer.Option(help="Ended by this: munmap, exit, ... Can be repeated.", show_default=False)
    ] = None,
    certainty: Annotated[Certainty | None, typer.Option(help="Only what is so sure.", show_default=False)] = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """Show what was mapped where, from when to when, what made it and what ended it.

    Each row is a range of pages that stayed the same for a time, in order of time; within an address space rows never
    overlap. A change of permissions, a partial munmap or the like ends rows and begins others: `analyze diff` joins
    them. Rows that stood at some instant between --from and --to are shown. A time is +1.5s from the start of the
    capture, an ISO time, or 123ns of CLOCK_MONOTONIC; relative times count from each capture's own start.

    A table shows the most important columns; json, csv, parquet and arrow hold all (`analyze schema timeline`).
    """
    from analysis import lookups
    from analysis.commands.common import again, counted, next_command, nothing_matched, open_engine, style
    from analysis.engine import Limits
    from analysis.output import print_rows
    from analysis.scripts import run

    with open_engine(captures, Limits(memory)) as engine:
        columns, joined = "timeline.*", ""
        if format is Format.TABLE:
            columns = ("timeline.capture, " if len(engine.captures) > 1 else "") + _COLUMNS
            run(engine, "names", "naming heaps and stacks")
            joined = (
                "ASOF LEFT JOIN places ON places.capture = timeline.capture AND places.space = timeline.space "
                "AND known_ns <= from_ns"
            )
        sql = lookups.timeline(
            engine, pid, addr, file, since, until, at, cause or (), end_cause or (), certainty, columns, joined
        )
        rows, count = counted(engine.query(sql, "looking through the timeline"))
        print_rows(rows, format, style(engine))
    if not count():
        nothing_matched(captures, file)
        return
    asked = again(since, until, pid)
    next_command("what was created in a stretch of time and is still there", "diff", captures, asked)
