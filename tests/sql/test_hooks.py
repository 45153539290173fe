"""What a probe on the kernel's removals decides: the same calls with and without its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.rebuild import Rebuild
from tests.sql.test_rebuild_files import PAGE, PROGRAM, SEGMENT, call, task, vma
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze_rows

Row = dict[str, Any]
Rows = dict[str, list[Row]]
START = [task(10, "exec"), task(30, "exec", "bpf", mm=1), task(35, "fork", tid=71, parent_pid=7, parent_tid=7)]


def hook(at: int, page: int, pages: int, tid: int = 7, errno: int | None = None, name: str = "unmap") -> Row:
    function = {"unmap": "do_vmi_align_munmap", "replace": "vms_complete_munmap_vmas"}[name]
    return {
        "ts_ns": START_NS + at, "pid": 7, "tid": tid, "mm": 1, "hook": name, "function": function,
        "addr": page * PAGE, "size": pages * PAGE, "errno": errno,
    }  # fmt: skip


def rebuilt(folder: Path, rows: Rows, hooks: list[Row], losses: list[Row] | None = None) -> Engine:
    tables = {"tasks": START, **rows, "hooks": hooks, "losses": losses or []}
    engine = Engine(open_captures([build_capture(folder / "capture", {k: v for k, v in tables.items() if v})]))
    Rebuild(engine).run()
    return engine


def standing(engine: Engine) -> list[tuple[Any, ...]]:
    """What stands at the end: pages, permissions, and why it would be only possible."""
    return engine.execute(
        'SELECT start // 4096, "end" // 4096, perms, '
        "if(reason IS NULL, 'certain', 'possible') FROM rectangles WHERE to_ns IS NULL ORDER BY ALL"
    )


def doubts(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.execute("SELECT lo, hi, reason FROM doubts_found ORDER BY ALL")


FIXED: Rows = {
    # one thread takes away while another maps over the same pages
    "vmas": [vma(105, 0x1000, 4), vma(265, 0x1001, 2, "r--p", tid=71)],
    "syscalls": [
        call(100, 110, "mmap", 0, 4, 0x1000, flags=34),
        call(255, 275, "munmap", 0x1000, 4),
        call(260, 270, "mmap", 0x1001, 2, 0x1001, flags=50, tid=71),
    ],
}


@pytest.mark.parametrize(
    ("at", "left"), [(262, [(0x1001, 0x1003, "r--p", "certain")]), (267, [])], ids=["before", "after"]
)
def test_a_removal_beside_a_fixed_mapping_is_ordered(at: int, left: list[Any], tmp_path: Path) -> None:
    with rebuilt(tmp_path / "with", FIXED, [hook(at, 0x1000, 4)]) as engine:
        assert (standing(engine), doubts(engine)) == (left, [])
    with rebuilt(tmp_path / "without", FIXED, []) as engine:
        assert doubts(engine) == [(0x1001, 0x1003, "the order of munmap and mmap by two threads at once is not known")]


def test_a_fork_by_a_thread_that_changes_nothing_itself_can_come_before_a_removal_or_after(tmp_path: Path) -> None:
    family = {"pid": 8, "tid": 8, "parent_pid": 7, "parent_tid": 71}
    forks = [task(265, "fork", **family), task(266, "clone", "bpf", **family, clone_flags=17, mm=2)]
    calls = [call(100, 110, "mmap", 0, 4, 0x1000, flags=34), call(255, 275, "munmap", 0x1000, 4)]
    rows = {"tasks": START + forks, "vmas": [vma(105, 0x1000, 4)], "syscalls": calls}
    with rebuilt(tmp_path, rows, []) as engine:
        assert doubts(engine) == [(0x1000, 0x1004, "the order of munmap and fork by two threads at once is not known")]
        assert engine.execute(f"SELECT from_ns - {START_NS} FROM doubts_found") == [(265,)]  # not only from its return


def test_a_copy_can_have_what_was_there_before_or_after_what_another_thread_did_during_the_fork(tmp_path: Path) -> None:
    """It is copied somewhere between the entry of the call and the record of the fork."""
    family = {"pid": 8, "tid": 8, "parent_pid": 7, "parent_tid": 7}
    told = task(401, "clone", "bpf", **family, clone_flags=17, mm=2)
    rows = {
        "vmas": [vma(105, 0x1000, 8, tid=71), vma(260, 0x1002, 2, "r--p", tid=71), vma(385, 0x1000, 1, "---p")],
        "syscalls": [
            call(100, 110, "mmap", 0, 8, 0x1000, flags=34, tid=71),
            call(230, 240, "munmap", 0x1005, 1, tid=71),
            call(255, 265, "mprotect", 0x1002, 2, prot=1, tid=71),
            call(270, 280, "munmap", 0x1006, 1, tid=71),
            call(290, 300, "madvise", 0x1004, 1, tid=71, op=10),
            call(380, 390, "mprotect", 0x1000, 1, prot=0),  # the forking thread's own
            call(410, 420, "munmap", 0x1007, 1, tid=71),
        ],
    }
    unknown = "the order of {} and fork by two threads at once is not known"
    for enter, doubtful in (
        (
            {"ts_enter_ns": START_NS + 250},
            [(0x1002, 0x1004, "mprotect"), (0x1004, 0x1005, "madvise"), (0x1006, 0x1007, "munmap")],
        ),
        ({"ts_enter_ns": START_NS + 266}, [(0x1004, 0x1005, "madvise"), (0x1006, 0x1007, "munmap")]),
        ({}, []),  # a recorder of old
    ):
        tasks = [*START, task(400, "fork", **family), told | enter]
        with rebuilt(tmp_path / str(len(doubtful)), {"tasks": tasks, **rows}, []) as engine:
            assert doubts(engine) == [(lo, hi, unknown.format(cause)) for lo, hi, cause in doubtful]
            since = engine.execute(f"SELECT DISTINCT space, from_ns - {START_NS} FROM doubts_found")
            assert since == [(2, 400)] * bool(doubtful)


def test_a_protection_that_grows_down_begins_where_its_mapping_does(tmp_path: Path) -> None:
    """PROT_GROWSDOWN (mm/mprotect.c, do_mprotect_pkey)."""
    rows: Rows = {
        "vmas": [vma(105, 0x1000, 8), vma(255, 0x1000, 5, "r--p")],
        "syscalls": [
            call(100, 110, "mmap", 0, 8, 0x1000, flags=34 | 256),
            call(250, 260, "mprotect", 0x1004, 1, prot=1 | 0x1000000),
        ],
    }
    with rebuilt(tmp_path, rows, []) as engine:
        assert standing(engine) == [(0x1000, 0x1005, "r--p", "certain"), (0x1005, 0x1008, "rw-p", "certain")]


def test_a_removal_of_free_pages_beside_a_placed_mapping_is_ordered(tmp_path: Path) -> None:
    rows: Rows = {
        "vmas": [vma(265, 0x1001, 2, tid=71)],
        "syscalls": [call(255, 275, "munmap", 0x1000, 4), call(260, 270, "mmap", 0, 2, 0x1001, flags=34, tid=71)],
    }
    with rebuilt(tmp_path / "with", rows, [hook(262, 0x1000, 4)]) as engine:
        assert standing(engine) == [(0x1001, 0x1003, "rw-p", "certain")]
        assert doubts(engine) == []
    with rebuilt(tmp_path / "without", rows, []) as engine:
        assert [row[3] for row in standing(engine)] == ["possible"]


REFUSED: Rows = {
    "vmas": [vma(105, 0x1000, 4), vma(155, 0x2000, 4), vma(175, 0x2001, 1, "r--p")],
    "syscalls": [
        call(100, 110, "mmap", 0, 4, 0x1000, flags=34),
        call(150, 160, "mmap", 0, 4, 0x2000, flags=34),
        call(170, 180, "mmap", 0x2001, 1, 0x2001, flags=50),
        call(200, 210, "mmap", 0x1001, 2, errno=19, flags=18),
    ],
}
OVERLAID = hook(172, 0x2001, 1)
"""That mmap's removals are seen too is seen by this one."""
MAYBE = (0x1001, 0x1003, "a failed mmap(MAP_FIXED) can leave a hole")


