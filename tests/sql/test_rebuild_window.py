"""The rebuild of a flight recorder's window, which begins in the middle and looks at everybody again and again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.capture import open_captures
from analysis.checks import compare
from analysis.engine import Engine
from analysis.rebuild import Rebuild
from tests.sql.test_rebuild_files import PROGRAM, SEGMENT, call, line, task, vma
from tests.support.captures import START_NS, build_capture

Rows = list[tuple[Any, ...]]
BEFORE = "what was mapped before the recording is not known"


def alive(at: int, pid: int = 7, tid: int | None = None) -> dict[str, Any]:
    return task(at, "alive", "proc", pid=pid, tid=tid or pid)


def reading(
    number: int, at: int, *lines: tuple[int, int], reason: str = "baseline", pid: int = 7
) -> list[dict[str, Any]]:
    when = {"ts_begin_ns": START_NS + at, "ts_end_ns": START_NS + at + 5}
    return [line(*each, "rw-p", reading=number, reason=reason, pid=pid, **when) for each in lines]


def rebuilt(folder: Path, tables: dict[str, Any], *queries: str) -> list[Rows]:
    build_capture(folder, tables)
    with Engine(open_captures([folder])) as engine:
        Rebuild(engine).run()
        engine.execute(f"CREATE MACRO t(ns) AS ns - {START_NS}")
        return [sorted(engine.execute(query)) for query in queries]


def flat(readings: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for rows in readings for row in rows]


def test_threads_seen_again_are_counted_once(tmp_path: Path) -> None:
    """A thread that forks, a process that is born, and one that executes, all looked at three times."""
    tasks = [
        alive(10), alive(10, tid=71),
        task(20, "fork", pid=8, tid=8, parent_pid=7, parent_tid=7),
        task(30, "fork", tid=72, parent_pid=7, parent_tid=7),
        task(40, "exec", pid=8, tid=8),
        *(alive(at, pid, tid) for at in (100, 200) for pid, tid in ((7, 7), (7, 71), (7, 72), (8, 8))),
        task(210, "exit", pid=8, tid=8), task(220, "exit", tid=71), task(230, "exit", tid=72), task(240, "exit"),
    ]  # fmt: skip
    maps = flat(reading(number, at, (0x10, 1)) for number, at in enumerate((11, 101, 201), 1))
    [found] = rebuilt(
        tmp_path / "capture", {"tasks": tasks, "maps": maps}, "SELECT pid, began, ended, t(to_ns) FROM segments"
    )
    assert found == [(7, "alive", "exit", 240), (8, "exec", "exit", 210), (8, "fork", "exec", 40)]


def test_a_later_baseline_mends_and_is_no_beginning(tmp_path: Path) -> None:
    """What only the second look shows was made unseen; only the first tells of what was there before."""
    maps = flat([reading(1, 10, (0x10, 2)), reading(2, 500, (0x10, 2), (0x20, 1))])
    made, gaps = rebuilt(
        tmp_path / "capture",
        {"tasks": [alive(5), alive(490)], "maps": maps},
        "SELECT start // 4096, cause_of(actor), t(min(from_ns)) FROM rectangles GROUP BY ALL",
        "SELECT t(from_ns), t(to_ns), reason FROM gaps",
    )
    assert made == [(0x10, "baseline", 10), (0x20, "resync", 500)]
    assert gaps == [(0, 15, BEFORE)]


def test_nothing_is_certain_of_a_life_that_began_before_the_window_until_it_is_read(tmp_path: Path) -> None:
    """Of what happened just before the window some records can be there and others gone with the segment before."""
    tables = {
        "tasks": [task(-50, "exec", pid=9, tid=9), alive(5), alive(5, 9)],
        "vmas": [vma(-40, 0x30, 1, pid=9, tid=9), vma(-30, 0x40, 1)],
        "syscalls": [call(-60, 20, "munmap", 0x10, 1)],
        "maps": flat(
            [
                reading(1, -20, (0x10, 2), reason="resync: records were lost"),  # in flight when the window began
                reading(2, 30, (0x11, 1)),
                reading(3, 40, (0x30, 1), (0x50, 1), pid=9),
            ]
        ),
    }
    [gaps] = rebuilt(
        tmp_path / "capture",
        tables,
        "SELECT pid, t(gaps.from_ns), t(gaps.to_ns), reason FROM gaps JOIN users USING (space)",
    )
    assert [row[:3] for row in gaps] == [(7, -60, 35), (9, -50, 45)]
    assert all(BEFORE in row[3] for row in gaps)


def test_what_is_read_during_an_exec_is_not_told(tmp_path: Path) -> None:
    """The image is mapped at full length, read, and trimmed without a record."""
    tables = {
        "tasks": [task(10, "exec"), task(50, "exec", "bpf", mm=1)],
        "vmas": [vma(20, 0x300, 5, "r-xp", **PROGRAM | {"pgoff": 0})],
        "images": [{"ts_ns": START_NS + 31, **PROGRAM, "segments": [SEGMENT]}],
        "maps": [
            line(
                0x300,
                5,
                "r-xp",
                **PROGRAM,
                reading=1,
                reason="baseline",
                ts_begin_ns=START_NS + 21,
                ts_end_ns=START_NS + 30,
            )
        ],
    }
    told, standing = rebuilt(
        tmp_path / "capture", tables, "SELECT reading FROM readings", "SELECT lo, hi FROM live WHERE plane % 4 = 0"
    )
    assert told == []
    assert standing == [(0x300, 0x302)]


def test_a_reading_judges_what_was_all_drained_before_it(tmp_path: Path) -> None:
    """The reading at a trigger is held against the rebuild, not told to it; one after the end is neither."""
    maps = flat(
        [
            reading(1, 10, (0x10, 1)),
            reading(2, 50, (0x10, 1), (0x20, 1), reason="trigger"),
            reading(3, 90, (0x10, 1), reason="trigger"),
            reading(4, 99, (0x30, 1), reason="checkpoint"),
        ]
    )
    tables = {"tasks": [alive(5)], "vmas": [vma(40, 0x20, 1), vma(97, 0x30, 1)], "maps": maps}
    build_capture(tmp_path / "capture", tables, ended_ns=START_NS + 98)
    with Engine(open_captures([tmp_path / "capture"])) as engine:
        found = [(row["reading"], row["verdict"]) for row in compare(engine).verdicts]
    assert found == [(2, "exact"), (3, "wrong")]
