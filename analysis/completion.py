"""What a shell offers at Tab: captures, and the processes and files of the capture that stands on the line.

A shell inserts what it is offered as if it had been typed, and zsh even evaluates descriptions. Names in a capture are
chosen by programs under investigation, so only what no shell gives a meaning to is offered; the rest can be typed.
Imports nothing slow before a capture is looked at: `analyze --help` reads this module.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import typer

__all__ = ["capture", "file", "name", "pid"]

_PLAIN = re.compile(r"[\w%+,./@-]+", re.ASCII)
_MOST_BYTES = 64 << 20  # of batches that are read to complete a word
_SHOWN = 200


def _plain(values: Iterable[tuple[str, str]], begun: str) -> list[tuple[str, str]]:
    """Of values and their descriptions those that begin so and mean nothing to a shell."""
    found = [
        (value, re.sub(r"[^\w ./+-]", "?", about, flags=re.ASCII))
        for value, about in values
        if value.startswith(begun) and _PLAIN.fullmatch(value)
    ]
    return found[:_SHOWN]


def capture(incomplete: str) -> list[tuple[str, str]]:
    """Captures in the folder that is named so far. Where there are none, the shell completes file names as usual."""
    folder, slash, begun = incomplete.rpartition("/")
    found = []
    try:
        for entry in os.scandir(os.path.expanduser(folder + slash or ".")):
            hidden = entry.name.startswith(".") and not begun.startswith(".")
            if not hidden and os.path.exists(os.path.join(entry.path, "manifest.json")):
                found.append((folder + slash + entry.name, "capture"))
    except OSError:
        return []
    return _plain(sorted(found), incomplete)


def name(incomplete: str) -> list[tuple[str, str]]:
    """Tables, system calls and views, and captures."""
    from analysis.dictionary import views

    found = [(view.name, view.description) for view in views().values()]
    return _plain(found, incomplete) or capture(incomplete)


def pid(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Process ids of the captures on the line, with their names."""
    sql = "SELECT pid::VARCHAR, coalesce(arg_max(comm, ts_ns), '') FROM tasks GROUP BY pid ORDER BY pid"
    return _asked(ctx, sql, "tasks", incomplete)


def file(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Paths that were mapped in the captures on the line."""
    sql = "SELECT path, '' FROM vmas WHERE inode <> 0 GROUP BY path ORDER BY path"
    return _asked(ctx, sql, "vmas", incomplete)


def _asked(ctx: typer.Context, sql: str, table: str, incomplete: str) -> list[tuple[str, str]]:
    """What a query says of the captures on the line; nothing where they cannot be read."""
    # where an option still lacks its value, what stands before it has not become parameters
    paths = ctx.params.get("captures") or ctx.args
    if not paths:
        return []
    from analysis.capture import open_captures
    from analysis.engine import Engine
    from analysis.errors import AnalysisError

    try:
        captures = open_captures([Path(os.path.expanduser(path)) for path in paths], {table: _MOST_BYTES})
        with Engine(captures) as engine:
            return _plain([(str(value), str(about)) for value, about in engine.execute(sql)], incomplete)
    except AnalysisError as error:
        print(f"\n{error}", file=sys.stderr)
        return []
