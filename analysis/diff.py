"""Compares two instants of address spaces: what was created and freed between them, and what was there all the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import filters
from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.makers import KEYS, PATH, with_names
from analysis.options import By, Class
from analysis.rows import Rows
from analysis.scripts import run

__all__ = ["MEANING", "Ended", "compare", "ended", "group", "ordered", "totals"]

MEANING = {
    Class.AIFO: "created inside, still there",
    Class.AIFI: "created inside, freed inside",
    Class.AOFI: "there before, freed inside",
    Class.AOFO: "there before, still there",
}
"""The classes in the order in which they are shown, and what they mean."""

_MAPPING = (
    'pid, space, start, "end", size_bytes, ranges, created_ns, to_ns, cause, end_cause, cause_tid, call_ns, stack_id, '
    "perms, offset_bytes, dev, inode, certainty, reason, path, path_bytes"
)
_MAPPING_SHOWN = (
    'pid, start, "end", size_bytes, created_ns, to_ns, cause, end_cause, perms, '
    f"certainty || coalesce(': ' || reason, '') AS certainty, {PATH}"
)
_FIGURES = (
    "count(*) AS mappings, sum(size_bytes)::UBIGINT AS size_bytes, count_if(certainty = 'possible') AS possible, "
    "coalesce(sum(size_bytes) FILTER (certainty = 'possible'), 0)::UBIGINT AS possible_bytes"
)


def compare(engine: Engine, windows: dict[str, tuple[int, int]], pid: int | None = None) -> None:
    """Make the table `made`: the mappings that stood at some time of the window, classed."""
    engine.need_timeline()
    spaces = "spaces" if pid is None else filters.of_pid(engine, pid)
    engine.execute(
        "CREATE TABLE windows AS SELECT DISTINCT capture, space, since_ns, until_ns "
        f"FROM {filters.per_capture(windows)} AS times JOIN (SELECT capture, space FROM {spaces}) USING (capture)"
    )
    run(engine, "diff", "comparing")


def totals(engine: Engine) -> Rows:
    """Of each class: mappings and bytes, and how much of both is only possible."""
    classes = ", ".join(f"({n}, '{each}', '{what}')" for n, (each, what) in enumerate(MEANING.items()))
    figures = ", ".join(
        f"coalesce({name}, 0) AS {name}" for name in ("mappings", "size_bytes", "possible", "possible_bytes")
    )
    return engine.query(
        f"SELECT class, what, {figures} FROM (VALUES {classes}) AS classes(n, class, what) "
        f"LEFT JOIN (SELECT class, {_FIGURES} FROM made GROUP BY class) USING (class) ORDER BY n"
    )


def group(engine: Engine, by: By, classes: Sequence[Class], compact: bool) -> int:
    """Make the table `groups` of the mappings of some classes, and say how many rows it has.

    `compact`: only the columns that a table shows.
    """
    origin = "capture, host, " if not compact else "capture, " if len(engine.captures) > 1 else ""
    origin += "class, " if not compact or len(classes) > 1 else ""
    chosen = f"class IN ({', '.join(map(text_literal, classes))})"
    if by is By.MAPPING:
        sql = f"SELECT {origin}{_MAPPING_SHOWN if compact else _MAPPING} FROM made WHERE {chosen}"
    else:
        sql = (
            f"SELECT {origin}{_FIGURES}, min(created_ns) AS created_ns, max(created_ns) AS last_created_ns, "
            f"min(reason) AS reason, {KEYS[by]} FROM {with_names(engine, 'made', by)} WHERE {chosen} GROUP BY ALL"
        )
    engine.execute(f"CREATE TABLE groups AS {sql}")
    [(rows,)] = engine.execute("SELECT count(*) FROM groups")
    return int(rows)


@dataclass(frozen=True)
class Ended:
    """A process whose end, inside the window, freed so many mappings."""

    capture: str
    pid: int
    ended_ns: int
    mappings: int


def ended(engine: Engine) -> Ended | None:
    """The one whose end freed most; None: nothing was freed so."""
    rows = engine.execute(
        "SELECT capture, pid, max(to_ns), count(*) AS mappings FROM made WHERE end_cause = 'exit' "
        "GROUP BY capture, pid ORDER BY mappings DESC, pid LIMIT 1"
    )
    return Ended(*rows[0]) if rows else None


def ordered(by: By) -> str:
    """The query for the table `groups`, the largest first."""
    rest = "created_ns, start" if by is By.MAPPING else "mappings DESC"
    return f"FROM groups ORDER BY size_bytes DESC, {rest}"