def at_first(engine: Engine) -> list[Any]:
    return [row[:2] for row in standing(engine) if row[0] < 0x2000]


@pytest.mark.parametrize(
    ("hooks", "left", "doubtful"),
    [
        ([OVERLAID, hook(205, 0x1001, 2)], [(0x1000, 0x1001), (0x1003, 0x1004)], []),
        ([OVERLAID], [(0x1000, 0x1004)], []),
        # the removal itself was refused
        ([OVERLAID, hook(205, 0x1001, 2), hook(206, 0x1001, 2, errno=12)], [(0x1000, 0x1004)], []),
        # Linux 6.12: what is replaced is told once the new mapping is there, and nothing of what another call removed
        (
            [hook(176, 0x2001, 1, name="replace"), hook(205, 0x1001, 2, name="replace")],
            [(0x1000, 0x1001), (0x1003, 0x1004)],
            [],
        ),
        ([hook(50, 0x9000, 1), hook(176, 0x2001, 1, name="replace")], [(0x1000, 0x1004)], []),
        # nothing shows that this kernel's mmap removes by that function
        ([hook(50, 0x9000, 1)], None, [MAYBE]),
        ([], None, [MAYBE]),
    ],
    ids=[
        "a hole",
        "nothing removed",
        "removal refused",
        "a hole, 6.12",
        "nothing removed, 6.12",
        "another way",
        "no probe",
    ],
)
def test_a_failed_fixed_mapping_left_a_hole_or_not(
    hooks: list[Row], left: list[Any] | None, doubtful: list[Any], tmp_path: Path
) -> None:
    with rebuilt(tmp_path, REFUSED, hooks) as engine:
        assert doubts(engine) == doubtful
        if left is not None:
            assert at_first(engine) == left
            ended = engine.execute(
                "SELECT cause_of(end_actor), tid_of(end_actor) FROM rectangles "
                "WHERE end_actor IS NOT NULL AND start < 33554432"
            )
            assert ended == [("mmap", 7)] * (len(left) - 1)


