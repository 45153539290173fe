"""The command `analyze`: asks captures. Data on standard output, all else on standard error.

Exit statuses: 0 done, 1 the answer is no, 2 wrong use, 3 unreadable capture, 4 not permitted, 5 nothing to answer by
(see analysis.errors).
"""

from __future__ import annotations

import gc
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import typer

from analysis.commands import (
    browse,
    check,
    counts,
    diff,
    edges,
    export,
    maps,
    plot,
    report,
    schema,
    shared,
    sql,
    summary,
    timeline,
    why,
)
from analysis.errors import AnalysisError, ExitCode, ReaderGone
from analysis.text import inert

__all__ = ["app", "main"]

app = typer.Typer(
    name="analyze",
    help="Ask captures of address spaces: what was mapped, by whom, and how sure that is.",
    epilog="Exit: 0 done, also where a list is empty; 1 the answer is no (check, edges --strict, why --addr); "
    "2 wrong use, 3 unreadable, 4 not permitted, 5 nothing to answer by.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("summary")(summary.summary)
app.command("maps")(maps.maps)
app.command("timeline")(timeline.timeline)
app.command("why")(why.why)
app.command("diff")(diff.diff)
app.command("edges")(edges.edges)
app.command("shared")(shared.shared)
app.command("counts")(counts.counts)
app.command("plot")(plot.plot)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("browse")(browse.browse)
app.command("schema")(schema.schema)
app.command("sql")(sql.sql)


def _described(command: Callable[..., None]) -> str:
    """What a command says of itself, a line a paragraph: the terminal wraps it, at its own width."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.__doc__ or ""))


def _quick(command: Callable[..., None]) -> Callable[..., None]:
    """A command that loads pyarrow without numpy, which it takes where it is there: a fifth of the start, for nothing.

    Who needs numpy can still import it afterwards, but pyarrow does not know its arrays then.
    """

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        if "pyarrow" not in sys.modules and "numpy" not in sys.modules:
            sys.modules["numpy"] = None  # type: ignore[assignment]  # an import of it fails
            try:
                import pyarrow  # noqa: F401
            finally:
                del sys.modules["numpy"]
        command(*arguments, **options)

    return run


for command in app.registered_commands:
    assert command.callback is not None
    command.help = _described(command.callback)
    if command.callback is not export.export:  # which needs numpy
        command.callback = _quick(command.callback)


def main() -> None:
    """Run `analyze` and exit with its status."""
    gc.set_threshold(50_000)  # not 700: to look for garbage among modules being imported is 5 % of a short command
    status = _status()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # everything is closed; for Python to take itself apart would cost 0.1 s


def _status() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a locale that lacks a character
    ended_by: list[int] = []

    def end(number: int, _: object) -> None:
        ended_by.append(number)
        sys.exit(128 + number)  # so that temporary files go

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        app()
    except SystemExit as ended:
        if ended_by:  # during a statement DuckDB makes an interrupt of it
            return 128 + ended_by[0]
        if isinstance(ended.__context__, BrokenPipeError):  # of standard error; typer makes a 1 of it
            return ExitCode.BROKEN_PIPE
        return ended.code if isinstance(ended.code, int) else ExitCode.YES
    except ReaderGone as error:
        # what is still buffered must not fail again when it is flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error.code
    except AnalysisError as error:
        with suppress(BrokenPipeError):
            print(f"error: {_lines(str(error))}", file=sys.stderr)
            if error.hint:
                print(f"\nhint: {inert(error.hint)}", file=sys.stderr)
        return error.code
    return ExitCode.YES


def _lines(text: str) -> str:
    """Inert text that keeps its line ends: DuckDB points at the place in a query on lines of its own."""
    return "\n".join(map(inert, text.split("\n")))
