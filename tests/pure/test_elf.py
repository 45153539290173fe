"""ELF headers: hand-made images, and damaged ones."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from recorder.elf import Image, Segment, read_image

LOAD = Segment(type=1, flags=5, offset=0, vaddr=0x10000, filesz=0x300, memsz=0x2300, align=0x1000)
INTERP = Segment(type=3, flags=4, offset=0x200, vaddr=0x10200, filesz=28, memsz=28, align=1)
DYNAMIC = Segment(type=2, flags=6, offset=0x210, vaddr=0x10210, filesz=16, memsz=16, align=8)
BUILD_ID = bytes(range(1, 21))
PROPERTY = struct.pack("<III4sIII", 4, 16, 5, b"GNU\0", 0xC0000002, 4, 3) + bytes(4)
NOTE_OF_BUILD_ID = struct.pack("<III4s", 4, 20, 3, b"GNU\0") + BUILD_ID


def elf(elf_class: int, segments: list[Segment], notes: bytes = b"", note_align: int = 4) -> bytes:
    """An image with these program headers and, at 0x400, a PT_NOTE segment."""
    note = Segment(4, 4, 0x400, 0x10400, len(notes), len(notes), note_align)
    headers = b""
    for s in [*segments, note]:
        if elf_class == 1:
            headers += struct.pack("<8I", s.type, s.offset, s.vaddr, 0, s.filesz, s.memsz, s.flags, s.align)
        else:
            headers += struct.pack("<2I6Q", s.type, s.flags, s.offset, s.vaddr, 0, s.filesz, s.memsz, s.align)
    size, entry_size, layout = (52, 32, "<HHIIIIIHHH") if elf_class == 1 else (64, 56, "<HHIQQQIHHH")
    ident = b"\x7fELF" + bytes([elf_class, 1, 1]) + bytes(9)
    head = ident + struct.pack(layout, 3, 62, 1, 0x10123, size, 0, 0, size, entry_size, len(segments) + 1)
    return (head.ljust(size, b"\0") + headers).ljust(0x400, b"\0") + notes


def test_headers_of_both_classes() -> None:
    for elf_class in (1, 2):
        image = read_image(elf(elf_class, [INTERP, LOAD, DYNAMIC], NOTE_OF_BUILD_ID))
        assert image == Image(elf_class, 3, 0x10123, (INTERP, LOAD), BUILD_ID)


def test_build_id_behind_another_note() -> None:
    for align in (4, 8):
        padded = NOTE_OF_BUILD_ID.ljust(40 if align == 8 else 36, b"\0")
        image = read_image(elf(2, [LOAD], PROPERTY + padded, align))
        assert image is not None
        assert image.build_id == BUILD_ID


def test_no_build_id() -> None:
    other_name = struct.pack("<III4s", 4, 4, 3, b"Xen\0") + b"abcd"
    cut = NOTE_OF_BUILD_ID[:-1]
    endless = struct.pack("<III4s", 4, 0xFFFFFFFF, 3, b"GNU\0")
    for notes in (b"", PROPERTY, other_name, cut, endless):
        image = read_image(elf(2, [LOAD], notes))
        assert image is not None
        assert image.build_id is None


def test_what_the_kernel_would_not_load_is_no_image() -> None:
    good = elf(2, [LOAD])
    assert read_image(good) is not None
    big_endian = good[:5] + b"\2" + good[6:]
    odd_class = good[:4] + b"\3" + good[5:]
    odd_entry_size = good[:54] + struct.pack("<H", 57) + good[56:]
    no_headers = good[:56] + struct.pack("<H", 0) + good[58:]
    too_many = good[:56] + struct.pack("<H", 0xFFFF) + good[58:] + bytes(1 << 22)
    far = good[:32] + struct.pack("<Q", 1 << 63) + good[40:]
    for text in (
        b"",
        b"#!/bin/sh\n",
        good[:63],
        good[:100],
        big_endian,
        odd_class,
        odd_entry_size,
        no_headers,
        too_many,
        far,
    ):
        assert read_image(text) is None


def test_unreadable_fd_is_no_image(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    reading, writing = os.pipe()
    try:
        assert read_image(folder) is None
        assert read_image(reading) is None
    finally:
        for fd in (folder, reading, writing):
            os.close(fd)


REAL = Path(sys.executable).read_bytes()[: 1 << 16]


@given(st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), max_size=24), st.integers(0, 1 << 16))
def test_a_damaged_image_raises_nothing(changes: list[tuple[int, int]], size: int) -> None:
    damaged = bytearray(REAL[:size])
    for at, value in changes:
        if at < len(damaged):
            damaged[at] = value
    image = read_image(bytes(damaged))
    assert image is None or len(image.segments) <= 65536 // 32


@given(
    st.sampled_from([1, 2]),
    st.lists(
        st.builds(
            Segment,
            st.sampled_from([1, 3, 4, 0xFFFFFFFF]),
            *[st.one_of(st.integers(0, 2048), st.sampled_from([0xFFFFFFFF, 1 << 31]))] * 6,
        ),
        max_size=12,
    ),
    st.binary(max_size=400),
    st.sampled_from([0, 4, 8, 16]),
)
def test_hostile_headers_and_notes_raise_nothing(
    elf_class: int, segments: list[Segment], notes: bytes, align: int
) -> None:
    image = read_image(elf(elf_class, segments, notes, align))
    assert image is not None
    assert image.segments == tuple(segment for segment in segments if segment.type in (1, 3))


@given(st.binary(max_size=300))
def test_noise_behind_the_magic_raises_nothing(noise: bytes) -> None:
    for ident in (b"\x7fELF\1\1", b"\x7fELF\2\1"):
        read_image(ident + noise)
