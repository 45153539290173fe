"""The file of a mapping is the one the kernel mapped, whatever its fd named before or after."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.recordings import Capture, record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

PAGE = 4096
FS_IOC_GETVERSION = 0x80087601


class Mapped:
    """What tests/workloads/identity.c did and saw, and its recording."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "file"
        self.capture, done = record_run(folder / "capture", [build("identity"), self.file, folder / "other"])
        self.calls: dict[str, dict[int, list[int]]] = {"mapped": {}, "raced": {}}
        self.lines: dict[int, tuple[Any, ...]] = {}
        for line in done.stdout.decode().splitlines():
            kind, *words = line.split(maxsplit=5)
            if kind in self.calls:
                self.calls[kind][int(words[0], 16)] = [int(word) for word in words[1:]]
            else:
                start, end = (int(number, 16) for number in kind.split("-"))
                major, minor = (int(number, 16) for number in words[2].split(":"))
                path = words[4].encode() if len(words) > 4 else b""
                offset, dev = int(words[1], 16), major << 20 | minor
                self.lines[start] = (end, words[0], offset, dev, int(words[3]), path)
        self.vmas = {row["start"]: row for row in self.capture.rows("vmas")}
        self.rows = {row["ret"]: row for row in self.capture.rows("syscalls", syscall="mmap")}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    yield Mapped(tmp_path_factory.mktemp("identity"))


def as_line(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row of table vmas as /proc/PID/maps prints it."""
    offset = row["pgoff"] * PAGE if row["inode"] else 0
    return row["end"], row["perms"], offset, row["dev"], row["inode"], b"" if row["path"] == b"//anon" else row["path"]


def test_each_mapping_is_what_proc_says(mapped: Mapped) -> None:
    assert len(mapped.calls["mapped"]) == 8
    for address in mapped.calls["mapped"]:
        assert as_line(mapped.vmas[address]) == mapped.lines[address], hex(address)


def test_a_mapping_whose_fd_is_exchanged_meanwhile_is_what_proc_says(mapped: Mapped) -> None:
    assert len(mapped.calls["raced"]) == 997
    mistaken = 0
    for address in mapped.calls["raced"]:
        vma, call = mapped.vmas[address], mapped.rows[address]
        assert as_line(vma) == mapped.lines[address], hex(address)
        assert call["fd_inode"] in {mapped.lines[a][4] for a in mapped.calls["raced"]}
        mistaken += (call["fd_dev"], call["fd_inode"]) != (vma["dev"], vma["inode"])
    inodes = Counter(mapped.vmas[address]["inode"] for address in mapped.calls["raced"])
    print(f"{mistaken} of 997 times the fd named another file at entry; mapped were {sorted(inodes.values())}")


def test_the_fd_is_what_fstat_says(mapped: Mapped) -> None:
    """At the call's entry, where nobody exchanges it."""
    for address, (fd, dev, inode, size) in mapped.calls["mapped"].items():
        row = mapped.rows[address]
        assert row["fd"] == fd
        told = (row["fd_dev"], row["fd_inode"], row["fd_size_bytes"])
        assert told == ((dev, inode, size) if fd >= 0 else (None, None, None)), hex(address)


def test_the_generation_is_the_file_system_s(mapped: Mapped) -> None:
    fd = os.open(mapped.file, os.O_RDONLY)
    try:
        generation = int.from_bytes(fcntl.ioctl(fd, FS_IOC_GETVERSION, bytes(8))[:4], "little")
    except OSError:  # not a file system that tells
        generation = None
    finally:
        inode = os.fstat(fd).st_ino
        os.close(fd)
    rows = [row for row in mapped.capture.rows("vmas", inode=inode) if row["path"] == bytes(mapped.file)]
    assert len(rows) > 2
    told = {row["generation"] for row in rows}
    assert len(told) == 1
    assert generation is None or told == {generation}
    calls = {
        mapped.rows[address]["fd_generation"] for address, (_, _, i, _) in mapped.calls["mapped"].items() if i == inode
    }
    assert calls == told


def test_nothing_else_was_mapped_to_that_file(mapped: Mapped) -> None:
    inode = os.stat(mapped.file).st_ino
    addresses = {start for start, line in mapped.lines.items() if line[4] == inode}
    assert {row["start"] for row in Capture(mapped.capture.path).rows("vmas", inode=inode)} == addresses
