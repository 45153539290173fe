"""Keeps the tracepoints of system calls in use, so that many short recordings do not wait for each other.

When the last user of a syscall tracepoint goes, the kernel takes it down, 35 ms each
(tracepoint_synchronize_unregister), and nobody can attach to one meanwhile (event_mutex).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from recorder.plan import private_tracefs
from recorder.syscalls import SYSCALLS

__all__ = ["tracepoints_held"]

_libc = ctypes.CDLL(None, use_errno=True)


def _open(point: int) -> int:
    """A disabled event of one tracepoint, of this thread alone."""
    # perf_event_attr: type PERF_TYPE_TRACEPOINT, size, config, period, sample_type, read_format, flags: disabled
    attr = struct.pack("=IIQQQQQ", 2, 112, point, 0, 0, 0, 1).ljust(112, b"\0")
    fd: int = _libc.syscall(298, attr, 0, -1, -1, ctypes.c_ulong(8))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def _open_all() -> list[int]:
    """To be called on a thread of its own, which may lose its mount namespace."""
    events = private_tracefs() / "events/syscalls"
    names = [f"sys_{side}_{call.name}" for call in SYSCALLS for side in ("enter", "exit")]
    return [_open(int((events / name / "id").read_text())) for name in names if (events / name).is_dir()]


@contextlib.contextmanager
def tracepoints_held() -> Iterator[None]:
    with ThreadPoolExecutor(1) as thread:
        fds = thread.submit(_open_all).result()
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)
