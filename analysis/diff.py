"""Compares two instants of address spaces: what was created and freed between them, and what was there all the time."""

from __future__ import annotations

from enum import StrEnum

from analysis import filters
from analysis.engine import Engine
from analysis.rows import Rows
from analysis.scripts import run
from analysis.stacks import MADE_BY, name_stacks

__all__ = ["CLASSES", "By", "Class", "compare", "groups", "totals"]


class By(StrEnum):
    """What the mappings of a class are grouped by."""

    MAPPING = "mapping"
    FILE = "file"
    STACK = "stack"
    SIZE = "size"
    CAUSE = "cause"
    PROCESS = "process"


class Class(StrEnum):
    """Allocated (created) inside or outside the window, freed inside or outside it."""

    AIFO = "AIFO"
    AIFI = "AIFI"
    AOFI = "AOFI"
    AOFO = "AOFO"


CLASSES = {
    Class.AIFO: "created inside, still there",
    Class.AIFI: "created inside, freed inside",
    Class.AOFI: "there before, freed inside",
    Class.AOFO: "there before, still there",
}
"""The classes in the order in which they are shown, and what they mean."""

_FILE = "if(inode = 0 AND path = '', '(anonymous memory)', path) AS path"
_KEYS = {
    By.FILE: f"{_FILE}, dev, inode",
    By.STACK: f"{MADE_BY} AS stack",
    By.SIZE: "size_bytes AS each_bytes",
    By.CAUSE: "cause",
    By.PROCESS: "pid, comm",
}
_MAPPING = (
    'class, pid, space, start, "end", size_bytes, ranges, created_ns, to_ns, cause, end_cause, cause_tid, call_ns, perms, '
    f"offset_bytes, dev, inode, certainty, reason, {_FILE}, path_bytes"
)
_MAPPING_SHOWN = (
    'pid, start, "end", size_bytes, created_ns, to_ns, cause, end_cause, perms, offset_bytes, '
    f"certainty || coalesce(': ' || reason, '') AS certainty, {_FILE}"
)


def compare(engine: Engine, windows: dict[str, tuple[int, int]], pid: int | None = None) -> None:
    """Make the table `made`: the mappings that stood at some time of the window, classed."""
    engine.need_timeline()
    used = "spaces" if pid is None else f"{filters.of_pid(engine, pid)} AS used"
    engine.execute(
        f"CREATE TABLE windows AS SELECT DISTINCT capture, space, windows.since_ns, windows.until_ns "
        f"FROM {filters.per_capture(windows)} AS windows JOIN {used} USING (capture)"
    )
    run(engine, "diff")


def totals(engine: Engine) -> dict[Class, tuple[int, int, int, int]]:
    """Of each class: mappings and bytes, and how much of both is only possible."""
    sql = (
        "SELECT class, count(*) AS mappings, sum(size_bytes) AS bytes, count_if(certainty = 'possible') AS possible, "
        "coalesce(sum(size_bytes) FILTER (certainty = 'possible'), 0) AS possible_bytes FROM made GROUP BY class"
    )
    found = {row["class"]: row for row in engine.query(sql).dicts()}
    names = ("mappings", "bytes", "possible", "possible_bytes")
    return {each: tuple(int(found[each][name]) if each in found else 0 for name in names) for each in Class}  # type: ignore[misc]


def groups(engine: Engine, by: By, classes: list[Class], compact: bool) -> Rows:
    """The mappings of some classes, or groups of them, the largest first. `compact`: the columns for a table."""
    origin = "capture, host, " if not compact else "capture, " if len(engine.captures) > 1 else ""
    chosen = f"class IN ({', '.join(f"'{each}'" for each in classes)})"
    kind = "" if compact and len(classes) == 1 else "class, "
    if by is By.MAPPING:
        columns = kind + _MAPPING_SHOWN if compact else _MAPPING
        return engine.query(f"SELECT {origin}{columns} FROM made WHERE {chosen} ORDER BY size_bytes DESC, created_ns, start")
    source = "made"
    if by is By.STACK:
        name_stacks(engine, "made")
        source = "made LEFT JOIN named USING (capture, space, stack_id)"
    elif by is By.PROCESS:
        source = "made LEFT JOIN (SELECT capture, pid, comm FROM processes) USING (capture, pid)"
    return engine.query(
        f"SELECT {origin}{kind}count(*) AS mappings, sum(size_bytes)::UBIGINT AS size_bytes, "
        "count_if(certainty = 'possible') AS possible, "
        "coalesce(sum(size_bytes) FILTER (certainty = 'possible'), 0)::UBIGINT AS possible_bytes, "
        f"any_value(reason) AS reason, min(created_ns) AS first_created_ns, max(created_ns) AS last_created_ns, {_KEYS[by]} "
        f"FROM {source} WHERE {chosen} GROUP BY ALL ORDER BY size_bytes DESC, mappings DESC, ALL"
    )
