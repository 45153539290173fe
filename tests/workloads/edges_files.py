# SPDX-License-Identifier: Apache-2.0
"""edges_files.py FOLDER: takes files away from under mappings, in every way, and prints what it did.

A JSON object a case: its name, the pids that took part, addresses, the file's device and inode, and how the process
that touched the mapping ended. Cases that must not be flagged are named near_*.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = 4096
READ, WRITE, SHARED, PRIVATE = 1, 2, 1, 2
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def made(path: Path, pages: int) -> int:
    path.write_bytes(b"x" * pages * PAGE)
    return os.open(path, os.O_RDWR)


def mapped(fd: int, pages: int, offset: int = 0, flags: int = SHARED) -> int:
    """The address, once every page that the file has was read."""
    address: int = libc.mmap(None, pages * PAGE, READ | WRITE, flags, fd, offset * PAGE)
    assert address != ctypes.c_void_p(-1).value
    for page in range(min(pages, os.fstat(fd).st_size // PAGE - offset)):
        touch(address + page * PAGE)
    return address


def touch(address: int) -> None:
    ctypes.string_at(address, 1)


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def ended(pid: int) -> int:
    """0, or the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tell(case: str, fd: int, **facts: Any) -> None:
    stat = os.fstat(fd)
    dev = os.major(stat.st_dev) << 20 | os.minor(stat.st_dev)
    print(json.dumps({"case": case, "dev": dev, "inode": stat.st_ino, **facts}), flush=True)


def three_processes(folder: Path, case: str, shrink: Callable[[Path], None]) -> None:
    path = folder / case
    fd = made(path, 4)
    address = mapped(fd, 4, flags=PRIVATE)
    ready, go = os.pipe()

    def toucher() -> None:
        os.read(ready, 1)
        touch(address + 3 * PAGE)

    victim = child(toucher)
    by = child(lambda: shrink(path))
    assert ended(by) == 0
    os.write(go, b".")
    tell(
        case, fd, by=by, victim=victim, mapper=os.getpid(), start=address, end=address + 4 * PAGE, signal=ended(victim)
    )
    libc.munmap(address, 4 * PAGE)


def cut_and_fork(case: str, fd: int, cut: Callable[[], None]) -> None:
    """The process that dies is forked only after the file was cut."""
    address = mapped(fd, 2, 2)
    by = child(cut)
    assert ended(by) == 0
    victim = child(lambda: touch(address + PAGE))
    tell(case, fd, by=by, victim=victim, start=address + PAGE, end=address + 2 * PAGE, signal=ended(victim))
    libc.munmap(address, 2 * PAGE)


