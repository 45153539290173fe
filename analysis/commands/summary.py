"""`analyze summary`: what a capture holds, and how complete it is."""

from __future__ import annotations

import shlex
import sys

from analysis.errors import UsageError
from analysis.options import CapturesArgument, Format, FormatOption
from analysis.text import inert

__all__ = ["summary"]


def summary(captures: CapturesArgument, format: FormatOption = Format.TABLE) -> None:
    """Show what was recorded, how complete it is, and what stands out."""
    if format not in (Format.TABLE, Format.JSON):
        raise UsageError(f"a summary is not rows of one kind: {format}", "use table or json, or `analyze sql` for rows")
    from analysis.commands.common import open_engine, style
    from analysis.output import emit, json_text
    from analysis.summary import gather, lines

    with open_engine(captures) as engine:
        found = [gather(engine, label) for label in engine.captures]
        if format is Format.JSON:
            emit([json_text({"captures": [each.plain() for each in found]}), "\n"])
        for number, each in enumerate(found if format is Format.TABLE else []):
            emit(["\n"] if number else [])
            emit(lines(each, style(engine)))
    # the name is quoted for a shell; where it is not plainly visible it could not be typed either
    paths = " ".join(inert(shlex.quote(str(path))) for path in captures)
    print(f'\nhint: ask anything with: analyze sql {paths} -q "FROM mapped_files"', file=sys.stderr)
