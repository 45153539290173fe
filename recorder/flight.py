"""The flight recorder: a bounded window of the last minutes, and the triggers that freeze it.

The window is made of segments. Each begins with a reading of everybody's maps, so it can be understood without what
came before, and the oldest is dropped as a whole. Nothing here touches the disk or a process: `recorder.window` keeps
the segments, `recorder.session` reads, hands over and asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recorder.ring import Columns
from recorder.schema import NR_I386
from recorder.syscalls import SYSCALLS

__all__ = [
    "LEAST_DISK_BYTES",
    "TRIGGERS",
    "Firing",
    "Flight",
    "Incident",
    "Trigger",
    "Watch",
    "expired",
    "segment_over",
]

LEAST_DISK_BYTES = 16 << 20
"""Of --max-disk: a window's share of less would be filled by the readings of a larger host's maps alone."""

_SEGMENTS = 8  # in a window: what is kept beyond it is at most one in so many
_LEAST_SEGMENT_NS = 1_000_000_000
_MOST_VICTIMS = 16  # processes of one incident whose maps are read
_ENOMEM = -12
_MADVISE = [nr for call in SYSCALLS if call.name == "madvise" for nr in (call.number, NR_I386 | (call.i386 or 0))]


@dataclass(frozen=True)
class Trigger:
    """What freezes the window: records of one BPF ring for which `fires` is true. `table` is where they are stored."""

    name: str
    what: str
    ring: str
    table: str
    fires: Callable[[Columns, slice], npt.NDArray[np.bool_]]


def _enomem(calls: Columns, new: slice) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = calls["ret"][new] == _ENOMEM
    return found & ~np.isin(calls["nr"][new], _MADVISE) if found.any() else found


TRIGGERS = {
    trigger.name: trigger
    for trigger in (
        Trigger("sigbus", "the kernel sent a SIGBUS", "faults", "faults", lambda faults, new: faults["nr"][new] == 7),
        Trigger(
            "sigsegv", "the kernel sent a SIGSEGV", "faults", "faults", lambda faults, new: faults["nr"][new] == 11
        ),
        # madvise says ENOMEM of every hole in its range, and many programs do not care
        Trigger("enomem", "a recorded call other than madvise failed with ENOMEM", "calls", "syscalls", _enomem),
    )
}


@dataclass(frozen=True)
class Flight:
    """What the user asked for: how much is kept, what freezes it, how long after that, and on how much disk."""

    keep_s: float
    triggers: tuple[str, ...]
    after_s: float
    max_disk_bytes: int


@dataclass(frozen=True)
class Firing:
    """A record that fired a trigger: `table` and `ts_ns` (its time there) and `tid` name its row.

    Trigger `asked` is none of the table's: process `pid` asked for it by a signal.
    """

    trigger: str
    table: str
    ts_ns: int
    pid: int
    tid: int
    comm: str


@dataclass
class Incident:
    """What is to be frozen: the firing that began it, and how many more there were until then."""

    first: Firing
    until_ns: int
    held_back: int
    more: int = 0
    victims: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.first.trigger}-{self.first.pid}"

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {**vars(self.first), "more": self.more, "held_back": self.held_back}


class Watch:
    """Decides which firings begin an incident. For the draining thread.

    What fires while an incident is open belongs to it. The same trigger in a program of the same name is then held
    back for the length of the window, twice that after the next incident, and so on: a service that crashes over and
    over again makes a dozen incidents a day, not a disk full of them.
    """

    def __init__(self, flight: Flight) -> None:
        self._triggers = [TRIGGERS[name] for name in flight.triggers]
        self._keep_ns = round(flight.keep_s * 1e9)
        self._after_ns = round(flight.after_s * 1e9)
        self._causes: dict[tuple[str, str], _Cause] = {}
        self.open: Incident | None = None
        self.held_back = 0

    @property
    def rings(self) -> set[str]:
        """Rings whose records can fire."""
        return {trigger.ring for trigger in self._triggers}

    def look(self, ring: str, records: Columns, new: slice, now_ns: int) -> set[int]:
        """Look at a ring's new records; processes whose maps are to be read at once."""
        before = set(self.open.victims) if self.open else set()
        for trigger in self._triggers:
            if trigger.ring == ring:
                fired = np.flatnonzero(trigger.fires(records, new))
                if len(fired):
                    self._fired(trigger, records, fired + new.start, now_ns)
        return self.open.victims - before if self.open else set()

    def _fired(self, trigger: Trigger, records: Columns, rows: npt.NDArray[np.intp], now_ns: int) -> None:
        left = len(rows)
        if self.open is None:
            left = self._begin(trigger, records, rows, now_ns)
        if self.open is None:
            return
        self.open.more += left
        room = _MOST_VICTIMS - len(self.open.victims)
        self.open.victims.update(np.unique(records["pid"][rows])[: max(room, 0)].tolist())

    def _begin(self, trigger: Trigger, records: Columns, rows: npt.NDArray[np.intp], now_ns: int) -> int:
        """Open an incident with the first of the rows whose cause is not held back; how many rows are left."""
        left = len(rows)
        _, firsts, counts = np.unique(records["comm"][rows], return_index=True, return_counts=True)
        for first, count in sorted(zip(firsts.tolist(), counts.tolist(), strict=True)):
            row = rows[first]
            comm = bytes(records["comm"][row]).split(b"\0", 1)[0].decode(errors="backslashreplace")
            cause = self._causes.get((trigger.name, comm))
            if cause is not None and now_ns < cause.until_ns:
                cause.held_back += count
                self.held_back += count
                left -= count
                continue
            times = "ts_ns" if trigger.table == "faults" else "ts_enter_ns"
            firing = Firing(
                trigger.name, trigger.table, int(records[times][row]), int(records["pid"][row]),
                int(records["tid"][row]), comm,
            )  # fmt: skip
            self.open = Incident(firing, now_ns + self._after_ns, cause.held_back if cause else 0)
            return left - 1
        return left

    def ask(self, pid: int, now_ns: int) -> None:
        """Begin an incident without a trigger, and without waiting."""
        if self.open is None:
            self.open = Incident(Firing("asked", "", now_ns, pid, pid, ""), now_ns, 0)

    def close(self, now_ns: int) -> Incident | None:
        """The incident whose time is over, to be frozen; its cause is held back from now on."""
        incident = self.open
        if incident is not None:
            self.open = None
            if not incident.first.table:
                return incident
            key = (incident.first.trigger, incident.first.comm)
            cause = self._causes.setdefault(key, _Cause())
            cause.until_ns = now_ns + (self._keep_ns << cause.incidents)
            cause.incidents += 1
            cause.held_back = 0
        return incident


@dataclass
class _Cause:
    incidents: int = 0
    until_ns: int = 0
    held_back: int = 0


def segment_over(age_ns: int, size_bytes: int, keep_ns: int, limit_bytes: int) -> bool:
    """Whether the newest segment is long enough, or large enough for one of a few within the limit."""
    if age_ns < _LEAST_SEGMENT_NS:
        return False
    return age_ns >= keep_ns // _SEGMENTS or size_bytes >= limit_bytes // (_SEGMENTS // 2)


def expired(segments: Sequence[tuple[int, int]], now_ns: int, keep_ns: int, limit_bytes: int) -> tuple[int, bool]:
    """How many of the oldest segments, each (first instant, bytes), are to go; and whether some must before their time.

    The last but one stays at any size: the newest may still lack its first readings.
    """
    drop = 0
    while len(segments) - drop > 1 and segments[drop + 1][0] <= now_ns - keep_ns:
        drop += 1
    aged = drop
    while len(segments) - drop > 2 and sum(size for _, size in segments[drop:]) > limit_bytes:
        drop += 1
    return drop, drop > aged
