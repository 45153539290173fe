"""`analyze summary`: what a capture holds, and how complete it is."""

from __future__ import annotations

from analysis.errors import UsageError
from analysis.options import CapturesArgument, Format, FormatOption

__all__ = ["summary"]


def summary(captures: CapturesArgument, format: FormatOption = Format.TABLE) -> None:
    """Show what was recorded, how complete it is, and what stands out."""
    if format not in (Format.TABLE, Format.JSON):
        raise UsageError(f"a summary is not rows of one kind: {format}", "use table or json, or `analyze sql` for rows")
    from analysis.commands.common import next_command, open_engine, style
    from analysis.output import emit, json_text
    from analysis.summary import gather, lines

    # a table says first what is missing
    with open_engine(captures, quiet=format is Format.TABLE) as engine:
        found = [gather(engine, label) for label in engine.captures]
        if format is Format.JSON:
            emit([json_text({"captures": [each.plain() for each in found]}), "\n"])
        for number, each in enumerate(found if format is Format.TABLE else []):
            emit(["\n"] if number else [])
            emit(lines(each, style(engine)))
    next_command("ask anything with", "sql", captures, '-q "FROM mapped_files"')
