"""A progress line on standard error, for what takes over a second, and only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

__all__ = ["Progress", "told_to"]

_PATIENCE_S = 1.0
_EVERY_S = 0.2
_listener: Callable[[str], None] | None = None


@contextmanager
def told_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Progress is told to a function, in the thread that makes it, and nothing is written to standard error."""
    global _listener
    _listener = listener
    try:
        yield
    finally:
        _listener = None


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
        if (self._terminal or _listener) and now - self._begin >= _PATIENCE_S and now - self._last >= _EVERY_S:
            self._last = now
            share = f"{done / total:4.0%} " if total else ""
            line = f"{self._what} {share}{now - self._begin:.0f} s"
            if _listener:
                _listener(line)
            else:
                print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for instance before rows are printed."""
        if self._last:
            self._last = 0.0
            if not _listener:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