@pytest.mark.parametrize(("new_pages", "doubtful"), [(1, False), (4, True)])
def test_a_failed_move_took_what_the_probe_saw(new_pages: int, doubtful: bool, tmp_path: Path) -> None:
    """Its target, and the end of a source that shrinks; of several mappings some can have been moved to the target."""
    move = {"flags": 3, "new_size": new_pages * PAGE, "new_addr": 0x2000 * PAGE}
    rows: Rows = {
        "vmas": [vma(105, 0x1000, 4), vma(155, 0x2000, 4)],
        "syscalls": [
            call(100, 110, "mmap", 0, 4, 0x1000, flags=34),
            call(150, 160, "mmap", 0, 4, 0x2000, flags=34),
            call(200, 220, "mremap", 0x1000, 4, errno=12, **move),
        ],
    }
    hooks = [hook(205, 0x2000, new_pages), *([hook(207, 0x1001, 3)] if new_pages == 1 else [])]
    with rebuilt(tmp_path, rows, hooks) as engine:
        assert bool(doubts(engine)) == doubtful
        if not doubtful:
            assert [row[:2] for row in standing(engine)] == [(0x1000, 0x1001), (0x2001, 0x2004)]
        else:
            assert {row[:2] for row in doubts(engine)} >= {(0x1000, 0x1004), (0x2000, 0x2004)}


def test_where_rows_of_the_probe_were_lost_nothing_is_concluded_from_their_absence(tmp_path: Path) -> None:
    lost = {
        "source": "hooks",
        "cpu": 0,
        "from_ns": START_NS + 190,
        "to_ns": START_NS + 240,
        "count": 1,
        "cause": "full",
    }
    with rebuilt(tmp_path, REFUSED, [OVERLAID], [lost]) as engine:
        assert doubts(engine) == [MAYBE]


@pytest.mark.parametrize("image", [True, False])
def test_the_tail_of_an_executed_file_is_seen(image: bool, tmp_path: Path) -> None:
    rows: Rows = {
        "vmas": [vma(20, 0x300, 5, "r-xp", **PROGRAM | {"pgoff": 0})],
        "images": [{"ts_ns": START_NS + 31, **PROGRAM, "segments": [SEGMENT]}] if image else [],
    }
    with rebuilt(tmp_path / "with", rows, [hook(21, 0x302, 3)]) as engine:
        assert standing(engine) == [(0x300, 0x302, "r-xp", "certain")]
    with rebuilt(tmp_path / "without", rows, []) as engine:
        assert [row[3] for row in standing(engine)][-1] == ("certain" if image else "possible")


FILE = {"dev": 8, "inode": 77, "generation": 1}


def used(at: int, page: int, pages: int, **more: Any) -> Row:
    return {**hook(at, page, pages), "hook": "mmap", "function": "do_mmap", "prot": 3, "flags": 1, "pgoff": 0, **more}


def cut(at: int, size: int, **more: Any) -> Row:
    return {
        "ts_ns": START_NS + at, "pid": 9, "tid": 9, "hook": "truncate", "function": "do_truncate", **FILE,
        "old_size_bytes": 4 * PAGE, "new_size_bytes": size, **more,
    }  # fmt: skip


def found(folder: Path, rows: Rows, kind: str) -> list[Row]:
    capture = build_capture(folder / "capture", {"tasks": START, **rows})
    rows_found = analyze_rows("edges", capture, "--kind", kind, "--severity", "info", "--expected")
    return [{**row, "facts": dict(row["facts"])} for row in rows_found]


