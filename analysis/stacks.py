"""Names stacks: each frame as module+offset, from what was mapped in that process at that time."""

from __future__ import annotations

from analysis.engine import Engine
from analysis.scripts import run

__all__ = ["MADE_BY", "name_stacks"]

MADE_BY = (
    "CASE WHEN stack IS NOT NULL THEN stack "
    "WHEN call_ns IS NULL THEN concat('(', cause, ', no call)') "
    "WHEN stack_id < 0 THEN '(the stack could not be taken)' "
    "ELSE '(no stack was recorded)' END"
)
"""The stack of whatever made a row, or why there is none; over call_ns, cause, stack_id and the table `named`."""


def name_stacks(engine: Engine, table: str) -> None:
    """Make the table `named` (capture, space, stack_id, stack) of the stacks that a table's rows were made from."""
    engine.execute(
        "CREATE OR REPLACE TABLE asked AS SELECT capture, space, stack_id, min(call_ns) AS at_ns "
        f"FROM {table} WHERE stack_id >= 0 GROUP BY capture, space, stack_id"
    )
    run(engine, "stacks")
