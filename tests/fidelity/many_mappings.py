"""More than 50,000 mappings in one process, then changes wide and narrow without end; the argument is a seed."""

from __future__ import annotations

import ctypes
import mmap
import random
import sys
import time

__all__ = ["main"]

_PAGE = mmap.PAGESIZE
_PAGES = 52_000  # every page a mapping of its own; vm.max_map_count is 65,530 unless it was changed
_NONE, _READ, _WRITE = 0, mmap.PROT_READ, mmap.PROT_WRITE
_ANONYMOUS, _FIXED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def main(seed: int) -> None:
    """Even pages come and go and change, odd ones stand between them; seldom a wide change joins many, for a moment."""
    chance = random.Random(seed)
    start = _libc.mmap(None, _PAGES * _PAGE, _READ | _WRITE, _ANONYMOUS, -1, 0)

    def part(page: int, pages: int) -> None:
        for each in range(page | 1, min(page + pages, _PAGES), 2):
            _libc.mprotect(start + each * _PAGE, _PAGE, _NONE)

    part(0, _PAGES)
    while True:
        address = start + chance.randrange(0, _PAGES, 2) * _PAGE
        match chance.randrange(4):
            case 0:
                _libc.munmap(address, _PAGE)
            case 1 | 2:
                _libc.mmap(address, _PAGE, chance.choice((_READ, _READ | _WRITE)), _ANONYMOUS | _FIXED, -1, 0)
            case _:
                _libc.mprotect(address, _PAGE, chance.choice((_READ, _READ | _WRITE)))
        if chance.random() < 0.002:
            page, pages = chance.randrange(_PAGES - 2000), chance.randrange(2000)
            _libc.mmap(start + page * _PAGE, pages * _PAGE, _READ, _ANONYMOUS | _FIXED, -1, 0)
            _libc.mprotect(start + page * _PAGE, pages * _PAGE, _READ | _WRITE)
            part(page, pages)
        time.sleep(0.0005)


if __name__ == "__main__":
    main(int(sys.argv[1]))
