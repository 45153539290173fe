"""Faults from rows written by hand: how sure the cause is, who is not to blame, and what became of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.edges import gather, kinds
from analysis.engine import Engine
from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.commands import analyze, analyze_rows
from tests.support.oracle import (
    DONTUNMAP,
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
)

MEMORY = Page("rw-p")
ANYWHERE = MAP_PRIVATE | MAP_ANONYMOUS
SIGBUS, SIGSEGV, SIGABRT = 7, 11, 6


class Machine(Kernel):
    """A kernel on which files are cut and processes fault; each case has a file of its own, the last that was `new`."""

    def __init__(self) -> None:
        super().__init__()
        self.rows |= {"files": [], "faults": []}
        self._inodes = count(200)
        self.file = 0

    def new(self) -> None:
        """Another file."""
        self.file = next(self._inodes)

    def map_file(self, thread: Thread, pages: int, size: int | None, generation: int = 0) -> None:
        """Map the file at page 0x500; the call saw that size."""
        self.mmap(thread, 0x500, pages, Page("rw-s", self.file, 0, b"/data/store.db"), MAP_SHARED)
        self.rows["vmas"][-1]["generation"] = generation
        if size is not None:
            told = {"fd_dev": 8, "fd_inode": self.file, "fd_generation": generation, "fd_size_bytes": size}
            self.rows["syscalls"][-1] |= told

    def cut(self, thread: Thread, old: int | None, new: int, **more: Any) -> None:
        self._step(thread)
        row = {
            "operation": "ftruncate", "ts_enter_ns": self.now_ns, "ts_exit_ns": self.now_ns + 1, "pid": thread.pid,
            "tid": thread.tid, "comm": b"cutter", "dev": 8, "inode": self.file, "generation": 0, "old_size_bytes": old,
            "new_size_bytes": new, "identity": "fd",
        }  # fmt: skip
        self.rows["files"].append(row | more)
        self.now_ns += 2

    def fault(self, thread: Thread, address: int, signal: int = SIGSEGV, code: int = 1, **more: Any) -> None:
        self._step(thread)
        row = {
            "ts_ns": self.now_ns, "pid": thread.pid, "tid": thread.tid, "comm": b"victim", "code": code,
            "address": address, "ip": 0x300010, "signal": "SIGBUS" if signal == SIGBUS else "SIGSEGV",
        }  # fmt: skip
        self.rows["faults"].append(row | more)

    def bus(self, thread: Thread, size: int | None = None, code: int = 2) -> None:
        """A SIGBUS in the second page of the file; the kernel saw its size, or, as an older recorder, did not."""
        exact = {} if size is None else {"file_dev": 8, "file_inode": self.file, "file_size_bytes": size}
        self.fault(thread, 0x501 * PAGE + 5, SIGBUS, code, **exact, **({"file_generation": 0} if exact else {}))

    def end(self, thread: Thread, status: int | None, after: int = 10) -> None:
        """The process ends so many ns from now; without a status as older captures tell it."""
        self.now_ns += after
        if status is not None:
            self._task("ended", "bpf", thread, exit_status=status)
        self.exit(thread)

    def three(self) -> tuple[Thread, Thread, Thread]:
        return self.start(), self.start(), self.start()


Case = Callable[[Machine], Thread]
CASES: dict[str, tuple[Case, dict[str, Any]]] = {}


def _case(**expected: Any) -> Callable[[Case], Case]:
    """What fault_causes must say of the process that the case returns; `by` is the name that _blames gave."""

    def declared(case: Case) -> Case:
        CASES[case.__name__] = (case, expected)
        return case

    return declared


BLAMED: dict[str, int] = {}


def _blames(case: Case, thread: Thread) -> None:
    BLAMED[case.__name__] = thread.tid


# -- SIGBUS: three pages are mapped, and the second is touched ---------------------------------


def _cut_and_touched(machine: Machine, case: Case, exact: int | None, **more: Any) -> Thread:
    """Another process cuts the file to one page before that."""
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(cutter, 3 * PAGE, PAGE, **more)
    machine.bus(victim, exact)
    _blames(case, cutter)
    return victim


@_case(cause="truncated", certainty="certain", by_call="ftruncate", by_comm="cutter", old_size_bytes=3 * PAGE,
       new_size_bytes=PAGE, size_bytes=PAGE, offset_bytes=PAGE + 5, path="/data/store.db")  # fmt: skip
def what_the_kernel_saw_is_certain(machine: Machine) -> Thread:
    return _cut_and_touched(machine, what_the_kernel_saw_is_certain, PAGE)


@_case(cause="truncated", reason="writes are not recorded, and one could have lengthened the file before the fault")
def without_it_a_write_could_have_lengthened_the_file(machine: Machine) -> Thread:
    return _cut_and_touched(machine, without_it_a_write_could_have_lengthened_the_file, None)


@_case(cause="truncated", certainty="certain")
def a_later_size_too_small_proves_it(machine: Machine) -> Thread:
    """Between calls that shorten it a file only grows."""
    victim = _cut_and_touched(machine, a_later_size_too_small_proves_it, None)
    machine.map_file(machine.start(), 1, PAGE)
    return victim


@_case(cause="truncated", reason="the file was long enough again later, and writes are not recorded")
def a_later_size_large_enough_is_a_doubt(machine: Machine) -> Thread:
    victim = _cut_and_touched(machine, a_later_size_large_enough_is_a_doubt, None)
    machine.map_file(machine.start(), 1, 3 * PAGE)
    return victim


@_case(cause="within file", certainty="certain", by_pid=None)
def lengthened_by_a_write_it_was_no_truncation(machine: Machine) -> Thread:
    return _cut_and_touched(machine, lengthened_by_a_write_it_was_no_truncation, 3 * PAGE)


@_case(cause="within file", certainty="certain", by_pid=None)
def lengthened_by_a_call_it_was_no_truncation(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(cutter, 3 * PAGE, PAGE)
    machine.cut(cutter, PAGE, 3 * PAGE)
    machine.bus(victim)
    return victim


@_case(cause="truncated", certainty="certain")
def only_the_cut_that_took_the_page_counts(machine: Machine) -> Thread:
    """The last page was cut off first, the page that faulted then, and then more."""
    victim, first, second = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(first, 3 * PAGE, 2 * PAGE)
    machine.cut(second, 2 * PAGE, PAGE)
    machine.cut(first, PAGE, 0)
    machine.bus(victim, 0)
    _blames(only_the_cut_that_took_the_page_counts, second)
    return victim


@_case(cause="truncated", reason="several calls truncated it, and how long it was before each is not recorded")
def of_several_without_a_size_before_none_is_certain(machine: Machine) -> Thread:
    victim, first, second = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(first, None, 0, operation="openat")
    machine.cut(second, None, 0, operation="openat")
    machine.bus(victim, 0)
    return victim


@_case(
    cause="truncated",
    by_pid=None,
    by_call=None,
    reason="the call that truncated it was not recorded, or its file could not be looked up by path",
)
def a_truncation_that_was_not_recorded(machine: Machine) -> Thread:
    victim = machine.start()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.bus(victim, PAGE)
    return victim


@_case(cause="beyond end", certainty="certain", by_call="mmap")
def cut_before_it_was_mapped(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.cut(cutter, 3 * PAGE, PAGE)
    machine.map_file(victim, 3, PAGE)
    machine.bus(victim, PAGE)
    _blames(cut_before_it_was_mapped, victim)
    return victim


@_case(cause="truncated", reason="the file was looked up by its path, after the call")
def told_by_its_path_is_possible(machine: Machine) -> Thread:
    return _cut_and_touched(machine, told_by_its_path_is_possible, PAGE, identity="path")


# -- calls by a path that tells no file: what they set is what is known of them

UNTOLD = "the file of the call could not be told by its path afterwards"
SET_IT = "it set the size that the kernel saw at the fault"


def _cut_by_path(machine: Machine, thread: Thread, new: int, path: bytes, **more: Any) -> None:
    told = {"operation": "truncate", "path_given": path, "inode": None, "dev": None, "identity": None} | more
    machine.cut(thread, None, new, generation=None, **told)


@_case(cause="truncated", reason=f"{UNTOLD}; {SET_IT}", by_call="truncate", by_path="/elsewhere/link", by_size=True,
       new_size_bytes=PAGE, suspect_count=1)  # fmt: skip
def who_set_the_size_that_the_kernel_saw(machine: Machine) -> Thread:
    """And not who set it before the file was seen longer, set another one, came later, or surely cut another file."""
    victim, cutter, other = machine.three()
    _cut_by_path(machine, other, PAGE, b"/elsewhere/early")
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, b"/elsewhere/link")
    _cut_by_path(machine, other, 0, b"/elsewhere/more")
    machine.cut(other, 3 * PAGE, PAGE, inode=199)
    _cut_by_path(machine, other, PAGE, b"/elsewhere/failed", errno=2)
    machine.bus(victim, PAGE)
    _cut_by_path(machine, other, PAGE, b"/elsewhere/late")
    _blames(who_set_the_size_that_the_kernel_saw, cutter)
    return victim


@_case(
    cause="truncated",
    reason=f"{UNTOLD}; it is one of 4 calls that set the size that the kernel saw at the fault",
    suspect_count=4,
)
def the_nearest_is_named_first(machine: Machine) -> Thread:
    """A file of the same name, in a directory that is not recorded, says less than the time does."""
    victim, decoy, killer = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    for name in (b"/elsewhere/one", b"/elsewhere/two", b"./store.db"):
        machine.now_ns += 1000000
        _cut_by_path(machine, decoy, PAGE, name)
    machine.now_ns += 1000000
    _cut_by_path(machine, killer, PAGE, b"/elsewhere/link")
    machine.bus(victim, PAGE)
    _blames(the_nearest_is_named_first, killer)
    return victim


@_case(cause="truncated", reason=f"{UNTOLD}, though the path of this one ends in it; {SET_IT}", by_path="data/store.db")
def a_relative_path_that_the_files_path_ends_in(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, b"data/store.db")
    machine.bus(victim, PAGE)
    _blames(a_relative_path_that_the_files_path_ends_in, cutter)
    return victim


@_case(cause="truncated", by_size=True, reason=f"the path of the call led to another file afterwards; {SET_IT}")
def looked_up_too_late(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, b"/elsewhere/link", dev=8, inode=199, identity="path")
    machine.bus(victim, PAGE)
    _blames(looked_up_too_late, cutter)
    return victim


@_case(cause="truncated", by_size=True, reason=f"the file of the call is not recorded; {SET_IT}", by_path=None)
def a_path_that_could_not_be_read(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, None)  # type: ignore[arg-type]
    machine.bus(victim, PAGE)
    _blames(a_path_that_could_not_be_read, cutter)
    return victim


@_case(cause="truncated", certainty="certain", suspect_count=0)
def what_is_certain_leaves_no_suspects(machine: Machine) -> Thread:
    victim, cutter, other = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(cutter, 3 * PAGE, PAGE)
    _cut_by_path(machine, other, PAGE, b"store.db")
    machine.bus(victim, PAGE)
    _blames(what_is_certain_leaves_no_suspects, cutter)
    return victim


@_case(
    cause="truncated",
    by_size=False,
    suspect_count=1,
    reason="a later call by path, whose file is not certain, set the size that the kernel saw at the fault",
)
def a_cut_to_another_size_than_the_kernel_saw(machine: Machine) -> Thread:
    """It can have been written to since, and cut again."""
    victim, cutter, other = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.cut(cutter, 3 * PAGE, 0)
    _cut_by_path(machine, other, PAGE, b"/elsewhere/link")
    machine.bus(victim, PAGE)
    _blames(a_cut_to_another_size_than_the_kernel_saw, cutter)
    return victim


@_case(
    cause="truncated",
    reason="the file was looked up by its path, after the call; it is one of 2 calls that set that size",
)
def looked_up_by_its_path_with_another_call_since(machine: Machine) -> Thread:
    victim, cutter, other = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, other, PAGE, b"/elsewhere/before")
    machine.cut(cutter, None, PAGE, operation="truncate", identity="path", path_given=b"/found")
    _cut_by_path(machine, other, PAGE, b"/elsewhere/link")
    machine.bus(victim, PAGE)
    _blames(looked_up_by_its_path_with_another_call_since, cutter)
    return victim


@_case(
    cause="beyond end",
    by_call="mmap",
    reason="the file can have grown since it was mapped: a call by path, whose file is not certain, set the size that "
    "the kernel saw",
)
def too_short_when_it_was_mapped_needs_no_cut(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, PAGE)
    _cut_by_path(machine, cutter, PAGE, b"store.db")
    machine.bus(victim, PAGE)
    return victim


@_case(cause="within file", by_pid=None, suspect_count=0)
def without_the_size_at_the_fault_there_are_no_suspects(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, b"store.db")
    machine.bus(victim)
    return victim


@_case(cause="within file", by_pid=None, suspect_count=0)
def another_file_of_the_same_number_is_not_it(machine: Machine) -> Thread:
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE, generation=5)
    machine.cut(cutter, 3 * PAGE, PAGE, generation=6)
    machine.bus(victim)
    return victim


@_case(certainty="possible", by_pid=None, reason="how long the file was is not recorded")
def nothing_known_of_the_file(machine: Machine) -> Thread:
    victim = machine.start()
    machine.map_file(victim, 3, None)
    machine.bus(victim)
    return victim


@_case(cause="hardware", certainty="certain", by_pid=None)
def broken_memory(machine: Machine) -> Thread:
    victim = machine.start()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.bus(victim, code=4)
    return victim


@_case(cause="alignment", certainty="certain", by_pid=None)
def not_aligned(machine: Machine) -> Thread:
    victim = machine.start()
    machine.map_file(victim, 3, 3 * PAGE)
    machine.bus(victim, code=1)
    return victim


@_case(cause="no file", certainty="certain", by_pid=None)
def memory_without_a_file_has_no_end(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 3, MEMORY, ANYWHERE)
    machine.bus(victim)
    return victim


# -- SIGSEGV ----------------------------------------------------------------------------------


def _remapped(machine: Machine, case: Case, new: int, to: int, flags: int, touched: int = 0x502) -> Thread:
    """Another thread remaps the four pages from 0x500, and one of them is touched."""
    victim = machine.start()
    other = machine.thread(victim)
    machine.mmap(victim, 0x500, 4, MEMORY, ANYWHERE)
    machine.mremap(other, 0x500, 4, new, to, flags)
    machine.fault(victim, touched * PAGE + 7)
    _blames(case, other)
    return victim


@_case(cause="unmapped", certainty="certain", by_call="mremap", start=0x501 * PAGE, end=0x504 * PAGE,
       words="cut it off by mremap, which shrank the mapping from 16 KiB to 4 KiB, 9")  # fmt: skip
def what_mremap_made_shorter_was_cut_off(machine: Machine) -> Thread:
    return _remapped(machine, what_mremap_made_shorter_was_cut_off, 1, 0x500, MAYMOVE)


@_case(cause="unmapped", certainty="certain", by_call="mremap", words="which shrank the mapping from 16 KiB to 8 KiB,")
def so_it_was_without_leave_to_move(machine: Machine) -> Thread:
    return _remapped(machine, so_it_was_without_leave_to_move, 2, 0x500, 0)


@_case(cause="unmapped", certainty="certain", by_call="mremap",
       words="by mremap, which moved the mapping to 0x700000 and shrank it from 16 KiB to 8 KiB, ")  # fmt: skip
def of_what_was_moved_and_shortened_the_tail_is_gone(machine: Machine) -> Thread:
    return _remapped(machine, of_what_was_moved_and_shortened_the_tail_is_gone, 2, 0x700, MAYMOVE | FIXED)


@_case(cause="moved", certainty="certain", by_call="mremap", words="moved it elsewhere by mremap ")
def and_its_head_was_moved(machine: Machine) -> Thread:
    return _remapped(machine, and_its_head_was_moved, 2, 0x700, MAYMOVE | FIXED, touched=0x501)


@_case(cause="moved", certainty="certain", by_call="mremap", words="moved it elsewhere by mremap ")
def what_was_moved_to_grow_was_moved(machine: Machine) -> Thread:
    return _remapped(machine, what_was_moved_to_grow_was_moved, 8, 0x700, MAYMOVE | FIXED, touched=0x503)


@_case(cause="unmapped", certainty="certain", by_call="munmap", words="took it away by munmap ")
def where_mremap_left_the_old_place_mapped_who_unmapped_it_did(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 4, MEMORY, ANYWHERE)
    machine.mremap(victim, 0x500, 4, 4, 0x700, MAYMOVE | DONTUNMAP)
    other = machine.thread(victim)
    machine.munmap(other, 0x500, 4)
    machine.fault(victim, 0x502 * PAGE)
    _blames(where_mremap_left_the_old_place_mapped_who_unmapped_it_did, other)
    return victim


@_case(cause="unmapped", certainty="certain", by_call="munmap")
def a_munmap_under_way_had_come(machine: Machine) -> Thread:
    """The fault says that it took effect, whatever its return says."""
    victim = machine.start()
    other = machine.thread(victim)
    machine.mmap(victim, 0x500, 3, MEMORY, ANYWHERE)
    machine.now_ns += 1000
    machine.munmap(other, 0x500, 3, early=400, late=400)
    machine.fault(victim, 0x501 * PAGE, ts_ns=machine.now_ns - 100)
    _blames(a_munmap_under_way_had_come, other)
    return victim


@_case(certainty="possible", reason="by the timeline something was mapped there")
def a_fault_where_the_timeline_has_something(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 3, MEMORY, ANYWHERE)
    machine.fault(victim, 0x501 * PAGE)
    return victim


@_case(cause="not permitted", certainty="possible", reason="by the timeline this was permitted", words="mapped it rw-p")
def a_fault_where_the_timeline_permits_it(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 3, MEMORY, ANYWHERE)
    machine.fault(victim, 0x501 * PAGE, code=2)
    return victim


@_case(cause="not permitted", certainty="certain", by_call="mmap", access="write")
def mapped_again_read_only_blames_the_mapper(machine: Machine) -> Thread:
    """Not who made what lay there before read-only."""
    victim = machine.start()
    machine.mmap(victim, 0x500, 1, MEMORY, ANYWHERE)
    machine.mprotect(victim, 0x500, 1, "r--")
    machine.munmap(victim, 0x500, 1)
    machine.mmap(victim, 0x500, 1, Page("r--p"), ANYWHERE)
    machine.fault(victim, 0x500 * PAGE, code=2)
    return victim


@_case(cause="not permitted", certainty="certain", by_call="mmap")
def over_a_reservation_of_its_own_nothing_was_replaced(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 4, Page("---p"), ANYWHERE)
    machine.mmap(victim, 0x501, 1, Page("r--p"), ANYWHERE | MAP_FIXED)
    machine.fault(victim, 0x501 * PAGE, code=2)
    return victim


@_case(cause="guard", reason="what the mapping above is used for is not recorded")
def an_inaccessible_page_below_memory_is_a_guard_perhaps(machine: Machine) -> Thread:
    victim = machine.start()
    machine.mmap(victim, 0x500, 1, Page("---p"), ANYWHERE)
    machine.mmap(victim, 0x501, 4, MEMORY, ANYWHERE)
    machine.fault(victim, 0x501 * PAGE - 8, code=2)
    return victim


@_case(cause="never mapped", reason="what was mapped before the recording is not known")
def what_was_there_before_the_recording_is_not_known(machine: Machine) -> Thread:
    victim = Thread(50, 50)
    machine.rows["tasks"].append({"event": "alive", "source": "proc", "pid": 50, "tid": 50})
    machine.fault(victim, 0x500 * PAGE)
    return victim


# -- what became of the process ---------------------------------------------------------------

ENDS: dict[str, tuple[int | None, int, str, str, str]] = {
    "killed": (SIGSEGV, 10, "high", "killed", "was killed by SIGSEGV at"),
    "a long core dump": (SIGSEGV | 0x80, 30 * SECOND, "high", "killed", "was killed by SIGSEGV at"),
    "a handler that aborts": (SIGABRT, 3 * SECOND, "high", "ended", "was killed by signal 6 3.00 s later"),
    "a handler that exits": (2 << 8, 1000, "medium", "ended", "exited with status 2 "),
    "an exit long after": (2 << 8, 5 * SECOND, "low", "handled", "and went on"),
    "a good end": (0, 10, "low", "handled", "and went on"),
    "killed by a user later": (9, 5 * SECOND, "low", "handled", "and went on"),
    "an older capture": (None, 10, "high", "ended", "and its process ended"),
    "an older capture, an end long after": (None, 5 * SECOND, "low", "handled", "and went on"),
}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, int]]]:
    """All of that in one capture, and the process of each case."""
    machine = Machine()
    victims = {}
    for name, (case, _) in CASES.items():
        machine.new()
        victims[name] = case(machine).pid
    calls = machine.start()
    machine.fault(calls, 16)
    machine.mmap(calls, 0x500, 1, MEMORY, ANYWHERE)
    machine.end(calls, 0)
    victims["calls afterwards"] = calls.pid
    twice = machine.start()
    machine.fault(twice, 16)
    machine.now_ns += 5 * SECOND
    machine.fault(twice, 24)
    machine.end(twice, SIGSEGV)
    victims["twice"] = twice.pid
    for name, (status, after, *_) in ENDS.items():
        victim = machine.start()
        machine.fault(victim, 16)
        machine.end(victim, status, after)
        victims[name] = victim.pid
    yield build_capture(tmp_path_factory.mktemp("cases") / "capture", machine.rows), victims


@pytest.fixture(scope="module")
def causes(capture: tuple[Path, dict[str, int]]) -> dict[str, list[dict[str, Any]]]:
    path, victims = capture
    with Engine(open_captures([path])) as engine:
        rows = engine.query("FROM fault_causes ORDER BY ts_ns").dicts()
    return {name: [row for row in rows if row["pid"] == pid] for name, pid in victims.items()}


@pytest.fixture(scope="module")
def findings(capture: tuple[Path, dict[str, int]]) -> dict[str, list[dict[str, Any]]]:
    path, victims = capture
    rows = analyze_rows("edges", path, "--kind", "faults", "--expected")
    return {name: [row for row in rows if row["other_pid"] == pid] for name, pid in victims.items()}


@pytest.mark.parametrize("name", CASES)
def test_cause(causes: dict[str, list[dict[str, Any]]], name: str) -> None:
    [row] = causes[name]
    expected = CASES[name][1]
    assert {column: row[column] for column in expected if column != "words"} == {
        column: value for column, value in expected.items() if column != "words"
    }
    assert expected.get("words", "") in row["sentence"]
    assert (row["certainty"] == "certain") == (row["reason"] is None)
    if name in BLAMED and row["by_tid"] is not None:
        assert row["by_tid"] == BLAMED[name]


def test_who_is_blamed_is_told_wherever_it_is_known(causes: dict[str, list[dict[str, Any]]]) -> None:
    told = {name for name in BLAMED if causes[name][0]["by_tid"] is not None}
    assert BLAMED.keys() - told == {"lengthened_by_a_write_it_was_no_truncation"}


@pytest.mark.parametrize("name", ENDS)
def test_how_it_ended(findings: dict[str, list[dict[str, Any]]], name: str) -> None:
    [row] = findings[name]
    _, _, severity, outcome, words = ENDS[name]
    assert (row["severity"], dict(row["facts"])["outcome"]) == (severity, outcome)
    assert (row["expected"] is not None) == (severity == "low")
    assert words in row["sentence"]


def test_one_that_made_calls_afterwards_went_on(causes: dict[str, list[dict[str, Any]]]) -> None:
    assert [row["outcome"] for row in causes["calls afterwards"]] == ["handled"]


def test_the_last_fault_of_a_signal_is_the_deadly_one(causes: dict[str, list[dict[str, Any]]]) -> None:
    assert [row["outcome"] for row in causes["twice"]] == ["handled", "killed"]


def test_while_it_lives_it_is_open(findings: dict[str, list[dict[str, Any]]]) -> None:
    [row] = findings["broken_memory"]
    assert (row["severity"], dict(row["facts"])["outcome"]) == ("medium", "open")
    assert "what became of it is not recorded" in row["sentence"]


def test_the_same_file_on_another_machine_is_not_it(tmp_path: Path) -> None:
    one, other = Machine(), Machine()
    one.new(), other.new()
    victim = one.start()
    one.map_file(victim, 3, 3 * PAGE)
    other.cut(other.start(), 3 * PAGE, PAGE)
    one.bus(victim)
    paths = [build_capture(tmp_path / name, machine.rows) for name, machine in (("one", one), ("other", other))]
    with Engine(open_captures(paths)) as engine:
        [row] = engine.query("FROM fault_causes").dicts()
    assert (row["cause"], row["by_pid"]) == ("within file", None)


def test_explained_once_for_all_kinds_faults_are_what_the_views_say(capture: tuple[Path, dict[str, int]]) -> None:
    opened = open_captures([capture[0]])
    with Engine(opened) as engine:
        alone = engine.query("FROM findings ORDER BY ALL").dicts()
    with Engine(opened) as engine:
        for _ in range(2):
            engine.execute("DROP TABLE IF EXISTS found")
            gather(engine, kinds(), ())
            assert engine.query("FROM found ORDER BY ALL").dicts() == alone
    assert {"faults", "truncated_under_mapping"} <= {row["kind"] for row in alone}


def test_what_calls_of_a_gap_did_is_told_as_not_recorded(tmp_path: Path) -> None:
    """As those of a 32-bit process before its probes are on."""
    machine = Machine()
    machine.new()
    victim = machine.start()
    began = machine.now_ns
    machine.map_file(victim, 3, None)
    machine.mmap(victim, 0x600, 1, MEMORY, ANYWHERE)
    machine.mprotect(victim, 0x600, 1, "r--p")
    machine.rows["syscalls"] = [row for row in machine.rows["syscalls"] if row["ts_enter_ns"] < began]
    gap = {"cause": "too early", "from_ns": began, "to_ns": machine.now_ns}
    machine.rows["losses"] = [{"source": source, **gap} for source in ("calls", "files")]
    machine.bus(victim, PAGE)
    machine.fault(victim, 0x600 * PAGE, code=2)
    with Engine(open_captures([build_capture(tmp_path / "capture", machine.rows)])) as engine:
        bus, segv = engine.query("FROM fault_causes ORDER BY ts_ns").dicts()
    assert (
        "of /data/store.db lies beyond its end, at 4 KiB; the call that mapped it was not recorded" in bus["sentence"]
    )
    assert (bus["certainty"], bus["by_pid"]) == ("possible", None)
    assert "too early" in bus["reason"]
    assert "a call that was not recorded had made it r--p" in segv["sentence"]
    assert segv["by_pid"] is None


def _only_fault(tmp_path: Path, machine: Machine) -> dict[str, Any]:
    with Engine(open_captures([build_capture(tmp_path / "capture", machine.rows)])) as engine:
        [row] = engine.query("FROM fault_causes").dicts()
    return row


def test_suspects_are_told_with_the_paths_they_gave(causes: dict[str, list[dict[str, Any]]]) -> None:
    [row] = causes["the_nearest_is_named_first"]
    decoy = BLAMED["the_nearest_is_named_first"] - 1
    assert (
        row["sentence"]
        .replace(f"{row['ts_ns'] - row['by_ns']} ns before", "just before")
        .endswith(
            "offset 0x1005 of /data/store.db lies beyond its end, at 4 KiB, and it was longer once mapped; "
            f"cutter (pid {row['by_pid']}) had cut /elsewhere/link to that size by truncate just before; "
            f"cutter (pid {decoy}) had cut ./store.db to 4 KiB by truncate 1 ms before; "
            f"cutter (pid {decoy}) had cut /elsewhere/two to 4 KiB by truncate 2 ms before; so had 1 more"
        )
    )
    assert [suspect["path"] for suspect in row["suspects"]] == [
        "/elsewhere/link", "./store.db", "/elsewhere/two", "/elsewhere/one",
    ]  # fmt: skip


@pytest.mark.parametrize("reused", [False, True])
def test_a_path_that_another_file_can_have_had_gives_way_to_a_nearer_call(tmp_path: Path, reused: bool) -> None:
    """Only a file that was alone in being mapped by it, and is gone since, is named before that."""
    machine = Machine()
    machine.new()
    victim, decoy, killer = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    mapped = machine.file
    if reused:
        machine.new()
        machine.map_file(killer, 3, 3 * PAGE)
    _cut_by_path(machine, decoy, PAGE, b"/data//store.db")
    _cut_by_path(machine, killer, PAGE, b"/elsewhere/link")
    machine.file = mapped
    machine.bus(victim, PAGE)
    row = _only_fault(tmp_path, machine)
    named, other = (killer, decoy) if reused else (decoy, killer)
    assert (row["by_tid"], row["by_size"], row["certainty"]) == (named.tid, reused, "possible")
    assert "one of 2 calls" in row["reason"]
    assert f"(pid {other.pid}) had cut" in row["sentence"]
    if reused:
        assert row["suspects"][1]["doubt"] == f"{UNTOLD}, though this one was mapped by it"


def test_a_path_that_another_file_can_have_had_is_named_alone(tmp_path: Path) -> None:
    machine = Machine()
    machine.new()
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, cutter, PAGE, b"/data/store.db", dev=8, inode=199, identity="path")
    machine.bus(victim, PAGE)
    row = _only_fault(tmp_path, machine)
    assert (row["by_tid"], row["by_size"], row["suspect_count"]) == (cutter.tid, False, 0)
    assert row["reason"] == "the path led to another file after the call; this one had been mapped by it before"


def test_a_guess_at_the_file_makes_no_truncation_of_what_was_too_short(tmp_path: Path) -> None:
    machine = Machine()
    machine.new()
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, PAGE)
    _cut_by_path(machine, cutter, PAGE, b"/data/store.db")
    machine.bus(victim, PAGE)
    row = _only_fault(tmp_path, machine)
    assert (row["cause"], row["certainty"], row["by_tid"]) == ("beyond end", "possible", victim.tid)


def test_of_a_file_mapped_before_the_recording_there_are_suspects_too(tmp_path: Path) -> None:
    machine = Machine()
    machine.new()
    victim, cutter, _ = machine.three()
    machine.map_file(victim, 3, None)
    _cut_by_path(machine, cutter, PAGE, b"/elsewhere/link")
    machine.bus(victim, PAGE)
    row = _only_fault(tmp_path, machine)
    assert (row["cause"], row["certainty"], row["by_tid"]) == ("truncated", "possible", cutter.tid)
    assert "lies beyond its end, at 4 KiB; cutter" in row["sentence"]


def test_the_life_of_the_address_lists_the_suspects(tmp_path: Path) -> None:
    machine = Machine()
    machine.new()
    victim, decoy, killer = machine.three()
    machine.map_file(victim, 3, 3 * PAGE)
    _cut_by_path(machine, decoy, PAGE, b"store.db")
    _cut_by_path(machine, killer, PAGE, b"/elsewhere/link")
    machine.bus(victim, PAGE)
    capture = build_capture(tmp_path / "capture", machine.rows)
    rows = analyze_rows("why", capture, "--pid", str(victim.pid), "--addr", f"{0x501 * PAGE:#x}")
    told = [(row["tid"], row["certainty"], row["text"]) for row in rows if row["what"] == "truncation"]
    then = "to 4 KiB; if it was this file, offset 0x1000 is beyond its end then"
    assert told == [
        (killer.tid, "possible", f"truncate by cutter (pid {killer.pid}) of /elsewhere/link: {then}"),
        (decoy.tid, "possible", f"truncate by cutter (pid {decoy.pid}) of store.db: {then}"),
    ]


# -- analyze why ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    machine = Machine()
    machine.new()
    assert _cut_and_touched(machine, what_the_kernel_saw_is_certain, PAGE).pid == 100
    machine.rows["faults"][0]["comm"] = b"\x1b[31mred"
    lost = {"source": "calls", "cause": "ring full", "count": 3, "cpu": 1}
    machine.rows["losses"].append(lost | {"from_ns": START_NS + 1, "to_ns": START_NS + 2})
    at = machine.rows["faults"][0]["ts_ns"]
    machine.rows["losses"].append(lost | {"from_ns": at - 2, "to_ns": at - 1})
    machine.rows["losses"].append({**lost, "source": "files", "from_ns": at - 2, "to_ns": at - 1})
    return build_capture(tmp_path_factory.mktemp("here") / "capture", machine.rows, ended_ns=START_NS + SECOND)


ADDRESS = ("--addr", f"{0x501 * PAGE:#x}")


def test_the_answer_names_what_it_is_weakened_by(lossy: Path) -> None:
    rows = analyze_rows("why", lossy, *ADDRESS)
    verdict = rows[0]
    assert (verdict["what"], verdict["certainty"]) == ("verdict", "possible")
    assert "3 records of calls were lost" in verdict["reason"]
    losses = {row["text"] for row in rows if row["what"] == "loss"}
    assert losses == {f"3 records of {source} lost on CPU 1: ring full" for source in ("calls", "files")}
    assert any(row["what"] == "doubt" for row in rows)
    done = analyze("why", lossy, *ADDRESS)
    assert done.stdout.startswith("possible: ")
    assert "because 3 records of calls were lost (ring full)" in done.stdout


def _mapping_and_sizes(tmp_path: Path) -> tuple[Path, Thread]:
    """A file of sixteen pages is created and mapped whole; the middle of the mapping is unmapped, its end protected."""
    machine = Machine()
    thread = machine.start()
    machine.new()
    opened = {"operation": "openat", "flags": 0o1102, "comm": b"maker"}
    machine.cut(thread, None, 0, **opened)
    machine.cut(thread, 0, 0)
    machine.cut(thread, 0, 16 * PAGE)
    machine.map_file(thread, 16, 16 * PAGE)
    machine.munmap(thread, 0x504, 2)
    machine.cut(thread, None, 0, **opened)
    return build_capture(tmp_path / "capture", machine.rows, ended_ns=machine.now_ns + 1000), thread


def test_a_part_of_a_mapping_says_of_what_and_where_the_address_is_in_it(tmp_path: Path) -> None:
    capture, thread = _mapping_and_sizes(tmp_path)
    whole = "0x500000-0x510000"
    for page, part, offsets in (
        (0x502, "0x500000-0x504000", "+0x0"),
        (0x507, "0x506000-0x510000", "+0x6000"),
    ):
        rows = analyze_rows("why", capture, "--pid", thread.pid, "--addr", f"{page * PAGE + 5:#x}")
        [text] = [row["text"] for row in rows if row["what"] == "mapping"]
        assert text.startswith(
            f"rw-s /data/store.db {offsets} (64 KiB long then), at {part}, a part of {whole} that was mapped at once; "
            f"the address is at +{(page - 0x500) * PAGE:#x}; mmap by "
        )


def test_what_took_no_bytes_from_a_file_is_no_truncation(tmp_path: Path) -> None:
    capture, thread = _mapping_and_sizes(tmp_path)
    rows = analyze_rows("why", capture, "--pid", thread.pid, "--addr", f"{0x502 * PAGE:#x}")
    told = [
        (row["what"], row["call"], row["certainty"], row["reason"])
        for row in rows
        if row["call"] in ("openat", "ftruncate")
    ]
    assert told == [
        ("truncation", "openat", "certain", None),
        ("growth", "ftruncate", "certain", None),
        ("truncation", "openat", "possible", "whether it was there before, and how long, is not recorded"),
    ]
    [last] = [row["text"] for row in rows if row["what"] == "truncation" and row["certainty"] == "certain"]
    assert ": from a size not recorded to 0 bytes; " in last
    assert "beyond the end of the file as last seen" in rows[0]["text"]


@pytest.mark.parametrize(
    ("new", "flags", "page", "text"),
    [
        (1, 0, 0x502, "which shrank the mapping from 16 KiB to 4 KiB"),
        (2, MAYMOVE | FIXED, 0x503, "which moved the mapping to 0x700000 and shrank it from 16 KiB to 8 KiB"),
        (2, MAYMOVE | FIXED, 0x501, "which moved it to 0x701000"),
    ],
)
def test_an_address_that_mremap_took_tells_how(tmp_path: Path, new: int, flags: int, page: int, text: str) -> None:
    machine = Machine()
    thread = machine.start()
    machine.mmap(thread, 0x500, 4, MEMORY, ANYWHERE)
    machine.mremap(thread, 0x500, 4, new, 0x700 if flags else 0x500, flags)
    capture = build_capture(tmp_path / "capture", machine.rows, ended_ns=machine.now_ns + 1000)
    verdict, unmapped, _ = analyze_rows("why", capture, "--pid", thread.pid, "--addr", f"{page * PAGE:#x}")
    assert f"memory lay there until mremap by  (pid {thread.pid}), {text}, " in verdict["text"]
    assert unmapped["text"].endswith(f"; mremap by  (pid {thread.pid}), {text}")


def test_no_byte_of_a_name_reaches_the_terminal(lossy: Path) -> None:
    for more in (ADDRESS, ()):
        done = analyze("why", lossy, *more)
        assert "\\x1b[31mred" in done.stdout
        assert "\x1b" not in done.stdout


def _refused(*arguments: object, status: int = 2) -> str:
    done = analyze("why", *arguments, status=status)
    assert done.stdout == ""
    return done.stderr


def test_what_cannot_be_answered_is_refused(lossy: Path) -> None:
    assert "--at needs the address" in _refused(lossy, "--at", "+0s")
    assert "not an address: nowhere" in _refused(lossy, "--addr", "nowhere")
    assert "nothing was recorded of process: 7" in _refused(lossy, "--pid", 7, *ADDRESS)
    assert "nothing was recorded of process: 7" in _refused(lossy, "--pid", 7)
    assert "nothing is known of 0x7f0000000000" in _refused(lossy, "--addr", "0x7f0000000000", status=1)
    assert "3 processes have had something mapped at 0x300000: 100, 101, 102" in _refused(lossy, "--addr", "0x300000")
    done = analyze("why", lossy, "--pid", 100, "--addr", "0x900000", status=1)
    assert "nothing was ever mapped at 0x900000" in done.stdout


def test_a_capture_without_faults_says_so(tmp_path: Path) -> None:
    machine = Machine()
    machine.start()
    path = build_capture(tmp_path / "capture", machine.rows)
    done = analyze("why", path)
    assert (done.stdout, "no fault of memory in the recording" in done.stderr) == ("", True)
    assert f"analyze edges {path}" in done.stderr and f"analyze counts {path}" in done.stderr
    assert f"analyze counts {path}" in analyze("edges", path).stderr
    assert analyze("why", path, "--format", "json").stdout == "[]\n"


def test_a_signal_that_was_sent_is_no_fault(tmp_path: Path) -> None:
    machine = Machine()
    thread = machine.start()
    ended = {"ts_ns": machine.now_ns + 5, "event": "ended", "pid": thread.pid, "tid": thread.tid, "exit_status": 11}
    machine.rows["tasks"].append({"source": "bpf", **ended})
    path = build_capture(tmp_path / "capture", machine.rows)
    done = analyze("why", path, "--pid", thread.pid)
    assert f"(pid {thread.pid}) died of SIGSEGV, which was sent to it, as kill does" in done.stderr


def test_an_address_in_decimal_is_not_taken_for_another(lossy: Path) -> None:
    assert "in decimal this is 0x7f9efd148000" in _refused(lossy, "--addr", "140320827539456")


def test_every_format_has_the_columns(lossy: Path) -> None:
    columns = list(analyze_rows("why", lossy, *ADDRESS)[0])
    assert list(analyze_rows("why", lossy)[0]) == columns
    header = analyze("why", lossy, *ADDRESS, "--format", "csv").stdout.splitlines()[0]
    assert header.split(",") == columns
