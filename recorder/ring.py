"""BPF ring buffers read without a Python call per record.

The kernel lays a ring out as: the consumer's position (one page, writable), the producer's
position (one page), and the data, mapped twice in a row so that no record is ever split
(kernel/bpf/ringbuf.c). Each record follows an 8-byte header: u32 length with a busy bit and a
discard bit, u32 page offset. Ours have one size a ring, so thousands of slots are one numpy view.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

__all__ = ["BpfRing", "map_counters"]

_PAGE = mmap.PAGESIZE
_BUSY = np.uint32(1 << 31)
_HEADER_BYTES = 8

Records = npt.NDArray[np.void]


class BpfRing:
    """One BPF_MAP_TYPE_RINGBUF whose records all have the layout `dtype`."""

    def __init__(self, fd: int, size_bytes: int, dtype: np.dtype[np.void]) -> None:
        self.dtype = dtype
        self.fd = fd
        self.size_bytes = size_bytes
        self._slot = _HEADER_BYTES + (dtype.itemsize + 7) // 8 * 8
        self._consumer_map = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._data_map = mmap.mmap(fd, _PAGE + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumer = np.frombuffer(self._consumer_map, "<u8", 1)
        self._producer = np.frombuffer(self._data_map, "<u8", 1)

    def used_bytes(self) -> int:
        """Bytes written and not yet drained."""
        return int(self._producer[0]) - int(self._consumer[0])

    def drain(self, limit: int = 1 << 16) -> Records | None:
        """A copy of at most `limit` finished records, oldest first; None when there are none.

        Stops at the first record that another CPU is still filling.
        """
        consumed = int(self._consumer[0])
        count = min((int(self._producer[0]) - consumed) // self._slot, limit)
        if count <= 0:
            return None
        start = _PAGE + consumed % self.size_bytes
        headers: npt.NDArray[np.uint32] = np.ndarray(count, "<u4", self._data_map, start, (self._slot,))
        busy = headers & _BUSY
        if busy.any():
            count = int(busy.argmax())
            if count == 0:
                return None
        records: Records = np.ndarray(
            count, self.dtype, self._data_map, start + _HEADER_BYTES, (self._slot,)
        ).copy()
        self._consumer[0] = consumed + count * self._slot
        return records


def map_counters(fd: int, shape: tuple[int, ...], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """A live, writable view of a BPF array map made with BPF_F_MMAPABLE."""
    size = int(np.prod(shape)) * dtype.itemsize
    pages = (size + _PAGE - 1) // _PAGE * _PAGE
    memory = mmap.mmap(fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
