"""Load segments and build ids of the ELF files that processes map executable.

The files come from processes under investigation: every read is bounded, and what is not a
little-endian ELF image the kernel would load is None, never an exception.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recorder.procfs import device, read_maps
from recorder.schema import TABLES, arrow_schema

__all__ = [
    "FileMapping", "Image", "ImageReader", "Segment", "build_ids", "generation_of", "open_mapped", "open_regular",
    "read_image",
]  # fmt: skip

PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
NT_GNU_BUILD_ID = 3

_HEADERS_BYTES = 1 << 16  # load_elf_phdrs() in fs/binfmt_elf.c refuses more
_NOTE_BYTES = 1 << 16
_NOTES = 8
_BUILD_ID_BYTES = 64  # SHA-1 makes 20; `ld --build-id=0x...` takes any

_FS_IOC_GETVERSION = 0x80087601  # _IOR('v', 1, long): the inode's generation


class Segment(NamedTuple):
    """A program header: field for field the struct of images.segments."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


@dataclass(frozen=True)
class Image:
    """What the kernel reads of an ELF file to map it. `segments` are its PT_LOAD and PT_INTERP
    headers in file order; `build_id` is None if it has none."""

    elf_class: int
    elf_type: int
    entry: int
    segments: tuple[Segment, ...]
    build_id: bytes | None


class FileMapping(NamedTuple):
    """An executable mapping of a file, as in a row of table `vmas` or `maps`.

    `dev` is major << 20 | minor; `generation` is 0 where it is not known; `path` is bytes as the
    kernel gave them.
    """

    pid: int
    start: int
    end: int
    dev: int
    inode: int
    generation: int
    path: bytes


def read_image(source: int | bytes) -> Image | None:
    """Read the headers of an ELF file, given as an open fd (its position is not used) or as bytes.

    None for what is no 32-bit or 64-bit little-endian ELF file with program headers.
    """
    try:
        return _read_image(source)
    except (OSError, OverflowError, struct.error):  # unreadable, an offset past 2**63, cut
        return None


def _pread(source: int | bytes, size: int, offset: int) -> bytes:
    return os.pread(source, size, offset) if isinstance(source, int) else source[offset : offset + size]


def _read_image(source: int | bytes) -> Image | None:
    # Elf32_Ehdr and Elf64_Ehdr of include/uapi/linux/elf.h
    head = _pread(source, 64, 0)
    if head[:4] != b"\x7fELF" or head[4:6] not in (b"\1\1", b"\2\1"):
        return None
    elf_class = head[4]
    layout = "<HHIIIIIHHH" if elf_class == 1 else "<HHIQQQIHHH"
    elf_type, _, _, entry, phoff, _, _, _, phentsize, phnum = struct.unpack_from(layout, head, 16)
    header = struct.Struct("<IIIIIIII" if elf_class == 1 else "<IIQQQQQQ")
    if phentsize != header.size or not 0 < phnum * phentsize <= _HEADERS_BYTES:
        return None
    table = _pread(source, phnum * phentsize, phoff)
    if len(table) != phnum * phentsize:
        return None
    segments = []
    for fields in header.iter_unpack(table):
        if elf_class == 1:
            type, offset, vaddr, _, filesz, memsz, flags, align = fields
        else:
            type, flags, offset, vaddr, _, filesz, memsz, align = fields
        segments.append(Segment(type, flags, offset, vaddr, filesz, memsz, align))
    notes = islice((segment for segment in segments if segment.type == PT_NOTE), _NOTES)
    return Image(
        elf_class=elf_class,
        elf_type=elf_type,
        entry=entry,
        segments=tuple(segment for segment in segments if segment.type in (PT_LOAD, PT_INTERP)),
        build_id=next((build_id for note in notes for build_id in build_ids(source, note)), None),
    )


def build_ids(source: int | bytes, note: Segment) -> Iterator[bytes]:
    """The GNU build ids in a PT_NOTE segment, or in the notes of a section described as one."""
    try:
        data = _pread(source, min(note.filesz, _NOTE_BYTES), note.offset)
    except (OSError, OverflowError):
        return
    mask = 7 if note.align == 8 else 3  # the gABI's alignment, and the one everybody used
    at = 0
    while at + 12 <= len(data):
        name_size, size, type = struct.unpack_from("<III", data, at)
        begin = at + (12 + name_size + mask & ~mask)
        end = begin + size
        named = type == NT_GNU_BUILD_ID and data[at + 12 : at + 12 + name_size] == b"GNU\0"
        if named and 0 < size <= _BUILD_ID_BYTES and end <= len(data):
            yield data[begin:end]
        at = end + mask & ~mask


