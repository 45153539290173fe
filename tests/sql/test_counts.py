"""`analyze counts`: VMAs at an instant, over time, against the limit, and by what made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from analysis.counts import per_second
from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.commands import analyze, analyze_rows, analyze_table
from tests.support.oracle import FIXED, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, MAYMOVE, PAGE, Kernel, Page

DATA = Page("rw-s", 77, 0, b"/data/store.db")
ANONYMOUS = Page("rw-p")


def _growing(step: int, seconds: int = 8) -> Kernel:
    """A process with so many VMAs more each half second; `step` negative: fewer, from many."""
    kernel = Kernel()
    thread = kernel.start()
    kernel.mmap(thread, 0x10000, 1, DATA, MAP_SHARED)
    for n in range(-step * 2 * seconds if step < 0 else 0):
        kernel.mmap(thread, 0x1000 + 2 * n, 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
    at = 0
    for half in range(2 * seconds):
        kernel.now_ns = START_NS + half * SECOND // 2 + 1000_000
        for _ in range(abs(step)):
            if step > 0:
                kernel.mmap(thread, 0x1000 + 2 * at, 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
            else:
                kernel.munmap(thread, 0x1000 + 2 * at, 1)
            at += 1
    return kernel


def _capture(directory: Path, kernel: Kernel, **more: Any) -> Path:
    return build_capture(directory / "capture", kernel.rows, **{"ended_ns": START_NS + 8 * SECOND, **more})


def _forecast(capture: Path, *arguments: str) -> dict[str, Any]:
    [row] = analyze_rows("counts", capture, *arguments)
    return row


def test_growth_is_forecast_by_a_straight_line(tmp_path: Path) -> None:
    row = _forecast(_capture(tmp_path, _growing(5), max_map_count=1000))
    assert (row["vmas"], row["vmas_at_most"], row["peak"], row["limit_vmas"]) == (82, 82, 82, 1000)
    assert row["share"] == pytest.approx(0.082)
    assert row["rate"] == pytest.approx(10, rel=0.05)
    assert row["outlook"] == "at this rate"
    assert row["forecast_ns"] == pytest.approx(START_NS + (8 + (1000 - 82) / row["rate"]) * SECOND, rel=1e-12)
    assert row["makers"] == "mmap (anonymous memory): 80, exec /bin/program: 1, mmap /data/store.db: 1"


def test_who_made_a_peak_that_is_past_is_told(tmp_path: Path) -> None:
    capture = _capture(tmp_path, _growing(-5))
    row = _forecast(capture)
    assert (row["peak"], row["vmas"]) == (82, 2)
    assert row["makers"] == "mmap (anonymous memory): 80, exec /bin/program: 1, mmap /data/store.db: 1"
    rows = {row["path"]: row for row in analyze_rows("counts", capture, "--by", "file")}
    assert [(row["at_peak"], row["vmas"]) for row in rows.values()] == [(80, 0), (1, 1), (1, 1)]
    assert next(iter(rows)) == "(anonymous memory)"


@pytest.mark.parametrize(
    ("step", "limit", "outlook"),
    [
        (0, 1000, "not at this rate: flat"),
        (-5, 1000, "not at this rate: falling"),
        (5, 82, "was reached"),
        (5, 83, "at this rate"),
        (5, None, "the limit was not recorded"),
    ],
)
def test_where_there_is_no_forecast_it_says_why(tmp_path: Path, step: int, limit: int | None, outlook: str) -> None:
    row = _forecast(_capture(tmp_path, _growing(step), max_map_count=limit))
    assert row["outlook"] == outlook
    if outlook == "was reached":
        assert row["forecast_ns"] == _growing(step).rows["vmas"][-1]["ts_ns"]
    else:
        assert (row["forecast_ns"] is None) == (outlook != "at this rate")


def test_growth_that_has_stopped_is_flat(tmp_path: Path) -> None:
    """Only the last half of the time counts."""
    kernel = _growing(5, seconds=3)
    row = _forecast(_capture(tmp_path, kernel, max_map_count=1000))
    assert (row["vmas"], row["outlook"]) == (32, "not at this rate: flat")


def test_a_process_that_ended_reaches_nothing(tmp_path: Path) -> None:
    kernel = _growing(5)
    kernel.exit(kernel.threads[0])
    row = _forecast(_capture(tmp_path, kernel, max_map_count=1000))
    assert (row["vmas"], row["outlook"], row["forecast_ns"]) == (82, "not any more: it ended", None)


def test_parts_that_the_kernel_merged_are_one_and_others_are_not(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    kernel.mmap(thread, 0x500, 2, ANONYMOUS, flags)
    kernel.mmap(thread, 0x502, 2, ANONYMOUS, flags)  # the record tells of 4 pages
    kernel.mmap(thread, 0x504, 1, ANONYMOUS, flags)
    apart = kernel.rows["vmas"][-1]
    apart["start"] = 0x504 * PAGE  # this one of 1 page: the kernel kept it apart
    kernel.mmap(thread, 0x600, 2, DATA, MAP_SHARED)
    kernel.mmap(thread, 0x602, 1, DATA, MAP_SHARED)  # not where the file goes on
    row = _forecast(_capture(tmp_path, kernel))
    assert (row["vmas"], row["vmas_at_most"]) == (1 + 1 + 1 + 2, 5)


def test_where_no_record_tells_the_count_is_a_range(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    kernel.mmap(thread, 0x500, 2, ANONYMOUS, flags)
    kernel.mmap(thread, 0x600, 2, ANONYMOUS, flags)
    kernel.mremap(thread, 0x600, 2, 2, 0x502, MAYMOVE | FIXED)
    row = _forecast(_capture(tmp_path, kernel))
    assert (row["vmas"], row["vmas_at_most"], row["peak"], row["peak_at_most"]) == (2, 3, 3, 3)
    assert (row["certainty"], row["reason"]) == ("possible", "neighbours of the same kind can be one VMA or two")


def test_growth_that_only_neighbours_can_be_is_no_forecast(tmp_path: Path) -> None:
    """A leak by mremap: the kernel keeps what moved apart from its like, or not, and no record tells."""
    kernel = _growing(0)
    [thread] = kernel.threads
    for n in range(1, 16):
        kernel.now_ns = START_NS + n * SECOND // 2 + 1000_000
        kernel.mmap(thread, 0x900, 2, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
        kernel.mremap(thread, 0x900, 2, 2, 0x400 + 2 * n, MAYMOVE | FIXED)
    row = _forecast(capture := _capture(tmp_path, kernel, max_map_count=1000))
    assert (row["vmas"], row["vmas_at_most"], row["certainty"]) == (3, 17, "possible")
    assert (row["outlook"], row["forecast_ns"]) == (
        "not known: neighbours of the same kind can be one VMA or two",
        None,
    )
    assert row["rate"] == pytest.approx(0, abs=0.1) and row["rate_at_most"] == pytest.approx(2, rel=0.1)
    assert "+0.0/s to +2.0/s" in analyze("counts", capture).stdout


def test_a_refusal_at_the_limit_counts_the_same(tmp_path: Path) -> None:
    """Parts of one VMA, some known by a record and some by nothing, in the process and in a child of it."""
    kernel = Kernel()
    thread = kernel.start()
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    kernel.mmap(thread, 0x500, 2, ANONYMOUS, flags)
    kernel.mmap(thread, 0x502, 2, ANONYMOUS, flags)  # the record tells of 4 pages
    kernel.mmap(thread, 0x504, 1, ANONYMOUS, flags)
    kernel.rows["vmas"][-1]["start"] = 0x504 * PAGE  # and this one of 1 page: the kernel kept it apart
    kernel.mmap(thread, 0x600, 7, DATA, MAP_SHARED)
    kernel.mprotect(thread, 0x603, 1, "r--")
    kernel.mmap(thread, 0x700, 2, ANONYMOUS, flags)
    kernel.mremap(thread, 0x700, 2, 2, 0x505, MAYMOVE | FIXED)  # of this no record tells
    child = kernel.fork(thread)
    for each in (thread, child):
        kernel.now_ns += 1000
        refused = {
            **kernel.rows["syscalls"][0], "pid": each.pid, "tid": each.tid, "ts_enter_ns": kernel.now_ns,
            "ts_exit_ns": kernel.now_ns + 5, "ret": -12, "errno": 12,
        }  # fmt: skip
        kernel.rows["syscalls"].append(refused)
    hole = {"syscall": "mlock", "addr": 0x500 * PAGE, "size": 16 * PAGE, "tid": thread.tid, "pid": thread.pid}
    kernel.rows["syscalls"].append(refused | hole)
    capture = _capture(tmp_path, kernel, max_map_count=7)
    found = analyze_rows("edges", capture, "--kind", "map_limit")
    assert [(row["pid"], row["facts"]["vmas"], row["facts"]["vmas_at_most"]) for row in found] == [
        (thread.pid, "6", "7"), (child.pid, "6", "7"),
    ]  # fmt: skip
    for row in found:
        counted = _forecast(capture, "--pid", str(row["pid"]))
        assert (str(counted["vmas"]), str(counted["vmas_at_most"])) == (
            row["facts"]["vmas"],
            row["facts"]["vmas_at_most"],
        )
    assert "had 6 to 7 VMAs" in found[0]["sentence"]
    [hole] = analyze_rows("edges", capture, "--kind", "map_limit", "--severity", "info", "--pid", str(thread.pid))[1:]
    assert "a part of its range 0x500000-0x510000 was not mapped" in hole["sentence"]
    assert counted["makers"] == row["facts"]["makers"]  # of the child, which had no more before


def test_a_child_has_the_vmas_of_its_parent(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    kernel.mmap(thread, 0x500, 2, ANONYMOUS, flags)
    kernel.mmap(thread, 0x502, 1, ANONYMOUS, flags)
    kernel.rows["vmas"][-1]["start"] = 0x502 * PAGE
    child = kernel.fork(thread)
    row = _forecast(_capture(tmp_path, kernel), "--pid", str(child.pid))
    assert (row["vmas"], row["vmas_at_most"]) == (3, 3)
    assert row["makers"].startswith("fork (anonymous memory): 2")


def test_the_series_has_a_row_for_each_step(tmp_path: Path) -> None:
    capture = _capture(tmp_path, _growing(5, seconds=2))
    rows = analyze_rows("counts", capture, "--every", "500ms")
    assert [row["vmas"] for row in rows[:6]] == [7, 12, 17, 22, 22, 22]
    assert [row["peak"] for row in rows[:6]] == [7, 12, 17, 22, 22, 22]
    assert [row["ts_ns"] for row in rows[:2]] == [START_NS + SECOND // 2 - 1, START_NS + SECOND - 1]
    assert rows[-1]["ts_ns"] == START_NS + 8 * SECOND
    assert len(rows) == 17
    assert analyze_table("counts", capture, "--every", "500ms", format="parquet").num_rows == 17
    assert len(analyze("counts", capture, "--every", "500ms").stdout.splitlines()) == 18


def test_a_peak_between_two_steps_is_seen(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    for n in range(7):
        kernel.mmap(thread, 0x1000 + 2 * n, 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
    kernel.munmap(thread, 0x1000, 20)
    capture = _capture(tmp_path, kernel)
    first, second, *_ = analyze_rows("counts", capture, "--every", "1s")
    assert (first["vmas"], first["peak"]) == (1, 8)
    assert (second["vmas"], second["peak"]) == (1, 1)
    assert _forecast(capture)["peak"] == 8


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("cause", [("mprotect", 2), ("mmap", 2), ("exec", 1)]),
        ("file", [("(anonymous memory)", 3), ("/bin/program", 1), ("/data/store.db", 1)]),
        ("thread", [("", 5)]),
        ("stack", [("(no stack was recorded)", 4), ("(exec, not made by a call)", 1)]),
    ],
)
def test_makers_add_up_to_the_count(tmp_path: Path, by: str, expected: list[Any]) -> None:
    kernel = Kernel()
    thread = kernel.start()
    kernel.mmap(thread, 0x500, 5, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
    kernel.mprotect(thread, 0x500, 1, "---")
    kernel.mprotect(thread, 0x504, 1, "r--")
    kernel.mmap(thread, 0x600, 1, DATA, MAP_SHARED | MAP_FIXED)
    rows = analyze_rows("counts", _capture(tmp_path, kernel), "--by", by)
    names = {"file": "path", "thread": "comm"}
    assert sorted((row[names.get(by, by)], row["vmas"]) for row in rows) == sorted(expected)
    assert [row["vmas"] for row in rows] == sorted((row["vmas"] for row in rows), reverse=True)


def test_what_is_only_possible_says_why(tmp_path: Path) -> None:
    kernel = _growing(5)
    gap = {"from_ns": kernel.now_ns + 20, "to_ns": kernel.now_ns + 30}
    kernel.rows["losses"].append({"source": "calls", "cause": "ring full", "count": 3, **gap})
    row = _forecast(_capture(tmp_path, kernel))
    assert (row["vmas"], row["possible"], row["certainty"]) == (82, 82, "possible")
    assert "3 records of calls were lost" in row["reason"]


def test_a_table_shows_the_largest_first_and_is_inert(tmp_path: Path) -> None:
    kernel = _growing(5)
    kernel.rows["images"].clear()
    small = kernel.start()
    kernel.mmap(small, 0x500, 1, Page("r--p", 79, 0, b"/tmp/\x1b[2Jx"), MAP_PRIVATE)
    done = analyze("counts", _capture(tmp_path, kernel, max_map_count=1000))
    header, first, second = done.stdout.splitlines()
    assert header.split()[:7] == ["pid", "comm", "peak", "peak_ns", "vmas", "vmas_at_most", "limit_vmas"]
    assert first.split()[:1] == ["100"]
    assert "8.2 %" in first and "at this rate" in first and "+100.7" in first
    assert "possible: 1 of them, the program headers" in first
    assert second.split()[0] == str(small.pid)
    assert "\x1b" not in done.stdout
    assert done.stderr.splitlines()[-1].endswith("capture --by file")  # no stack was recorded


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("0.04", "+0.0/s"),
        ("-1.26", "-1.3/s"),
        ("101.4", "+101/s"),
        ("123456.7", "+123,000/s"),
        ("-9876543", "-9,880,000/s"),
    ],
)
def test_a_rate_has_no_more_figures_than_it_is_worth(rate: str, text: str) -> None:
    assert duckdb.sql(f"SELECT {per_second('rate')} FROM (SELECT {rate}::DOUBLE AS rate)").fetchall() == [(text,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pid", "9"], "nothing was recorded of process: 9"),
        (["--every", "soon"], "not a length of time: soon"),
        (["--every", "0s"], "not a length of time: 0s"),
        (["--every", "1us"], "so short steps make too many rows"),
        (["--every", "1s", "--by", "file"], "--every is a series and --by is groups"),
        (["--by", "size"], "VMAs cannot be grouped by: size"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    kernel = Kernel()
    kernel.start()
    done = analyze("counts", _capture(tmp_path, kernel), *arguments, status=2)
    assert message in done.stderr
    assert done.stdout == ""
