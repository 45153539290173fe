"""What analyze answers where calls and records leave something undecided, held against what the program saw.

The program is tests/workloads/undecided.c; what it prints is the truth.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.support.commands import analyze_rows

__all__ = ["CASES", "answers"]

CASES = "tail", "race", "order", "hole", "cut"


def answers(capture: Path, told: str) -> dict[str, Counter[str]]:
    """By case how many answers are "possible", "certain", or "wrong", that is certain and not as the program saw it.

    Of tail, race and hole: what is mapped at the instant. Of order: which of two calls that raced came first. Of cut:
    which file lost what.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    rows = [line.split() for line in told.splitlines()]
    pages = ",".join(f"('{name}',{','.join(numbers)})" for name, *numbers in rows if name != "cut")
    there = {}
    for row in analyze_rows("sql", capture, "-q", PAGES.format(pages)):
        there[row["pid"], row["start"]] = row["there"]
        # all of the pages are mapped, or none
        right = row["mapped"] == (row["bytes"] if row["there"] else 0)
        found[row["name"]][_verdict(not row["doubts"], right)] += 1
    for row in _findings(capture, "races"):
        mmap_last = there[row["pid"], row["start"]]
        right = row["facts"]["first"] == ("munmap" if mmap_last else "mmap")
        found["order"][_verdict(row["certainty"] == "certain", right)] += 1
    cuts = {(row["pid"], row["inode"]): row for row in _findings(capture, "truncated_under_mapping")}
    for name, *numbers in rows:
        if name == "cut":
            pid, inode, old, new = map(int, numbers)
            facts = cuts[pid, inode]["facts"]
            right = (facts["old_size_bytes"], facts["new_size_bytes"]) == (str(old), str(new))
            found[name][_verdict(cuts[pid, inode]["certainty"] == "certain", right)] += 1
    return found


def _verdict(certain: bool, right: bool) -> str:
    return "possible" if not certain else "certain" if right else "wrong"


def _findings(capture: Path, kind: str) -> list[dict[str, Any]]:
    rows = analyze_rows("edges", capture, "--kind", kind, "--severity", "info", "--expected")
    return [{**row, "facts": dict(row["facts"])} for row in rows]


PAGES = """
WITH told(name, pid, at_ns, start, pages, there) AS (VALUES {}),
placed AS (
    SELECT told.*, space, start + pages * 4096 AS "end"
    FROM told JOIN spaces ON told.pid = spaces.pid AND from_ns <= at_ns AND coalesce(to_ns > at_ns, true)
),
mapped AS (
    SELECT at_ns, sum(least(placed."end", timeline."end") - greatest(placed.start, timeline.start)) AS mapped
    FROM placed JOIN timeline ON placed.space = timeline.space AND timeline.start < placed."end"
        AND timeline."end" > placed.start AND from_ns <= at_ns AND coalesce(to_ns > at_ns, true)
    GROUP BY at_ns
),
doubtful AS (
    SELECT at_ns, count(*) AS doubts
    FROM placed JOIN doubts ON placed.space = doubts.space AND doubts.start < placed."end"
        AND doubts."end" > placed.start AND from_ns <= at_ns AND coalesce(to_ns > at_ns, true)
    GROUP BY at_ns
)
SELECT
    name, pid, start, pages * 4096 AS bytes, there = 1 AS there, coalesce(mapped, 0)::INTEGER AS mapped,
    coalesce(doubts, 0)::INTEGER AS doubts
FROM placed LEFT JOIN mapped USING (at_ns) LEFT JOIN doubtful USING (at_ns)
ORDER BY at_ns
"""
