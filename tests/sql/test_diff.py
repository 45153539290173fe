"""`analyze diff`: what counts as created and freed, inside a window and outside, and how it is grouped."""

from __future__ import annotations

import csv
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.commands import analyze, analyze_rows, analyze_table
from tests.support.oracle import (
    CLONE_VM,
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

DATA = Page("rw-s", 77, 0, b"/data/store.db")
BUNDLED = Path(__file__).resolve().parents[2] / "data"
HOSTILE = Page("r--p", 79, 0, b"/tmp/\x1b[2Jx")
ANONYMOUS = Page("rw-p")


class Script:
    """What a process did in seconds 0, 1 and 2; the window of the tests is second 1."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.thread = self.kernel.start()

    def at(self, second: int) -> None:
        self.kernel.now_ns = max(self.kernel.now_ns, START_NS + second * SECOND)

    def map(self, first: int, count: int, page: Page = DATA, thread: Thread | None = None, fixed: bool = False) -> None:
        flags = MAP_SHARED if page.perms[3] == "s" else MAP_PRIVATE
        flags |= (0 if page.inode else MAP_ANONYMOUS) | (MAP_FIXED if fixed else 0)
        self.kernel.mmap(thread or self.thread, first, count, page, flags)

    def capture(self, directory: Path, **more: Any) -> Path:
        return build_capture(directory / "capture", self.kernel.rows, **{"ended_ns": START_NS + 3 * SECOND, **more})


WINDOW = ("--from", "+1s", "--to", "+2s")


def _mappings(capture: Path, *arguments: str) -> list[tuple[str, int, int]]:
    """Class, first page and pages of every mapping but the program itself."""
    rows = analyze_rows("diff", capture, *(arguments or WINDOW), "--by", "mapping")
    return sorted(
        (row["class"], row["start"] // PAGE, row["size_bytes"] // PAGE) for row in rows if row["start"] != 0x300 * PAGE
    )


def test_each_of_the_four_classes(tmp_path: Path) -> None:
    script = Script()
    kernel, thread = script.kernel, script.thread
    script.map(0x500, 1)
    script.map(0x510, 2)
    script.map(0x520, 3)
    kernel.munmap(thread, 0x520, 3)  # before the window: in none of the classes
    script.at(1)
    script.map(0x530, 5)
    script.map(0x540, 7)
    kernel.munmap(thread, 0x540, 7)
    kernel.munmap(thread, 0x510, 2)
    script.at(2)
    kernel.munmap(thread, 0x530, 5)  # after the window: still there at its end
    script.map(0x550, 11)
    assert _mappings(script.capture(tmp_path)) == [
        ("AIFI", 0x540, 7), ("AIFO", 0x530, 5), ("AOFI", 0x510, 2), ("AOFO", 0x500, 1),
    ]  # fmt: skip


def test_a_change_of_permissions_neither_frees_nor_creates(tmp_path: Path) -> None:
    script = Script()
    kernel, thread = script.kernel, script.thread
    script.map(0x500, 5)
    script.at(1)
    kernel.mprotect(thread, 0x501, 2, "r--")
    kernel.mprotect(thread, 0x500, 5, "rw-")
    script.map(0x510, 5)
    kernel.mprotect(thread, 0x512, 1, "---")
    assert _mappings(script.capture(tmp_path)) == [("AIFO", 0x510, 5), ("AOFO", 0x500, 5)]


def test_of_a_part_that_is_unmapped_only_that_is_freed(tmp_path: Path) -> None:
    script = Script()
    script.at(1)
    script.map(0x500, 7)
    script.kernel.mprotect(script.thread, 0x502, 1, "r--")
    script.kernel.munmap(script.thread, 0x502, 2)
    capture = script.capture(tmp_path)
    assert _mappings(capture) == [("AIFI", 0x502, 2), ("AIFO", 0x500, 5)]
    [kept] = [row for row in analyze_rows("diff", capture, *WINDOW, "--by", "mapping") if row["class"] == "AIFO"]
    assert (kept["start"], kept["end"], kept["ranges"]) == (0x500 * PAGE, 0x507 * PAGE, 2)


def test_what_mremap_moves_goes_on_and_what_it_adds_is_new(tmp_path: Path) -> None:
    script = Script()
    kernel, thread = script.kernel, script.thread
    script.map(0x500, 3)
    script.at(1)
    kernel.mremap(thread, 0x500, 3, 5, 0x600, MAYMOVE | FIXED)
    kernel.mremap(thread, 0x600, 5, 5, 0x700, MAYMOVE | FIXED)
    kernel.mremap(thread, 0x700, 5, 4, 0x700, 0)
    capture = script.capture(tmp_path)
    assert _mappings(capture) == [("AIFI", 0x704, 1), ("AIFO", 0x703, 1), ("AOFO", 0x700, 3)]
    [moved] = [row for row in analyze_rows("diff", capture, *WINDOW, "--by", "mapping") if row["start"] == 0x700 * PAGE]
    assert (moved["cause"], moved["path"]) == ("mmap", "/data/store.db")
    assert moved["created_ns"] < START_NS + SECOND


def test_a_copy_that_mremap_leaves_behind_is_new(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 2, ANONYMOUS)
    script.at(1)
    script.kernel.mremap(script.thread, 0x500, 2, 2, 0x600, MAYMOVE | FIXED | DONTUNMAP)
    assert _mappings(script.capture(tmp_path)) == [("AIFO", 0x600, 2), ("AOFO", 0x500, 2)]


def test_mapping_over_a_mapping_frees_it(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 5)
    script.at(1)
    script.map(0x501, 2, fixed=True)
    script.kernel.remap(script.thread, 0x504, 1, 9)
    assert _mappings(script.capture(tmp_path)) == [
        ("AIFO", 0x501, 2), ("AIFO", 0x504, 1), ("AOFI", 0x501, 3), ("AOFO", 0x500, 2),
    ]  # fmt: skip


def test_mapping_over_a_mapping_of_the_same_kind_frees_it_too(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 5, ANONYMOUS)
    script.at(1)
    script.map(0x501, 2, ANONYMOUS, fixed=True)
    assert _mappings(script.capture(tmp_path)) == [("AIFO", 0x501, 2), ("AOFI", 0x501, 2), ("AOFO", 0x500, 3)]


def test_a_fork_creates_for_the_child_and_its_exit_frees(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 2)
    script.at(1)
    child = script.kernel.fork(script.thread)
    script.kernel.exit(child)
    rows = analyze_rows("diff", script.capture(tmp_path), *WINDOW, "--by", "mapping", "--pid", str(child.pid))
    assert {(row["class"], row["cause"], row["end_cause"], row["pid"]) for row in rows} == {
        ("AIFI", "fork", "exit", child.pid)
    }
    assert sum(row["size_bytes"] for row in rows) == 3 * PAGE


def test_an_execution_frees_what_was_and_creates_anew(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 2)
    script.at(1)
    script.kernel.execute(script.thread)
    rows = analyze_rows("diff", script.capture(tmp_path), *WINDOW, "--by", "mapping")
    assert sorted((row["class"], row["start"] // PAGE, row["cause"], row["end_cause"]) for row in rows) == [
        ("AIFO", 0x300, "exec", None), ("AOFI", 0x300, "exec", "exec"), ("AOFI", 0x500, "mmap", "exec"),
    ]  # fmt: skip


def test_a_thread_of_another_process_in_the_same_address_space_counts(tmp_path: Path) -> None:
    script = Script()
    child = script.kernel.fork(script.thread, CLONE_VM)
    script.at(1)
    script.map(0x500, 2, thread=child)
    other = script.kernel.start()
    script.map(0x510, 1, thread=other)
    capture = script.capture(tmp_path)
    assert _mappings(capture, *WINDOW, "--pid", str(child.pid)) == [("AIFO", 0x500, 2)]
    assert _mappings(capture, *WINDOW, "--pid", str(other.pid)) == [("AIFO", 0x510, 1)]


def test_what_stood_when_the_recording_began_was_created_before(tmp_path: Path) -> None:
    line = {
        "reading": 1,
        "reason": "baseline",
        "pid": 7,
        "perms": "rw-p",
        "path": b"",
        "ts_begin_ns": START_NS + SECOND,
    }
    rows = {
        "tasks": [{"event": "alive", "source": "proc", "pid": 7, "tid": 7}],
        "maps": [
            {**line, "ts_end_ns": START_NS + SECOND + 5, "start": first * PAGE, "end": (first + 2) * PAGE}
            for first in (0x500, 0x600)
        ],
        "syscalls": [
            {"syscall": "munmap", "abi": "x86_64", "pid": 7, "tid": 7, "addr": 0x500 * PAGE, "size": PAGE,
             "ts_enter_ns": START_NS + 2 * SECOND, "ts_exit_ns": START_NS + 2 * SECOND + 9}
        ],
    }  # fmt: skip
    capture = build_capture(tmp_path / "capture", rows, ended_ns=START_NS + 3 * SECOND)
    assert _mappings(capture, "--from", "+0s") == [("AOFI", 0x500, 1), ("AOFO", 0x501, 1), ("AOFO", 0x600, 2)]
    assert {row["created_ns"] for row in analyze_rows("diff", capture, "--by", "mapping")} == {None}


def test_the_same_object_found_again_goes_on_and_another_does_not(tmp_path: Path) -> None:
    """After a loss a reading shows other permissions of one file, and another file where there was one."""
    script = Script()
    script.map(0x500, 1)
    script.map(0x510, 1)
    kernel = script.kernel
    script.at(1)
    gap = {"from_ns": kernel.now_ns + 20, "to_ns": kernel.now_ns + 30}
    kernel.rows["losses"].append({"source": "calls", "cause": "ring full", "count": 3, **gap})
    pages = kernel.spaces[script.thread.pid].pages
    pages[0x500] = Page("r--s", 77, 0, b"/data/store.db")
    pages[0x510] = Page("rw-s", 78, 0, b"/data/other.db")
    kernel.now_ns += 100
    kernel.read(script.thread, "resync: lost")
    capture = script.capture(tmp_path)
    assert _mappings(capture) == [("AIFO", 0x510, 1), ("AOFI", 0x510, 1), ("AOFO", 0x500, 1)]
    groups = analyze_rows("diff", capture, *WINDOW, "--by", "file", "--class", "aofo")
    [store] = [row for row in groups if row["path"] == "/data/store.db"]
    assert (store["mappings"], store["possible"], store["possible_bytes"]) == (1, 1, PAGE)
    assert "lost" in store["reason"]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the window, 13 mappings of 3 pages by one function, 5 of 1 page by another; the third is freed again."""
    script = Script()
    kernel, thread = script.kernel, script.thread
    kernel.now_ns += 10
    script.map(0x450, 4, Page("r-xp", 91, 2, b"/usr/lib/libleak.so"))
    script.at(1)
    stacks = {"leak": (1, [0x451 * PAGE + 0x10, 0x300 * PAGE + 0x20, 0x999 * PAGE]), "other": (2, [0x452 * PAGE])}
    made = {}
    for n in range(13):
        script.map(0x1000 + 8 * n, 3, HOSTILE)
        made[len(kernel.rows["syscalls"]) - 1] = stacks["leak"][0]
    for n in range(5):
        script.map(0x2000 + 8 * n, 1, ANONYMOUS)
        made[len(kernel.rows["syscalls"]) - 1] = stacks["other"][0]
    for n in range(3):
        script.map(0x3000, 7)
        made[len(kernel.rows["syscalls"]) - 1] = -14 if n else 1
        kernel.munmap(thread, 0x3000, 7)
    for row, stack_id in made.items():
        kernel.rows["syscalls"][row]["stack_id"] = stack_id
    kernel.brk(thread, 0x402)
    tables = {**kernel.rows, "stacks": [{"stack_id": key, "frames": frames} for key, frames in stacks.values()]}
    return build_capture(tmp_path_factory.mktemp("here") / "capture", tables, ended_ns=START_NS + 3 * SECOND)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("file", [("/tmp/\x1b[2Jx", 13, 39), ("(anonymous memory)", 6, 7)]),
        ("size", [(3 * PAGE, 13, 39), (PAGE, 5, 5), (2 * PAGE, 1, 2)]),
        ("cause", [("mmap", 18, 44), ("brk", 1, 2)]),
        ("process", [("", 19, 46)]),
        ("thread", [("", 19, 46)]),
        ("stack", [
            ("libleak.so+0x3010 < program+0x20 (possible) < 0x999000", 13, 39), ("libleak.so+0x4000", 5, 5),
            ("(no stack was recorded)", 1, 2),
        ]),
    ],
)  # fmt: skip
def test_the_leak_is_grouped_largest_first(leaky: Path, by: str, expected: list[Any]) -> None:
    names = {"file": "path", "size": "each_bytes", "process": "comm", "thread": "comm"}
    rows = analyze_rows("diff", leaky, *WINDOW, "--by", by, "--class", "AIFO")
    assert [(row[names.get(by, by)], row["mappings"], row["size_bytes"] // PAGE) for row in rows] == expected
    assert {row["class"] for row in rows} == {"AIFO"}


def test_stacks_that_could_not_be_had_are_said(leaky: Path) -> None:
    rows = analyze_rows("diff", leaky, *WINDOW, "--by", "stack")
    assert {(row["class"], row["stack"]): row["mappings"] for row in rows if row["class"] != "AIFO"} == {
        ("AIFI", "(the stack could not be taken)"): 2,
        ("AIFI", "libleak.so+0x3010 < program+0x20 (possible) < 0x999000"): 1,
        ("AOFO", "(exec, not made by a call)"): 1,
        ("AOFO", "(no stack was recorded)"): 1,
    }


def test_a_table_leads_with_the_totals_and_the_leak(leaky: Path) -> None:
    done = analyze("diff", leaky, *WINDOW)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[:5]] == ["class", "AIFO", "AIFI", "AOFI", "AOFO"]
    assert lines[1] == ["AIFO", "created", "inside,", "still", "there", "19", "184", "KiB", "0", "0", "B"]
    assert lines[2][5:8] == ["3", "84", "KiB"]
    assert lines[3][5:8] == ["0", "0", "B"]
    assert done.stdout.splitlines()[6] == "created inside, still there (AIFO) by file:"
    assert lines[8][:3] == ["13", "156", "KiB"]
    assert r"/tmp/\x1b[2Jx" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    hint = "hint: who made them: analyze diff"
    assert done.stderr.splitlines()[-1] == f"{hint} {leaky} --from +1s --to +2s --by stack"


def test_a_hint_repeats_what_was_asked_and_names_no_stacks_where_there_are_none(tmp_path: Path) -> None:
    script = Script()
    script.map(0x500, 1)
    capture = script.capture(tmp_path / "it's")
    done = analyze("diff", capture, "--pid", script.thread.pid, "--to", "2026-01-31 12:00:01")
    hint = done.stderr.splitlines()[-1].partition(": analyze ")[2]
    assert shlex.split(hint) == [
        "diff", str(capture), "--to", "2026-01-31 12:00:01", "--pid", str(script.thread.pid), "--by", "mapping"
    ]  # fmt: skip
    analyze(*shlex.split(hint))


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    script = Script()
    script.at(1)
    for n in range(23):
        script.map(0x1000 + 8 * n, 1, ANONYMOUS)
    capture = script.capture(tmp_path)
    done = analyze("diff", capture, *WINDOW, "--by", "mapping")
    assert len(done.stdout.splitlines()) == 5 + 1 + 1 + 1 + 20
    assert "and 3 more" in done.stderr
    assert len(analyze_rows("diff", capture, *WINDOW, "--by", "mapping", "--class", "aifo")) == 23


def test_every_format_has_the_same_rows(leaky: Path) -> None:
    rows = analyze_rows("diff", leaky, *WINDOW, "--by", "size")
    printed = analyze("diff", leaky, *WINDOW, "--by", "size", "--format", "csv").stdout
    read = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["class"], int(row["size_bytes"])) for row in read] == [
        (row["class"], row["size_bytes"]) for row in rows
    ]
    for format in ("parquet", "arrow"):
        assert analyze_table("diff", leaky, *WINDOW, "--by", "size", format=format).to_pylist() == rows


