"""Which processes' maps are to be read again, and when.

After a loss the event stream alone no longer tells what a process has mapped. A reading made while
records are still being lost would be out of date at once, so readings wait until a loss is over, but
no longer than a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

__all__ = ["Resync"]

_SETTLED_NS = 200_000_000
_PATIENCE_NS = 1_000_000_000


class Resync:
    """Collects doubts from any thread; `due` is asked by the draining one.

    `everyone` names all recorded processes, for losses that could be anyone's.
    """

    def __init__(self, everyone: Callable[[], list[int]]) -> None:
        self._everyone = everyone
        self._lock = threading.Lock()
        self._pids: set[int] = set()
        self._all = False
        self._reason = ""
        self._lost_ns = 0
        self._read_ns = 0

    def doubt(self, pids: Iterable[int] | None, reason: str, *, lost: bool = True) -> None:
        """These processes (None: all) may have changed unseen; `lost`: by a loss that may still go on."""
        with self._lock:
            if pids is None:
                self._all = True
            else:
                self._pids.update(pids)
            self._reason = reason
            if lost:
                self._lost_ns = time.monotonic_ns()

    def due(self) -> tuple[list[int], str] | None:
        """Processes to read now and the reason to give; None: nothing, or not yet."""
        with self._lock:
            now = time.monotonic_ns()
            going_on = now - self._lost_ns < _SETTLED_NS and now - self._read_ns < _PATIENCE_NS
            if going_on or not (self._pids or self._all):
                return None
            self._read_ns = now
            pids, everyone = self._pids, self._all
            self._pids, self._all = set(), False
        if everyone:
            pids.update(self._everyone())
        return sorted(pids), f"resync: {self._reason}"
