"""`analyze timeline`: which rectangles each filter lets through, in every format, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from analysis.dictionary import views
from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.commands import analyze, analyze_rows, analyze_table
from tests.support.oracle import CLONE_VM, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PAGE, Kernel, Page

ESCAPE = b"/tmp/\x1b[31mred"
DATA = Page("rw-s", 77, 0, b"/data/store.db")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Process 100 maps and changes; 101 shares its address space; 102 executes on its own."""
    kernel = Kernel()
    first = kernel.start()  # 100
    kernel.mmap(first, 0x500, 4, DATA, MAP_SHARED)
    kernel.mprotect(first, 0x501, 1, "r--")
    kernel.munmap(first, 0x502, 1)
    kernel.mmap(first, 0x600, 1, Page("r--p", 78, 3, ESCAPE), MAP_PRIVATE)
    child = kernel.fork(first, CLONE_VM)  # 101
    kernel.mmap(child, 0x700, 1, DATA, MAP_SHARED | MAP_FIXED)
    other = kernel.start()  # 102
    kernel.mmap(other, 0x800, 2, Page("rw-p"), MAP_PRIVATE | 32)
    kernel.exit(other)
    return build_capture(tmp_path_factory.mktemp("here") / "capture", kernel.rows, ended_ns=START_NS + SECOND)


def _rows(*arguments: object) -> list[dict[str, Any]]:
    return analyze_rows("timeline", *arguments)


def _pages(*arguments: object) -> list[tuple[int, int, str]]:
    """First page, pages and cause of each row, but for the program that every process begins with."""
    return [
        (row["start"] // PAGE, (row["end"] - row["start"]) // PAGE, row["cause"])
        for row in _rows(*arguments)
        if row["cause"] != "exec"
    ]


STORE = [(0x500, 1, "mmap"), (0x501, 1, "mmap"), (0x502, 1, "mmap"), (0x503, 1, "mmap"), (0x501, 1, "mprotect")]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--file", "store"], [*STORE, (0x700, 1, "mmap")]),
        (["--file", "/data/*.db"], [*STORE, (0x700, 1, "mmap")]),
        (["--file", "*.d"], []),
        (["--file", "00:08:77"], [*STORE, (0x700, 1, "mmap")]),
        (["--file", "00:08:78"], [(0x600, 1, "mmap")]),
        (["--addr", "0x501000"], [(0x501, 1, "mmap"), (0x501, 1, "mprotect")]),
        (["--addr", "0x500fff-0x501001"], [STORE[0], STORE[1], STORE[4]]),
        (["--addr", "0x502000+8K"], [(0x502, 1, "mmap"), (0x503, 1, "mmap")]),
        (["--addr", "0x504000+0x1000"], []),
        (["--pid", "102"], [(0x800, 2, "mmap")]),
        (["--pid", "101", "--file", "store"], [STORE[0], STORE[3], STORE[4], (0x700, 1, "mmap")]),
        (["--cause", "mprotect"], [(0x501, 1, "mprotect")]),
        (["--cause", "mprotect", "--cause", "brk"], [(0x501, 1, "mprotect")]),
        (["--end-cause", "munmap"], [(0x502, 1, "mmap")]),
        (["--end-cause", "munmap", "--end-cause", "exit"], [(0x502, 1, "mmap"), (0x800, 2, "mmap")]),
        (["--certainty", "possible"], []),
        (["--certainty", "certain", "--cause", "mprotect"], [(0x501, 1, "mprotect")]),
    ],
)  # fmt: skip
def test_filters_let_through_what_they_say(capture: Path, filters: list[str], expected: list[Any]) -> None:
    assert sorted(_pages(capture, *filters)) == sorted(expected)


