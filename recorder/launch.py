"""The command of `record run`: forked early, held until the probes are on, waited for."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence

__all__ = ["FORWARDED", "Child"]

FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
)
"""Signals blocked while recording and read one by one; `run` passes them to its command."""


class Child:
    """A forked process that becomes `command` when released.

    Fork before threads are started and before the mount namespace changes: the command must see
    the machine as its user does. Standard input, output and error are inherited.
    """

    def __init__(self, command: Sequence[str]) -> None:
        # resolved here, so that the child does as little as possible between release and exec
        program = shutil.which(command[0]) or command[0]
        hold, self._release = os.pipe()
        self._error, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._release)
                if not os.read(hold, 1):
                    os._exit(125)  # the recorder gave up
                for number in FORWARDED:
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                os.execve(program, list(command), os.environ)
            except OSError as error:
                os.write(report, str(error.errno).encode())
                os._exit(127 if isinstance(error, FileNotFoundError) else 126)
        os.close(hold)
        os.close(report)
        self.fd = os.pidfd_open(self.pid)

    def release(self) -> None:
        os.write(self._release, b"x")
        os.close(self._release)
        self._release = -1

    def abandon(self) -> None:
        """End the held process without its ever becoming the command."""
        if self._release >= 0:
            os.close(self._release)
            self._release = -1
            os.waitpid(self.pid, 0)

    def wait(self) -> tuple[int, OSError | None]:
        """Exit status as a shell gives it (128 + signal), and why the command could not be executed."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        failed = os.read(self._error, 16)
        error = OSError(int(failed), os.strerror(int(failed))) if failed else None
        return (code if code >= 0 else 128 - code), error
