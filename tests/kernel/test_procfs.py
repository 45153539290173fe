"""Readings of /proc of living processes, against line by line parses and what the test made."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from recorder import procfs
from recorder.schema import TABLES, arrow_schema

NAMES = (
    b"two  spaces ",
    b"line\nbreak",
    b"not\xffutf8\x80",
    b"back\\slash \\012",
    b"\x1b[31m",
    b"x (deleted)",
    b"gone",
)

# maps one page of each file named, removes the last one, and waits
CHILD = """
import mmap, os, sys
held = []
for name in sys.argv[1:]:
    fd = os.open(os.fsencode(name), os.O_RDWR)
    held.append(mmap.mmap(fd, 4096))
os.unlink(os.fsencode(sys.argv[-1]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    files = [os.path.join(os.fsencode(tmp_path), name) for name in NAMES]
    for file in files:
        fd = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
        os.truncate(fd, 4096)
        os.close(fd)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def lines_of(pid: int) -> list[tuple[int, int, str, int, int, int, bytes]]:
    rows = []
    with Path(f"/proc/{pid}/maps").open("rb") as maps:
        for line in maps:
            span, perms, offset, dev, rest = line.removesuffix(b"\n").split(b" ", 4)
            inode, _, path = rest.partition(b" ")
            start, end = span.split(b"-")
            major, minor = dev.split(b":")
            number = int(major, 16) << 20 | int(minor, 16)
            rows.append(
                (int(start, 16), int(end, 16), perms.decode(), int(offset, 16), number, int(inode), path.lstrip(b" "))
            )
    return rows


def rows_of(table: pa.Table) -> list[tuple[int, int, str, int, int, int, bytes]]:
    names = ("start", "end", "perms", "offset_bytes", "dev", "inode", "path")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_maps_of_a_child_with_odd_file_names(child: subprocess.Popen[str], tmp_path: Path) -> None:
    table = procfs.read_maps(child.pid, 23, "baseline")
    assert table is not None
    assert table.schema.equals(arrow_schema(TABLES["maps"]), check_metadata=True)
    assert rows_of(table) == lines_of(child.pid)

    folder = os.fsencode(tmp_path) + b"/"
    seen = {path.removeprefix(folder) for path in table["path"].to_pylist() if path.startswith(folder)}
    assert seen == {name.replace(b"\n", b"\\012") for name in NAMES[:-1]} | {b"gone (deleted)"}
    assert set(table["pid"].to_pylist()) == {child.pid}
    assert set(table["reading"].to_pylist()) == {23}
    assert set(table["reason"].to_pylist()) == {"baseline"}
    (begin,) = set(table["ts_begin_ns"].to_pylist())
    (end,) = set(table["ts_end_ns"].to_pylist())
    assert begin < end

    living = tmp_path.stat()
    inode = (tmp_path / "x (deleted)").stat().st_ino
    row = next(row for row in rows_of(table) if row[6] == folder + b"x (deleted)")
    assert row[4:6] == (os.major(living.st_dev) << 20 | os.minor(living.st_dev), inode)


def test_many_mappings_take_many_reads() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    count = 2003
    page = procfs.page_size()
    base = libc.mmap(None, 2 * count * page, 0, 0x22, -1, 0)
    try:
        for index in range(count):
            assert libc.mprotect(base + 2 * index * page, page, 1) == 0
        table = procfs.read_maps(os.getpid(), 1, "checkpoint")
        assert table is not None
        inside = [row for row in rows_of(table) if base <= row[0] < base + 2 * count * page]
        assert [row[:3] for row in inside if row[2] == "r--p"] == [
            (base + 2 * index * page, base + (2 * index + 1) * page, "r--p") for index in range(count)
        ]
    finally:
        libc.munmap(base, 2 * count * page)


def test_no_maps_of_the_dead_and_of_kernel_threads() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert procfs.read_maps(process.pid, 1, "baseline") is None  # a zombie
    assert procfs.pid_exists(process.pid)
    process.wait()
    assert procfs.read_maps(process.pid, 1, "baseline") is None
    assert not procfs.pid_exists(process.pid)
    assert procfs.elf_class_of(process.pid) is None
    assert procfs.alive_tasks([process.pid]).num_rows == 0
    kthreadd = 2
    assert procfs.read_maps(kthreadd, 1, "baseline") is None


def test_a_reading_cut_short_by_death_is_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        real_read = os.read

        def read_then_kill(fd: int, _size: int) -> bytes:
            data = real_read(fd, 256)  # whole lines, but not all
            os.kill(process.pid, signal.SIGKILL)  # Popen's own kill reaps
            # a zombie: once it is reaped, reading gives ESRCH instead of an early end
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            return data

        monkeypatch.setattr(os, "read", read_then_kill)
        assert procfs.read_maps(process.pid, 1, "baseline") is None


def test_alive_tasks_name_every_thread(child: subprocess.Popen[str]) -> None:
    name = b"odd)\xff\n 1 ("
    ready, done = threading.Event(), threading.Event()
    tids: list[int] = []

    def rest() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_bytes(name)
        tids.append(threading.get_native_id())
        ready.set()
        done.wait()

    thread = threading.Thread(target=rest)
    thread.start()
    try:
        ready.wait()
        table = procfs.alive_tasks([os.getpid(), child.pid])
        assert table.schema.equals(arrow_schema(TABLES["tasks"]), check_metadata=True)
        rows = {row["tid"]: row for row in table.to_pylist()}
        assert {(row["event"], row["source"]) for row in rows.values()} == {("alive", "proc")}
        mine = rows[tids[0]]
        assert (mine["pid"], mine["parent_pid"], mine["comm"]) == (os.getpid(), os.getppid(), name)
        theirs = rows[child.pid]
        assert (theirs["pid"], theirs["parent_pid"]) == (child.pid, os.getpid())
        assert {tid for tid, row in rows.items() if row["pid"] == os.getpid()} == {
            int(entry.name) for entry in Path("/proc/self/task").iterdir()
        }
    finally:
        done.set()
        thread.join()
    everyone = procfs.alive_tasks(None)["pid"].to_pylist()
    assert {1, os.getpid(), child.pid} <= set(everyone)


def test_a_thread_is_no_process() -> None:
    assert procfs.pid_exists(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    assert not procfs.pid_exists(thread.native_id)
    # /proc has files of it all the same, and they show the process that it is of
    assert Path(f"/proc/{thread.native_id}/maps").read_bytes()
    assert procfs.read_text(thread.native_id, 1, "checkpoint") is None
    assert procfs.alive_tasks([thread.native_id]).num_rows == 0
    done.set()
    thread.join()


def test_elf_class_of_64_and_32_bit_processes(tmp_path: Path) -> None:
    assert procfs.elf_class_of(os.getpid()) == 2
    assert not procfs.any_32bit_process([os.getpid()])
    compiler = shutil.which("gcc")
    assert compiler, "needs gcc"
    program = tmp_path / "wait32"
    source = b'void _start(void) { for (;;) __asm__ volatile("int $0x80" :: "a"(29)); }'  # pause
    flags = ["-m32", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-x", "c", "-"]
    subprocess.run([compiler, "-o", program, *flags], input=source, check=True)
    with subprocess.Popen([program]) as process:
        try:
            assert procfs.elf_class_of(process.pid) == 1
            assert procfs.any_32bit_process([os.getpid(), process.pid])
            assert procfs.any_32bit_process(None)
        finally:
            process.kill()


def test_machine_facts_match_the_machine() -> None:
    facts = procfs.machine_facts()
    assert facts["kernel"] == subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip()
    assert facts["arch"] == platform.machine()
    assert facts["page_size"] == int(subprocess.run(["getconf", "PAGESIZE"], capture_output=True, text=True).stdout)
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts["host"] == platform.node()
    assert facts["max_map_count"] == int(Path("/proc/sys/vm/max_map_count").read_text())
