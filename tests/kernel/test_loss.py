"""Nothing is dropped in silence: attempted = stored + lost, and each loss has its place in time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.recordings import RECORD, Capture, wait_until_recording
from tests.support.workloads import build

CALLS = 1_200_000


class Hammered:
    """The capture of one hammer, and what the hammer says it did."""

    def __init__(self, folder: Path, options: list[str], hammer: list[str], stopped_s: float) -> None:
        path = folder / "capture"
        recorder = subprocess.Popen([*RECORD, "host", "-o", path, *options], stderr=subprocess.PIPE)
        try:
            wait_until_recording(path, recorder)
            worker = subprocess.Popen([build("hammer"), *hammer], stdout=subprocess.PIPE, text=True)
            time.sleep(0.3)  # well inside its loop
            os.kill(recorder.pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(recorder.pid, signal.SIGCONT)
            output, _ = worker.communicate(timeout=300)
            recorder.terminate()
            self.errors = recorder.communicate(timeout=300)[1].decode()
            assert recorder.returncode == 0, self.errors
        finally:
            if recorder.poll() is None:
                recorder.kill()
                recorder.wait()
        self.pid = worker.pid
        self.begin_ns, self.end_ns = (int(n) for n in re.findall(r"_ns (\d+)", output)[:2])
        self.made = sum(int(n) for n in re.findall(r"calls (\d+)", output))
        self.capture = Capture(path)
        self.totals: dict[str, dict[str, int]] = self.capture.manifest["totals"]

    def losses(self, source: str) -> list[dict[str, Any]]:
        return self.capture.rows("losses", source=source)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Hammered:
    """A ring far too small, and a reader that stands still for a while."""
    folder = tmp_path_factory.mktemp("flooded")
    return Hammered(folder, ["--ring-size", "256k"], [str(CALLS), "mprotect"], stopped_s=0.5)


def test_much_is_lost_and_all_of_it_is_counted(flooded: Hammered) -> None:
    calls = flooded.totals["syscalls"]
    assert calls["lost"] > CALLS / 100
    assert calls["attempted"] >= CALLS
    for name, total in flooded.totals.items():
        assert total["attempted"] == total["stored"] + total["lost"], name
        assert total["stored"] == flooded.capture.table(name).num_rows, name


def test_the_kernel_s_count_is_the_program_s_own(flooded: Hammered) -> None:
    """Stored calls of the hammer plus all lost ones: nobody else lost anything worth naming."""
    stored = sum(
        1
        for row in flooded.capture.table("syscalls").select(["pid", "syscall"]).to_pylist()
        if row["pid"] == flooded.pid and row["syscall"] == "mprotect"
    )
    others = flooded.totals["syscalls"]["attempted"] - flooded.made
    assert 0 <= stored + flooded.totals["syscalls"]["lost"] - flooded.made <= others


def test_each_loss_is_placed_in_time(flooded: Hammered) -> None:
    rows = flooded.losses("calls")
    assert sum(row["count"] for row in rows) == flooded.totals["syscalls"]["lost"]
    for row in rows:
        assert row["from_ns"] <= row["to_ns"]
        assert row["cpu"] >= 0
        assert "full" in row["cause"]
    # the hammer's starting and ending may lose some too, and so may the rest of the machine
    assert min(row["from_ns"] for row in rows) >= flooded.capture.manifest["started_ns"]
    assert max(row["to_ns"] for row in rows) <= flooded.capture.manifest["ended_ns"]
    assert any(row["to_ns"] >= flooded.begin_ns and row["from_ns"] <= flooded.end_ns for row in rows)
    # between two stored calls of the hammer that are far apart lies a loss
    times = [row["ts_enter_ns"] for row in flooded.capture.rows("syscalls", pid=flooded.pid, syscall="mprotect")]
    gap = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
    assert any(row["from_ns"] <= times[gap] and row["to_ns"] >= times[gap - 1] for row in rows)


def test_the_side_band_s_losses_are_rows_too(flooded: Hammered) -> None:
    rows = flooded.losses("sideband")
    assert sum(row["count"] for row in rows) == flooded.totals["vmas"]["lost"]


def test_the_user_is_told(flooded: Hammered) -> None:
    assert "warning: lost" in flooded.errors
    assert "LOST" in flooded.errors


def test_the_loser_s_maps_are_read_again(flooded: Hammered) -> None:
    readings = [row for row in flooded.capture.rows("maps", pid=flooded.pid) if row["reason"].startswith("resync")]
    first_loss = min(row["from_ns"] for row in flooded.losses("calls"))
    assert readings
    assert readings[-1]["ts_begin_ns"] > first_loss


def test_a_second_s_stop_at_300_000_events_a_second_loses_nothing(tmp_path: Path) -> None:
    calls = 900_000
    rate = 0.0
    # half of mmap's calls are mmaps, which make a record of the side-band too; a slow or busy machine makes fewer of
    # them a second than of munmap's, which are of what is long gone
    turns = [("mmap", 300_000, 1.5), ("mmap", 300_000, 1.5), ("munmap", 330_000, 1.0)]
    for turn, (mode, calls_a_second, records_a_call) in enumerate(turns):
        (tmp_path / str(turn)).mkdir()
        run = Hammered(tmp_path / str(turn), [], [str(calls), mode, "--rate", str(calls_a_second)], stopped_s=1.0)
        assert run.totals["syscalls"]["lost"] == run.totals["vmas"]["lost"] == 0
        assert run.made <= run.totals["syscalls"]["attempted"]
        rate = max(rate, run.made * records_a_call / (run.end_ns - run.begin_ns) * 1e9)
        if rate > 300_000:
            break
    assert rate > 300_000, f"the machine is too busy for this test to mean anything: {rate:,.0f} records/s"