def test_times_choose_what_stood_then(capture: Path) -> None:
    rows = {(row["start"] // PAGE, row["cause"]): row for row in _rows(capture, "--file", "store")}
    changed = rows[0x501, "mprotect"]["from_ns"]
    at = _pages(capture, "--file", "store", "--at", f"{changed}ns")
    assert (0x501, 1, "mprotect") in at and (0x501, 1, "mmap") not in at
    before = _pages(capture, "--file", "store", "--at", f"{changed - 1}ns")
    assert (0x501, 1, "mmap") in before and (0x501, 1, "mprotect") not in before
    both = _pages(capture, "--file", "store", "--from", f"{changed - 1}ns", "--to", f"+{changed - START_NS}ns")
    assert {(0x501, 1, "mmap"), (0x501, 1, "mprotect")} <= set(both)
    assert (0x700, 1, "mmap") not in both
    late = _pages(capture, "--file", "store", "--from", "2026-01-31T12:00:00.5Z")
    assert late == _pages(capture, "--file", "store", "--at", "+1s") != []


def test_rows_are_in_order_of_time(capture: Path) -> None:
    times = [row["from_ns"] for row in _rows(capture)]
    assert len(times) == 10
    assert times == sorted(times)


def test_machine_formats_hold_every_column(capture: Path) -> None:
    rows = _rows(capture, "--cause", "mmap")
    assert list(rows[0]) == [column.name for column in views()["timeline"].columns]
    read = list(csv.DictReader(io.StringIO(analyze("timeline", capture, "--cause", "mmap", "--format", "csv").stdout)))
    assert [int(row["start"]) for row in read] == [row["start"] for row in rows]
    assert list(read[0]) == list(rows[0])
    for format in ("parquet", "arrow"):
        table = analyze_table("timeline", capture, "--cause", "mmap", format=format)
        assert table["start"].to_pylist() == [row["start"] for row in rows]
        assert table.column_names == list(rows[0])


def test_a_table_is_compact_and_inert(capture: Path) -> None:
    done = analyze("timeline", capture, "--addr", "0x600000")
    header, row = done.stdout.splitlines()
    assert header.split() == [
        "pid", "start", "end", "perms", "offset_bytes", "from_ns", "to_ns", "cause", "end_cause", "certainty", "path"
    ]  # fmt: skip
    assert row.split()[:5] == ["100", "0x600000", "0x601000", "r--p", "0x3000"]
    assert row.split()[7] == "mmap"
    assert row.endswith(r"/tmp/\x1b[31mred")
    assert "hint: " in done.stderr


def test_nothing_matched_is_said(capture: Path) -> None:
    done = analyze("timeline", capture, "--file", "nowhere")
    assert len(done.stdout.splitlines()) == 1
    assert "nothing matched" in done.stderr
    assert done.stderr.endswith('capture -q "SELECT path, device, inode, processes FROM mapped_files"\n')
    assert analyze("timeline", capture, "--file", "nowhere", "--format", "json").stdout == "[]\n"


def test_what_is_only_possible_says_why(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    kernel.mmap(thread, 0x500, 1, DATA, MAP_SHARED)
    lost = {
        "source": "calls",
        "cause": "ring full",
        "count": 3,
        "from_ns": kernel.now_ns + 20,
        "to_ns": kernel.now_ns + 30,
    }
    kernel.rows["losses"].append(lost)
    capture = build_capture(tmp_path / "capture", kernel.rows)
    [sure] = _rows(capture, "--certainty", "certain", "--file", "store")
    [unsure] = _rows(capture, "--certainty", "possible", "--file", "store")
    assert (sure["to_ns"], unsure["from_ns"]) == (lost["from_ns"], lost["from_ns"])
    assert "3 records of calls were lost" in unsure["reason"]
    assert "possible: 3 records" in analyze("timeline", capture, "--file", "store").stdout


def test_each_capture_has_its_own_clock(tmp_path: Path) -> None:
    paths = []
    for host, shift in (("one", 0), ("two", 7 * SECOND)):
        kernel = Kernel()
        kernel.now_ns += shift
        thread = kernel.start()
        kernel.now_ns += SECOND
        kernel.mmap(thread, 0x500, 1, DATA, MAP_SHARED)
        start = START_NS + shift
        paths.append(
            build_capture(
                tmp_path / host, kernel.rows, host=host, started_ns=start, ended_ns=start + 2 * SECOND,
                clock={"monotonic_ns": start, "realtime_ns": START_NS},
            )
        )  # fmt: skip
    rows = _rows(*paths, "--file", "store", "--at", "+1.5s")
    assert [(row["capture"], row["host"]) for row in rows] == [("one", "one"), ("two", "two")]
    assert _rows(*paths, "--file", "store", "--at", "+0.5s") == []
    done = analyze("timeline", *paths, "--file", "store", "--at", f"{START_NS + int(8.5 * SECOND)}ns")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["capture", "two"]
    assert done.stderr.startswith(f"note: left out, for it does not cover that time: {paths[0]}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pid", "99999"], "nothing was recorded of process: 99999"),
        (["--at", "+5s"], "outside the time that was recorded: +5s"),
        (["--from", "-1s"], "outside the time that was recorded: -1s"),
        (["--from", "+0.2s", "--to", "+0.1s"], "the first time is after the second: +0.2s and +0.1s"),
        (["--at", "noon"], "not a time: noon"),
        (["--at", "+0s", "--to", "+0.1s"], "--at is one instant"),
        (["--addr", "here"], "not an address: here"),
        (["--addr", "0x2000-0x1000"], "an empty range of addresses"),
        (["--addr", "0x2000+much"], "not a size after the address"),
        (["--cause", "magic"], "nothing is ever made or ended by: magic"),
        (["--end-cause", "magic"], "nothing is ever made or ended by: magic"),
        (["--file", ""], "--file is empty"),
        (["--certainty", "maybe"], "Invalid value"),
        (["--pid", "0"], "Invalid value"),
    ],
)
def test_what_cannot_be_meant_is_refused(capture: Path, arguments: list[str], message: str) -> None:
    done = analyze("timeline", capture, *arguments, status=2)
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
