"""`analyze browse`: a capture in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis import completion
from analysis.errors import UsageError
from analysis.options import MemoryOption

__all__ = ["browse"]


def browse(
    capture: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTURE",
            help="A directory that `record` wrote.",
            readable=False,  # see CapturesArgument
            show_default=False,
            autocompletion=completion.capture,
        ),
    ],
    memory: MemoryOption = None,
) -> None:
    """Browse a capture in the terminal: processes, the time line of one, its maps at any instant, and why.

    The keys are shown at the bottom, ? explains them. 80 columns and 24 lines are enough, and no mouse is needed.
    """
    from analysis.commands.common import open_engine
    from analysis.engine import Limits

    try:
        from analysis.browser.app import Browser
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("textual"):
            raise
        raise UsageError("browsing needs textual, which is not installed", "pip install 'maptrail[review]'") from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("browsing needs a terminal", "analyze --help lists commands that print")
    with open_engine([capture], Limits(memory)) as engine:
        engine.need_timeline()
        browser = Browser(engine)
        browser.run(mouse=False)  # the mouse stays the terminal's, to mark text
    if browser.return_code:
        raise typer.Exit(browser.return_code)
