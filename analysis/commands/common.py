"""What the commands share once they run: opening captures, and saying what is missing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.capture import Capture, open_captures
from analysis.dictionary import units
from analysis.engine import Engine, Limits
from analysis.output import Style
from analysis.rows import Rows
from analysis.text import inert, shell_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["again", "counted", "has_stacks", "next_command", "nothing_matched", "open_engine", "style", "warn"]

_TIME = "ns, CLOCK_MONOTONIC"
_OTHER_UNITS = {
    "size_bytes": "bytes", "possible_bytes": "bytes", "each_bytes": "bytes",
    "last_created_ns": _TIME, "peak_ns": _TIME, "forecast_ns": _TIME,
}  # fmt: skip
"""Of columns that no view has."""


def open_engine(
    paths: Sequence[Path],
    limits: Limits | None = None,
    *,
    whole: bool = False,
    quiet: bool = False,
    symbols: Path | None = None,
) -> Engine:
    """Open captures for queries; unless `quiet`, standard error says what is missing from them.

    `whole`, `symbols`: see Engine.
    """
    captures = open_captures(paths)
    for capture in [] if quiet else captures:
        warn(capture)
    return Engine(captures, limits, whole=whole, symbols=symbols)


def warn(capture: Capture) -> None:
    """Say on standard error what makes a capture incomplete, and where records were lost."""
    for line in capture.incomplete():
        print(f"warning: {inert(str(capture.path))}: {inert(line)}", file=sys.stderr)


def style(engine: Engine | None = None) -> Style:
    """How tables look on standard output, with the times of these captures."""
    clocks = {label: capture.manifest.clock for label, capture in engine.captures.items()} if engine else {}
    return Style.of_stdout({**units(), **_OTHER_UNITS}, clocks)


def counted(rows: Rows) -> tuple[Rows, Callable[[], int]]:
    """The same rows, and how many of them have passed."""
    passed = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal passed
        for batch in rows:
            passed += batch.num_rows
            yield batch

    return Rows(rows.schema, batches()), lambda: passed


def next_command(why: str, command: str, captures: Sequence[Path], options: str = "") -> None:
    """Say on standard error what to ask next."""
    paths = " ".join(map(shell_path, captures))
    print(f"\nhint: {why}: analyze {command} {paths} {options}".rstrip(), file=sys.stderr)


def nothing_matched(captures: Sequence[Path], file: str | None = None) -> None:
    """Say on standard error that there are no rows, and what to ask instead."""
    print("nothing matched", file=sys.stderr)
    if file is not None:
        query = '-q "SELECT path, device, inode, processes FROM mapped_files"'
        next_command("the files that were mapped", "sql", captures, query)
    else:
        next_command("what was recorded, and of whom", "summary", captures)


def again(since: str | None = None, until: str | None = None, pid: int | None = None, **more: str | None) -> str:
    """Options that were given, for a hint to repeat; with a space after them."""
    given = {"from": since, "to": until, "pid": pid, **more}
    return "".join(f"--{name} {inert(shlex.quote(str(value)))} " for name, value in given.items() if value is not None)


def has_stacks(engine: Engine) -> bool:
    """Whether a stack was recorded in any of the captures."""
    return any(file.entry.table == "stacks" for capture in engine.captures.values() for file in capture.files)
