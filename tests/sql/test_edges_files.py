"""edge_truncated_under_mapping and edge_beyond_eof: what they take for certain, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze, analyze_rows
from tests.support.oracle import MAP_SHARED, PAGE, Kernel, Page, Thread

DEV, INODE = 8, 5  # the device of the oracle's files
FIRST = 0x10000


def _mapped(pages: int = 4) -> tuple[Kernel, Thread]:
    kernel = Kernel()
    thread = kernel.start()
    kernel.mmap(thread, FIRST, pages, Page("rw-s", INODE, 0, b"/data/store.db"), MAP_SHARED)
    return kernel, thread


def _shrink(kernel: Kernel, old: int | None, new: int, **more: Any) -> dict[str, Any]:
    kernel.now_ns += 1000
    return {
        "ts_enter_ns": kernel.now_ns, "ts_exit_ns": kernel.now_ns + 10, "pid": 900, "tid": 901, "comm": b"cutter",
        "mm": 900, "operation": "ftruncate", "dev": DEV, "inode": INODE, "generation": 0, "identity": "fd",
        "old_size_bytes": None if old is None else old * PAGE, "new_size_bytes": new * PAGE, **more,
    }  # fmt: skip


def _bus(kernel: Kernel, thread: Thread, page: int) -> dict[str, Any]:
    kernel.now_ns += 1000
    return {
        "ts_ns": kernel.now_ns, "pid": thread.pid, "tid": thread.tid, "comm": b"victim", "signal": "SIGBUS", "code": 2,
        "address": (FIRST + page) * PAGE + 8,
    }  # fmt: skip


def _found(tmp_path: Path, kernel: Kernel, **tables: Any) -> list[dict[str, Any]]:
    kernel.now_ns += 1000
    capture = build_capture(tmp_path / "capture", {**kernel.rows, **tables}, ended_ns=kernel.now_ns)
    return analyze_rows("edges", capture, "--expected", "--kind", "truncated_under_mapping")


def test_a_sigbus_comes_of_the_last_call_that_took_the_page(tmp_path: Path) -> None:
    kernel, thread = _mapped()
    files = [_shrink(kernel, 4, 1), _shrink(kernel, 1, 4), _shrink(kernel, 4, 2)]
    faults = [_bus(kernel, thread, 3)]
    files.append(_shrink(kernel, 2, 0))
    found = _found(tmp_path, kernel, files=files, faults=faults)
    assert [(row["ts_ns"] - START_NS, row["severity"], row["facts"]["faults"]) for row in found] == [
        (files[2]["ts_enter_ns"] - START_NS, "high", "1"),
        (files[0]["ts_enter_ns"] - START_NS, "medium", "0"),
        (files[3]["ts_enter_ns"] - START_NS, "medium", "0"),
    ]
    assert found[0]["facts"]["first_fault_ns"] == "1000"
    assert found[0]["sentence"] == (
        "cutter (pid 900, thread 901) truncated /data/store.db from 16 KiB to 8 KiB (ftruncate) while "
        f"victim (pid {thread.pid}) had 2 pages of what was lost mapped at 0x10002000-0x10004000 (rw-s); "
        f"SIGBUS came of it once, 1 us later, in pid {thread.pid}."
    )


@pytest.mark.parametrize(
    ("old", "more", "reason"),
    [
        (4, {}, None),
        (4, {"identity": "path"}, "the file was looked up by its path, after the call"),
        (None, {"operation": "openat"}, "how large the file was before is not recorded"),
    ],
)
def test_what_is_not_known_of_the_file_is_said(
    tmp_path: Path, old: int | None, more: dict[str, Any], reason: str | None
) -> None:
    kernel, _thread = _mapped()
    [row] = _found(tmp_path, kernel, files=[_shrink(kernel, old, 1, **more)])
    assert (row["certainty"], row["reason"]) == ("certain" if reason is None else "possible", reason)
    assert (row["start"], row["end"]) == ((FIRST + 1) * PAGE, (FIRST + 4) * PAGE)


def test_a_file_is_never_shorter_than_it_was_last_seen(tmp_path: Path) -> None:
    kernel, _thread = _mapped()
    files = [_shrink(kernel, 0, 3), _shrink(kernel, None, 0, operation="creat")]
    [row] = _found(tmp_path, kernel, files=files)
    assert (row["certainty"], row["facts"]["old_size_bytes"]) == ("certain", str(3 * PAGE))
    assert (row["start"], row["end"]) == (FIRST * PAGE, (FIRST + 3) * PAGE)
    assert "from at least 12 KiB to 0 bytes" in row["sentence"]


def test_what_a_loss_makes_doubtful_is_possible(tmp_path: Path) -> None:
    kernel, thread = _mapped()
    kernel.lose(thread, 500)
    [row] = _found(tmp_path, kernel, files=[_shrink(kernel, 4, 0)])
    assert row["certainty"] == "possible"
    assert "lost" in row["reason"]


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({"errno": 22}, 0),
        ({"inode": INODE + 1}, 0),
        ({"generation": 3}, 0),
        ({"old_size_bytes": PAGE, "new_size_bytes": 4 * PAGE}, 0),
        ({"old_size_bytes": 9 * PAGE, "new_size_bytes": 4 * PAGE}, 0),
        ({"operation": "fallocate", "flags": 3, "offset_bytes": PAGE // 2, "length_bytes": PAGE}, 0),
        ({"operation": "fallocate", "flags": 0, "offset_bytes": 0, "length_bytes": PAGE}, 0),
    ],
)
def test_calls_that_take_no_mapped_page(tmp_path: Path, more: dict[str, Any], count: int) -> None:
    kernel, _thread = _mapped()
    row = _shrink(kernel, 4, 4, **{"old_size_bytes": 4 * PAGE, "new_size_bytes": PAGE, **more})
    if row["operation"] == "fallocate":
        row["new_size_bytes"] = row["old_size_bytes"]
    assert len(_found(tmp_path, kernel, files=[row])) == count


def _by_path(kernel: Kernel, path: bytes, **more: Any) -> dict[str, Any]:
    unknown = {"dev": None, "inode": None, "generation": None, "identity": None}
    return _shrink(kernel, None, 1, operation="truncate", path_given=path, **unknown, **more)


def test_a_file_of_the_same_name_elsewhere_is_no_truncation(tmp_path: Path) -> None:
    kernel, _thread = _mapped()
    assert _found(tmp_path, kernel, files=[_by_path(kernel, b"store.db")]) == []


def test_of_a_sigbus_the_nearest_call_that_set_its_size_is_found(tmp_path: Path) -> None:
    kernel, thread = _mapped()
    size = {"fd_dev": DEV, "fd_inode": INODE, "fd_generation": 0, "fd_size_bytes": 4 * PAGE}
    kernel.rows["syscalls"][-1] |= size
    files = [_by_path(kernel, b"store.db", pid=800, tid=800), _by_path(kernel, b"/elsewhere/link")]
    seen = {"file_dev": DEV, "file_inode": INODE, "file_generation": 0, "file_size_bytes": PAGE}
    [row] = _found(tmp_path, kernel, files=files, faults=[_bus(kernel, thread, 3) | seen])
    assert (row["severity"], row["pid"], row["other_pid"], row["facts"]["faults"]) == ("high", 900, thread.pid, "1")
    assert (row["certainty"], row["facts"]["fault_pids"]) == ("possible", str(thread.pid))
    assert row["reason"] == (
        "the file of the call could not be told by its path afterwards;"
        " it is one of 2 calls that set the size that the kernel saw at the fault"
    )
    assert "can have truncated /data/store.db from at least 16 KiB to 4 KiB (truncate)" in row["sentence"]


def test_strict_fails_where_something_is_found(tmp_path: Path) -> None:
    kernel, _thread = _mapped()
    files = [_shrink(kernel, 4, 0)]
    kernel.now_ns += 1000
    capture = build_capture(tmp_path / "capture", {**kernel.rows, "files": files}, ended_ns=kernel.now_ns)
    assert "cutter (pid 900, thread 901) truncated" in analyze("edges", capture, "--strict", status=1).stdout.replace(
        "\n  ", " "
    )
    told = analyze("edges", capture, "--strict", "--severity", "high", "--from", "+0s").stderr
    assert "not shown: 1 medium" in told
    assert f"analyze edges {capture} --from +0s --severity medium" in told
    assert "no kind of finding: nonsense" in analyze("edges", capture, "--kind", "nonsense", status=2).stderr
