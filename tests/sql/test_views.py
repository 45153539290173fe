"""The views of analysis/sql: rows in, rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.capture import open_captures
from analysis.engine import Engine
from tests.support.captures import START_NS, build_capture


def _ask(directory: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over a capture of these rows."""
    with Engine(open_captures([build_capture(directory / "capture", tables)])) as engine:
        return [tuple(row.values()) for row in engine.query(sql).dicts()]


def _call(syscall: str, at: int, errno: int = 0, took: int = 0, **more: Any) -> dict[str, Any]:
    """A call at so many ns from the start."""
    times = {"ts_enter_ns": START_NS + at, "ts_exit_ns": START_NS + at + took}
    return {"pid": 7, "tid": 7, "comm": b"seven", "abi": "x86_64", "syscall": syscall, "errno": errno, **times, **more}


def _file_call(operation: str, at: int, **more: Any) -> dict[str, Any]:
    call = _call(operation, at, **more)
    call["operation"] = call.pop("syscall")
    return call


def test_calls_are_counted_by_call_and_abi(tmp_path: Path) -> None:
    tables = {
        "syscalls": [
            _call("mmap", 0, took=5),
            _call("mmap", 10, took=3, pid=11),
            _call("mmap", 20, errno=12, took=1),
            _call("mmap", 30, abi="i386"),
        ],
        "files": [_file_call("ftruncate", 40, took=2)],
    }
    sql = (
        "SELECT syscall, abi, calls, failed, processes, first_ns, last_ns, total_ns, longest_ns "
        "FROM calls_by_syscall ORDER BY ALL"
    )
    assert _ask(tmp_path, tables, sql) == [
        ("ftruncate", "x86_64", 1, 0, 1, START_NS + 40, START_NS + 42, 2, 2),
        ("mmap", "i386", 1, 0, 1, START_NS + 30, START_NS + 30, 0, 0),
        ("mmap", "x86_64", 3, 1, 2, START_NS, START_NS + 21, 9, 5),
    ]


def test_failures_have_the_name_of_their_error(tmp_path: Path) -> None:
    tables = {
        "syscalls": [
            _call("remap_file_pages", 1, errno=22),
            _call("remap_file_pages", 2, errno=22, pid=11),
            _call("mprotect", 3, errno=12),
            _call("mprotect", 4, errno=4000),
            _call("mprotect", 5),
        ],
        "files": [_file_call("truncate", 6, errno=2)],
    }
    sql = "SELECT syscall, error, errno, calls, processes, first_ns, last_ns FROM failures ORDER BY ALL"
    assert _ask(tmp_path, tables, sql) == [
        ("mprotect", "ENOMEM", 12, 1, 1, START_NS + 3, START_NS + 3),
        ("mprotect", "errno 4000", 4000, 1, 1, START_NS + 4, START_NS + 4),
        ("remap_file_pages", "EINVAL", 22, 2, 2, START_NS + 1, START_NS + 2),
        ("truncate", "ENOENT", 2, 1, 1, START_NS + 6, START_NS + 6),
    ]


def test_a_process_has_a_beginning_a_name_counts_and_an_end(tmp_path: Path) -> None:
    def task(event: str, at: int, **more: Any) -> dict[str, Any]:
        return {"event": event, "source": "bpf", "pid": 11, "tid": 11, "ts_ns": START_NS + at, **more}

    tables = {
        "tasks": [
            task("alive", 0, pid=7, tid=7, comm=b"seven"),
            task("fork", 10, parent_pid=7, parent_tid=7),
            task("exec", 20, comm=b"eleven", path=b"/bin/eleven\xff"),
            task("clone", 25, tid=12, parent_pid=11, parent_tid=11),
            task("rename", 30, tid=12, comm=b"worker"),
            task("alive", 38, source="proc", parent_pid=7),  # a flight recorder looks again
            task("exit", 40, tid=12),
            task("exit", 50),
        ],
        "syscalls": [_call("mmap", 1), _call("mmap", 2, errno=12), _call("brk", 35, pid=11, tid=12, comm=b"worker")],
        "files": [_file_call("ftruncate", 3)],
        "faults": [{"pid": 11, "tid": 12, "comm": b"worker", "signal": "SIGBUS", "ts_ns": START_NS + 36}],
        "vmas": [{"pid": 11, "tid": 11, "ts_ns": START_NS + 21, "path": b"//anon"}] * 2,
    }
    sql = (
        "SELECT pid, comm, comm_bytes, began, first_ns, last_ns, exit_ns, parent_pid, executed, calls, failed, "
        "file_calls, faults, vma_records FROM processes ORDER BY pid"
    )
    start = START_NS
    assert _ask(tmp_path, tables, sql) == [
        (7, "seven", b"seven", "alive", start, start + 3, None, None, None, 2, 1, 1, 0, 0),
        (11, "eleven", b"eleven", "fork", start + 10, start + 50, start + 50, 7, r"/bin/eleven\xFF", 1, 0, 0, 1, 2),
    ]


