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
    [ended] = capture.rows("tasks", event="ended", pid=row["pid"])
    assert ended["exit_status"] & 0x7F == 11
    assert ended["ts_ns"] > row["ts_ns"]


def test_how_processes_end_is_what_their_parents_wait_for(tmp_path: Path) -> None:
    """A process of several threads, one killed, one that exits with a status."""
    program = tmp_path / "end.py"
    program.write_text(
        "import os, threading, time\n"
        "def child(end):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "        end()\n"
        "    print(pid, os.waitpid(pid, 0)[1])\n"
        "child(lambda: os._exit(7))\n"
        "child(lambda: os.kill(os.getpid(), 9))\n"
    )
    capture, done = record_run(tmp_path / "capture", ["python3", program])
    seen = {row["pid"]: row["exit_status"] for row in capture.rows("tasks", event="ended")}
    waited = dict(tuple(map(int, line.split())) for line in done.stdout.decode().splitlines())
    assert sorted(waited.values()) == [9, 7 << 8]
    assert waited.items() <= seen.items()
