"""Hold a process still for the moment of a reading, by ptrace.

SIGSTOP would do it too, but leaves the process stopped if the recorder is killed in between, and tells its
parent. A seized thread runs on by itself when its tracer is gone (ptrace(2), PTRACE_SEIZE).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

__all__ = ["frozen"]

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000
_EVENT_STOP = 128

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[bool]:
    """Stop every thread of `pid` around the block; gives whether all stand still.

    False, with nothing stopped, for a process that a debugger holds or that may not be traced. Calls that wait
    are restarted or end with EINTR, as with SIGSTOP. The block must run in the calling thread.
    """
    held: dict[int, int] = {}
    try:
        try:
            while fresh := {int(name) for name in os.listdir(f"/proc/{pid}/task")} - held.keys():
                for tid in fresh:
                    held[tid] = _stop(tid)
        except OSError:
            _let_go(held)
            held.clear()
            yield False
        else:
            yield True
    finally:
        _let_go(held)


def _stop(tid: int) -> int:
    """Stop one thread; the signal it was about to take, 0 for none. Raises OSError."""
    if _ptrace(_SEIZE, tid, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"cannot seize thread {tid}")
    _ptrace(_INTERRUPT, tid, None, None)
    _, status = os.waitpid(tid, _WALL)
    if not os.WIFSTOPPED(status):
        raise ProcessLookupError(f"thread {tid} ended")
    return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)


def _let_go(held: dict[int, int]) -> None:
    for tid, signal in held.items():
        _ptrace(_DETACH, tid, None, signal)
