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

Row = dict[str, Any]
Rows = dict[str, list[Row]]
START = [task(10, "exec"), task(30, "exec", "bpf", mm=1), task(35, "fork", tid=71, parent_pid=7, parent_tid=7)]


def hook(at: int, page: int, pages: int, tid: int = 7, errno: int | None = None) -> Row:
    return {
        "ts_ns": START_NS + at, "pid": 7, "tid": tid, "mm": 1, "hook": "unmap", "function": "do_vmi_align_munmap",
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
        'SELECT start // 4096, "end" // 4096, perms, certainty::VARCHAR '
        "FROM rectangles WHERE to_ns IS NULL ORDER BY ALL"
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
        # nothing shows that this kernel's mmap removes by that function
        ([hook(50, 0x9000, 1)], None, [MAYBE]),
        ([], None, [MAYBE]),
    ],
    ids=["a hole", "nothing removed", "removal refused", "another way", "no probe"],
)
def test_a_failed_fixed_mapping_left_a_hole_or_not(
    hooks: list[Row], left: list[Any] | None, doubtful: list[Any], tmp_path: Path
) -> None:
    with rebuilt(tmp_path, REFUSED, hooks) as engine:
        assert doubts(engine) == doubtful
        if left is not None:
            assert at_first(engine) == left
            ended = engine.execute(
                "SELECT end_cause::VARCHAR, end_tid FROM rectangles WHERE end_cause IS NOT NULL AND start < 33554432"
            )
            assert ended == [("mmap", 7)] * (len(left) - 1)


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
