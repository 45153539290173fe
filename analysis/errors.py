"""What ends a command early, and the exit statuses.

Statuses: 0 done, also where a list is empty; 1 the answer is no (`check`, `edges --strict`, `why --addr`); 2 wrong use,
3 unreadable capture, 4 not permitted, 5 nothing to answer by.
"""

from __future__ import annotations

from enum import IntEnum

from analysis.text import inert

__all__ = ["AnalysisError", "CaptureError", "ExitCode", "ReaderGone", "UsageError"]


class ExitCode(IntEnum):
    """Exit statuses of `analyze`; INTERRUPTED and BROKEN_PIPE are the shell's 128 + signal."""

    YES = 0
    NO = 1
    USAGE = 2
    UNREADABLE = 3
    NOT_PERMITTED = 4
    NO_ANSWER = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class AnalysisError(Exception):
    """One sentence for the user, and what to do about it."""

    code = ExitCode.NO

    def __init__(self, message: str, hint: str = "", code: ExitCode | None = None) -> None:
        # in Python's traceback too a name from a capture is inert, and the hint is there
        super().__init__("\n".join(map(inert, message.split("\n"))))
        self.hint = hint
        if hint:
            self.add_note(f"hint: {inert(hint)}")
        if code is not None:
            self.code = code


class UsageError(AnalysisError):
    """The command was not used as it is meant to be."""

    code = ExitCode.USAGE


class CaptureError(AnalysisError):
    """The capture cannot be read at all; a part that cannot be read is no error but said."""

    code = ExitCode.UNREADABLE


class ReaderGone(AnalysisError):
    """Standard output was closed by who read it, as `head` does: no error to speak of."""

    code = ExitCode.BROKEN_PIPE
