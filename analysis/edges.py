"""Looks for edge cases: gathers the findings of analysis/sql/edges, and writes them as people would report them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from analysis.dictionary import views
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.options import Severity
from analysis.output import Style
from analysis.text import inert
from analysis.times import relative

__all__ = ["checked_kinds", "gather", "hidden", "kinds", "sentences", "shown"]

_PREFIX = "edge_"
_SEVERITIES = [str(each) for each in Severity]
_ALIKE = 10  # findings of one kind in one address space that are written out
_WIDTH = 80


@cache
def kinds() -> tuple[str, ...]:
    """Every kind of finding, in the order of the files."""
    return tuple(name.removeprefix(_PREFIX) for name in views() if name.startswith(_PREFIX))


def checked_kinds(asked: Sequence[str]) -> Sequence[str]:
    """The kinds that are asked for, or all. Raises UsageError for one that is not there."""
    for each in asked:
        if each not in kinds():
            raise UsageError(f"no kind of finding: {each}", f"one of: {', '.join(kinds())}")
    return asked or kinds()


def gather(engine: Engine, which: Sequence[str], conditions: Sequence[str]) -> None:
    """Fill the temporary table `found` with the findings of these kinds for which all conditions hold.

    They are looked for once; `shown` and `hidden` then ask the table.
    """
    if sum("fault_causes" in views()[f"{_PREFIX}{kind}"].sql for kind in which) > 1:
        # explained once for all of them: a temporary table goes before the view of its name
        engine.query("CREATE TEMP TABLE IF NOT EXISTS fault_causes AS FROM fault_causes", "explaining faults").dicts()
    # planned as one query they take twice the CPU: 6.5 s against 3.1, of a capture of 74 KiB as of 100,000 calls
    for number, kind in enumerate(which):
        into = "INSERT INTO found" if number else "CREATE TEMP TABLE found AS"
        condition = " AND ".join(conditions) or "true"
        engine.query(
            f"{into} SELECT * FROM {_PREFIX}{kind} AS finding WHERE {condition}", "looking for edge cases"
        ).dicts()


def _condition(least: Severity, expected: bool) -> str:
    if expected:
        return "true"
    grave = _SEVERITIES[: _SEVERITIES.index(least) + 1]
    return f"expected IS NULL AND severity IN ({', '.join(repr(each) for each in grave)})"


def shown(least: Severity, expected: bool) -> str:
    """The query for what was found: `expected` is all of it, else what is not normal and at least so grave."""
    rank = f"list_position({_SEVERITIES}, severity)"
    return f"FROM found WHERE {_condition(least, expected)} ORDER BY {rank}, capture, ts_ns, kind, space, start"


def hidden(engine: Engine, least: Severity, expected: bool) -> dict[str, int]:
    """How many findings `shown` leaves out: by severity, and `expected`."""
    rows = engine.query(
        f"SELECT if(expected IS NULL, severity, 'expected') AS what, count(*) AS findings FROM found "
        f"WHERE NOT ({_condition(least, expected)}) GROUP BY what "
        f"ORDER BY list_position({[*_SEVERITIES, 'expected']}, what)"
    ).dicts()
    return {row["what"]: row["findings"] for row in rows}


def sentences(engine: Engine, found: Sequence[dict[str, Any]], style: Style) -> Iterator[str]:
    """The lines of a report, gravest first; of many that are alike the first are written out."""
    several = len(engine.captures) > 1
    alike: dict[tuple[str, str, int | None], int] = {}
    for row in found:
        which = (row["capture"], row["kind"], row["space"])
        alike[which] = alike.get(which, 0) + 1
        if alike[which] > _ALIKE:
            continue
        clock = engine.captures[row["capture"]].manifest.clock
        head = [row["severity"], row["kind"], relative(row["ts_ns"], clock)]
        head += [row["capture"]] if several else []
        yield inert("  ".join(head)) + "\n"
        doubt = [f"{row['certainty']}: {row['reason']}"] if row["certainty"] != "certain" else []
        normal = [f"normal: {row['expected']}"] if row["expected"] else []
        for text in (row["sentence"], *doubt, *normal):
            # a path is one word, however long
            wrapped = textwrap.wrap(
                inert(text), (style.width or _WIDTH) - 2, break_long_words=False, break_on_hyphens=False
            )
            yield from (f"  {line}\n" for line in wrapped)
        yield "\n"
    for (_, kind, space), count in alike.items():
        if count > _ALIKE:
            yield f"and {count - _ALIKE:,} more of kind {kind} in address space {space}: --format json has all\n"
