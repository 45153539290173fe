"""How this process keeps its memory; to be set before numpy and pyarrow are imported."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_memory() -> None:
    """Use memory again instead of giving it back to the kernel between batches.

    Every batch needs about as much as the one before. Zeroing fresh pages was the largest single cost of the
    recorder, and compaction took twice the CPU without this. The process lives as long as the recording.
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy starts a thread a CPU for algebra that is not done here
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        mallopt(_M_ARENA_MAX, 2)
