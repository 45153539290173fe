"""Runs the SQL of a folder of analysis/sql: its files, in the order of their numbers, each make a table."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from analysis.engine import Engine

__all__ = ["run"]


@cache
def _statements(folder: str) -> list[str]:
    found = sorted(files("analysis").joinpath("sql", folder).iterdir(), key=lambda path: path.name)
    return [path.read_text() for path in found if path.name.endswith(".sql")]


def run(engine: Engine, folder: str, what: str) -> None:
    """Run every file of a folder; `what` is said while it takes over a second."""
    for statement in _statements(folder):
        for _ in engine.query(statement, what):
            pass
