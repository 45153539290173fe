"""`analyze shared`: who shares which memory with whom?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.errors import UsageError
from analysis.options import (
    CapturesArgument,
    Format,
    FormatOption,
    FromOption,
    MemoryOption,
    ToOption,
)

__all__ = ["shared"]

_FILE = "stay.capture, stay.dev, stay.inode, stay.generation"
_COLUMNS = (
    "stay.pid, comm, perms, "
    "format('{:x}-{:x}', offset_bytes, offset_end_bytes) AS offsets, shared_bytes, stay.from_ns, "
    "stay.to_ns, cause AS how, path"
)


def shared(
    captures: CapturesArgument,
    pid: Annotated[
        int | None,
        typer.Option(min=1, metavar="PID", help="What this process has, with all who have it.", show_default=False),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Such files, of one process too: see `analyze timeline`.", show_default=False
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
    from analysis import filters
    from analysis.commands.common import again, counted, next_command, open_engine, style
    from analysis.engine import Limits
    from analysis.output import print_rows

    if at is not None and (since is not None or until is not None):
        raise UsageError("--at is one instant, --from and --to are a stretch of time", "give one or the other")
    conditions = [filters.of_file(file)] if file is not None else []
    with open_engine(captures, Limits(memory)) as engine:
        times = filters.windows(engine, at if at is not None else since, at if at is not None else until)
        source = (
            f"(FROM shared_memory) AS stay JOIN {filters.per_capture(times)} AS span "
            f"ON span.capture = stay.capture AND {filters.during('stay', 'span')}"
        )
        if pid is not None:
            mine = (
                f"SELECT ({_FILE}) FROM shared_memory AS stay JOIN {filters.of_pid(engine, pid)} AS used "
                f"ON used.capture = stay.capture AND used.space = stay.space AND {filters.during('stay', 'used')}"
            )
            conditions.append(f"({_FILE}) IN ({mine})")
        columns = "stay.*, comm"
        if format is Format.TABLE:
            columns = ("stay.capture, " if len(engine.captures) > 1 else "") + _COLUMNS
        usual = pid is None and file is None
        if usual:
            # a copy that a fork made only to execute something else shares nothing to speak of
            execed = "SELECT (capture, space) FROM spaces WHERE began = 'fork' AND ended = 'exec'"
            conditions.append(f"(cause <> 'fork' OR (stay.capture, stay.space) NOT IN ({execed}))")
        several = f"count(*) OVER (PARTITION BY {_FILE}) > 1 AND bool_or(perms[2] = 'w') OVER (PARTITION BY {_FILE})"
        rows, count = counted(
            engine.query(
                f"SELECT {columns} FROM {source} LEFT JOIN (SELECT capture, pid, comm FROM processes) AS named "
                f"ON named.capture = stay.capture AND named.pid = stay.pid "
                f"WHERE {' AND '.join(conditions) or 'true'} "
                + (f"QUALIFY others > 0 AND {several} " if usual else "")
                + f"ORDER BY stay.capture, min(stay.from_ns) OVER (PARTITION BY {_FILE}), stay.dev, stay.inode, "
                "stay.from_ns, stay.space",
                "looking who shares what",
            )
        )
        print_rows(rows, format, style(engine))
    if not count():
        print("nothing matched", file=sys.stderr)
    asked = f"{again(since, until, pid)}--kind aliased_windows --severity info"
    next_command("what is written at one place and seen at another", "edges", captures, asked)
