"""The rebuild against a kernel of pages: whatever programs do, every certain answer is true.

`tests.support.oracle.Kernel` is the judge. Hypothesis makes streams of operations; what the small kernel tells of
them becomes a capture, and the rectangles that SQL makes of it are held against what the small kernel knows, at every
instant at which no call of the address space was under way.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.rebuild import Rebuild
from tests.support.captures import build_capture
from tests.support.oracle import CLONE_VM, HEAP, PAGE, Kernel, Page, Thread

FIXED, DONTUNMAP, MAYMOVE = 2, 4, 1
MAP_FIXED = 16
ARENA = 0x1000
PAGES = 20
EXAMPLES = int(os.environ.get("MAPTRAIL_ORACLE_EXAMPLES", "15"))
KINDS = (
    Page("rw-p"),
    Page("---p"),
    Page("rw-s", 70, 4, b"/srv/data"),
    Page("r--s", 71, 0, b"/srv/other"),
    Page("r-xp", 70, 0, b"/srv/data"),
    Page("rw-s", 72, 0, b"/dev/zero (deleted)"),
)
Step = tuple[str, int, int, int, int, int, int, int]
Found = dict[str, list[dict[str, Any]]]

OPERATIONS = (
    "mmap", "mmap", "mmap", "fixed", "fixed", "munmap", "munmap", "mprotect", "mprotect", "remap", "move", "move",
    "grow", "shrink", "keep", "old0", "several", "brk", "shmat", "shmdt", "advise", "fork", "vfork", "thread", "exec",
    "exit", "grown",
)  # fmt: skip


def steps(*more: str) -> st.SearchStrategy[list[Step]]:
    """Operations with: thread, place, length, target, kind of page, time before and after the effect."""
    small = st.integers(0, 5)
    place = st.integers(0, PAGES - 1)
    late = st.integers(0, 40)
    step = st.tuples(st.sampled_from((*OPERATIONS, *more)), small, place, st.integers(1, 8), place, small, late, late)
    return st.lists(step, min_size=5, max_size=70)


def play(kernel: Kernel, stream: list[Step], overlapping: bool) -> None:
    """Do what the stream says; calls overlap those of other threads only where they are allowed to."""
    attached: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    kernel.start()
    for number, (name, who, at, count, to, kind, early, late) in enumerate(stream):
        if not kernel.threads:
            kernel.start()
        thread = kernel.threads[who % len(kernel.threads)]
        if not overlapping:
            early = late = 0
        one(kernel, thread, attached, (name, number, ARENA + at, count, ARENA + to, kind, early, late))


def one(kernel: Kernel, thread: Thread, attached: dict[int, list[tuple[int, int, int]]], step: Step) -> None:
    name, number, at, count, to, kind, early, late = step
    page = KINDS[kind]
    timing = {"early": early, "late": late}
    doing: dict[str, Callable[[], Any]] = {
        "mmap": lambda: kernel.mmap(thread, at, count, page, 2, **timing),
        "fixed": lambda: kernel.mmap(thread, at, count, page, 2 | MAP_FIXED, **timing),
        "munmap": lambda: kernel.munmap(thread, at, count, **timing),
        "mprotect": lambda: kernel.mprotect(thread, at, count, ("r--", "rw-", "---", "r-x")[kind % 4], **timing),
        "remap": lambda: kernel.remap(thread, at, count, to - ARENA),
        "move": lambda: kernel.mremap(thread, at, count, count + kind % 3, to, MAYMOVE | FIXED, **timing),
        "grow": lambda: kernel.mremap(thread, at, count, count + 1 + kind, to, MAYMOVE, **timing),
        "shrink": lambda: kernel.mremap(thread, at, count + 2, count, 0, 0, **timing),
        "keep": lambda: kernel.mremap(thread, at, count, count, to, MAYMOVE | DONTUNMAP | FIXED * (kind & 1), **timing),
        "old0": lambda: kernel.mremap(thread, at, 0, count, to, MAYMOVE, **timing),
        "several": lambda: kernel.mremap(thread, at, count + 3, count + 3, to, MAYMOVE | FIXED, **timing),
        "brk": lambda: kernel.brk(thread, HEAP + kind * 2, late),
        "advise": lambda: kernel.advise(thread, at, count, kind % 2 == 0),
        "fork": lambda: len(kernel.threads) < 8 and kernel.fork(thread, **timing),
        "vfork": lambda: len(kernel.threads) < 8 and kernel.fork(thread, CLONE_VM),
        "thread": lambda: len(kernel.threads) < 8 and kernel.thread(thread),
        "exec": lambda: kernel.execute(thread),
        "exit": lambda: kernel.exit(thread),
        "grown": lambda: kernel.fault(thread, at),
        "fail": lambda: kernel.fail(thread, at, count, hole=kind % 2 == 0),
        "read": lambda: kernel.read(thread, "resync"),
        "lose": lambda: kernel.lose(thread, 30 + 40 * count),
    }
    if name == "shmat":
        kernel.shmat(thread, at, count, 1000 + number)
        attached[kernel.spaces[thread.pid].number].append((at, count, 1000 + number))
    elif name == "shmdt":
        for where in attached[kernel.spaces[thread.pid].number][-1:]:
            kernel.shmdt(thread, *where)
    else:
        doing[name]()


def rebuild(kernel: Kernel, slice_writes: int, deep: int) -> Found:
    """What SQL makes of the rows: rectangles, address spaces, and where nothing is certain."""
    with tempfile.TemporaryDirectory() as scratch:
        capture = build_capture(Path(scratch) / "capture", kernel.rows)
        with Engine(open_captures([capture])) as engine:
            Rebuild(engine, slice_writes=slice_writes, deep=deep).run()
            names = ("rectangles", "spaces_found", "doubts_found")
            return {name: engine.query(f"SELECT * FROM {name}").dicts() for name in names}


def overlaps(found: Found) -> list[Any]:
    """Pairs of rectangles of one address space that share a page at an instant."""
    by_space = defaultdict(list)
    for each in found["rectangles"]:
        by_space[each["space"]].append((each["start"], each["end"], each["from_ns"], each["to_ns"] or 1 << 63))
    return [
        (space, one, other)
        for space, rectangles in by_space.items()
        for number, one in enumerate(rectangles)
        for other in rectangles[:number]
        if one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
    ]


def compare(kernel: Kernel, found: Found) -> tuple[list[str], int, int]:
    """Certain answers that are wrong; how many pages were looked at, and how many of them are only possible."""
    truths: dict[int, list[tuple[int, int, dict[int, Page]]]] = defaultdict(list)
    for at_ns, number, pid, pages in kernel.states:
        truths[number].append((at_ns, pid, pages))
    users = [(user, each) for each in found["spaces_found"] for user in each["users"]]
    wrong, looked, possible = [], 0, 0
    for number, states in truths.items():
        times = [at_ns for at_ns, _, _ in states]
        for instant in sorted(set(times) | {until for _, until in kernel.busy[number]}):
            if any(since <= instant < until for since, until in kernel.busy[number]):
                continue
            at_ns, pid, truth = states[bisect_right(times, instant) - 1]
            mine = [each for user, each in users if user["pid"] == pid and _during(user, at_ns)]
            assert len(mine) <= 1
            if not mine or not _during(mine[0], instant):  # gone; or nothing told of it, which only a loss can do
                continue
            space = mine[0]["space"]
            rebuilt, doubtful = pages_at(found, space, instant)
            for page in truth.keys() | rebuilt.keys():
                looked += 1
                if page in doubtful:
                    possible += 1
                elif truth.get(page) != rebuilt.get(page):
                    wrong.append(f"{number} at {instant} page {page:#x}: {truth.get(page)} is {rebuilt.get(page)}")
    return wrong, looked, possible


def _during(life: dict[str, Any], instant: int) -> bool:
    return bool(life["from_ns"] <= instant and (life["to_ns"] is None or instant < life["to_ns"]))


class Everything(set[int]):
    """A set that holds every page."""

    def __contains__(self, page: object) -> bool:
        return True


def pages_at(found: Found, space: int, instant: int) -> tuple[dict[int, Page], set[int]]:
    """What stands in a rebuilt address space, and which pages are only possible."""

    def stands(each: dict[str, Any]) -> bool:
        return bool(each["space"] == space and _during(each, instant))

    rebuilt: dict[int, Page] = {}
    doubtful: set[int] = set()
    for each in filter(stands, found["rectangles"]):
        first, last = each["start"] >> 12, each["end"] >> 12
        page = Page(each["perms"], each["inode"], each["offset_bytes"] >> 12, each["path_bytes"])
        rebuilt |= {first + n: page.after(n) for n in range(last - first)}
        if each["reason"] is not None:
            doubtful |= set(range(first, last))
    for each in filter(stands, found["doubts_found"]):
        if each["hi"] - each["lo"] > 1 << 30:
            return rebuilt, Everything()
        doubtful |= set(range(each["lo"], each["hi"]))
    return rebuilt, doubtful


def judge(kernel: Kernel, sizes: tuple[int, int]) -> tuple[int, int]:
    found = rebuild(kernel, *sizes)
    assert not overlaps(found)
    wrong, looked, possible = compare(kernel, found)
    assert not wrong, "\n".join(wrong[:5])
    return looked, possible


tried = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
# writes a slice, and whether copies of copies are followed together with their originals
slices = st.tuples(st.sampled_from((4, 11, 1000)), st.sampled_from((1, 100)))


@tried
@given(
    steps("read"),
    slices,
    st.sampled_from(
        (
            ("advise", "shmat"),
            ("move", "several", "shmat"),
            ("move", "several", "grow", "old0", "remap"),
        )
    ),
)
def test_without_races_and_losses_every_page_is_certain_and_true(
    stream: list[Step], sizes: tuple[int, int], without: tuple[str, ...]
) -> None:
    """What was advised and then moved may be left out by a fork or not: that is said, so not both of them here. So is
    what becomes of a segment that mremap made longer, or that remap_file_pages was refused for."""
    kernel = Kernel()
    play(kernel, [step for step in stream if step[0] not in without], overlapping=False)
    _, possible = judge(kernel, sizes)
    assert possible == 0


# a copy made while another thread takes something away
COPIED_MEANWHILE: list[Step] = [
    ("vfork", 0, 0, 1, 0, 0, 0, 0),
    ("fixed", 1, 0, 8, 0, 1, 21, 19),
    ("munmap", 1, 3, 3, 0, 0, 38, 33),
    ("fork", 0, 0, 1, 0, 0, 0, 0),
]


@tried
@given(steps("read", "fail"), slices)
@example(COPIED_MEANWHILE, (1000, 100))
def test_calls_of_several_threads_may_overlap(stream: list[Step], sizes: tuple[int, int]) -> None:
    kernel = Kernel()
    play(kernel, stream, overlapping=True)
    judge(kernel, sizes)


@tried
@given(steps("read", "lose", "lose"), slices, st.booleans())
def test_what_was_lost_makes_no_certain_answer_wrong(
    stream: list[Step], sizes: tuple[int, int], overlapping: bool
) -> None:
    kernel = Kernel()
    play(kernel, stream, overlapping)
    kernel.forget()
    judge(kernel, sizes)


def told(rows: list[dict[str, Any]]) -> list[str]:
    """All but inode generations: after a reading of the maps, how writes are followed decides if they are known."""
    return sorted(repr({name: value for name, value in row.items() if name != "generation"}) for row in rows)


@settings(tried, max_examples=max(EXAMPLES // 4, 1))
@given(steps("read", "fail", "lose", *["fork"] * 6, *["exit"] * 3), st.booleans())
def test_copies_followed_together_are_as_they_are_one_by_one(stream: list[Step], overlapping: bool) -> None:
    """All that is said of them, not only their pages. The youngest do most, the oldest ends: copies go many deep."""
    kernel = Kernel()
    play(kernel, [(step[0], 0 if step[0] == "exit" else -1 - step[1] // 3, *step[2:]) for step in stream], overlapping)
    one_by_one, together = ([told(rows) for rows in rebuild(kernel, 1000, deep).values()] for deep in (100, 1))
    assert together == one_by_one


@pytest.mark.parametrize("free", [False, True])
def test_a_place_that_was_free_can_have_been_taken_again(free: bool) -> None:
    """A munmap of one thread, and, while it runs, an mmap of another that the kernel places in its range."""
    kernel = Kernel()
    one = kernel.start()
    other = kernel.thread(one)
    if free:  # what the munmap takes is what the mmap has just placed
        kernel.mmap(other, ARENA + 1, 2, KINDS[0], 2)
        kernel.now_ns += 5
        kernel.munmap(one, ARENA, 4, early=50, late=5)
    else:
        kernel.mmap(one, ARENA, 4, KINDS[1], 2)
        kernel.now_ns += 100
        kernel.munmap(one, ARENA, 4, late=100)
        kernel.mmap(other, ARENA + 1, 2, KINDS[0], 2)
    found = rebuild(kernel, 1000, deep=100)
    [there] = [each for each in found["rectangles"] if each["start"] == (ARENA + 1) * PAGE]
    assert (there["reason"] is not None) == free
    assert not compare(kernel, found)[0]