def main(folder: Path) -> None:
    me = os.getpid()

    # the process itself
    fd = made(folder / "own", 4)
    address = mapped(fd, 4)

    def own() -> None:
        os.ftruncate(fd, PAGE)
        touch(address + 2 * PAGE)

    pid = child(own)
    tell("own", fd, by=pid, victim=pid, start=address + PAGE, end=address + 4 * PAGE, signal=ended(pid))
    libc.munmap(address, 4 * PAGE)

    # another process, by path; a third one touches what a fork gave it
    three_processes(folder, "by_path", lambda path: os.truncate(path, 0))
    three_processes(folder, "by_open", lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)))

    # by a path that leads nowhere, or to another file, when the call has returned
    def unlinked(path: Path) -> None:
        os.truncate(path, 0)
        path.unlink()

    def moved(path: Path) -> None:
        os.truncate(path, 0)
        path.rename(path.with_name("moved away"))

    (folder / "second").mkdir()
    second = made(folder / "second" / "by_path_exchanged", 4)
    mapped(second, 4)
    same_name = made(folder / "second" / "by_path_relative", 4)
    mapped(same_name, 4)
    time.sleep(0.05)  # the second file is older than the call

    def exchanged(path: Path) -> None:
        os.truncate(path, 0)
        (folder / "second" / path.name).rename(path)

    def relative(path: Path) -> None:
        os.chdir(folder)
        os.truncate(path.name, 0)
        path.unlink()

    three_processes(folder, "by_path_unlinked", unlinked)
    three_processes(folder, "by_path_moved", moved)
    three_processes(folder, "by_path_exchanged", exchanged)
    three_processes(folder, "by_path_relative", relative)

    # by a name that is gone at once, after another process had cut a file of the same name elsewhere to the same size
    made(folder / "second" / "by_path_linked", 4)

    def linked(path: Path) -> None:
        def decoy() -> None:
            os.chdir(folder / "second")
            os.truncate(path.name, 0)

        assert ended(child(decoy)) == 0
        link = path.with_name("another name")
        link.hardlink_to(path)
        os.truncate(link, 0)
        link.unlink()

    three_processes(folder, "by_path_linked", linked)
    tell("near_exchanged", second)
    tell("near_same_name", same_name)

    # tmpfs and memfd; a file renamed between
    shm = Path(f"/dev/shm/maptrail-{me}")
    fd = made(shm, 4)
    cut_and_fork("tmpfs", fd, lambda: os.ftruncate(fd, 3 * PAGE))
    shm.unlink()
    memfd = os.memfd_create("edges")
    os.ftruncate(memfd, 4 * PAGE)
    cut_and_fork("memfd", memfd, lambda: os.ftruncate(memfd, 3 * PAGE))
    new_name = folder / "new name"

    def cut_renamed() -> None:
        (folder / "old name").rename(new_name)
        with new_name.open("r+b") as file:
            file.truncate(3 * PAGE)

    cut_and_fork("renamed", made(folder / "old name", 4), cut_renamed)

    # it stays mapped, and nobody touches it; it is unmapped in time
    fd = made(folder / "stayed", 4)
    address = mapped(fd, 4)
    by = child(lambda: os.ftruncate(fd, 0))
    ended(by)
    tell("stayed", fd, by=by, victim=me, start=address, end=address + 4 * PAGE)
    fd = made(folder / "unmapped", 4)
    address = mapped(fd, 4)
    os.ftruncate(fd, PAGE)
    libc.munmap(address, 4 * PAGE)
    tell("unmapped", fd, by=me, victim=me, start=address + PAGE, end=address + 4 * PAGE)

    # contents that go, while the size stays
    fd = made(folder / "hole", 4)
    address = mapped(fd, 4)
    assert libc.fallocate(fd, 3, PAGE, 2 * PAGE) == 0  # PUNCH_HOLE, KEEP_SIZE
    tell("hole", fd, by=me, victim=me, start=address + PAGE, end=address + 3 * PAGE)

    # a new file renamed over the old one
    fd = made(folder / "replaced", 4)
    address = mapped(fd, 4)
    old = fd
    (folder / "new").write_bytes(b"y" * PAGE)
    (folder / "new").rename(folder / "replaced")
    touch(address + 3 * PAGE)
    fd = os.open(folder / "replaced", os.O_RDWR)
    mapped(fd, 1)
    tell("replaced", old, by=None, victim=me, start=address, end=address + 4 * PAGE, new_inode=os.fstat(fd).st_ino)

    # mapped past the end from the start: never touched, touched, grown into, and by remap_file_pages
    fd = made(folder / "past", 2)
    address = mapped(fd, 5)
    tell("past", fd, by=me, start=address + 2 * PAGE, end=address + 5 * PAGE)
    fd = made(folder / "past_touched", 1)
    box = os.pipe()

    def past() -> None:
        address = mapped(fd, 3)
        os.write(box[1], str(address).encode().ljust(32))
        touch(address + 2 * PAGE)

    pid = child(past)
    address = int(os.read(box[0], 32))
    tell("past_touched", fd, by=pid, start=address + PAGE, end=address + 3 * PAGE, signal=ended(pid))
    fd = made(folder / "past_grown", 1)
    address = mapped(fd, 3)
    os.ftruncate(fd, 3 * PAGE)
    touch(address + 2 * PAGE)
    tell("past_grown", fd, by=me, start=address + PAGE, end=address + 3 * PAGE)
    fd = made(folder / "past_remapped", 3)
    address = mapped(fd, 3)
    assert libc.syscall(216, ctypes.c_void_p(address), ctypes.c_size_t(PAGE), 0, ctypes.c_size_t(7), 0) == 0
    os.ftruncate(fd, 3 * PAGE)  # tells that the file was not longer
    tell("past_remapped", fd, by=me, start=address, end=address + PAGE)

    # what must not be flagged
    fd = made(folder / "near_part", 4)
    address = mapped(fd, 2)
    os.ftruncate(fd, 2 * PAGE)
    touch(address + PAGE)
    os.ftruncate(fd, PAGE + 100)  # the rest of a page stays
    touch(address + PAGE)
    tell("near_part", fd)
    fd = made(folder / "near_unmapped", 4)
    address = mapped(fd, 4)
    libc.munmap(address, 4 * PAGE)
    os.ftruncate(fd, 0)
    tell("near_unmapped", fd)
    fd = made(folder / "near_grown", 4)
    mapped(fd, 4)
    os.ftruncate(fd, 8 * PAGE)
    tell("near_grown", fd)
    fd = made(folder / "near_other", 4)
    mapped(fd, 4)
    other = made(folder / "near_other_file", 4)
    os.ftruncate(other, 0)
    tell("near_other", fd)
    fd = made(folder / "near_rest", 2)
    os.ftruncate(fd, PAGE + 10)
    mapped(fd, 2)  # the file ends in the last page
    tell("near_rest", fd)
    time.sleep(0.05)


if __name__ == "__main__":
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    main(Path(sys.argv[1]))
