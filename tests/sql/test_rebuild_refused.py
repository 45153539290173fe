"""What the kernel refuses for its arguments alone changes nothing and raises no doubt; what it refuses later can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sql.test_hooks import START, doubts, rebuilt, standing
from tests.sql.test_rebuild_files import call, task, vma
from tests.support.captures import START_NS

PAGES = 4096
ALL = 1 << 64
MAPPED: dict[str, Any] = {"tasks": START, "vmas": [vma(210, 0x1000, 8, "rw-p"), vma(220, 0x2000, 8, "rw-p")]}
TARGET_DOUBT = (0x1000, 0x1004, "a failed mremap(MREMAP_FIXED) can have unmapped its target")


def _refused(syscall: str, **arguments: Any) -> dict[str, Any]:
    return call(250, 260, syscall, 0, 0, errno=22, **arguments)


def _mremap(**other: Any) -> dict[str, Any]:
    plain = {"addr": 0x2000 * PAGES, "size": 4 * PAGES, "new_size": 4 * PAGES, "flags": 3, "new_addr": 0x1000 * PAGES}
    return _refused("mremap", **(plain | other))


def test_a_refused_mremap_can_have_unmapped_its_target(tmp_path: Path) -> None:
    with rebuilt(tmp_path, MAPPED | {"syscalls": [_mremap(size=8 * PAGES)]}, []) as engine:
        assert doubts(engine) == [TARGET_DOUBT]


@pytest.mark.parametrize("other", [
    {"addr": 0x2000 * PAGES + 1}, {"addr": 0x0FFF * PAGES}, {"addr": 0x1003 * PAGES}, {"new_addr": 0x1000 * PAGES + 8},
    {"new_size": 0}, {"new_size": ALL - 1}, {"new_size": 1 << 57}, {"flags": 2}, {"flags": 6}, {"flags": 11},
    {"flags": 7, "size": 8 * PAGES},
])  # fmt: skip
def test_a_mremap_that_is_refused_for_its_arguments_alone(tmp_path: Path, other: dict[str, int]) -> None:
    with rebuilt(tmp_path, MAPPED | {"syscalls": [_mremap(**other)]}, []) as engine:
        assert standing(engine) == [(0x1000, 0x1008, "rw-p", "certain"), (0x2000, 0x2008, "rw-p", "certain")]
        assert doubts(engine) == []


def test_an_old_range_that_wraps_is_not_seen_to_overlap(tmp_path: Path) -> None:
    """The kernel asks whether its end lies above the target, and that end is at the bottom."""
    rows = MAPPED | {"syscalls": [_mremap(addr=0x0FFF * PAGES, size=ALL - PAGES)]}
    with rebuilt(tmp_path, rows, []) as engine:
        assert doubts(engine) == [TARGET_DOUBT]


@pytest.mark.parametrize(("other", "doubted"), [
    ({}, True), ({"offset_bytes": 1}, False), ({"addr": 0x1000 * PAGES + 1}, False), ({"size": ALL - PAGES}, False),
    ({"size": ALL - 1}, False),
])  # fmt: skip
def test_a_refused_mmap(tmp_path: Path, other: dict[str, int], doubted: bool) -> None:
    plain = {"addr": 0x1000 * PAGES, "size": 4 * PAGES, "flags": 18, "offset_bytes": 0}
    with rebuilt(tmp_path, MAPPED | {"syscalls": [_refused("mmap", **(plain | other))]}, []) as engine:
        assert doubts(engine) == [(0x1000, 0x1004, "a failed mmap(MAP_FIXED) can leave a hole")] * doubted


@pytest.mark.parametrize(("errno", "copied"), [(0, False), (12, False), (22, True)])
def test_what_a_refused_advice_leaves_for_a_fork(tmp_path: Path, errno: int, copied: bool) -> None:
    """ENOMEM: there is a hole, and all around it is advised; EINVAL: nothing is."""
    advice = call(250, 260, "madvise", 0x1000, 8, errno=errno, op=10)
    family = {"pid": 8, "tid": 8, "parent_pid": 7, "parent_tid": 7}
    forks = [task(300, "fork", **family), task(301, "clone", "bpf", **family, clone_flags=17, mm=2)]
    with rebuilt(tmp_path, MAPPED | {"syscalls": [advice], "tasks": START + forks}, []) as engine:
        copies = engine.execute("SELECT start // 4096 FROM rectangles WHERE cause_of(actor) = 'fork' ORDER BY ALL")
        assert copies == [(0x1000,)] * copied + [(0x2000,)]


def test_a_doubt_concerns_its_pages_from_its_time_on_and_no_others(tmp_path: Path) -> None:
    with rebuilt(tmp_path, MAPPED | {"syscalls": [_mremap(size=8 * PAGES)]}, []) as engine:
        parts = engine.execute(
            f'SELECT start // 4096, "end" // 4096, from_ns - {START_NS}, to_ns - {START_NS}, '
            f"if(reason IS NULL, 'certain', 'possible'), cause_ns - {START_NS} "
            f"FROM rectangles WHERE cause_ns = {START_NS + 210} ORDER BY ALL"
        )
    assert parts == [
        (0x1000, 0x1004, 210, 260, "certain", 210), (0x1000, 0x1004, 260, None, "possible", 210),
        (0x1004, 0x1008, 210, None, "certain", 210),
    ]  # fmt: skip


def test_a_doubt_about_what_stays_in_the_gap_of_a_move_stays_too(tmp_path: Path) -> None:
    """A move of several mappings (Linux 6.17) leaves what lies where its source has nothing."""
    refused = _mremap(size=8 * PAGES, new_addr=0x1004 * PAGES)
    move = call(270, 280, "mremap", 0x2004, 8, 0x1000, flags=3, new_size=8 * PAGES, new_addr=0x1000 * PAGES)
    with rebuilt(tmp_path, MAPPED | {"syscalls": [refused, move]}, []) as engine:
        assert standing(engine) == [
            (0x1000, 0x1004, "rw-p", "certain"),
            (0x1004, 0x1008, "rw-p", "possible"),
            (0x2000, 0x2004, "rw-p", "certain"),
        ]