def test_what_was_asked_is_held_against_what_the_kernel_used(tmp_path: Path) -> None:
    asked = {"prot": 3, "flags": 1, "offset_bytes": 0, "fd_dev": 8, "fd_inode": 77, "fd_generation": 1}
    rows: Rows = {
        "syscalls": [
            call(100, 110, "mmap", 0, 4, 0x1000, **asked),
            call(120, 130, "mmap", 0, 4, 0x2000, **asked | {"fd_inode": 76}),
            call(140, 150, "mmap", 0, 4, 0x3000, **asked | {"flags": 0x801}),
            call(160, 170, "remap_file_pages", 0x1001, 1, 0, prot=0, pgoff=3, flags=0),
        ],
        "hooks": [
            used(105, 0, 4, **FILE), used(125, 0, 4, **FILE), used(145, 0, 4, **FILE),
            used(165, 0x1001, 1, pgoff=3, flags=0x8011, **FILE),
        ],
    }  # fmt: skip
    rows_found = {row["facts"]["what"]: row for row in found(tmp_path, rows, "intent_effect")}
    assert set(rows_found) == {"file", "flags", "emulated"}
    assert (rows_found["file"]["call_ns"], rows_found["file"]["severity"]) == (START_NS + 120, "medium")
    assert rows_found["flags"]["facts"]["used"] == "0x1"
    emulated = rows_found["emulated"]["facts"]
    assert emulated["asked"] == "4 KiB at 0x1001000, page 3, flags 0x0"
    assert emulated["used"] == "mmap of 4 KiB at 0x1001000, rw-, page 3, flags 0x8011, of the file 00:08 inode 77"


MAPPED: Rows = {
    "vmas": [vma(105, 0x1000, 4, "r--s", path=b"/data/file", **FILE | {"pgoff": 0})],
    "syscalls": [call(100, 110, "mmap", 0, 4, 0x1000, flags=1)],
}
BY_PATH = {
    "ts_enter_ns": START_NS + 200, "ts_exit_ns": START_NS + 210, "pid": 9, "tid": 9, "operation": "truncate",
    "path_given": b"/data/file", "length_bytes": 0, "errno": 0,
}  # fmt: skip


def test_a_truncation_by_path_is_certain_where_the_kernel_was_watched(tmp_path: Path) -> None:
    # renamed or removed at once: the call's own record has no file
    [row] = found(tmp_path / "with", MAPPED | {"files": [BY_PATH], "hooks": [cut(205, 0)]}, "truncated_under_mapping")
    assert (row["certainty"], row["call"], row["facts"]["old_size_bytes"]) == ("certain", "truncate", str(4 * PAGE))
    # the time of the call, not of the probe
    assert row["ts_ns"] == START_NS + 200
    assert found(tmp_path / "without", MAPPED | {"files": [BY_PATH]}, "truncated_under_mapping") == []
    failed = [cut(205, 0), {**cut(206, 0), "errno": 13}]
    assert found(tmp_path / "failed", MAPPED | {"files": [BY_PATH], "hooks": failed}, "truncated_under_mapping") == []


def test_a_truncation_without_a_call_is_seen(tmp_path: Path) -> None:
    """As by io_uring, or the kernel's NFS server."""
    [row] = found(tmp_path, MAPPED | {"hooks": [cut(205, PAGE, comm="nfsd")]}, "truncated_under_mapping")
    assert (row["certainty"], row["comm"], row["call"]) == ("certain", "nfsd", "do_truncate")
    assert (row["start"], row["end"]) == (0x1001 * PAGE, 0x1004 * PAGE)


@pytest.mark.parametrize(("at", "first"), [(262, "munmap"), (267, "mmap"), (None, "")])
def test_calls_that_raced_are_ordered_where_the_removal_was_seen(at: int | None, first: str, tmp_path: Path) -> None:
    [row] = found(tmp_path, FIXED | {"hooks": [hook(at, 0x1000, 4)] if at else []}, "races")
    assert (row["facts"]["first"], row["certainty"]) == (first, "certain" if first else "possible")


def test_a_failed_call_that_a_probe_saw_remove_is_a_partial_failure(tmp_path: Path) -> None:
    rows = REFUSED | {"hooks": [OVERLAID, hook(205, 0x1001, 2)]}
    [row] = [row for row in found(tmp_path, rows, "partial_failure") if row["facts"]["how"] == "unmapped"]
    assert (row["certainty"], row["facts"]["known_by"]) == ("certain", "hooks")
    assert (row["start"], row["end"]) == (0x1001 * PAGE, 0x1003 * PAGE)
