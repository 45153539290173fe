"""Groups mappings by what made them."""

from __future__ import annotations

from analysis.engine import Engine
from analysis.options import By

__all__ = ["KEYS", "PATH", "with_names"]

PATH = "if(inode = 0 AND path = '', '(anonymous memory)', path) AS path"
"""The path of a mapping for people: memory without a file has none."""

KEYS = {
    By.FILE: f"{PATH}, dev, inode",
    By.STACK: (
        "CASE WHEN stack_lines IS NOT NULL THEN array_to_string(stack_lines, ' < ') "
        "WHEN call_ns IS NULL THEN concat('(', cause, ', not made by a call)') "
        "WHEN stack_id < 0 THEN '(the stack could not be taken)' ELSE '(no stack was recorded)' END AS stack"
    ),
    By.SIZE: "size_bytes AS each_bytes",
    By.CAUSE: "cause",
    By.PROCESS: "pid, comm",
    By.THREAD: "cause_tid AS tid, comm",
}
"""What the rows of a group have in common: columns over a relation from `with_names`."""


def with_names(engine: Engine, table: str, by: By) -> str:
    """A relation of a table's rows with the names that a grouping needs: of stacks, processes or threads."""
    if by is By.STACK:
        from analysis.stacks import name_stacks, with_stacks  # which needs numpy

        name_stacks(engine, f"SELECT capture, space, stack_id, call_ns AS ts_ns FROM {table}")
        return with_stacks(table, "call_ns")
    if by is By.PROCESS:
        return f"{table} LEFT JOIN (SELECT capture, pid, comm FROM processes) USING (capture, pid)"
    if by is By.THREAD:
        comms = (
            "SELECT capture, tid AS cause_tid, arg_max(comm, ts_ns) AS comm FROM "
            "(SELECT capture, tid, comm, ts_enter_ns AS ts_ns FROM syscalls "
            "UNION ALL SELECT capture, tid, comm, ts_ns FROM tasks) GROUP BY capture, tid"
        )
        return f"{table} LEFT JOIN ({comms}) USING (capture, cause_tid)"
    return table