class ImageReader:
    """Reads each mapped ELF file once in a recording.

    A file is told by device, inode and generation; where the mapping does not tell the generation
    (/proc/PID/maps), the file system is asked. It is opened through a process that maps it;
    one that could not be opened is tried again when it is seen mapped next. A file system may
    make a read wait, so this runs outside the loop that drains the rings.
    """

    def __init__(self) -> None:
        self._done: set[tuple[int, int, int]] = set()
        self._done_any_generation: set[tuple[int, int]] = set()

    def forget(self) -> None:
        """Files read before are read again."""
        self._done.clear()
        self._done_any_generation.clear()

    def read(self, mappings: Iterable[FileMapping]) -> pa.Table:
        """Rows of table `images` for the files not read before that are ELF images."""
        rows = []
        for mapping in mappings:
            generation = mapping.generation
            key = mapping.dev, mapping.inode
            done = (*key, generation) in self._done if generation else key in self._done_any_generation
            if mapping.inode == 0 or done:
                continue
            fd = open_mapped(mapping)
            if fd is None:
                continue
            try:
                ts = time.monotonic_ns()
                image = read_image(fd)
                generation = generation or generation_of(fd) or 0
            finally:
                os.close(fd)
            self._done.add((*key, generation))
            self._done_any_generation.add(key)
            if image is not None:
                rows.append(
                    {
                        "ts_ns": ts,
                        "pid": mapping.pid,
                        "dev": mapping.dev,
                        "inode": mapping.inode,
                        "generation": generation,
                        "path": mapping.path,
                        "build_id": image.build_id,
                        "elf_class": image.elf_class,
                        "elf_type": image.elf_type,
                        "entry": image.entry,
                        "segments": [segment._asdict() for segment in image.segments],
                    }
                )
        return pa.Table.from_pylist(rows, schema=arrow_schema(TABLES["images"]))


def open_mapped(mapping: FileMapping) -> int | None:
    """An fd of the mapped file, None if it is out of reach.

    stat tells another device than the mapping on btrfs (a number per subvolume) and, before the
    mapping's file became the overlay's own, on overlayfs; there the process's table of mappings
    is asked which of them is this file.
    """
    pid, path = mapping.pid, mapping.path
    proc = b"/proc/%d" % pid
    rooted = [proc + b"/root" + path, path] if path.startswith(b"/") else []
    for name in (proc + b"/map_files/%x-%x" % (mapping.start, mapping.end), *rooted):
        fd = open_regular(name, mapping)
        if fd is not None:
            return fd
    for start, end in _ranges(mapping):
        fd = open_regular(proc + b"/map_files/%x-%x" % (start, end), None)
        if fd is not None:
            return fd
    return None


def _ranges(mapping: FileMapping) -> list[tuple[int, int]]:
    """Where the process maps this file now, by device and inode as its maps print them."""
    try:
        table = read_maps(mapping.pid, 0, "")
    except PermissionError:
        return []
    if table is None:
        return []
    same = pc.and_(pc.equal(table["dev"], mapping.dev), pc.equal(table["inode"], mapping.inode))
    table = table.filter(same)
    return list(zip(table["start"].to_pylist(), table["end"].to_pylist(), strict=True))[:1]


def open_regular(name: bytes, mapping: FileMapping | None, flags: int = 0) -> int | None:
    """Open a regular file, which must be the mapping's if one is given. What is at the name is
    looked at before it is opened: opening a device can act on it. `flags`: O_NOFOLLOW, so that no link is."""
    try:
        path_fd = os.open(name, os.O_PATH | os.O_CLOEXEC | flags)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return None
    try:
        found = os.fstat(path_fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        if mapping and (device(found.st_dev), found.st_ino) != (mapping.dev, mapping.inode):
            return None
        fd = os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(path_fd)
    if mapping and mapping.generation and generation_of(fd) not in (None, mapping.generation):
        os.close(fd)
        return None
    return fd


def generation_of(fd: int) -> int | None:
    """The inode's generation, None where the file system does not tell."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, _FS_IOC_GETVERSION, bytes(8))[:4], "little")
    except OSError:
        return None
