"""Copies of copies, many deep: followed together with their originals they are what they are one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.rebuild import Rebuild
from tests.sql.test_rebuild_files import PAGE, call, task, vma
from tests.support.captures import START_NS, build_capture


def test_copies_of_copies_are_followed_together_but_where_something_is_left_out(tmp_path: Path) -> None:
    """Six, each a copy of the one before, which ends then; the fourth says that a page is to be left out of copies."""

    def born(pid: int) -> list[dict[str, Any]]:
        family = {"pid": pid, "tid": pid, "parent_pid": pid - 1, "parent_tid": pid - 1}
        at = 100 * pid
        return [
            task(at, "fork", **family),
            task(at + 1, "clone", "bpf", **family, clone_flags=17, mm=pid),
            task(at + 150, "exit", pid=pid, tid=pid),
        ]

    rows = {
        "tasks": [task(10, "exec"), task(30, "exec", "bpf", mm=1), *(row for pid in range(8, 14) for row in born(pid))],
        "vmas": [vma(105, 0x1000, 4), vma(955, 0x2000, 1, pid=9, tid=9)],
        "syscalls": [
            call(100, 110, "mmap", 0, 4, 0x1000, flags=34),
            call(950, 960, "mmap", 0, 1, 0x2000, flags=34, pid=9, tid=9),
            call(1020, 1030, "munmap", 0x1000, 1, pid=10, tid=10),
            call(1120, 1130, "madvise", 0x1001, 1, pid=11, tid=11, op=10),
        ],
    }

    def followed(deep: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        with Engine(open_captures([build_capture(tmp_path / str(deep) / "capture", rows)])) as engine:
            Rebuild(engine, deep=deep).run()
            found = engine.execute(
                f'SELECT pid, start // {PAGE}, "end" // {PAGE}, from_ns - {START_NS}, to_ns - {START_NS}, '
                "cause_of(actor), cause_of(end_actor), reason FROM rectangles ORDER BY ALL"
            )
            levels = engine.execute("SELECT space, level FROM levels ORDER BY ALL")
            return found, levels, engine.execute("SELECT space, original FROM heirs ORDER BY ALL")

    one_by_one, levels, heirs = followed(deep=6)
    assert (levels, heirs) == ([(space, space - 1) for space in range(2, 8)], [])
    together, levels, heirs = followed(deep=5)
    assert levels == [(2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (7, 2)]
    assert heirs == [(3, 2), (4, 2), (4, 3), (5, 2), (5, 3), (5, 4), (7, 6)]
    assert together == one_by_one
    assert [row for row in together if row[0] == 12] == [
        (12, 0x1002, 0x1004, 1200, 1350, "fork", "exit", None),
        (12, 0x2000, 0x2001, 1200, 1350, "fork", "exit", None),
    ]
