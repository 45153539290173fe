"""The command of `record run`: forked early, held until the probes are on, waited for."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["FORWARDED", "NOT_EXECUTABLE", "NOT_FOUND", "Child", "block_signals", "find_program"]

FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
)
"""Signals blocked while recording and read one by one; `run` passes them to its command."""

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit statuses, as of a shell


def block_signals() -> set[int]:
    """Block FORWARDED, to be read one by one; the mask as it was. A SIGHUP ignored by nohup stays ignored."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED - ignored)}


def find_program(name: str) -> str:
    """The file that the command names, looked for as execvp(3) does.

    FileNotFoundError if there is none, PermissionError if it is not to be executed.
    """
    program = shutil.which(name)
    if program:
        return program
    places = [name] if "/" in name else [os.path.join(folder, name) for folder in os.get_exec_path()]
    number = errno.EACCES if any(map(os.path.exists, places)) else errno.ENOENT
    raise OSError(number, os.strerror(number), name)


class Child:
    """A forked process that becomes `command` when released.

    Fork before threads are started and before the mount namespace changes: the command must see
    the machine as its user does. Standard input, output and error are inherited, `mask` is the
    caller's signal mask, `program` the file to execute.
    """

    def __init__(self, program: str, command: Sequence[str], mask: Iterable[int]) -> None:
        hold, self._release = os.pipe()
        self._error, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._release)
                environment = _environment()
                if not os.read(hold, 1):
                    os._exit(125)  # the recorder gave up
                _restore_signals(mask)
                os.execve(program, list(command), environment)
            except OSError as error:
                os.write(report, str(error.errno).encode())
                os._exit(NOT_EXECUTABLE)
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
            # closing the pipe is not enough: another fork of ours may hold it open
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)
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


def _environment() -> dict[bytes, bytes]:
    """The environment as it was given to us: what Python and the recorder set since then is not the command's."""
    pairs = (entry.partition(b"=") for entry in Path("/proc/self/environ").read_bytes().split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}


def _restore_signals(mask: Iterable[int]) -> None:
    """What Python changed goes back; what the caller ignores or blocks stays so."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
