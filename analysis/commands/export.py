"""`analyze export`: a capture for other tools."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import UsageError
from analysis.options import CapturesArgument, MemoryOption, OverwriteOption

__all__ = ["Target", "export"]


class Target(StrEnum):
    """What an export is for."""

    PERFETTO = "perfetto"
    DUCKDB = "duckdb"
    CSV = "csv"
    ARROW = "arrow"


def export(
    captures: CapturesArgument,
    to: Annotated[Target, typer.Option("--to", help="The format.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="What to write.", show_default=False)],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="csv, arrow: only this table or view. Can be repeated.", show_default=False),
    ] = None,
    overwrite: OverwriteOption = False,
    memory: MemoryOption = None,
) -> None:
    """Write captures in a format of other tools.

    perfetto: a trace for ui.perfetto.dev and trace_processor, with tracks for processes, address spaces, the mappings
    of each file and the calls of each thread, counters of VMAs, findings and losses. Of one capture.

    duckdb: a database for any DuckDB client, with all tables, views and descriptions of `analyze schema`.

    csv, arrow: a folder with a file for each table and view. In csv, bytes are in hex, and what is nested is JSON.

    Text is inert: what is not plainly visible in a name or path is written as \\x1b or \\u202e; columns NAME_bytes have
    what was recorded. In csv nothing begins as a formula would.
    """
    from analysis.commands.common import open_engine
    from analysis.engine import Limits
    from analysis.exports import check_names, file_names, to_duckdb, to_files, to_perfetto
    from analysis.replacing import check_output
    from analysis.text import shell_path

    in_folder = to in (Target.CSV, Target.ARROW)
    if only and not in_folder:
        raise UsageError(f"--only is for csv and arrow, not for: {to}")
    check_names(only or ())
    check_output(output, overwrite, file_names() if in_folder else ())
    with open_engine(captures, Limits(memory), whole=to is not Target.PERFETTO) as engine:
        if to is Target.PERFETTO:
            to_perfetto(engine, output)
            opened = f"open it in https://ui.perfetto.dev: {shell_path(output)}"
        elif to is Target.DUCKDB:
            to_duckdb(engine, output)
            opened = f"ask it with: duckdb -readonly {shell_path(output)} 'FROM findings'"
        else:
            to_files(engine, to, output, only or ())
            opened = f"the files are in {shell_path(output)}"
    print(opened, file=sys.stderr)
