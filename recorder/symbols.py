"""Which function of an ELF file an address lies in: its symbol tables, looked up by whole arrays.

The files come from processes under investigation: every read is bounded, nothing is mapped into memory (a file cut
while it is mapped is a SIGBUS), and what is damaged has no functions, never an exception. libbcc and pyelftools read
the same tables with a call for each symbol; a symbol table is an array of fixed width, and numpy reads it as one.
"""

from __future__ import annotations

import lzma
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recorder.elf import Segment, build_ids, read_image

__all__ = ["Function", "Functions", "U64s", "find", "read_build_id", "read_functions"]

U64s = npt.NDArray[np.uint64]

_PROGBITS, _SYMTAB, _NOTE, _DYNSYM = 1, 2, 7, 11
_UNDEFINED, _RESERVED = 0, 0xFF00
_FUNC, _IFUNC = 2, 10
_LOCAL = 0

_MOST_SECTIONS = 1 << 16
_TABLE_BYTES = 128 << 20  # five million symbols; Chromium has less than one
_NAME_BYTES = 1 << 14  # templates make names of thousands of bytes
_UNPACKED_BYTES = 64 << 20
_MOST_ALIASES, _MOST_NOTES = 64, 32
_MOST_NESTED = 16

# Elf32_Shdr and Elf64_Shdr, Elf32_Sym and Elf64_Sym of include/uapi/linux/elf.h
_SECTION = {
    elf_class: np.dtype(
        [("name", "<u4"), ("type", "<u4")]
        + [(name, word) for name in ("flags", "addr", "offset", "size")]
        + [("link", "<u4"), ("info", "<u4"), ("align", word), ("entry_bytes", word)]
    )
    for elf_class, word in ((1, "<u4"), (2, "<u8"))
}
_SYMBOL = {
    1: np.dtype(
        [("name", "<u4"), ("value", "<u4"), ("size", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2")]
    ),
    2: np.dtype(
        [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
    ),
}


class Function(NamedTuple):
    """A function: its ELF virtual address, its length (where the file tells none, up to the next one), its name."""

    address: int
    size_bytes: int
    name: bytes


@dataclass(frozen=True)
class Functions:
    """The functions of one symbol table, by address. `source`, an fd or bytes, is still needed: a name is read when
    it is asked for."""

    source: int | bytes
    start: U64s
    end: U64s
    local: npt.NDArray[np.bool_]
    name_at: U64s

    def find(self, addresses: U64s) -> list[Function | None]:
        """The function around each ELF virtual address.

        Of functions inside others it is the innermost; of several names the one that programs use: not local, with
        the fewest leading underscores, the shortest.
        """
        if not len(self.start):
            return [None] * len(addresses)
        rows = np.searchsorted(self.start, addresses, side="right") - 1
        for _ in range(_MOST_NESTED):
            rows[(rows >= 0) & (self.end[rows] <= addresses)] -= 1
        rows[self.end[rows] <= addresses] = -1
        named = {row: self._named(row) for row in np.unique(rows).tolist()}
        return [named[row] for row in rows.tolist()]

    def _named(self, row: int) -> Function | None:
        if row < 0:
            return None
        best: tuple[bool, int, int, bytes, int] | None = None
        first = int(np.searchsorted(self.start, self.start[row]))
        for alias in range(max(first, row - _MOST_ALIASES), row + 1):
            name = self._name(int(self.name_at[alias]))
            if name and self.end[alias] >= self.end[row]:
                rank = bool(self.local[alias]), len(name) - len(name.lstrip(b"_")), len(name), name, alias
                best = min(best, rank) if best else rank
        return best and Function(int(self.start[row]), int(self.end[best[4]] - self.start[row]), best[3])

    def _name(self, offset: int) -> bytes:
        """Empty if it cannot be read, or does not end."""
        try:
            text, ended, _ = _pread(self.source, _NAME_BYTES, offset).partition(b"\0")
        except (OSError, OverflowError):
            return b""
        return text if ended else b""


def find(tables: Iterable[Functions], addresses: U64s) -> list[Function | None]:
    """The function around each ELF virtual address, from the first of the tables that has one."""
    found: list[Function | None] = [None] * len(addresses)
    for table in tables:
        missing = [at for at, function in enumerate(found) if function is None]
        for at, function in zip(missing, table.find(addresses[missing]), strict=True):
            found[at] = function
    return found


def read_functions(source: int | bytes) -> list[Functions]:
    """The symbol tables of an ELF file, given as an open fd (its position is not used) or as bytes; the fullest first.

    They are `.symtab`, `.dynsym` and, where the first was stripped, the table in `.gnu_debugdata` (Fedora's way to
    keep a small one). None of what is no 32-bit or 64-bit little-endian ELF file, and no damaged ones.
    """
    try:
        return _read_functions(source, inner=False)
    except _DAMAGED:
        return []


_DAMAGED = (OSError, OverflowError, ValueError, IndexError, struct.error, lzma.LZMAError, MemoryError)


def _pread(source: int | bytes, size: int, offset: int) -> bytes:
    return os.pread(source, size, offset) if isinstance(source, int) else source[offset : offset + size]


def read_build_id(source: int | bytes) -> bytes | None:
    """The build id of an ELF file, given as an open fd or as bytes; None if it has none.

    Of a debug file too, whose program headers can be those of the file that it was taken from.
    """
    try:
        _, sections, _ = _read_sections(source)
        notes = sections[sections["type"] == _NOTE][:_MOST_NOTES]
        for offset, size, align in zip(*(notes[name].tolist() for name in ("offset", "size", "align")), strict=True):
            for build_id in build_ids(source, Segment(_NOTE, 0, offset, 0, size, size, align)):
                return build_id
    except _DAMAGED:
        pass
    image = read_image(source)
    return image.build_id if image else None


def _read_sections(source: int | bytes) -> tuple[int, npt.NDArray[Any], int]:
    """The class of an ELF file, its section headers, and which section holds their names."""
    head = _pread(source, 64, 0)
    if head[:4] != b"\x7fELF" or head[4:6] not in (b"\1\1", b"\2\1"):
        raise ValueError
    elf_class = head[4]
    at, layout = (32, "<I10xHHH") if elf_class == 1 else (40, "<Q10xHHH")
    offset, entry_bytes, count, names = struct.unpack_from(layout, head, at)
    if not offset or entry_bytes != _SECTION[elf_class].itemsize:
        raise ValueError
    if count == 0:  # there are more than the field can hold: the first header tells
        count = int(_records(source, _SECTION[elf_class], offset, entry_bytes)["size"][0])
    return elf_class, _records(source, _SECTION[elf_class], offset, min(count, _MOST_SECTIONS) * entry_bytes), names


def _read_functions(source: int | bytes, inner: bool) -> list[Functions]:
    elf_class, sections, names = _read_sections(source)
    tables = []
    for type in (_SYMTAB, _DYNSYM):
        for section in sections[sections["type"] == type][:1]:
            tables += _functions(source, _SYMBOL[elf_class], sections, section)
    if not inner and not (sections["type"] == _SYMTAB).any() and names < len(sections):
        tables += _unpacked(source, sections, int(sections["offset"][names]))
    return tables


def _records(source: int | bytes, layout: np.dtype[np.void], offset: int, size: int) -> npt.NDArray[Any]:
    data = _pread(source, min(size, _TABLE_BYTES), offset)
    return np.frombuffer(data, layout, len(data) // layout.itemsize)


def _functions(
    source: int | bytes, layout: np.dtype[np.void], sections: npt.NDArray[Any], section: np.void
) -> list[Functions]:
    """The functions of one symbol table; none if it is damaged."""
    try:
        symbols = _records(source, layout, int(section["offset"]), int(section["size"]))
        strings = int(sections["offset"][section["link"]])
    except _DAMAGED:
        return []
    known = (symbols["section"] != _UNDEFINED) & (symbols["section"] < min(len(sections), _RESERVED))
    symbols = symbols[known & np.isin(symbols["info"] & 15, (_FUNC, _IFUNC))]
    symbols = symbols[np.argsort(symbols["value"], kind="stable")]
    start = symbols["value"].astype(np.uint64)
    end = start + symbols["size"]  # wraps where it is nonsense, and then holds no address
    [endless] = np.nonzero(symbols["size"] == 0)
    if len(endless):  # written in assembly: up to the next function, or the end of the section
        within = sections[symbols["section"][endless]]
        bound = within["addr"].astype(np.uint64) + within["size"].astype(np.uint64)
        after = np.searchsorted(start, start[endless], side="right")
        following = np.append(start, np.uint64(2**64 - 1))[after]
        end[endless] = np.minimum(bound, following)
    name_at = symbols["name"].astype(np.uint64) + np.uint64(strings)
    return [Functions(source, start, end, symbols["info"] >> 4 == _LOCAL, name_at)]


def _unpacked(source: int | bytes, sections: npt.NDArray[Any], names_at: int) -> list[Functions]:
    """The tables of an xz-compressed ELF file in the section .gnu_debugdata."""
    wanted = b".gnu_debugdata\0"
    for section in sections[sections["type"] == _PROGBITS]:
        if section["flags"] or _pread(source, len(wanted), names_at + int(section["name"])) != wanted:
            continue
        packed = _pread(source, min(int(section["size"]), _UNPACKED_BYTES), int(section["offset"]))
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_UNPACKED_BYTES)
        return _read_functions(unpacker.decompress(packed, _UNPACKED_BYTES), inner=True)
    return []
