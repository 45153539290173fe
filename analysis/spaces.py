"""Finds the address space that a process had at an instant, or says why there is none.

A process can have several over time (each exec begins a new one), several processes can share one (vfork, CLONE_VM),
and a process id can be used again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from analysis.capture import Capture
from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.text import inert, shell_path
from analysis.times import parse, relative

__all__ = ["Place", "condition", "exactly", "find", "never_seen", "outside"]

_SHOWN = 5  # stretches of life that an error lists

_LIVES = """
    SELECT capture, space, life.from_ns, life.to_ns
    FROM (SELECT capture, space, unnest(users) AS life FROM spaces)
    WHERE life.pid = {pid}
    ORDER BY capture, life.from_ns
"""

_PROCESS_OF = """
    SELECT DISTINCT pid FROM tasks WHERE tid = {pid} AND pid <> {pid}
    UNION SELECT DISTINCT pid FROM syscalls WHERE tid = {pid} AND pid <> {pid}
    ORDER BY pid
"""


@dataclass(frozen=True)
class Place:
    """An address space at an instant: of which capture, by its number there, and since when `pid` had it."""

    capture: str
    space: int
    pid: int
    from_ns: int
    at_ns: int


@dataclass(frozen=True)
class _Life:
    """How long a process used an address space; `to_ns` is None where it still did at the end."""

    space: int
    from_ns: int
    to_ns: int | None

    def holds(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns and (self.to_ns is None or at_ns < self.to_ns)

    def last_ns(self, capture: Capture) -> int:
        return capture.covered_to_ns if self.to_ns is None else self.to_ns - 1

    def text(self, capture: Capture) -> str:
        """`+0.5s to +1.5s`, so that both can be typed; to the nanosecond, for a life can be short."""
        return f"{exactly(self.from_ns, capture)} to {exactly(self.last_ns(capture), capture)}"


def exactly(ts_ns: int, capture: Capture) -> str:
    """A time from the capture's start that names this very instant when it is typed."""
    text = relative(ts_ns, capture.manifest.clock, 9)
    return f"{text[:-1].rstrip('0').rstrip('.')}s"


def find(engine: Engine, pid: int, at: str | None = None) -> Place:
    """The address space that process `pid` had at a time (see analysis.times), or, without one, had last.

    Raises UsageError where there is none, or where several captures have one.
    """
    lives: dict[str, list[_Life]] = {}
    for row in engine.query(_LIVES.format(pid=pid)).dicts():
        lives.setdefault(row["capture"], []).append(_Life(row["space"], row["from_ns"], row["to_ns"]))
    if not lives:
        raise never_seen(engine, pid)
    found = []
    failed = None
    for label, stretches in lives.items():
        try:
            found.append(_find(engine.captures[label], label, stretches, pid, at))
        except UsageError as error:
            failed = error
    if len(found) > 1:
        hosts = ", ".join(f"{place.capture} ({engine.captures[place.capture].manifest.host})" for place in found)
        raise UsageError(f"process {pid} is in several captures: {hosts}", "give the one you mean")
    if not found:
        assert failed is not None
        raise failed
    return found[0]


def _find(capture: Capture, label: str, lives: list[_Life], pid: int, at: str | None) -> Place:
    if at is None:
        last = lives[-1]
        return Place(label, last.space, pid, last.from_ns, last.last_ns(capture))
    at_ns = parse(at, capture.manifest.clock)
    if not capture.manifest.clock.started_ns <= at_ns <= capture.covered_to_ns:
        raise outside([capture], at)
    for life in reversed(lives):  # an exec ends one life and begins another
        if life.holds(at_ns):
            return Place(label, life.space, pid, life.from_ns, at_ns)
    shown = ", ".join(life.text(capture) for life in lives[:_SHOWN])
    more = f" and {len(lives) - _SHOWN} more times" if len(lives) > _SHOWN else ""
    raise UsageError(f"process {pid} did not live at {at}", f"it lived from {shown}{more}")


def outside(captures: Iterable[Capture], text: str) -> UsageError:
    """The error for a time that no capture covers."""
    covered = "; ".join(
        f"{inert(str(capture.path))} covers {exactly(capture.manifest.clock.started_ns, capture)} to "
        f"{exactly(capture.covered_to_ns, capture)}, that is {capture.manifest.clock.started_ns}ns to "
        f"{capture.covered_to_ns}ns"
        for capture in captures
    )
    return UsageError(f"outside the time that was recorded: {text}", covered)


def never_seen(engine: Engine, pid: int) -> UsageError:
    """The error for a process of which nothing was recorded, or that is a thread of another."""
    owners: list[dict[str, Any]] = engine.query(_PROCESS_OF.format(pid=pid)).dicts()
    if owners:
        owner = owners[0]["pid"]
        return UsageError(f"{pid} is a thread, of process: {owner}", f"use --pid {owner}")
    paths = " ".join(shell_path(capture.path) for capture in engine.captures.values())
    return UsageError(
        f"nothing was recorded of process: {pid}", f'list them with: analyze sql {paths} -q "FROM processes"'
    )


def condition(place: Place) -> str:
    """The rows of a view that are of this address space, as SQL."""
    return f"capture = {text_literal(place.capture)} AND space = {place.space}"
