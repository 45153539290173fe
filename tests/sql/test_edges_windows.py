"""What the findings about windows of files and written code say where something is not certain, or nearly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze, analyze_rows
from tests.support.oracle import CLONE_VM, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PAGE, Kernel, Page, Thread

DATA = Page("rw-s", 77, 0, b"/data/store.db")
READ = Page("r--s", 77, 0, b"/data/store.db")
MEMORY = Page("rw-p")
CODE = Page("rwxp")


def put(kernel: Kernel, thread: Thread, first: int, count: int, page: Page = DATA, flags: int = 0) -> None:
    kernel.mmap(thread, first, count, page, flags | (MAP_SHARED if page.perms[3] == "s" else MAP_PRIVATE))


def refuse(kernel: Kernel, thread: Thread, first: int, count: int, error: int, pgoff: int = 0, **more: Any) -> None:
    """A remap_file_pages that the kernel refuses, for a reason that this one does not know."""
    enter = kernel._step(thread)
    args = {"addr": first * PAGE, "size": count * PAGE, "prot": 0, "pgoff": pgoff, "flags": 0, **more}
    kernel._call(thread, enter, more.pop("late", 0), "remap_file_pages", -error, **args)


def edges(kernel: Kernel, directory: Path, kind: str, **manifest: Any) -> list[dict[str, Any]]:
    """Findings of one kind in order of time, their facts by name."""
    for row in kernel.rows["syscalls"]:
        if row["syscall"] == "remap_file_pages":
            row.setdefault("prot", 0)
            row.setdefault("flags", 0)
    kernel.forget()
    capture = build_capture(directory / "capture", kernel.rows, **manifest)
    rows = analyze_rows("edges", capture, "--kind", kind, "--expected")
    for row in rows:
        row["facts"] = dict(row["facts"])
    return sorted(rows, key=lambda row: row["ts_ns"])


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def thread(kernel: Kernel) -> Thread:
    return kernel.start()


# -- refused ----------------------------------------------------------------------------------


def _told(row: dict[str, Any]) -> tuple[str, str, str | None]:
    return row["facts"]["reason"], row["certainty"], row["reason"]


def test_where_records_were_lost_the_reason_is_only_possible(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    kernel.remap(thread, 0x4FF, 1, 0)
    kernel.lose(thread, 500)
    kernel.now_ns += 1000
    kernel.remap(thread, 0x4FF, 1, 0)
    before, after = edges(kernel, tmp_path, "remap_rejected")
    assert _told(before) == ("nothing mapped", "certain", None)
    assert (after["facts"]["reason"], after["certainty"]) == ("nothing mapped", "possible")
    assert "lost" in after["reason"]


def test_what_arguments_forbid_is_certain_whatever_was_lost(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    kernel.lose(thread, 500)
    kernel.now_ns += 1000
    refuse(kernel, thread, 0x500, 1, 22, prot=1)
    [row] = edges(kernel, tmp_path, "remap_rejected")
    assert _told(row) == ("prot", "certain", None)


def test_a_mapping_that_changed_while_the_call_ran(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    other = kernel.thread(thread)
    put(kernel, thread, 0x500, 5)
    enter = kernel._step(thread)
    kernel.munmap(other, 0x502, 1)
    kernel._step()
    args = {"addr": 0x500 * PAGE, "size": 5 * PAGE, "pgoff": 1}
    kernel._call(thread, enter, 0, "remap_file_pages", -22, **args)
    [row] = edges(kernel, tmp_path, "remap_rejected")
    assert _told(row) == ("hole", "possible", "mappings changed while the call ran")


def test_a_call_of_another_thread_can_be_the_reason_where_none_is_seen(
    tmp_path: Path, kernel: Kernel, thread: Thread
) -> None:
    other = kernel.thread(thread)
    put(kernel, thread, 0x500, 5, READ)
    refuse(kernel, thread, 0x500, 1, 22)
    enter = kernel._step(thread)
    kernel.advise(other, 0x900, 1, dont=True)
    kernel._step()
    kernel._call(thread, enter, 0, "remap_file_pages", -22, addr=0x500 * PAGE, size=PAGE, pgoff=1)
    alone, beside = edges(kernel, tmp_path, "remap_rejected")
    assert _told(alone) == ("read-only file", "certain", None)
    assert _told(beside) == ("read-only file", "possible", "another thread made a call while this one ran")


def test_no_reason_is_invented(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    refuse(kernel, thread, 0x500, 5, 22)
    [row] = edges(kernel, tmp_path, "remap_rejected")
    assert _told(row)[:2] == ("not seen", "possible")


def test_a_hole_in_what_may_be_of_a_read_only_descriptor(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    """The kernel would look at the descriptor first."""
    put(kernel, thread, 0x500, 3, READ)
    refuse(kernel, thread, 0x500, 5, 22)
    [row] = edges(kernel, tmp_path, "remap_rejected")
    assert _told(row)[:2] == ("past the last", "possible")


@pytest.mark.parametrize(
    ("limit", "reason", "certainty"),
    [(3, "map count", "certain"), (4, "no memory", "possible"), (None, "no memory", "possible")],
)
def test_too_many_vmas_or_no_memory(
    tmp_path: Path, kernel: Kernel, thread: Thread, limit: int | None, reason: str, certainty: str
) -> None:
    put(kernel, thread, 0x500, 5)
    put(kernel, thread, 0x600, 5, MEMORY)
    refuse(kernel, thread, 0x502, 1, 12)
    [row] = edges(kernel, tmp_path, "remap_rejected", max_map_count=limit)  # and the program itself
    assert _told(row)[:2] == (reason, certainty)
    assert (row["severity"], row["facts"]["vmas_at_most"]) == ("medium", "3")


def test_neighbours_that_can_be_one_vma_make_the_count_possible(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    put(kernel, thread, 0x600, 5, MEMORY)
    put(kernel, thread, 0x605, 5, MEMORY)
    refuse(kernel, thread, 0x502, 1, 12)
    [row] = edges(kernel, tmp_path, "remap_rejected", max_map_count=4)
    assert _told(row)[:2] == ("map count", "possible")


def test_flags_given_to_all_of_the_range_do_not_part_it(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 4)
    put(kernel, thread, 0x600, 4)
    kernel.advise(thread, 0x500, 4, dont=True)
    kernel.advise(thread, 0x602, 2, dont=True)
    refuse(kernel, thread, 0x500, 4, 22)
    refuse(kernel, thread, 0x600, 4, 22)
    whole, part = edges(kernel, tmp_path, "remap_rejected")
    assert (whole["facts"]["reason"], part["facts"]["reason"]) == ("not seen", "other flags")
    assert int(part["facts"]["at"], 16) == 0x602 * PAGE


def test_of_a_vfork_child_it_is_the_shared_address_space(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    child = kernel.fork(thread, CLONE_VM)
    kernel.remap(child, 0x503, 5, 0)
    [row] = edges(kernel, tmp_path, "remap_rejected")
    assert (row["pid"], row["facts"]["reason"]) == (child.pid, "past the last")


# -- out of order ------------------------------------------------------------------------------


def test_half_of_what_is_allowed_is_grave(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    for n in range(5):
        kernel.remap(thread, 0x500 + n, 1, 4 - n)
    for limit, severity in ((12, "medium"), (13, "low")):
        [row] = edges(kernel, tmp_path / severity, "nonlinear", max_map_count=limit)
        assert (row["severity"], row["facts"]["vmas"], row["facts"]["limit_vmas"]) == (severity, "6", str(limit))
    assert row["facts"]["order"] == "0→4 1→3 2→2 3→1 4→0"


def test_a_long_order_is_cut(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 23)
    for n in range(23):
        kernel.remap(thread, 0x500 + n, 1, 22 - n)
    [row] = edges(kernel, tmp_path, "nonlinear")
    assert row["facts"]["order"].startswith("0→22 ") and row["facts"]["order"].endswith(" 15→7 …")
    assert row["facts"]["windows"] == "23"


def test_neighbours_mapped_in_any_order_by_mmap_are_not_told_of(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 1, Page("rw-s", 77, 5, b"/data/store.db"))
    put(kernel, thread, 0x501, 1, Page("rw-s", 77, 1, b"/data/store.db"))
    assert edges(kernel, tmp_path, "nonlinear") == []


def test_mmap_can_restore_the_order_and_unmapping_does_not(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    for first in (0x500, 0x600):
        put(kernel, thread, first, 3)
        kernel.remap(thread, first, 1, 2)
    put(kernel, thread, 0x500, 3, DATA, MAP_FIXED)
    kernel.munmap(thread, 0x600, 3)
    restored, unmapped = edges(kernel, tmp_path, "nonlinear")
    assert (restored["start"], unmapped["start"]) == (0x500 * PAGE, 0x600 * PAGE)
    assert restored["expected"] and not unmapped["expected"]


def test_order_where_records_were_lost_is_possible(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 3)
    kernel.lose(thread, 500)
    kernel.now_ns += 1000
    kernel.remap(thread, 0x500, 1, 2)
    [row] = edges(kernel, tmp_path, "nonlinear")
    assert row["certainty"] == "possible" and "lost" in row["reason"]


# -- seen twice --------------------------------------------------------------------------------


def test_one_of_the_two_must_be_writable_and_at_the_same_time(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5, READ)
    put(kernel, thread, 0x600, 5, READ)
    assert edges(kernel, tmp_path / "read", "aliased_windows") == []
    kernel.mprotect(thread, 0x601, 2, "rw-")
    [row] = edges(kernel, tmp_path / "written", "aliased_windows")
    assert (row["start"], row["facts"]["bytes"], row["certainty"]) == (0x601 * PAGE, str(2 * PAGE), "certain")
    assert int(row["facts"]["other_start"], 16) == 0x501 * PAGE


def test_a_reader_that_stays_longer_does_not_hide_the_writer(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5, READ)
    put(kernel, thread, 0x600, 5)
    put(kernel, thread, 0x700, 5, READ)
    kernel.munmap(thread, 0x600, 5)
    [row] = edges(kernel, tmp_path, "aliased_windows")
    assert (row["start"], row["facts"]["other_perms"], row["facts"]["perms"]) == (0x600 * PAGE, "r--s", "rw-s")


def test_many_windows_are_one_finding(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x1000, 40)
    for n in range(20):
        put(kernel, thread, 0x500 + 3 * n, 1, Page("rw-s", 77, 2 * n, b"/data/store.db"))
    [row] = edges(kernel, tmp_path, "aliased_windows")
    assert row["facts"]["bytes"] == str(20 * PAGE)
    assert row["facts"]["pages"].count(" and ") == 8 and row["facts"]["pages"].endswith(" …")


def test_another_generation_of_an_inode_is_another_file(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 5)
    kernel.rows["vmas"][-1]["generation"] = 1
    put(kernel, thread, 0x600, 5)
    kernel.rows["vmas"][-1]["generation"] = 2
    assert edges(kernel, tmp_path, "aliased_windows") == []


def test_processes_that_have_a_file_one_after_the_other_do_not_share_it(tmp_path: Path, kernel: Kernel) -> None:
    first, second, third = kernel.start(), kernel.start(), kernel.start()
    put(kernel, first, 0x500, 5)
    kernel.munmap(first, 0x500, 5)
    put(kernel, second, 0x500, 5)
    put(kernel, third, 0x500, 2, Page("r--s", 77, 3, b"/data/store.db"))
    [row] = edges(kernel, tmp_path, "aliased_windows")
    assert (row["pid"], row["other_pid"], row["facts"]["bytes"]) == (third.pid, second.pid, str(2 * PAGE))
    assert (row["facts"]["others"], row["offset_bytes"]) == ("1", 3 * PAGE)


def test_the_partner_is_one_that_has_the_pages(tmp_path: Path, kernel: Kernel) -> None:
    """Not merely one that had the file first and longest."""
    first, second, third = kernel.start(), kernel.start(), kernel.start()
    put(kernel, first, 0x500, 5)
    put(kernel, second, 0x500, 5, Page("rw-s", 77, 10, b"/data/store.db"))
    put(kernel, third, 0x500, 5, Page("r--s", 77, 12, b"/data/store.db"))
    [row] = edges(kernel, tmp_path, "aliased_windows")
    assert (row["pid"], row["other_pid"], row["facts"]["bytes"]) == (third.pid, second.pid, str(3 * PAGE))


def test_who_could_write_only_before_another_came_does_not_share(tmp_path: Path, kernel: Kernel) -> None:
    first, second = kernel.start(), kernel.start()
    put(kernel, first, 0x500, 5)
    kernel.mprotect(first, 0x500, 5, "r--")
    put(kernel, second, 0x500, 5, READ)
    assert edges(kernel, tmp_path / "before", "aliased_windows") == []
    kernel.mprotect(first, 0x500, 1, "rw-")
    [row] = edges(kernel, tmp_path / "again", "aliased_windows")
    assert (row["facts"]["bytes"], row["severity"]) == (str(PAGE), "info")


def test_drivers_and_anonymous_inodes_are_not_files(tmp_path: Path, kernel: Kernel) -> None:
    first, second = kernel.start(), kernel.start()
    for path in (b"anon_inode:[io_uring]", b"/dev/dri/renderD128"):
        for thread in (first, second):
            page = Page("rw-s", 9, 0, path)
            at = 0x500 if path.startswith(b"anon") else 0x600
            put(kernel, thread, at, 2, page)
            put(kernel, thread, at + 16, 2, page)
    assert edges(kernel, tmp_path, "aliased_windows") == []


def test_shared_leaves_out_what_is_only_read_unless_asked(tmp_path: Path, kernel: Kernel) -> None:
    first, second = kernel.start(), kernel.start()
    for thread in (first, second):
        put(kernel, thread, 0x500, 5, READ)
    capture = build_capture(tmp_path / "capture", kernel.rows)
    assert analyze_rows("shared", capture) == []
    assert [row["pid"] for row in analyze_rows("shared", capture, "--pid", first.pid)] == [first.pid, second.pid]
    [row, _] = analyze_rows("shared", capture, "--file", "store.db")
    assert (row["others"], row["shared_bytes"], row["written_ns"]) == (1, 5 * PAGE, None)


def test_the_table_of_what_is_shared(tmp_path: Path, kernel: Kernel) -> None:
    """Fits a narrow terminal up to the path, and does nothing to it."""
    first, second = kernel.start(), kernel.start()
    for thread in (first, second):
        put(kernel, thread, 0x500, 5, Page("rw-s", 79, 1, b"/tmp/\x1b[2Jx"))
    table = analyze("shared", build_capture(tmp_path / "capture", kernel.rows)).stdout
    header, *rows = table.splitlines()
    names = ["pid", "comm", "perms", "offsets", "shared_bytes", "from_ns", "to_ns", "how", "path"]
    assert header.split() == names and header.index("path") < 80
    assert [row.split()[0] for row in rows] == [str(first.pid), str(second.pid)]
    assert "1000-6000" in rows[0] and "20 KiB" in rows[0]
    assert "\x1b" not in table and "/tmp/\\x1b[2Jx" in rows[0]


# -- written code ------------------------------------------------------------------------------


def test_a_child_is_not_blamed_for_what_it_inherits(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 2, CODE)
    put(kernel, thread, 0x600, 2, MEMORY)
    child = kernel.fork(thread)
    assert [row["pid"] for row in edges(kernel, tmp_path / "inherited", "wx")] == [thread.pid]
    kernel.mprotect(child, 0x600, 1, "r-x")
    _, own = edges(kernel, tmp_path / "own", "wx")
    assert (own["start"], own["end"], own["facts"]["history"]) == (0x600 * PAGE, 0x601 * PAGE, "rw-p r-xp")
    assert own["space"] != 1


def test_toggles_of_a_range_are_one_with_their_number(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 8, MEMORY)
    for _ in range(11):
        kernel.mprotect(thread, 0x502, 3, "r-x")
        kernel.mprotect(thread, 0x502, 3, "rw-")
    [row] = edges(kernel, tmp_path, "wx")
    assert (row["start"], row["end"], row["facts"]["turns"]) == (0x502 * PAGE, 0x505 * PAGE, "11")
    assert row["facts"]["history"].endswith(" …")


def test_mapped_anew_there_is_no_history(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 2, MEMORY)
    put(kernel, thread, 0x500, 2, Page("r--p"), MAP_FIXED)
    kernel.mprotect(thread, 0x500, 2, "r-x")
    assert edges(kernel, tmp_path, "wx") == []


def test_the_code_of_a_file_written_long_after_it_was_loaded(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    """By the loader, as it loads: text relocations; later, or by another thread: somebody changed the code."""
    other = kernel.thread(thread)
    library = Page("r-xp", 55, 0, b"/lib/library.so")
    for first, who in ((0x500, thread), (0x600, other)):
        put(kernel, thread, first, 2, library)
        kernel.mprotect(who, first, 1, "rwx")
        kernel.mprotect(who, first, 1, "r-x")
    loaded, changed = edges(kernel, tmp_path, "wx")
    assert (loaded["facts"]["how"], loaded["severity"]) == ("text relocations", "low")
    assert (changed["facts"]["how"], changed["severity"]) == ("code of a file", "medium")


def test_a_compilers_code_is_normal_and_what_is_not_its_is_not(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x300000, 2, Page("r-xp", 55, 0, b"/usr/lib/jvm/lib/server/libjvm.so"))
    put(kernel, thread, 0x500, 2, CODE)
    put(kernel, thread, 0x600, 3, CODE)
    put(kernel, thread, 0x700, 2, Page("r-xp", 56, 0, b"/lib/library.so"))
    kernel.now_ns += 2_000_000_000
    kernel.mprotect(thread, 0x700, 1, "rwx")
    compiled, changed = edges(kernel, tmp_path, "wx")
    assert (compiled["expected"], compiled["facts"]["ranges"]) == ("HotSpot's code cache", "2")
    assert (compiled["facts"]["bytes"], changed["expected"]) == (str(5 * PAGE), None)


def test_a_library_makes_only_small_pieces(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x300000, 2, Page("r-xp", 55, 0, b"/usr/lib/libffi.so.8.1.2"))
    put(kernel, thread, 0x500, 16, CODE)
    put(kernel, thread, 0x600, 17, CODE)
    small, large = edges(kernel, tmp_path, "wx")
    assert (small["expected"], large["expected"]) == ("libffi's closures", None)


def test_a_name_is_not_a_compiler(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x300000, 2, Page("r-xp", 55, 0, b"/tmp/not-node-at-all"))
    put(kernel, thread, 0x500, 2, CODE)
    bundled = kernel.start()  # with V8 inside, as its snapshot says
    put(kernel, bundled, 0x300000, 2, Page("r--p", 56, 0, b"/opt/editor/v8_context_snapshot.bin"))
    put(kernel, bundled, 0x500, 2, CODE)
    named, compiled = edges(kernel, tmp_path, "wx")
    assert (named["expected"], compiled["expected"]) == (None, "V8's compiled JavaScript")


def test_written_through_one_mapping_and_run_in_the_other(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    run = Page("r-xs", 77, 2, b"/memfd:code (deleted)")
    put(kernel, thread, 0x500, 5, Page("rw-s", 77, 0, b"/memfd:code (deleted)"))
    put(kernel, thread, 0x600, 2, run)
    put(kernel, thread, 0x700, 2, Page("r-xs", 77, 9, b"/memfd:code (deleted)"))  # other pages
    [row] = edges(kernel, tmp_path, "wx")
    assert (row["facts"]["how"], row["start"], row["end"]) == ("two mappings", 0x600 * PAGE, 0x602 * PAGE)
    assert row["facts"]["file_perms"] == "rw-s r-xs"


def test_what_was_there_before_has_no_thread(tmp_path: Path, kernel: Kernel) -> None:
    maps = {"reading": 1, "reason": "baseline", "ts_begin_ns": START_NS, "ts_end_ns": START_NS, "pid": 7, "dev": 0}
    kernel.rows["maps"] = [{**maps, "start": 0x500 * PAGE, "end": 0x501 * PAGE, "perms": "rwxp", "path": b""}]
    kernel.rows["tasks"] = [{"ts_ns": START_NS, "event": "alive", "source": "proc", "pid": 7, "tid": 7, "comm": b"old"}]
    [row] = edges(kernel, tmp_path, "wx")
    assert (row["pid"], row["tid"], row["call"], row["severity"]) == (7, None, "baseline", "medium")


def test_written_code_where_records_were_lost_is_possible(tmp_path: Path, kernel: Kernel, thread: Thread) -> None:
    put(kernel, thread, 0x500, 2, MEMORY)
    kernel.lose(thread, 500)
    kernel.now_ns += 1000
    kernel.mprotect(thread, 0x500, 2, "r-x")
    [row] = edges(kernel, tmp_path, "wx")
    assert row["certainty"] == "possible" and "lost" in row["reason"]
