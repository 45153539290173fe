"""A progress line on standard error, for what takes over a second, and only on a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

__all__ = ["Progress"]

_PATIENCE_S = 1.0
_EVERY_S = 0.2


class Progress:
    """`with Progress("checking files") as progress: progress(done, total)`; the line goes when it ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begin = time.monotonic()
        self._last = 0.0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: float, total: float) -> None:
        """Show that `done` of `total` is behind us, both in any unit."""
        now = time.monotonic()
        if self._terminal and now - self._begin >= _PATIENCE_S and now - self._last >= _EVERY_S:
            self._last = now
            share = f"{done / total:4.0%} " if total else ""
            print(f"\r\x1b[K{self._what} {share}{now - self._begin:.0f} s", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for instance before rows are printed."""
        if self._last:
            self._last = 0.0
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
