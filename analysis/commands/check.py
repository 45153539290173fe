"""`analyze check`: is the capture what it says it is?"""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.errors import ExitCode, UsageError
from analysis.options import CapturesArgument, Format, FormatOption

__all__ = ["check"]


def check(
    captures: CapturesArgument,
    files: Annotated[bool, typer.Option("--files", help="Check every file against the manifest.")] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Check that captures are whole: size, SHA-256, codec, columns and rows of every file.

    Exits with 1 when a file is not what the manifest says.
    """
    if not files:
        raise UsageError("nothing to check was asked for", "add --files to check every file against the manifest")
    import pyarrow as pa

    from analysis.capture import open_captures
    from analysis.commands.common import style, warn
    from analysis.output import print_rows
    from analysis.rows import Rows

    opened = open_captures(captures)
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
