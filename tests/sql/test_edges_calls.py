"""Clobbered mappings, races, calls that failed halfway and ENOMEM, from rows written by hand.

Page numbers stand for addresses / 4096; the program is process 1, its threads get their numbers from the kernel of
tests.support.oracle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze_rows
from tests.support.oracle import (
    FIXED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MAYMOVE,
    PAGE,
    Kernel,
    Page,
    Thread,
)  # fmt: skip

MEMORY, NOTHING = Page("rw-p"), Page("---p")
DATA, OTHER = Page("rw-s", 77, 0, b"/data/store"), Page("rw-s", 78, 0, b"/data/other")
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS


def _found(directory: Path, kernel: Kernel, kind: str, **manifest: Any) -> list[dict[str, Any]]:
    capture = build_capture(directory / "capture", kernel.rows, **manifest)
    rows = analyze_rows("edges", capture, "--kind", kind, "--expected")
    return [{**row, "facts": dict(row["facts"])} for row in rows]


def _two() -> tuple[Kernel, Thread, Thread]:
    kernel = Kernel()
    first = kernel.start()
    return kernel, first, kernel.thread(first)


@pytest.mark.parametrize(
    ("victim", "by_other", "new", "flags", "severity", "expected"),
    [
        (MEMORY, True, DATA, MAP_SHARED, "medium", None),
        (MEMORY, False, DATA, MAP_SHARED, "low", None),
        (DATA, False, OTHER, MAP_SHARED, "medium", None),
        (DATA, True, DATA, MAP_SHARED, "info", "the same part of the same file was mapped again"),
        (NOTHING, True, MEMORY, PRIVATE, "info", "it was reserved, without access"),
        (MEMORY, False, MEMORY, PRIVATE, "info", "fresh memory in the place of its own"),
        (MEMORY, True, MEMORY, PRIVATE, "medium", None),
    ],
)
def test_what_was_replaced_and_by_whom_decides(
    tmp_path: Path, victim: Page, by_other: bool, new: Page, flags: int, severity: str, expected: str | None
) -> None:
    kernel, first, second = _two()
    owner = second if by_other else first
    kernel.mmap(owner, 0x500, 7, victim, MAP_SHARED if victim.inode else PRIVATE)
    for row in kernel.rows["syscalls"]:
        row.setdefault("prot", 3)
    kernel.mmap(first, 0x502, 3, new.after(2) if new.inode == victim.inode else new, flags | MAP_FIXED)
    kernel.rows["syscalls"][-1].setdefault("prot", 3)
    [row] = _found(tmp_path, kernel, "clobbered")
    assert (row["severity"], row["expected"], row["certainty"]) == (severity, expected, "certain")
    assert (row["tid"], row["other_tid"]) == (first.tid, owner.tid)
    assert (row["start"], row["end"]) == (0x502 * PAGE, 0x505 * PAGE)
    assert row["offset_bytes"] == (2 * PAGE if victim.inode else 0)


def test_mremap_takes_what_was_at_its_new_place(tmp_path: Path) -> None:
    kernel, first, second = _two()
    kernel.mmap(second, 0x500, 5, MEMORY, PRIVATE)
    kernel.mmap(first, 0x520, 3, MEMORY, PRIVATE)
    kernel.mremap(first, 0x520, 3, 3, 0x501, MAYMOVE | FIXED)
    [row] = _found(tmp_path, kernel, "clobbered")
    assert (row["call"], row["start"], row["end"]) == ("mremap", 0x501 * PAGE, 0x504 * PAGE)


def test_after_a_loss_a_clobbered_mapping_is_only_possible(tmp_path: Path) -> None:
    kernel, first, second = _two()
    kernel.mmap(second, 0x500, 5, MEMORY, PRIVATE)
    kernel.lose(first, 1000)
    kernel.mmap(first, 0x500, 5, DATA, MAP_SHARED | MAP_FIXED)
    rows = _found(tmp_path, kernel, "clobbered")
    assert [row["certainty"] for row in rows] == ["possible"] * len(rows)
    assert all("lost" in row["reason"] for row in rows)


def _call(tid: int, since: int, until: int, syscall: str, page: int, pages: int, **more: Any) -> dict[str, Any]:
    return {
        "ts_enter_ns": START_NS + since, "ts_exit_ns": START_NS + until, "pid": 7, "tid": tid, "mm": 1, "comm": b"app",
        "syscall": syscall, "abi": "x86_64", "addr": page * PAGE, "size": pages * PAGE, "ret": 0, **more,
    }  # fmt: skip


def _vma(tid: int, at: int, page: int, pages: int, perms: str = "rw-p", **more: Any) -> dict[str, Any]:
    return {
        "ts_ns": START_NS + at, "pid": 7, "tid": tid, "start": page * PAGE, "end": (page + pages) * PAGE,
        "perms": perms, "pgoff": page, "path": b"//anon", **more,
    }  # fmt: skip


BEGINNING = {
    "tasks": [
        {"ts_ns": START_NS + 10, "event": "exec", "source": "perf", "pid": 7, "tid": 7, "comm": b"app"},
        {"ts_ns": START_NS + 11, "event": "exec", "source": "bpf", "pid": 7, "tid": 7, "path": b"/bin/app"},
    ],
    "vmas": [_vma(7, 110, 0x100, 16)],
    "syscalls": [_call(7, 100, 120, "mmap", 0x100, 16, ret=0x100 * PAGE, flags=34, prot=3)],
}


def _races(directory: Path, *calls: dict[str, Any], vmas: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    rows = {**BEGINNING, "syscalls": [*BEGINNING["syscalls"], *calls], "vmas": [*BEGINNING["vmas"], *vmas]}
    capture = build_capture(directory / "capture", rows)
    found = analyze_rows("edges", capture, "--kind", "races", "--expected")
    return [{**row, "facts": dict(row["facts"])} for row in found]


FIXED_FLAGS = {"flags": PRIVATE | MAP_FIXED, "prot": 3}


@pytest.mark.parametrize(
    ("one", "two", "vmas", "first"),
    [
        # a protection needs its pages
        (_call(7, 200, 300, "mprotect", 0x100, 4, prot=1), _call(8, 250, 350, "munmap", 0x102, 4), (_vma(7, 260, 0x100, 4, "r--p"),), "mprotect"),
        (_call(7, 200, 300, "munmap", 0x100, 4), _call(8, 250, 350, "mprotect", 0x102, 4, prot=1, ret=-12, errno=12), (), "munmap"),
        # records are in the order of what was done
        (
            _call(7, 200, 300, "mprotect", 0x100, 4, prot=1), _call(8, 250, 350, "mprotect", 0x102, 4, prot=0),
            (_vma(7, 290, 0x100, 4, "r--p"), _vma(8, 280, 0x102, 4, "---p")), "mprotect",
        ),
        # of these nothing tells
        (
            _call(7, 200, 300, "munmap", 0x100, 4), _call(8, 250, 350, "mmap", 0x102, 4, ret=0x102 * PAGE, **FIXED_FLAGS),
            (_vma(8, 280, 0x102, 4),), "",
        ),
        (
            _call(7, 200, 300, "madvise", 0x100, 4, op=4), _call(8, 250, 350, "mmap", 0x102, 4, ret=0x102 * PAGE, **FIXED_FLAGS),
            (_vma(8, 280, 0x102, 4),), "",
        ),
        # unless the record came after the other's return
        (
            _call(7, 200, 300, "munmap", 0x100, 4), _call(8, 250, 350, "mmap", 0x102, 4, ret=0x102 * PAGE, **FIXED_FLAGS),
            (_vma(8, 320, 0x102, 4),), "munmap",
        ),
        (
            _call(7, 200, 300, "mmap", 0x102, 4, ret=0x102 * PAGE, **FIXED_FLAGS), _call(8, 250, 350, "munmap", 0x100, 4),
            (_vma(7, 240, 0x102, 4),), "mmap",
        ),
    ],
    ids=["protect-unmap", "unmap-protect", "protect-protect", "unmap-map", "drop-map", "unmap-then-map", "map-then-unmap"],
)  # fmt: skip
def test_calls_whose_order_decides(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any], vmas: tuple[dict[str, Any], ...], first: str
) -> None:
    [row] = _races(tmp_path, one, two, vmas=vmas)
    assert (row["tid"], row["call"], row["other_tid"], row["other_call"]) == (7, one["syscall"], 8, two["syscall"])
    assert (row["start"], row["end"]) == (0x102 * PAGE, 0x104 * PAGE)
    assert row["facts"]["first"] == first
    assert row["facts"]["overlap_ns"] == "50"
    assert row["certainty"] == ("certain" if first else "possible")


@pytest.mark.parametrize(
    ("one", "two", "vmas"),
    [
        # one after the other, on the same pages
        (_call(7, 200, 240, "munmap", 0x100, 4), _call(8, 250, 350, "mprotect", 0x102, 4, prot=1, ret=-12, errno=12), ()),
        # at once, next to each other
        (_call(7, 200, 300, "munmap", 0x100, 2), _call(8, 250, 350, "munmap", 0x102, 4), ()),
        (_call(7, 200, 300, "mprotect", 0x100, 2, prot=1), _call(8, 250, 350, "mprotect", 0x102, 4, prot=0), ()),
        # the same in either order
        (_call(7, 200, 300, "munmap", 0x100, 4), _call(8, 250, 350, "munmap", 0x102, 4), ()),
        (_call(7, 200, 300, "mprotect", 0x100, 4, prot=1), _call(8, 250, 350, "mprotect", 0x102, 4, prot=1), ()),
        # the kernel gives a place only once it is free
        (
            _call(7, 200, 300, "munmap", 0x100, 4), _call(8, 250, 350, "mmap", 0, 4, ret=0x100 * PAGE, flags=PRIVATE, prot=3),
            (_vma(8, 280, 0x100, 4),),
        ),
    ],
    ids=["in turn", "unmaps apart", "protections apart", "unmaps", "protections", "given what was freed"],
)  # fmt: skip
def test_calls_whose_order_decides_nothing(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any], vmas: tuple[dict[str, Any], ...]
) -> None:
    assert _races(tmp_path, one, two, vmas=vmas) == []


def test_an_unmap_of_pages_that_were_free_can_take_what_the_kernel_placed_there(tmp_path: Path) -> None:
    placed = _call(8, 250, 350, "mmap", 0, 4, ret=0x110 * PAGE, flags=PRIVATE, prot=3)
    [row] = _races(tmp_path, _call(7, 200, 300, "munmap", 0x10E, 6), placed, vmas=(_vma(8, 280, 0x110, 4),))
    assert (row["start"], row["certainty"]) == (0x110 * PAGE, "possible")


def test_a_wide_call_meets_a_small_one(tmp_path: Path) -> None:
    """Ranges of very different sizes are held against each other, too."""
    pages = 1 << 19  # 2 GiB
    wide = _call(7, 200, 300, "munmap", 0x100, pages)
    small = _call(8, 250, 350, "mprotect", 0x105, 1, prot=1, ret=-12, errno=12)
    [row] = _races(tmp_path, wide, small)
    assert (row["start"], row["facts"]["common_bytes"]) == (0x105 * PAGE, str(PAGE))


def test_sizes_that_no_program_means_stop_nothing(tmp_path: Path) -> None:
    absurd = _call(8, 250, 350, "mprotect", 0x102, 1, prot=1, ret=-12, errno=12)
    rows = _races(tmp_path, {**absurd, "size": 2**64 - 4096}, _call(7, 200, 300, "munmap", 0x100, 4))
    assert {row["certainty"] for row in rows} <= {"certain", "possible"}


@pytest.mark.parametrize(
    ("fd", "mapped", "size", "told"),
    [
        ((8, 50), (8, 51, b"/data/b"), 4096, True),
        ((8, 50), (8, 50, b"/data/a"), 4096, False),
        # a device that maps memory of its own, and an overlay of another file system
        ((5, 4), (1, 9, b"/dev/zero (deleted)"), 0, False),
        ((44, 4), (8, 9, b"/data/a"), 4096, False),
    ],
    ids=["replaced", "the same", "device", "overlay"],
)
def test_the_file_of_the_fd_and_the_one_that_was_mapped(
    tmp_path: Path, fd: tuple[int, int], mapped: tuple[int, int, bytes], size: int, told: bool
) -> None:
    call = _call(
        7, 200, 300, "mmap", 0, 4, ret=0x200 * PAGE, flags=1, prot=1, fd=3, offset_bytes=0,
        fd_dev=fd[0], fd_inode=fd[1], fd_generation=0, fd_size_bytes=size,
    )  # fmt: skip
    dev, inode, path = mapped
    found = _races(tmp_path, call, vmas=(_vma(7, 280, 0x200, 4, "r--s", dev=dev, inode=inode, path=path, pgoff=0),))
    assert [row["facts"]["fd_file"] for row in found] == (["the file 00:08 inode 50"] if told else [])


def test_a_protection_that_failed_halfway(tmp_path: Path) -> None:
    kernel, first, _ = _two()
    kernel.mmap(first, 0x500, 3, MEMORY, PRIVATE)
    kernel.mmap(first, 0x505, 3, MEMORY, PRIVATE)
    kernel.mprotect(first, 0x500, 8, "r--")
    kernel.mprotect(first, 0x503, 2, "r--")  # nothing there at all
    [row] = _found(tmp_path, kernel, "partial_failure")
    assert (row["start"], row["end"], row["severity"]) == (0x500 * PAGE, 0x503 * PAGE, "medium")
    assert (row["facts"]["error"], row["facts"]["how"]) == ("ENOMEM", "protected")


def _refused(limit: int, vmas: int, **call: Any) -> dict[str, Any]:
    rows = {name: list(each) for name, each in BEGINNING.items()}
    for n in range(vmas - 1):
        rows["syscalls"].append(
            _call(7, 200 + 10 * n, 205 + 10 * n, "mmap", 0, 1, ret=(0x200 + 2 * n) * PAGE, flags=PRIVATE, prot=3)
        )
        rows["vmas"].append(_vma(7, 203 + 10 * n, 0x200 + 2 * n, 1))
    rows["syscalls"].append(_call(7, 5000, 5010, **{"ret": -12, "errno": 12, **call}))
    return {"tables": rows, "max_map_count": limit}


@pytest.mark.parametrize(
    ("limit", "call", "likely", "severity", "certainty"),
    [
        (23, {"syscall": "mmap", "page": 0, "pages": 1, "flags": PRIVATE, "prot": 3}, "limit", "high", "certain"),
        (23, {"syscall": "mprotect", "page": 0x102, "pages": 1, "prot": 1}, "limit", "high", "certain"),
        (23, {"syscall": "mprotect", "page": 0x10F, "pages": 2, "prot": 1}, "hole", "info", "certain"),
        (
            101,
            {"syscall": "mmap", "page": 0, "pages": 1 << 30, "flags": PRIVATE, "prot": 3},
            "size",
            "info",
            "possible",
        ),
        (101, {"syscall": "mlock", "page": 0x100, "pages": 2}, "locked memory", "info", "possible"),
    ],
)
def test_why_memory_was_refused(
    tmp_path: Path, limit: int, call: dict[str, Any], likely: str, severity: str, certainty: str
) -> None:
    made = _refused(limit, 23, **call)
    capture = build_capture(tmp_path / "capture", made["tables"], max_map_count=limit)
    [row] = analyze_rows("edges", capture, "--kind", "map_limit", "--severity", "info")
    facts = dict(row["facts"])
    assert (facts["likely"], row["severity"], row["certainty"]) == (likely, severity, certainty)
    assert (facts["vmas"], facts["vmas_at_most"], facts["limit_vmas"]) == ("23", "23", str(limit))
    assert facts["makers"] == "mmap (anonymous memory): 23"
