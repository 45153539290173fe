"""Holds rebuilt address spaces against the kernel's own words: every reading of /proc/PID/maps that the
rebuild was not told of.

The work is done in SQL over whole tables, by the files of analysis/sql/check in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from analysis.engine import Engine
from analysis.scripts import run
from analysis.text import device, inert
from analysis.times import Clock, relative

__all__ = ["Outcome", "compare", "lines"]

_SHOWN = 20  # differences printed with the events near them

_DIFFERENCES = """
    SELECT differences.* RENAME (reason AS doubt), pid, ts_ns, verdicts.reason
    FROM differences JOIN verdicts USING (reading)
    WHERE verdict IN ('wrong', 'possible')
    ORDER BY verdict = 'possible', ts_ns, reading, start
"""


@dataclass(frozen=True)
class Outcome:
    """What the readings of one capture say: rows of the tables `verdicts`, `differences` and `near`.

    `table` is `verdicts`, with its types.
    """

    label: str
    clock: Clock
    table: pa.Table
    differences: list[dict[str, Any]]
    near: list[dict[str, Any]]

    @cached_property
    def verdicts(self) -> list[dict[str, Any]]:
        """A row a reading."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def count(self, *verdicts: str) -> int:
        """Readings with one of these verdicts."""
        return sum(row["verdict"] in verdicts for row in self.verdicts)

    @property
    def judges(self) -> int:
        """Readings that could judge."""
        return self.count("exact", "possible", "wrong")

    def plain(self) -> dict[str, Any]:
        """All of it for JSON."""
        figures = {name: self.count(name) for name in ("exact", "possible", "wrong", "changed", "unknown")}
        return {
            "capture": self.label, "readings": self.judges, **figures,
            "processes": len({row["pid"] for row in self.verdicts if row["verdict"] in _JUDGED}),
            "verdicts": self.verdicts, "differences": self.differences, "near": self.near,
        }  # fmt: skip


_JUDGED = ("exact", "possible", "wrong")


def compare(engine: Engine) -> Outcome:
    """Compare the rebuild of the engine's one capture with its readings."""
    [(label, capture)] = engine.captures.items()
    engine.need_timeline()
    engine.execute(f"SET VARIABLE shown = {_SHOWN}; SET VARIABLE covered_to_ns = {capture.covered_to_ns}")
    run(engine, "check", "comparing")
    return Outcome(
        label,
        capture.manifest.clock,
        engine.query("SELECT * FROM verdicts ORDER BY ts_ns, reading").table(),
        engine.query(_DIFFERENCES).dicts(),
        engine.query("SELECT * FROM near ORDER BY reading, start, ts_ns").dicts(),
    )


def lines(outcome: Outcome) -> Iterator[str]:
    """The outcome as lines of text, the answer first; without a judge, why there is none."""
    judged = [row for row in outcome.verdicts if row["verdict"] in _JUDGED]
    if judged:
        processes = len({row["pid"] for row in judged})
        yield f"exact at {outcome.count('exact')} of {outcome.judges} readings, of {processes} processes\n"
    for name, text in (
        ("wrong", "wrong: a certain answer is not what the kernel said"),
        ("possible", "differ only where the answer is possible, not certain"),
        ("changed", "not used: mappings changed while they were read"),
        ("unknown", "not used: no event told of the process"),
    ):
        if count := outcome.count(name):
            yield f"{count} {text}\n"
    if judged:
        read, joined = (sum(row[name] for row in judged) for name in ("lines", "runs"))
        yield f"{read} mappings were read, {joined} when neighbours of the same kind are joined\n"
    last = None
    for row in outcome.differences[:_SHOWN]:
        if row["reading"] != last:
            last = row["reading"]
            when = relative(row["ts_ns"], outcome.clock)
            yield f"\nprocess {row['pid']} at {when} ({row['reason']}, reading {last})\n"
        pages = (row["end"] - row["start"]) >> 12
        doubt = f"  possible: {inert(row['doubt'])}" if row["doubt"] else ""
        yield f"  {row['start']:#x}-{row['end']:#x}  {pages} page{'s' * (pages != 1)}{doubt}\n"
        yield f"    kernel   {_side(row, 'kernel')}\n"
        yield f"    rebuilt  {_side(row, 'rebuilt')}\n"
        for event in outcome.near:
            if (event["reading"], event["start"]) == (row["reading"], row["start"]):
                yield f"      {relative(event['ts_ns'], outcome.clock)}  {event['tid']}  {inert(event['event'])}\n"
    if len(outcome.differences) > _SHOWN:
        yield f"\nand {len(outcome.differences) - _SHOWN} more differences: --format json has all\n"


def _side(row: dict[str, Any], side: str) -> str:
    """A mapping as /proc/PID/maps shows it, without the range and the path."""
    if row[f"{side}_dev"] is None:
        return "nothing"
    place = f"{row[f'{side}_offset_bytes']:08x} {device(row[f'{side}_dev'])} {row[f'{side}_inode']}"
    return f"{row[f'{side}_perms'] or '????'} {place}"
