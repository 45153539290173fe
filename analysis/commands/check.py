"""`analyze check`: is the capture what it says it is, and is what is rebuilt from it true?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import AnalysisError, ExitCode
from analysis.options import CapturesArgument, Format, FormatOption, MemoryOption

__all__ = ["check"]


def check(
    captures: CapturesArgument,
    files: Annotated[bool, typer.Option("--files", help="Check every file against the manifest instead.")] = False,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
) -> None:
    """Compare the rebuilt address spaces with the kernel's own, page by page.

    The judges are the checkpoints and final readings of /proc/PID/maps that the recorder took (`record
    --checkpoint-every 1s --freeze`); the rebuild does not use them. Compared are the pages mapped, with their
    permissions, device, inode and offset; neighbours of the same kind count as one, because their boundary depends
    on what no event tells. A reading during which the process changed its mappings is not used. A difference where
    the answer is only possible is shown, and is no fault. csv, parquet and arrow hold a row for each reading.

    With --files, check that captures are whole: size, SHA-256, codec, columns and rows of every file.

    Exits with 1 when a certain answer is wrong, or a file is not what the manifest says, and with 5 when there is
    nothing to judge by.
    """
    if files:
        _files(captures, format)
    else:
        _maps(captures, format, memory)


def _maps(paths: Sequence[Path], format: Format, memory: int | None) -> None:
    import pyarrow as pa

    from analysis.checks import compare, lines
    from analysis.commands.common import open_engine, style
    from analysis.engine import Limits
    from analysis.output import emit, json_text, print_rows
    from analysis.rows import Rows, labelled
    from analysis.text import inert

    outcomes = []
    for number, path in enumerate(paths):
        with open_engine([path], Limits(memory)) as engine:
            outcome = compare(engine)
            outcomes.append(outcome)
            if format is Format.TABLE:
                emit(["\n" * (number > 0), f"{inert(str(path))}\n" if len(paths) > 1 else "", *lines(outcome)])
    if format is Format.JSON:
        emit([json_text({"captures": [outcome.plain() for outcome in outcomes]}), "\n"])
    elif format is not Format.TABLE:
        print_rows(Rows.of(pa.concat_tables(labelled(each.table, each.label) for each in outcomes)), format, style())
    if any(outcome.count("wrong") for outcome in outcomes):
        print("\nerror: a certain answer is wrong", file=sys.stderr)
        raise typer.Exit(ExitCode.NO)
    if not all(outcome.judges for outcome in outcomes):
        hint = (
            "record with --checkpoint-every 1s --freeze, which stops a process while its maps are read; "
            "or end the recording while the processes are alive, and quiet"
        )
        raise AnalysisError("no reading can judge the rebuild", hint, ExitCode.NO_ANSWER)


def _files(paths: Sequence[Path], format: Format) -> None:
    import pyarrow as pa

    from analysis.capture import open_captures
    from analysis.commands.common import style, warn
    from analysis.output import print_rows
    from analysis.rows import Rows

    opened = open_captures(paths)
    for capture in opened:
        warn(capture)
    rows = [
        {
            "capture": str(capture.path),
            "file": entry.path,
            "rows": entry.rows,
            "size_bytes": entry.bytes,
            "result": result,
        }
        for capture in opened
        for entry, result in sorted(
            [(file.entry, "ok") for file in capture.files] + [(damage.entry, damage.why) for damage in capture.damaged],
            key=lambda pair: pair[0].path,
        )
    ]
    columns = {
        "capture": pa.string(),
        "file": pa.string(),
        "rows": pa.uint64(),
        "size_bytes": pa.uint64(),
        "result": pa.string(),
    }
    print_rows(Rows.of(pa.Table.from_pylist(rows, pa.schema(columns))), format, style())
    if any(capture.damaged for capture in opened):
        raise typer.Exit(ExitCode.NO)
