"""What tests/workloads/family.c did, and whether a capture holds all of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tests.support.recordings import Capture

__all__ = ["MARKS", "PAGE", "Member", "assert_recorded", "marked", "members"]

MARKS, PAGE = 0x100000000000, 4096
"""The range in which workloads unmap a page each to leave a mark; 2**40 bytes long."""


@dataclass(frozen=True)
class Member:
    """One line of its output: a relative, the number of its mark, and its ids."""

    name: str
    number: int
    pid: int
    tid: int


def members(output: bytes) -> dict[str, Member]:
    """By name, from what the program printed."""
    lines = [line.split() for line in output.decode().splitlines() if line != "ready"]
    return {name: Member(name, *map(int, numbers)) for name, *numbers in lines}


def marked(capture: Capture) -> list[dict[str, Any]]:
    """Calls that left a mark, each with its `number`."""
    rows = capture.rows("syscalls", syscall="munmap")
    return [{**row, "number": (row["addr"] - MARKS) // PAGE} for row in rows if row["addr"] >> 40 == MARKS >> 40]


def assert_recorded(
    capture: Capture, family: dict[str, Member], *, early: Collection[str] = (), strangers: Collection[int] = ()
) -> None:
    """Each relative's call is there once, with its ids and address space.

    Nobody else is there but the processes `strangers`; `early` names the threads it had from the start.
    """
    rows = {row["number"]: row for row in marked(capture)}
    assert len(marked(capture)) == len(family) == 8 + len(early)
    for member in family.values():
        row = rows[member.number]
        assert (row["pid"], row["tid"]) == (member.pid, member.tid), member
    mm = {name: rows[member.number]["mm"] for name, member in family.items()}
    for name in ("thread", "vfork", "sharing", *early):
        assert mm[name] == mm["self"], name
    assert mm["child-thread"] == mm["child"]
    assert len({mm[name] for name in ("self", "child", "grandchild")}) == 3
    assert mm["executed"] != mm["self"]

    pids = {member.pid for member in family.values()} | set(strangers)
    for table in ("syscalls", "vmas", "tasks", "files", "faults", "maps"):
        assert set(capture.table(table)["pid"].to_pylist()) <= pids, table
    begun = {row["tid"]: row for row in capture.rows("tasks", event="clone")}
    vm, thread = 0x100, 0x10000  # CLONE_VM, CLONE_THREAD
    expected = {
        "thread": vm | thread,
        "child": 0,
        "child-thread": vm | thread,
        "grandchild": 0,
        "vfork": vm,
        "sharing": vm,
    }
    for name, flags in expected.items():
        assert begun[family[name].tid]["clone_flags"] & (vm | thread) == flags, name
    for name in ("child", "grandchild"):
        made = begun[family[name].tid]
        calls = capture.rows("syscalls", tid=made["parent_tid"])
        returned = max(row["ts_exit_ns"] for row in calls if row["ts_exit_ns"] < made["ts_ns"])
        assert returned < made["ts_enter_ns"] < made["ts_ns"], name
    ended = {row["tid"] for row in capture.rows("tasks", event="exit")}
    assert ended >= {member.tid for member in family.values()}
