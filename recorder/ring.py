"""BPF ring buffers read without a Python call per record.

The kernel lays a ring out as: the consumer's position (one page, writable), the producer's
position (one page), and the data, mapped twice in a row so that no record is ever split
(kernel/bpf/ringbuf.c). Each record follows an 8-byte header: u32 length with a busy bit and a
discard bit, u32 page offset. Ours have one size a ring, so thousands of slots are one numpy view.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BpfRing", "Columns", "map_counters"]

_PAGE = mmap.PAGESIZE
_BUSY = np.uint32(1 << 31)
_HEADER_BYTES = 8
_BLOCK = 4096  # records taken at a time: what stays in a CPU's cache while it is split into columns


class Columns:
    """Records of one ring, a contiguous array for each field.

    A scalar field is an array of length `used`; a field that is an array of k values has shape
    (k, used). The memory is kept and used again after `clear`: fresh pages cost more than filling them.
    """

    def __init__(self, dtype: np.dtype[np.void], capacity: int) -> None:
        self.dtype = dtype
        self.capacity = capacity
        self.used = 0
        self._fields: dict[str, npt.NDArray[Any]] = {}
        assert dtype.fields is not None
        for name, (field, *_) in dtype.fields.items():
            self._fields[name] = np.empty((*field.shape, capacity), field.base)

    @classmethod
    def of(cls, records: npt.NDArray[np.void]) -> Columns:
        """The columns of an array of records."""
        columns = cls(records.dtype, len(records))
        columns.take(records)
        return columns

    def __len__(self) -> int:
        return self.used

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._fields[name][..., : self.used]

    @property
    def free(self) -> int:
        return self.capacity - self.used

    @property
    def nbytes(self) -> int:
        return self.used * self.dtype.itemsize

    def take(self, records: npt.NDArray[np.void]) -> None:
        """Append records, at most `free` of them."""
        upto = self.used + len(records)
        for name, values in self._fields.items():
            values[..., self.used : upto] = records[name].T
        self.used = upto

    def clear(self) -> None:
        self.used = 0


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

    def drain(self, into: Columns) -> int:
        """Append finished records, oldest first, until none is left or `into` is full; how many.

        Stops at the first record that another CPU is still filling.
        """
        before = into.used
        consumed = int(self._consumer[0])
        available = min((int(self._producer[0]) - consumed) // self._slot, into.free)
        while available > 0:
            count = min(available, _BLOCK)
            start = _PAGE + consumed % self.size_bytes
            headers: npt.NDArray[np.uint32] = np.ndarray(count, "<u4", self._data_map, start, (self._slot,))
            busy = headers & _BUSY
            if busy.any():
                count = available = int(busy.argmax())
            into.take(np.ndarray(count, self.dtype, self._data_map, start + _HEADER_BYTES, (self._slot,)))
            consumed += count * self._slot
            self._consumer[0] = consumed
            available -= count
        return into.used - before


def map_counters(fd: int, shape: tuple[int, ...], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """A live, writable view of a BPF array map made with BPF_F_MMAPABLE."""
    size = int(np.prod(shape)) * dtype.itemsize
    pages = (size + _PAGE - 1) // _PAGE * _PAGE
    memory = mmap.mmap(fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
