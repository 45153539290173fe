"""Faults are recorded as the handler saw them; signals that a user sent are not faults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.support.recordings import record_run
from tests.support.workloads import build


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("mode", ["sigbus-eof", "sigsegv-maperr", "sigsegv-accerr"])
def test_a_fault_is_what_the_handler_saw(tmp_path: Path, mode: str, bits: Literal[64, 32]) -> None:
    capture, done = record_run(tmp_path / "capture", [build("fault", bits), mode, tmp_path / "file"])
    words = done.stdout.decode().split()
    seen = dict(zip(words[::2], words[1::2], strict=True))
    [row] = capture.rows("faults")
    assert row["signal"] == seen["signal"]
    assert row["code"] == int(seen["code"])
    assert row["address"] == int(seen["address"], 16)
    assert row["ip"] == int(seen["ip"], 16)
    assert (row["pid"], row["tid"]) == (int(seen["pid"]), int(seen["tid"]))
    assert int(seen["before_ns"]) <= row["ts_ns"] <= int(seen["after_ns"])
    assert row["result"] == 0


def test_a_signal_sent_by_a_user_is_no_fault(tmp_path: Path) -> None:
    capture, done = record_run(tmp_path / "capture", [build("fault"), "raise"])
    assert b"signal SIGSEGV" in done.stdout
    assert capture.rows("faults") == []


def test_a_death_by_fault_is_recorded_and_passed_on(tmp_path: Path) -> None:
    program = tmp_path / "die.py"
    program.write_text("import ctypes; ctypes.string_at(16)")
    capture, done = record_run(tmp_path / "capture", ["python3", program], check=False)
    assert done.returncode == 128 + 11
    [row] = capture.rows("faults")
    assert (row["signal"], row["code"], row["address"]) == ("SIGSEGV", 1, 16)
