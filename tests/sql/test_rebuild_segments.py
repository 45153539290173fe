"""System V segments: what shmdt takes when parts were moved, and what a failed remap_file_pages leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.sql.test_hooks import START, doubts, rebuilt, standing
from tests.sql.test_rebuild_files import SHM, call, vma

ATTACHED: dict[str, Any] = {
    "vmas": [vma(225, 0x2000, 8, "rw-s", **SHM)],
    "syscalls": [call(220, 230, "shmat", 0, 0, 0x2000, flags=0)],
}
UNKNOWN = "what was attached there is not known"


def with_calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return ATTACHED | {"tasks": START, "syscalls": ATTACHED["syscalls"] + list(calls)}


def moved(at: int, page: int, pages: int, to: int) -> dict[str, Any]:
    return call(at, at + 5, "mremap", page, pages, to, flags=3, new_size=pages * 4096, new_addr=to * 4096)


def test_a_part_is_detached_where_the_whole_would_lie(tmp_path: Path) -> None:
    rows = with_calls(moved(240, 0x2004, 2, 0x300C), call(250, 260, "shmdt", 0x3008))
    with rebuilt(tmp_path, rows, []) as engine:
        assert standing(engine) == [(0x2000, 0x2004, "rw-s", "certain"), (0x2006, 0x2008, "rw-s", "certain")]
        assert doubts(engine) == [(0x3008, 0x3010, UNKNOWN)]


def test_the_rest_is_detached_where_it_was_attached(tmp_path: Path) -> None:
    rows = with_calls(moved(240, 0x2004, 2, 0x300C), call(250, 260, "shmdt", 0x2000))
    with rebuilt(tmp_path, rows, []) as engine:
        assert standing(engine) == [(0x300C, 0x300E, "rw-s", "certain")]
        assert doubts(engine) == []


def test_a_segment_made_longer_can_be_detached_whole(tmp_path: Path) -> None:
    longer = call(240, 245, "mremap", 0x2000, 8, 0x2000, flags=0, new_size=12 * 4096)
    with rebuilt(tmp_path, with_calls(longer, call(250, 260, "shmdt", 0x2000)), []) as engine:
        assert standing(engine) == []
        assert doubts(engine) == [(0x2008, 0x2014, UNKNOWN)]


def test_a_failed_remap_file_pages_can_leave_a_hole(tmp_path: Path) -> None:
    """Of a segment: the only attachment of one whose id is removed goes before it can be mapped anew."""
    failed = call(250, 260, "remap_file_pages", 0x2000, 8, errno=22)
    with rebuilt(tmp_path / "segment", with_calls(failed), []) as engine:
        assert standing(engine) == [(0x2000, 0x2008, "rw-s", "possible")]
        assert doubts(engine) == [(0x2000, 0x2008, "a failed remap_file_pages can leave a hole")]
    elsewhere = call(250, 260, "remap_file_pages", 0x3000, 8, errno=22)
    with rebuilt(tmp_path / "else", with_calls(elsewhere), []) as engine:
        assert standing(engine) == [(0x2000, 0x2008, "rw-s", "certain")]
        assert doubts(engine) == []
