"""`analyze shared`: who shares which memory with whom?"""

from __future__ import annotations

from typing import Annotated

import typer

from analysis import completion
from analysis.options import (
    CapturesArgument,
    Format,
    FormatOption,
    FromOption,
    MemoryOption,
    ToOption,
    pid_option,
)

__all__ = ["shared"]

_COLUMNS = (
    "stay.pid, comm, perms, "
    "format('{:x}-{:x}', offset_bytes, offset_end_bytes) AS offsets, shared_bytes, stay.from_ns, "
    "stay.to_ns, cause AS how, path"
)


def shared(
    captures: CapturesArgument,
    pid: Annotated[int | None, pid_option("What this process has, with all who have it.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Such files, of one process too: see `analyze timeline`.",
            show_default=False,
            autocompletion=completion.file,
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Who had what at one instant.", show_default=False)
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """Show which processes share memory: files, memfds, /dev/shm, SysV segments, anonymous memory that a fork shared.

    A row for each process that had a file mapped shared, from when on the first page of it was mapped until none was.
    "offsets" is the part of the file that was mapped; "shared_bytes" is how much of it another process had mapped at
    the same time, of all the time recorded; "how" is what mapped it first, and fork means that it was inherited. Unless
    --pid or --file asks for it, left out is what only one process had, what nobody could write to, and copies that a
    fork made only to execute a program.

    A table shows the most important columns; json, csv, parquet and arrow hold all (`analyze schema shared_memory`).
    """
    from analysis import lookups
    from analysis.commands.common import again, counted, next_command, nothing_matched, open_engine, style
    from analysis.engine import Limits
    from analysis.output import print_rows

    with open_engine(captures, Limits(memory)) as engine:
        columns = "stay.*, comm"
        if format is Format.TABLE:
            columns = ("stay.capture, " if len(engine.captures) > 1 else "") + _COLUMNS
        sql = lookups.shared_memory(engine, pid, file, at, since, until, columns)
        rows, count = counted(engine.query(sql, "looking who shares what"))
        print_rows(rows, format, style(engine))
    if not count():
        nothing_matched(captures, file)
        return
    asked = f"{again(since, until, pid)}--kind aliased_windows --severity info"
    next_command("what is written at one place and seen at another", "edges", captures, asked)