def test_of_a_process_that_ended_what_it_had_just_before_is_a_command_away() -> None:
    """It leaked until vm.max_map_count was reached; its end freed all of it."""
    done = analyze("diff", BUNDLED / "maplimit", "--by", "stack")
    assert re.search(r"process \d+ ended at \S+, which freed 65,5\d\d mappings\n", done.stderr)
    [_, *command] = shlex.split(done.stderr.partition("just before: ")[2])
    leaked = analyze_rows(*command)
    assert max(row["mappings"] for row in leaked if row["class"] == "AIFO") == 65509


def test_captures_of_two_hosts_stand_together(leaky: Path, tmp_path: Path) -> None:
    script = Script()
    script.at(1)
    script.map(0x500, 1)
    other = script.capture(tmp_path, host="other")
    rows = analyze_rows("diff", leaky, other, *WINDOW, "--by", "cause", "--class", "AIFO")
    assert [(row["host"], row["cause"], row["mappings"]) for row in rows] == [
        ("testhost", "mmap", 18), ("testhost", "brk", 1), ("other", "mmap", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "+2s", "--to", "+1s"], "the first time is after the second"),
        (["--from", "+4s"], "outside the time that was recorded: +4s"),
        (["--pid", "9"], "nothing was recorded of process: 9"),
        (["--by", "magic"], "Invalid value"),
        (["--class", "AXXX"], "Invalid value"),
    ],
)
def test_what_cannot_be_meant_is_refused(leaky: Path, arguments: list[str], message: str) -> None:
    done = analyze("diff", leaky, *arguments, status=2)
    assert message in done.stderr
    assert done.stdout == ""
