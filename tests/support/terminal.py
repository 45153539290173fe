"""A program on a terminal of its own."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Terminal", "on_terminal"]


class Terminal:
    """What types to the program and reads what it shows."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self.shown = b""
        self.status: int | None = None

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def read(self, seconds: float, until: bytes | None = None) -> bytes:
        """All that was shown so far: `seconds` from now, or once `until` is in it, or the program has ended."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and (until is None or until not in self.shown):
            if select.select([self.fd], [], [], left)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # EIO: nobody has the terminal open any more
                    break
                if not data:
                    break
                self.shown += data
        return self.shown

    def end(self, seconds: float = 60) -> int:
        """Wait for the program; its exit status, negative for a signal."""
        self.read(seconds)
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status


@contextlib.contextmanager
def on_terminal(command: Sequence[str | Path]) -> Iterator[Terminal]:
    pid, fd = pty.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.execvp(command[0], [os.fspath(word) for word in command])
        os._exit(127)
    terminal = Terminal(pid, fd)
    try:
        yield terminal
    finally:
        if terminal.status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(fd)
