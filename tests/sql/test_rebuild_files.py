"""Every file of analysis/sql/rebuild: hand-made rows in, the rows of its table out.

One small recording tells of everything the files deal with: a program (7) that executes, maps, protects, moves, unmaps
and attaches, a heap that grows, a copy of it (8) made by a fork, a thread (71) that maps while another unmaps, a call
that fails halfway, a loss and the reading that ends the doubt. Times are in ns from the start, addresses in pages.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine, Limits
from analysis.rebuild import Rebuild
from tests.support.captures import START_NS, build_capture

PAGE = 4096
FOLDER = files("analysis").joinpath("sql", "rebuild")
NAMES = sorted(path.name.removesuffix(".sql") for path in FOLDER.iterdir() if path.name.endswith(".sql"))


def call(at: int, until: int, syscall: str, page: int = 0, pages: int = 0, ret: int = 0, **more: Any) -> dict[str, Any]:
    """A call; `ret` is the page it returned, or what `errno` says."""
    errno = more.pop("errno", 0)
    return {
        "ts_enter_ns": START_NS + at, "ts_exit_ns": START_NS + until, "pid": 7, "tid": 7, "mm": 1, "syscall": syscall,
        "abi": "x86_64", "addr": page * PAGE, "size": pages * PAGE, "ret": -errno if errno else ret * PAGE,
        "errno": errno, **more,
    }  # fmt: skip


def vma(at: int, page: int, pages: int, perms: str = "rw-p", **more: Any) -> dict[str, Any]:
    """A record of a mapping: of memory without a file, unless it says so."""
    return {
        "ts_ns": START_NS + at, "pid": 7, "tid": 7, "start": page * PAGE, "end": (page + pages) * PAGE, "perms": perms,
        "pgoff": page, "path": b"//anon", **more,
    }  # fmt: skip


def task(at: int, event: str, source: str = "perf", **more: Any) -> dict[str, Any]:
    return {"ts_ns": START_NS + at, "event": event, "source": source, "pid": 7, "tid": 7, **more}


def line(page: int, pages: int, perms: str, **more: Any) -> dict[str, Any]:
    """A line of the one reading."""
    return {
        "reading": 1, "reason": "resync: records were lost", "ts_begin_ns": START_NS + 900, "ts_end_ns": START_NS + 910,
        "pid": 7, "start": page * PAGE, "end": (page + pages) * PAGE, "perms": perms, **more,
    }  # fmt: skip


PROGRAM = {"dev": 8, "inode": 90, "path": b"/bin/program"}
SEGMENT = {"type": 1, "flags": 5, "offset": 0, "vaddr": 0, "filesz": 2 * PAGE, "memsz": 2 * PAGE, "align": PAGE}
SHM = {"dev": 1, "inode": 5, "path": b"/SYSV00000000 (deleted)", "pgoff": 0}
ROWS = {
    "tasks": [
        task(10, "exec"),
        task(30, "exec", "bpf", mm=1),
        task(35, "fork", tid=71, parent_pid=7, parent_tid=7),
        task(400, "fork", pid=8, tid=8, parent_pid=7, parent_tid=7),
        task(
            401,
            "clone",
            "bpf",
            pid=8,
            tid=8,
            parent_pid=7,
            parent_tid=7,
            clone_flags=17,
            mm=2,
            ts_enter_ns=START_NS + 350,
        ),
        task(1000, "exit", pid=8, tid=8),
    ],
    "images": [{"ts_ns": START_NS + 31, **PROGRAM, "segments": [SEGMENT]}],
    "vmas": [
        vma(20, 0x300, 5, "r-xp", **PROGRAM | {"pgoff": 0}),
        vma(105, 0x1000, 8),
        vma(115, 0x1002, 2, "r--p"),
        vma(205, 0x400, 2),
        vma(225, 0x2000, 3, "rw-s", **SHM),
        vma(265, 0x1006, 2, "---p", tid=71),
    ],
    "syscalls": [
        call(100, 110, "mmap", 0, 8, 0x1000, flags=34),
        call(112, 118, "mprotect", 0x1002, 2, prot=1),
        call(120, 130, "mremap", 0x1000, 1, 0x1800, flags=3, new_size=2 * PAGE, new_addr=0x1800 * PAGE),
        call(190, 195, "brk", 0, 0, 0x400),
        call(200, 210, "brk", 0x402, 0, 0x402),
        call(220, 230, "shmat", 0, 0, 0x2000, flags=0),
        call(240, 245, "madvise", 0x1004, 1, op=10),
        call(255, 275, "munmap", 0x1006, 2),
        call(260, 270, "mmap", 0, 2, 0x1006, flags=34, tid=71),
        call(300, 310, "shmdt", 0x2000),
        call(320, 330, "mmap", 0x1005, 1, errno=19, flags=18),
    ],
    "losses": [
        {
            "source": "sideband",
            "cpu": 0,
            "from_ns": START_NS + 800,
            "to_ns": START_NS + 850,
            "count": 3,
            "cause": "full",
        }
    ],
    "maps": [
        line(0x300, 2, "r-xp", **PROGRAM),
        line(0x400, 2, "rw-p", path=b"[heap]"),
        line(0x1001, 1, "rw-p"),
        line(0x1002, 2, "r--p"),
        line(0x1004, 1, "rw-p"),
        line(0x1006, 2, "---p"),
        line(0x1800, 2, "rw-p"),
    ],
}

EXPECTED: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "00_types": (
        "SELECT pages_up(4097), label(0, 0, '[heap]'::BLOB), label(8, 1, '/a\\x0Ab'::BLOB), enum_code('probe'::kind), cause_of(actor('brk'::cause, 'maps'::source, 4294967295)), cause_table_of(actor('brk'::cause, 'maps'::source, 4294967295)), actor('brk'::cause, 'maps'::source, 4294967295) >> 7",
        [
            (2, b"", b"/a\\012b", 3, "brk", "maps", 4294967295),  # -1: a thread that is gone
        ],
    ),
    "05_mm_seen": (
        "SELECT pid, mm, t(first_ns) FROM mm_seen",
        [
            (7, 1, 100),
        ],
    ),
    "10_segments": (
        "SELECT seg, pid, t(from_ns), t(to_ns), began, ended, parent_seg, parent_tid, shares, mm, t(exec_end_ns), t(fork_enter_ns) FROM segments",
        [
            (1, 7, 10, None, "exec", None, None, None, False, 1, 30, None),
            (2, 8, 400, 1000, "fork", "exit", 1, 7, False, 2, None, 350),
        ],
    ),
    "12_users": (
        "SELECT space, seg, pid, t(from_ns), t(to_ns), ended, next_ns = 9223372036854775807 FROM users",
        [
            (1, 1, 7, 10, None, None, True),
            (2, 2, 8, 400, 1000, "exit", True),
        ],
    ),
    "14_lives": (
        "SELECT space, t(from_ns), t(to_ns), began, ended, end_pid, parent, parent_tid, t(exec_end_ns), t(fork_enter_ns) FROM lives",
        [
            (1, 10, None, "exec", None, None, None, None, 30, None),
            (2, 400, 1000, "fork", "exit", 8, 1, 7, None, 350),
        ],
    ),
    "18_readings": (
        "SELECT reading, space, pid, t(begin_ns), t(end_ns), cause FROM readings",
        [
            (1, 1, 7, 900, 910, "resync"),
        ],
    ),
    "20_seen": (
        "SELECT perms, dev, inode, generation, path_bytes, look, path FROM seen",
        [
            ("---p", 0, 0, -1, b"", 1, b""),
            ("---p", 0, 0, 0, b"//anon", 2, b""),
            ("r--p", 0, 0, -1, b"", 3, b""),
            ("r--p", 0, 0, 0, b"//anon", 4, b""),
            ("r-xp", 8, 90, -1, b"/bin/program", 5, b"/bin/program"),
            ("r-xp", 8, 90, 0, b"/bin/program", 6, b"/bin/program"),
            ("rw-p", 0, 0, -1, b"", 7, b""),
            ("rw-p", 0, 0, -1, b"[heap]", 7, b""),
            ("rw-p", 0, 0, 0, b"//anon", 8, b""),
            ("rw-s", 1, 5, 0, b"/SYSV00000000 (deleted)", 9, b"/SYSV00000000 (deleted)"),
        ],
    ),
    "21_calls": (
        "SELECT tid, t(enter_ns), t(exit_ns), call, errno, p(page), pages, p(result), flags, new_pages, p(new_page), op, enter_ns IN (SELECT enter_ns FROM calls) FROM every_call",
        [
            (7, 100, 110, "mmap", 0, "0", 8, "1000", 34, None, None, 0, False),
            (7, 112, 118, "mprotect", 0, "1002", 2, "0", 0, None, None, 0, False),
            (7, 120, 130, "mremap", 0, "1000", 1, "1800", 3, 2, "1800", 0, True),
            (7, 190, 195, "brk", 0, "0", 0, "400", 0, None, None, 0, True),
            (7, 200, 210, "brk", 0, "402", 0, "402", 0, None, None, 0, True),
            (7, 220, 230, "shmat", 0, "0", 0, "2000", 0, None, None, 0, True),
            (7, 240, 245, "madvise", 0, "1004", 1, "0", 0, None, None, 10, True),
            (7, 255, 275, "munmap", 0, "1006", 2, "0", 0, None, None, 0, False),
            (7, 300, 310, "shmdt", 0, "2000", 0, "0", 0, None, None, 0, True),
            (7, 320, 330, "mmap", 19, "1005", 1, None, 18, None, None, 0, True),
            (71, 260, 270, "mmap", 0, "0", 2, "1006", 34, None, None, 0, False),
        ],
    ),
    "21_looks": (
        "SELECT look, perms, dev, inode, generation, path, alike FROM looks",
        [
            (0, None, None, None, None, None, 0),
            (1, "---p", 0, 0, None, b"", 1),
            (2, "---p", 0, 0, 0, b"", 1),
            (3, "r--p", 0, 0, None, b"", 2),
            (4, "r--p", 0, 0, 0, b"", 2),
            (5, "r-xp", 8, 90, None, b"/bin/program", 3),
            (6, "r-xp", 8, 90, 0, b"/bin/program", 3),
            (7, "rw-p", 0, 0, None, b"", 4),
            (8, "rw-p", 0, 0, 0, b"", 4),
            (9, "rw-s", 1, 5, 0, b"/SYSV00000000 (deleted)", 5),
        ],
    ),
    "22_lines": (
        "SELECT reading, space, t(begin_ns), cause, pid, p(lo), p(hi), look, p(base), heap FROM lines",
        [
            (1, 1, 900, "resync", 7, "1001", "1002", 7, "0", False),
            (1, 1, 900, "resync", 7, "1002", "1004", 3, "0", False),
            (1, 1, 900, "resync", 7, "1004", "1005", 7, "0", False),
            (1, 1, 900, "resync", 7, "1006", "1008", 1, "0", False),
            (1, 1, 900, "resync", 7, "1800", "1802", 7, "0", False),
            (1, 1, 900, "resync", 7, "300", "302", 5, "300", False),
            (1, 1, 900, "resync", 7, "400", "402", 7, "0", True),
        ],
    ),
    "23_breaks": (
        "SELECT space, t(at_ns), t(exit_ns), p(top), p(old_top) FROM breaks",
        [
            (1, 195, 195, "400", None),
            (1, 205, 210, "402", "400"),
            (1, 900, None, "402", "402"),
        ],
    ),
    "24_records": (
        "SELECT tid, t(ts_ns), p(lo), p(hi), look, p(base), cause, t(call_ns), flags, p(from_page), p(to_page) FROM records",
        [
            (7, 105, "1000", "1008", 8, "0", "mmap", 100, 34, "1000", "1008"),
            (7, 115, "1002", "1004", 4, "0", "mprotect", 112, 0, "1002", "1004"),
            (7, 20, "300", "305", 6, "300", "exec", None, None, "300", "305"),
            (7, 205, "400", "402", 8, "0", "brk", 200, 0, "400", "402"),
            (7, 225, "2000", "2003", 9, "2000", "shmat", 220, 0, "2000", "2003"),
            (71, 265, "1006", "1008", 2, "0", "mmap", 260, 34, "1006", "1008"),
        ],
    ),
    "25_unmaps": ("SELECT space, tid, t(ts_ns), lo, hi, t(call_ns), call, errno FROM unmaps", []),
    "26_removals": (
        "SELECT tid, t(enter_ns), t(exit_ns), cause, flags, p(take_lo), p(take_hi), attach_look, p(source), p(put_lo), p(put_hi), p(delta), several_hi FROM removals",
        [
            (7, 120, 130, "mremap", 3, "1000", "1001", None, "1000", "1800", "1802", "800", None),
            (7, 255, 275, "munmap", 0, "1006", "1008", None, None, None, None, None, None),
            (7, 300, 310, "shmdt", 0, "2000", "2003", 9, None, None, None, None, None),
        ],
    ),
    "27_hooked": ("SELECT id, t(ts_ns) FROM hooked", []),
    "27_images_at_exec": (
        "SELECT space, t(ts_ns), tid, p(from_page), p(to_page), known FROM images_at_exec",
        [
            (1, 20, 7, "302", "305", True),
        ],
    ),
    "27_races": (
        "SELECT removals.cause, verdict, t(other_ns), other_id, races.space, p(lo), p(hi), other FROM races JOIN removals USING (id)",
        [
            ("munmap", "before", 265, None, 1, "1006", "1008", "mmap"),
        ],
    ),
    "27_copies": (
        "SELECT copy, t(fork_ns), tid, p(lo), p(hi), cause FROM changed_meanwhile",
        [],  # see test_hooks.py
    ),
    "28_order": (
        "SELECT cause, k(key) FROM moments",
        [
            ("mremap", 1044),
            ("munmap", 2122),
            ("shmdt", 2484),
        ],
    ),
    "29_gaps": (
        "SELECT space, t(from_ns), t(to_ns), reason FROM gaps",
        [
            (1, 780, 910, "3 records of sideband were lost (full)"),
            (2, 780, 1000, "3 records of sideband were lost (full)"),
        ],
    ),
    "30_suspects": (
        "SELECT space, k(key), p(lo), p(hi), reason, tid FROM suspects",
        [
            (1, 2646, "1005", "1006", "a failed mmap(MAP_FIXED) can leave a hole", 7),
        ],
    ),
    "32_reasons": (
        "SELECT reason_number, reason FROM reasons",
        [
            (1, "a failed mmap(MAP_FIXED) can leave a hole"),
        ],
    ),
    "40_writes": (
        "SELECT plane, k(key), p(lo), p(hi), kind, soft, look, p(base), cause_of(actor), cause_table_of(actor), actor >> 7, t(call_ns) FROM writes WHERE cause_table_of(actor) <> 'maps' OR lo < 1026",
        [
            (4, 1043, "1000", None, "probe", False, None, "800", "mremap", "syscalls", 7, 120),
            (4, 1044, "1000", "1001", "clear", False, None, None, "mremap", "syscalls", 7, 120),
            (4, 1044, "1800", "1802", "copy", False, None, "800", "mremap", "syscalls", 7, 120),
            (4, 164, "300", "305", "set", False, 6, "300", "exec", "vmas", 7, None),
            (4, 1644, "400", "402", "set", False, 8, "0", "brk", "vmas", 7, 200),
            (4, 165, "302", "305", "clear", False, None, None, "exec", "vmas", 7, None),
            (4, 1804, "2000", "2003", "set", False, 9, "2000", "shmat", "vmas", 7, 220),
            (4, 2122, "1006", "1008", "clear", False, None, None, "munmap", "syscalls", 7, 255),
            (4, 2124, "1006", "1008", "set", False, 2, "0", "mmap", "vmas", 71, 260),
            (4, 2484, "2000", "2003", "clear attach", False, 9, "2000", "shmdt", "syscalls", 7, 300),
            (4, 3207, "0", None, "fork", False, None, "2", "fork", "tasks", 8, None),
            (4, 7200, "0", "300", "clear", True, None, None, "resync", "maps", 7, None),
            (4, 7200, "300", "302", "set", True, 5, "300", "resync", "maps", 7, None),
            (4, 7200, "302", "400", "clear", True, None, None, "resync", "maps", 7, None),
            (4, 7200, "400", "402", "set", True, 7, "0", "resync", "maps", 7, None),
            (4, 844, "1000", "1008", "set", False, 8, "0", "mmap", "vmas", 7, 100),
            (4, 924, "1002", "1004", "set", False, 4, "0", "mprotect", "vmas", 7, 112),
            (5, 1043, "1000", None, "probe", False, None, "800", "mremap", "syscalls", 7, 120),
            (5, 1044, "1000", "1001", "clear", False, None, None, "mremap", "syscalls", 7, 120),
            (5, 1044, "1800", "1802", "copy", False, None, "800", "mremap", "syscalls", 7, 120),
            (5, 164, "300", "305", "clear", False, None, "300", "exec", "vmas", 7, None),
            (5, 1644, "400", "402", "clear", False, None, "0", "brk", "vmas", 7, 200),
            (5, 165, "302", "305", "clear", False, None, None, "exec", "vmas", 7, None),
            (5, 1804, "2000", "2003", "clear", False, None, "2000", "shmat", "vmas", 7, 220),
            (5, 1964, "1004", "1005", "set", False, 0, "0", "madvise", "syscalls", 7, 240),
            (5, 2122, "1006", "1008", "clear", False, None, None, "munmap", "syscalls", 7, 255),
            (5, 2124, "1006", "1008", "clear", False, None, "0", "mmap", "vmas", 71, 260),
            (5, 2484, "2000", "2003", "clear", False, None, "2000", "shmdt", "syscalls", 7, 300),
            (5, 3207, "0", None, "fork", False, None, "2", "fork", "tasks", 8, None),
            (5, 844, "1000", "1008", "clear", False, None, "0", "mmap", "vmas", 7, 100),
            (6, 1043, "1000", None, "probe", False, None, "800", "mremap", "syscalls", 7, 120),
            (6, 1044, "1000", "1001", "clear", False, None, None, "mremap", "syscalls", 7, 120),
            (6, 1044, "1800", "1802", "copy", False, None, "800", "mremap", "syscalls", 7, 120),
            (6, 164, "300", "305", "clear", False, None, "300", "exec", "vmas", 7, None),
            (6, 1644, "400", "402", "clear", False, None, "0", "brk", "vmas", 7, 200),
            (6, 165, "302", "305", "clear", False, None, None, "exec", "vmas", 7, None),
            (6, 1804, "2000", "2003", "clear", False, None, "2000", "shmat", "vmas", 7, 220),
            (6, 2122, "1006", "1008", "clear", False, None, None, "munmap", "syscalls", 7, 255),
            (6, 2124, "1006", "1008", "clear", False, None, "0", "mmap", "vmas", 71, 260),
            (6, 2646, "1005", "1006", "set", False, 1, "0", "mmap", "syscalls", 7, None),
            (6, 3207, "0", None, "fork", False, None, "2", "fork", "tasks", 8, None),
            (6, 7287, "0", "8000000000000", "clear", False, None, None, "resync", "maps", 7, None),
            (6, 844, "1000", "1008", "clear", False, None, "0", "mmap", "vmas", 7, 100),
            (6, 924, "1002", "1004", "clear", False, None, "0", "mprotect", "vmas", 7, 112),
        ],
    ),
    "48_state": (
        "SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM pieces)",
        [
            (0, 0),
        ],
    ),
    "50_levels": (
        "SELECT space, level FROM levels",
        [
            (2, 1),
        ],
    ),
    "51_families": (
        "SELECT space, original, k(key), apart, again FROM parted",
        [
            (2, None, 3207, True, 0),
        ],
    ),
    "60_ranked": (
        "SELECT plane, w > coalesce(max(w) OVER (ORDER BY key, kind GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0), k(key), p(lo), p(hi), kind FROM ranked WHERE lo >= 4096 AND cause_table_of(actor) <> 'maps'",
        [
            (4, True, 1043, "1000", None, "probe"),
            (4, True, 1044, "1000", "1001", "clear"),
            (4, True, 1044, "1800", "1802", "copy"),
            (4, True, 1804, "2000", "2003", "set"),
            (4, True, 2122, "1006", "1008", "clear"),
            (4, True, 2124, "1006", "1008", "set"),
            (4, True, 2484, "2000", "2003", "clear attach"),
            (4, True, 844, "1000", "1008", "set"),
            (4, True, 924, "1002", "1004", "set"),
            (5, True, 1043, "1000", None, "probe"),
            (5, True, 1044, "1000", "1001", "clear"),
            (5, True, 1044, "1800", "1802", "copy"),
            (5, True, 1804, "2000", "2003", "clear"),
            (5, True, 1964, "1004", "1005", "set"),
            (5, True, 2122, "1006", "1008", "clear"),
            (5, True, 2124, "1006", "1008", "clear"),
            (5, True, 2484, "2000", "2003", "clear"),
            (5, True, 844, "1000", "1008", "clear"),
            (6, True, 1043, "1000", None, "probe"),
            (6, True, 1044, "1000", "1001", "clear"),
            (6, True, 1044, "1800", "1802", "copy"),
            (6, True, 1804, "2000", "2003", "clear"),
            (6, True, 2122, "1006", "1008", "clear"),
            (6, True, 2124, "1006", "1008", "clear"),
            (6, True, 2646, "1005", "1006", "set"),
            (6, True, 844, "1000", "1008", "clear"),
            (6, True, 924, "1002", "1004", "clear"),
        ],
    ),
    "61_edges": (
        "SELECT c, plane, p(page) FROM edges WHERE plane = 4",
        [
            (1, 4, "0"),
            (10, 4, "1004"),
            (11, 4, "1005"),
            (12, 4, "1006"),
            (13, 4, "1008"),
            (14, 4, "1800"),
            (15, 4, "1802"),
            (16, 4, "2000"),
            (17, 4, "2003"),
            (18, 4, "8000000000000"),
            (2, 4, "300"),
            (3, 4, "302"),
            (4, 4, "305"),
            (5, 4, "400"),
            (6, 4, "402"),
            (7, 4, "1000"),
            (8, 4, "1001"),
            (9, 4, "1002"),
        ],
    ),
    "62_spans": (
        "SELECT kind, p(lo), p(hi), first, past FROM spans WHERE plane = 4 AND cause_table_of(actor) <> 'maps'",
        [
            ("clear attach", "2000", "2003", 16, 17),
            ("clear", "1000", "1001", 7, 8),
            ("clear", "1006", "1008", 12, 13),
            ("clear", "302", "305", 3, 4),
            ("copy", "1800", "1802", 14, 15),
            ("fork", "0", None, 1, 18),
            ("probe", "1000", None, 7, 8),
            ("set", "1000", "1008", 7, 13),
            ("set", "1002", "1004", 9, 10),
            ("set", "1006", "1008", 12, 13),
            ("set", "2000", "2003", 16, 17),
            ("set", "300", "305", 2, 4),
            ("set", "400", "402", 5, 6),
        ],
    ),
    "63_cells": (
        "SELECT c, kind, makes, wide FROM cells JOIN spans USING (w) WHERE cells.plane = 4 AND cause_table_of(cells.actor) <> 'maps'",
        [
            (10, "set", True, True),
            (11, "set", True, True),
            (12, "clear", False, False),
            (12, "set", True, False),
            (12, "set", True, True),
            (14, "copy", True, False),
            (16, "clear attach", False, False),
            (16, "set", True, False),
            (2, "set", True, True),
            (3, "clear", False, False),
            (3, "set", True, True),
            (5, "set", True, False),
            (7, "clear", False, False),
            (7, "probe", False, False),
            (7, "set", True, True),
            (8, "set", True, True),
            (9, "set", True, False),
            (9, "set", True, True),
        ],
    ),
    "64_befores": (
        "SELECT befores.c, asks.kind, cause_table_of(asks.actor), stood.kind, k(stood.key) FROM befores JOIN spans AS asks ON befores.w = asks.w LEFT JOIN spans AS stood ON befores.before = stood.w WHERE asks.plane = 4 AND (cause_table_of(asks.actor) <> 'maps' OR asks.kind = 'set')",
        [
            (10, "set", "maps", "set", 844),
            (12, "set", "maps", "set", 2124),
            (14, "set", "maps", "copy", 1044),
            (16, "clear attach", "syscalls", "set", 1804),
            (2, "set", "maps", "set", 164),
            (5, "set", "maps", "set", 1644),
            (7, "probe", "syscalls", "set", 844),
            (8, "set", "maps", "set", 844),
            (9, "set", "maps", "set", 924),
        ],
    ),
    "65_nodes": (
        "SELECT nodes.c, kind, from_c, shift, left_there, nodes.moved, attach_look FROM nodes JOIN spans USING (w)",
        [
            (0, "copy", 0, 2048, False, True, None),
            (0, "copy", 0, 2048, False, True, None),
            (0, "copy", 0, 2048, True, True, None),
            (16, "clear attach", 0, 0, False, False, 9),
        ],
    ),
    "66_step": (
        "SELECT carried.c, kind, there, carried.look, p(carried.base), file, moved FROM carried JOIN spans USING (w)",
        [
            (0, "clear", False, None, "0", False, True),
            (0, "clear", False, None, "0", False, True),
            (0, "copy", False, 0, "0", False, True),
            (0, "copy", False, 0, "0", False, True),
            (0, "copy", True, 8, "0", False, True),
            (0, "set", True, 8, "0", False, True),
            (0, "set", True, 9, "2000", True, True),
            (16, "clear attach", False, 9, "2000", True, True),
        ],
    ),
    "67_resolve": (
        "SELECT kind, look, base FROM spans WHERE cause_of(actor) = 'mremap' AND kind = 'copy'",
        [
            ("copy", 8, 0),
        ],
    ),
    "69_idle": (
        "SELECT idle.c, kind, cause_table_of(actor) FROM idle JOIN spans USING (w) WHERE plane = 4",
        [
            (1, "clear", "maps"),
            (10, "set", "maps"),
            (12, "set", "maps"),
            (13, "clear", "maps"),
            (14, "set", "maps"),
            (15, "clear", "maps"),
            (16, "clear", "maps"),
            (17, "clear", "maps"),
            (2, "set", "maps"),
            (3, "clear", "maps"),
            (4, "clear", "maps"),
            (5, "set", "maps"),
            (6, "clear", "maps"),
            (7, "clear", "maps"),
            (7, "probe", "syscalls"),
            (8, "set", "maps"),
            (9, "set", "maps"),
        ],
    ),
    "70_lasting": (
        "SELECT lasting.c, one.kind, cause_table_of(lasting.actor), wide, other.kind, cause_table_of(end_actor), end_key IS NOT DISTINCT FROM other.key FROM lasting JOIN spans AS one USING (w) LEFT JOIN spans AS other ON ended_by = other.w WHERE one.plane = 4",
        [
            (10, "set", "vmas", True, None, None, True),
            (11, "set", "vmas", True, "clear", "maps", True),
            (12, "set", "vmas", False, None, None, True),
            (12, "set", "vmas", True, "clear", "syscalls", True),
            (14, "copy", "syscalls", False, None, None, True),
            (16, "set", "vmas", False, "clear attach", "syscalls", True),
            (2, "set", "vmas", True, None, None, True),
            (3, "set", "vmas", True, "clear", "vmas", True),
            (5, "set", "vmas", False, None, None, True),
            (7, "set", "vmas", True, "clear", "syscalls", True),
            (8, "set", "vmas", True, None, None, True),
            (9, "set", "vmas", False, None, None, True),
            (9, "set", "vmas", True, "set", "vmas", True),
        ],
    ),
    "71_joined": (
        "SELECT p(spans.lo), p(spans.hi), joined.first, last, cause_of(end_actor) FROM joined JOIN spans USING (w) WHERE spans.plane = 4",
        [
            ("1000", "1008", 10, 10, None),
            ("1000", "1008", 11, 11, "resync"),
            ("1000", "1008", 12, 12, "munmap"),
            ("1000", "1008", 7, 7, "mremap"),
            ("1000", "1008", 8, 8, None),
            ("1000", "1008", 9, 9, "mprotect"),
            ("300", "305", 2, 2, None),
            ("300", "305", 3, 3, "exec"),
        ],
    ),
    "72_made": (
        "SELECT made.plane, k(made.key), p(made.lo), p(made.hi), made.look, p(made.base), cause_of(actor), cause_of(end_actor) FROM made",
        [
            (4, 1044, "1800", "1802", 8, "0", "mremap", None),
            (4, 164, "300", "302", 6, "300", "exec", None),
            (4, 164, "302", "305", 6, "300", "exec", "exec"),
            (4, 1644, "400", "402", 8, "0", "brk", None),
            (4, 1804, "2000", "2003", 9, "2000", "shmat", "shmdt"),
            (4, 2124, "1006", "1008", 2, "0", "mmap", None),
            (4, 844, "1000", "1001", 8, "0", "mmap", "mremap"),
            (4, 844, "1001", "1002", 8, "0", "mmap", None),
            (4, 844, "1002", "1004", 8, "0", "mmap", "mprotect"),
            (4, 844, "1004", "1005", 8, "0", "mmap", None),
            (4, 844, "1005", "1006", 8, "0", "mmap", "resync"),
            (4, 844, "1006", "1008", 8, "0", "mmap", "munmap"),
            (4, 924, "1002", "1004", 4, "0", "mprotect", None),
            (5, 1964, "1004", "1005", 0, "0", "madvise", None),
            (6, 2646, "1005", "1006", 1, "0", "mmap", "resync"),
        ],
    ),
    "73_close": (
        "SELECT plane, p(lo), p(hi), t(from_ns), t(to_ns), cause_of(actor), cause_of(end_actor), end_actor >> 7 FROM pieces",
        [
            (4, "1000", "1001", 105, 130, "mmap", "mremap", 7),
            (4, "1002", "1004", 105, 115, "mmap", "mprotect", 7),
            (4, "1005", "1006", 105, 900, "mmap", "resync", 7),
            (4, "1006", "1008", 105, 265, "mmap", "munmap", 7),
            (4, "2000", "2003", 225, 310, "shmat", "shmdt", 7),
            (6, "1005", "1006", 330, 910, "mmap", "resync", 7),
        ],
    ),
    "74_inherited": (
        "SELECT plane, copy, k(key), p(lo), p(hi), look, pid FROM inherited",
        [
            (4, 2, 3207, "1001", "1002", 8, 8),
            (4, 2, 3207, "1002", "1004", 4, 8),
            (4, 2, 3207, "1004", "1006", 8, 8),
            (4, 2, 3207, "1006", "1008", 2, 8),
            (4, 2, 3207, "1800", "1802", 8, 8),
            (4, 2, 3207, "300", "302", 6, 8),
            (4, 2, 3207, "400", "402", 8, 8),
            (5, 2, 3207, "1004", "1005", 0, 8),
            (6, 2, 3207, "1005", "1006", 1, 8),
        ],
    ),
    "75_copy": (
        "SELECT plane, k(key), p(lo), p(hi), cause_of(actor), cause_table_of(actor), actor >> 7 FROM live WHERE plane >= 8",
        [
            (10, 3206, "1005", "1006", "fork", "tasks", 8),
            (8, 3206, "1001", "1002", "fork", "tasks", 8),
            (8, 3206, "1002", "1004", "fork", "tasks", 8),
            (8, 3206, "1004", "1006", "fork", "tasks", 8),
            (8, 3206, "1006", "1008", "fork", "tasks", 8),
            (8, 3206, "1800", "1802", "fork", "tasks", 8),
            (8, 3206, "300", "302", "fork", "tasks", 8),
            (8, 3206, "400", "402", "fork", "tasks", 8),
        ],
    ),
    "76_ended": (
        "SELECT plane, p(lo), p(hi), t(from_ns), t(to_ns), cause_of(end_actor), cause_table_of(end_actor), end_actor >> 7 FROM pieces WHERE plane >= 8",
        [
            (10, "1005", "1006", 400, 1000, "exit", "tasks", 8),
            (8, "1001", "1002", 400, 1000, "exit", "tasks", 8),
            (8, "1002", "1004", 400, 1000, "exit", "tasks", 8),
            (8, "1005", "1006", 400, 1000, "exit", "tasks", 8),
            (8, "1006", "1008", 400, 1000, "exit", "tasks", 8),
            (8, "1800", "1802", 400, 1000, "exit", "tasks", 8),
            (8, "300", "302", 400, 1000, "exit", "tasks", 8),
            (8, "400", "402", 400, 1000, "exit", "tasks", 8),
        ],
    ),
    "80_eras": (
        "SELECT space, t(from_ns), t(to_ns), reason FROM eras WHERE from_ns > 0 AND to_ns < 9223372036854775807",
        [
            (1, 780, 910, "3 records of sideband were lost (full)"),
            (2, 780, 1000, "3 records of sideband were lost (full)"),
        ],
    ),
    "81_doubts": (
        "SELECT space, p(lo), hi = 1::BIGINT << 51, t(from_ns), t(to_ns), reason FROM doubts_found",
        [
            (1, "0", True, 780, 910, "3 records of sideband were lost (full)"),
            (1, "1005", False, 330, 910, "a failed mmap(MAP_FIXED) can leave a hole"),
            (2, "0", True, 780, 1000, "3 records of sideband were lost (full)"),
            (2, "1005", False, 400, 1000, "a failed mmap(MAP_FIXED) can leave a hole"),
        ],
    ),
    "82_rectangles": (
        "SELECT space, pid, format('{:x}-{:x}', start, \"end\"), t(from_ns), t(to_ns), perms, inode, offset_bytes, cause_of(actor), t(cause_ns), tid_of(actor), t(call_ns), cause_of(end_actor), t(end_ns), if(reason IS NULL, 'certain', 'possible'), reason FROM rectangles WHERE start >= 16797696",
        [
            (1, 7, "1005000-1006000", 105, 330, "rw-p", 0, 0, "mmap", 105, 7, 100, "resync", 900, "certain", None),
            (
                1,
                7,
                "1005000-1006000",
                330,
                780,
                "rw-p",
                0,
                0,
                "mmap",
                105,
                7,
                100,
                "resync",
                900,
                "possible",
                "a failed mmap(MAP_FIXED) can leave a hole",
            ),
            (
                1,
                7,
                "1005000-1006000",
                780,
                900,
                "rw-p",
                0,
                0,
                "mmap",
                105,
                7,
                100,
                "resync",
                900,
                "possible",
                "3 records of sideband were lost (full)",
            ),
            (1, 7, "1006000-1008000", 105, 265, "rw-p", 0, 0, "mmap", 105, 7, 100, "munmap", 255, "certain", None),
            (1, 7, "1006000-1008000", 265, 780, "---p", 0, 0, "mmap", 265, 71, 260, None, None, "certain", None),
            (
                1,
                7,
                "1006000-1008000",
                780,
                910,
                "---p",
                0,
                0,
                "mmap",
                265,
                71,
                260,
                None,
                None,
                "possible",
                "3 records of sideband were lost (full)",
            ),
            (1, 7, "1006000-1008000", 910, None, "---p", 0, 0, "mmap", 265, 71, 260, None, None, "certain", None),
            (1, 7, "1800000-1802000", 130, 780, "rw-p", 0, 0, "mremap", 120, 7, 120, None, None, "certain", None),
            (
                1,
                7,
                "1800000-1802000",
                780,
                910,
                "rw-p",
                0,
                0,
                "mremap",
                120,
                7,
                120,
                None,
                None,
                "possible",
                "3 records of sideband were lost (full)",
            ),
            (1, 7, "1800000-1802000", 910, None, "rw-p", 0, 0, "mremap", 120, 7, 120, None, None, "certain", None),
            (1, 7, "2000000-2003000", 225, 310, "rw-s", 5, 0, "shmat", 225, 7, 220, "shmdt", 300, "certain", None),
            (
                2,
                8,
                "1005000-1006000",
                400,
                780,
                "rw-p",
                0,
                0,
                "fork",
                400,
                8,
                None,
                "exit",
                1000,
                "possible",
                "a failed mmap(MAP_FIXED) can leave a hole",
            ),
            (
                2,
                8,
                "1005000-1006000",
                780,
                1000,
                "rw-p",
                0,
                0,
                "fork",
                400,
                8,
                None,
                "exit",
                1000,
                "possible",
                "3 records of sideband were lost (full)",
            ),
            (2, 8, "1006000-1008000", 400, 780, "---p", 0, 0, "fork", 400, 8, None, "exit", 1000, "certain", None),
            (
                2,
                8,
                "1006000-1008000",
                780,
                1000,
                "---p",
                0,
                0,
                "fork",
                400,
                8,
                None,
                "exit",
                1000,
                "possible",
                "3 records of sideband were lost (full)",
            ),
            (2, 8, "1800000-1802000", 400, 780, "rw-p", 0, 0, "fork", 400, 8, None, "exit", 1000, "certain", None),
            (
                2,
                8,
                "1800000-1802000",
                780,
                1000,
                "rw-p",
                0,
                0,
                "fork",
                400,
                8,
                None,
                "exit",
                1000,
                "possible",
                "3 records of sideband were lost (full)",
            ),
        ],
    ),
    "83_spaces": (
        "SELECT space, pid, len(users), t(from_ns), t(to_ns), began, parent, ended FROM spaces_found",
        [
            (1, 7, 1, 10, None, "exec", None, None),
            (2, 8, 1, 400, 1000, "fork", 1, "exit"),
        ],
    ),
    "84_marks": (
        "SELECT space, t(from_ns), mark, p((address >> 12)::BIGINT) FROM marks_found",
        [
            (1, 10, "start_brk", "400"),
            (1, 195, "brk", "400"),
            (1, 205, "brk", "402"),
            (1, 900, "brk", "402"),
        ],
    ),
    "85_traits": (
        'SELECT space, t(ts_ns), p((start >> 12)::BIGINT), p(("end" >> 12)::BIGINT), trait, value FROM traits_found',
        [
            (1, 245, "1004", "1005", "fork", "10"),
        ],
    ),
}


class Watched(Rebuild):
    """Asks the query of each file just after the file first ran and made something of it."""

    def __init__(self, engine: Engine, queries: dict[str, str]) -> None:
        super().__init__(engine, deep=0)
        self._asked, self._queries = engine, queries
        self.found: dict[str, list[tuple[Any, ...]]] = {}

    def _run(self, name: str) -> None:
        super()._run(name)
        [file] = [file for file in NAMES if file[3:] == name]
        if not self.found.get(file):
            self.found[file] = sorted(self._asked.execute(self._queries[file]), key=repr)


def rebuilt_files(directory: Path, queries: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """What each file made of the rows."""
    with Engine(open_captures([build_capture(directory / "capture", ROWS)])) as engine:
        engine.execute(f"CREATE TEMP MACRO t(ns) AS ns::BIGINT - {START_NS}")
        engine.execute(f"CREATE TEMP MACRO k(key) AS key::BIGINT - {START_NS * 8}")
        engine.execute("CREATE TEMP MACRO p(page) AS format('{:x}', page)")
        watched = Watched(engine, queries)
        watched.run()
        return watched.found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    return rebuilt_files(tmp_path_factory.mktemp("files"), {name: query for name, (query, _) in EXPECTED.items()})


@pytest.mark.parametrize("name", NAMES)
def test_rows_in_rows_out(name: str, found: dict[str, list[tuple[Any, ...]]]) -> None:
    assert found[name] == EXPECTED[name][1]


def rectangles(directory: Path, rows: dict[str, list[dict[str, Any]]], **slices: int) -> list[tuple[Any, ...]]:
    with Engine(open_captures([build_capture(directory / "capture", rows)])) as engine:
        Rebuild(engine, **slices).run()
        return engine.execute("SELECT * FROM rectangles ORDER BY ALL")


@pytest.mark.parametrize(
    "slices",
    [{"slice_writes": 1}, {"slice_writes": 3}, {"slice_cells": 1}, {"slice_writes": 8, "step_writes": 1}, {"deep": 0}],
    ids=str,
)
def test_slices_do_not_show(slices: dict[str, int], tmp_path: Path) -> None:
    """Wherever the time is cut; a move is written as two things that belong together."""
    assert rectangles(tmp_path / "cut", ROWS, **slices) == rectangles(tmp_path / "whole", ROWS)


def test_a_call_that_goes_on_over_a_reading_disturbs_it(tmp_path: Path) -> None:
    """Also where another, which only began after the reading, returned first."""
    calls = [call(895, 960, "munmap", 0x1006, 2, tid=71), call(925, 935, "mmap", 0, 1, 0x3000, flags=34)]
    rows = ROWS | {"syscalls": [*ROWS["syscalls"], *calls], "vmas": [*ROWS["vmas"], vma(930, 0x3000, 1)], "losses": []}
    with Engine(open_captures([build_capture(tmp_path / "capture", rows)])) as engine:
        Rebuild(engine).run()
        assert engine.execute(f"SELECT space, from_ns - {START_NS}, reason FROM gaps") == [
            (1, 900, "mappings changed while they were read")
        ]


def test_what_can_have_been_taken_at_once_is_possible_wherever_it_goes(tmp_path: Path) -> None:
    """A munmap of free pages by another thread: in a copy and after a move of several, not after a move of one."""
    calls = [
        # where the kernel maps, and where it moves to, another thread's munmap is under way
        call(500, 530, "munmap", 0x6000, 4, tid=71), call(505, 520, "mmap", 0, 2, 0x6001, flags=34),
        call(540, 570, "munmap", 0x7000, 4, tid=71),
        call(545, 560, "mremap", 0x1002, 2, 0x7001, flags=1, new_size=3 * PAGE),
        call(600, 610, "mremap", 0x6001, 2, 0x8001, flags=3, new_size=2 * PAGE, new_addr=0x8001 * PAGE),
        call(620, 630, "mremap", 0x7001, 3, 0x9001, flags=3, new_size=2 * PAGE, new_addr=0x9001 * PAGE),
    ]  # fmt: skip
    fork = [
        task(580, "fork", pid=9, tid=9, parent_pid=7, parent_tid=7),
        task(581, "clone", "bpf", pid=9, tid=9, parent_pid=7, parent_tid=7, clone_flags=17, mm=3),
    ]
    rows = ROWS | {
        "syscalls": [*ROWS["syscalls"], *calls], "vmas": [*ROWS["vmas"], vma(510, 0x6001, 2)],
        "tasks": [*ROWS["tasks"], *fork], "losses": [], "maps": [],
    }  # fmt: skip
    with Engine(open_captures([build_capture(tmp_path / "capture", rows)])) as engine:
        Rebuild(engine).run()
        found = engine.execute(
            "SELECT space, format('{:x}', start >> 12), ((\"end\" - start) >> 12)::INTEGER, cause_of(actor), reason IS NOT NULL "
            "FROM rectangles WHERE start >= 24576::UBIGINT << 12 ORDER BY ALL"
        )
    assert found == [
        (1, "6001", 2, "mmap", True),
        (1, "7001", 3, "mremap", True),
        (1, "8001", 2, "mremap", True),
        (1, "9001", 2, "mremap", False),
        (3, "6001", 2, "fork", True),
        (3, "7001", 3, "fork", True),
    ]


def test_rows_of_a_table_made_in_an_order_are_numbered_in_it(tmp_path: Path) -> None:
    """The number of a write is its place in the order; DuckDB makes tables with all its threads."""
    capture = build_capture(tmp_path / "capture", ROWS)
    with Engine(open_captures([capture]), Limits(threads=4)) as engine:
        engine.execute("CREATE TABLE made AS SELECT hash(i) AS key, i FROM range(1_000_003) AS of(i) ORDER BY key, i")
        wrong = "count_if(rowid <> number OR key < before)"
        numbered = "SELECT rowid, key, row_number() OVER (ORDER BY rowid) - 1 AS number, lag(key) OVER (ORDER BY rowid) AS before"
        assert engine.execute(f"SELECT count(*), {wrong} FROM ({numbered} FROM made)") == [(1_000_003, 0)]


def test_every_column_of_every_table_is_documented(tmp_path: Path) -> None:
    """The database is asked which columns there are; the files must have a comment for each, under its name."""
    text = "\n".join(FOLDER.joinpath(f"{name}.sql").read_text() for name in NAMES)
    with Engine(open_captures([build_capture(tmp_path / "capture", ROWS)]), whole=True) as engine:
        found: set[tuple[str, str, str]] = set()

        class Listing(Rebuild):
            """Some tables are dropped on the way."""

            def _run(self, name: str) -> None:
                super()._run(name)
                found.update(engine.columns())

        before = set(engine.columns())
        Listing(engine).run()
        made = {(table, column) for table, column, _ in found - before if table != "damages"}
    assert len(made) > 150
    assert {(table, column) for table, column in made if not _documented(text, table, column)} == set()
    for name in NAMES:
        assert FOLDER.joinpath(f"{name}.sql").read_text().startswith("-- "), name


def _documented(text: str, table: str, column: str) -> bool:
    """Whether some header of the table names the column below a comment, alone or with others on the line."""
    headers = re.findall(rf"CREATE (?:OR REPLACE )?(?:TABLE|VIEW) {table} \((.*?)\n\)", text, re.DOTALL)
    line = rf'--[^\n]*\n(?: *"?\w+"?[^\n-]*,\n)? *[^\n-]*\b{column}\b'
    return any(re.search(line, header) for header in headers)
