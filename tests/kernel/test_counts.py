"""Every call the workload logged is recorded with exactly its arguments, result and error."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest

from recorder.syscalls import SYSCALLS
from tests.support.recordings import Capture, record_run
from tests.support.workloads import Call, CallLog, build, read_call_log

COUNTS = {"remap_file_pages": 23, "mmap": 29, "mprotect": 31, "mremap": 37, "munmap": 41}
FAILURES = 17
PAGE = 4096
BY_NAME = {call.name: call for call in SYSCALLS}


@pytest.mark.parametrize("bits", [64, 32])
def test_calls_equal_the_workload_s_own_log(tmp_path: Path, bits: Literal[64, 32]) -> None:
    program = build("counts", bits)
    capture, _ = record_run(tmp_path / "capture", [program, tmp_path / "log", tmp_path / "file"])
    compare_all(capture, read_call_log(tmp_path / "log"), bits)


def compare_all(capture: Capture, log: CallLog, bits: Literal[64, 32]) -> None:
    rows = [
        row
        for row in capture.rows("syscalls", tid=log.calls[0].tid)
        if log.begin_ns <= row["ts_enter_ns"] and row["ts_exit_ns"] <= log.end_ns
    ]

    wanted = COUNTS | ({"old_mmap": 5} if bits == 32 else {})
    assert Counter(row["syscall"] for row in rows) == wanted
    assert Counter(call.syscall for call in log.calls) == wanted
    failed = [row for row in rows if row["errno"] and row["syscall"] in COUNTS]
    assert len(failed) == FAILURES

    for row, call in zip(rows, log.calls, strict=True):
        compare(row, call, bits)


def compare(row: dict[str, Any], call: Call, bits: int) -> None:
    assert row["syscall"] == call.syscall
    assert row["abi"] == ("x86_64" if bits == 64 else "i386")
    assert (row["ret"], row["errno"]) == (call.ret, call.errno), call
    assert call.before_ns <= row["ts_enter_ns"] <= row["ts_exit_ns"] <= call.after_ns
    declared = BY_NAME[call.syscall]
    args = (declared.i386_args if bits == 32 else None) or declared.args
    for (_, column), given in zip(args, call.args, strict=False):
        assert column is not None
        value = row[column]
        expected = given & 0xFFFFFFFF if column == "fd" else given
        assert (value & 0xFFFFFFFF if column == "fd" else value) == expected, (call, column)
    if call.syscall == "remap_file_pages":
        assert row["offset_bytes"] == row["pgoff"] * PAGE % 2**64
    if call.syscall == "mmap" and bits == 32:
        assert row["offset_bytes"] == row["pgoff"] * PAGE


def test_totals_say_the_same(tmp_path: Path) -> None:
    capture, _ = record_run(tmp_path / "capture", [build("counts"), tmp_path / "log", tmp_path / "file"])
    for name, total in capture.manifest["totals"].items():
        assert total["attempted"] == total["stored"] + total["lost"], name
        assert total["stored"] == len(capture.table(name)), name
        assert total["lost"] == 0, name