def test_mapped_files_are_told_apart_by_identity_and_path(tmp_path: Path) -> None:
    def vma(at: int, inode: int, perms: str, path: bytes = b"/data", **more: Any) -> dict[str, Any]:
        device = (8 << 20) | 17
        return {"pid": 7, "ts_ns": START_NS + at, "inode": inode, "perms": perms, "path": path, "dev": device, **more}

    tables = {
        "vmas": [
            vma(1, 5, "rw-s", generation=3),
            vma(2, 5, "r--s", generation=3, pid=11),
            vma(3, 6, "r-xp", generation=4),
            vma(4, 0, "rw-p", b"//anon"),
        ],
        "maps": [
            {
                "pid": 13,
                "inode": 5,
                "perms": "r--p",
                "path": b"/data",
                "dev": (8 << 20) | 17,
                "ts_begin_ns": START_NS + 9,
            },
            {"pid": 13, "inode": 9, "perms": "r--p", "path": b"/old", "dev": 1 << 20, "ts_begin_ns": START_NS + 9},
        ],
    }
    sql = (
        "SELECT path, device, inode, generation, processes, records, executable, shared_writable, first_ns, last_ns "
        "FROM mapped_files ORDER BY inode"
    )
    assert _ask(tmp_path, tables, sql) == [
        ("/data", "08:11", 5, 3, 3, 3, False, True, START_NS + 1, START_NS + 9),
        ("/data", "08:11", 6, 4, 1, 1, True, False, START_NS + 3, START_NS + 3),
        ("/old", "01:00", 9, None, 1, 1, False, False, START_NS + 9, START_NS + 9),
    ]


def test_only_calls_that_made_a_file_smaller_are_truncations(tmp_path: Path) -> None:
    sizes = {
        "shrunk": ("ftruncate", 8192, 100, 0),
        "grown": ("ftruncate", 100, 8192, 0),
        "refused": ("ftruncate", 8192, 8192, 22),
        "unknown": ("openat", None, 0, 0),
        "allocated": ("fallocate", None, 4096, 0),
        "empty": ("ftruncate", 0, 0, 0),
    }
    tables = {
        "files": [
            _file_call(operation, at, errno=errno, path_given=name.encode(), old_size_bytes=old, new_size_bytes=new)
            for at, (name, (operation, old, new, errno)) in enumerate(sizes.items())
        ]
    }
    sql = (
        "SELECT path_given, operation, old_size_bytes, new_size_bytes, certainty FROM truncations ORDER BY ts_enter_ns"
    )
    assert _ask(tmp_path, tables, sql) == [
        ("shrunk", "ftruncate", 8192, 100, "certain"),
        ("unknown", "openat", None, 0, "possible"),
    ]


O_CREAT, O_EXCL, O_TRUNC = 0o100, 0o200, 0o1000
UNKNOWN = "how long it was before is not recorded"
CREATED = "whether it was there before, and how long, is not recorded"


def test_an_open_truncates_what_can_have_bytes_and_was_there(tmp_path: Path) -> None:
    opens = {
        "/data": (O_TRUNC, UNKNOWN),
        "/data/new": (O_TRUNC | O_CREAT, CREATED),
        "/data/fresh": (O_TRUNC | O_CREAT | O_EXCL, None),
        "/dev/null": (O_TRUNC | O_CREAT, None),
        "/dev/shm/segment": (O_TRUNC, UNKNOWN),
        "/dev/stdout": (O_TRUNC, UNKNOWN),
        "/proc/sys/vm/drop_caches": (O_TRUNC, None),
        "/proc/self/fd/3": (O_TRUNC, UNKNOWN),
        "/proc/7/task/9/fd/3": (O_TRUNC, UNKNOWN),
        "/sys/kernel/mm/lru_gen/enabled": (O_TRUNC, None),
    }
    tables = {
        "files": [
            _file_call("openat", at, path_given=path.encode(), flags=flags, old_size_bytes=None, new_size_bytes=0)
            for at, (path, (flags, _)) in enumerate(opens.items())
        ]
    }
    sql = "SELECT path_given, reason FROM truncations ORDER BY ts_enter_ns"
    assert _ask(tmp_path, tables, sql) == [(path, reason) for path, (_, reason) in opens.items() if reason]


def test_losses_are_added_up_with_their_interval_and_what_is_unknown(tmp_path: Path) -> None:
    def loss(count: int | None, begin: int, end: int, source: str = "calls") -> dict[str, Any]:
        times = {"from_ns": START_NS + begin, "to_ns": START_NS + end}
        return {"source": source, "cause": "ring full", "count": count, **times}

    tables = {"losses": [loss(23, 1, 2), loss(29, 5, 9), loss(None, 3, 4), loss(7, 0, 1, "sideband")]}
    sql = "SELECT source, gaps, lost, unknown, from_ns, to_ns FROM loss_intervals ORDER BY source"
    assert _ask(tmp_path, tables, sql) == [
        ("calls", 3, 52, 1, START_NS + 1, START_NS + 9),
        ("sideband", 1, 7, 0, START_NS, START_NS + 1),
    ]


def test_a_call_is_seen_under_the_kernels_argument_names(tmp_path: Path) -> None:
    tables = {
        "syscalls": [
            _call("remap_file_pages", 0, addr=0x7000, size=4096, prot=0, pgoff=3, flags=0x10000, offset_bytes=12288),
            _call("mremap", 1, addr=0x1000, size=4096, new_size=8192, new_addr=0x9000, flags=3, ret=0x9000),
            _call("mmap", 2, abi="i386", addr=0, size=4096, pgoff=5, offset_bytes=20480),
        ]
    }
    sql = "SELECT start, size, prot, pgoff, flags, offset_bytes FROM remap_file_pages"
    assert _ask(tmp_path / "a", tables, sql) == [(0x7000, 4096, 0, 3, 0x10000, 12288)]
    sql = "SELECT addr, old_len, new_len, flags, new_addr, ret FROM mremap"
    assert _ask(tmp_path / "b", tables, sql) == [(0x1000, 4096, 8192, 3, 0x9000, 0x9000)]
    sql = "SELECT len, off, pgoff, abi FROM mmap"
    assert _ask(tmp_path / "c", tables, sql) == [(4096, 20480, 5, "i386")]
