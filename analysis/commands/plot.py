"""`analyze plot`: a picture of address spaces over time, or of their numbers of VMAs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import UsageError
from analysis.options import CapturesArgument, FromOption, MemoryOption, OverwriteOption, ToOption, pid_option

__all__ = ["plot"]

_BESIDE = 12  # lines of a terminal that are not the picture's


def plot(
    captures: CapturesArgument,
    pid: Annotated[list[int] | None, pid_option("Of a process. Can be repeated.")] = None,
    since: FromOption = None,
    until: ToOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write FILE.png or FILE.svg.", show_default=False),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Draw in characters, here.")] = False,
    overwrite: OverwriteOption = False,
    counts: Annotated[bool, typer.Option("--counts", help="The numbers of VMAs, with their limit.")] = False,
    memory: MemoryOption = None,
) -> None:
    """Draw address spaces over time: time to the right, addresses up, empty stretches squeezed.

    Findings are marked and the gravest told below, losses are hatched where they happened, and so is what is only
    possible. Without --from and --to the window is the time in which the processes had mappings. With --counts: how
    many VMAs they had, and the limit.
    """
    from analysis import terminal_plot
    from analysis.commands.common import next_command, open_engine, style
    from analysis.engine import Limits
    from analysis.output import emit
    from analysis.replacing import check_output
    from analysis.text import inert, size

    if output is None and not terminal:
        raise UsageError("where to draw is not said", "give -o FILE.png, -o FILE.svg or --terminal")
    if output is not None:
        try:
            from analysis import plot as drawing
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("matplotlib"):
                raise
            raise UsageError(
                "drawing needs matplotlib, which is not installed", "pip install 'maptrail[review]', or use --terminal"
            ) from None
        drawing.check_name(output)
        check_output(output, overwrite)
    pids = pid or []
    with open_engine(captures, Limits(memory)) as engine:
        if terminal:
            look = style(engine)
            if counts:
                emit(terminal_plot.counts(engine, pids, since, until, style=look))
            else:
                lines = max(shutil.get_terminal_size((0, 52)).lines - _BESIDE, 12)
                emit(terminal_plot.picture(engine, pids, since, until, style=look, lines=lines))
        if output is not None:
            draw = drawing.counts if counts else drawing.picture
            drawing.save(draw(engine, pids, since, until), output)
            print(f"wrote {inert(str(output))}, {size(output.stat().st_size)}", file=sys.stderr)
    next_command("the findings, and who did what", "edges", captures)
