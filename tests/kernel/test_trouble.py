"""Disks that fill and directories that go away while recording: told of, counted, and nothing stored is hurt."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import privately
from tests.support.recordings import RECORD, Capture, wait_until_recording
from tests.support.stored import read_capture
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

CALLS = 600_000


@dataclass
class Ended:
    """A recording that met trouble: its exit status, what it said, and the capture as it was left."""

    status: int
    errors: str
    capture: Capture
    made: int


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A hammer on a disk of 2 MiB; its calls need 3."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "disk").mkdir()
    command = [*RECORD, "run", "-o", "disk/capture", "--", build("hammer"), str(CALLS), "mix", "2", "--rate", "150000"]
    script = 'out=$("$@" 2>errors); status=$?; cp -r disk copy; echo "$out"; exit $status'
    setup = "mount -t tmpfs -o size=2m none disk"
    done = subprocess.run(
        privately(setup, ["sh", "-c", script, "sh", *command]), cwd=folder, capture_output=True, text=True, timeout=300
    )
    made = sum(int(n) for n in re.findall(r"calls (\d+)", done.stdout))
    assert made > CALLS - 10, done.stderr
    return Ended(done.returncode, (folder / "errors").read_text(), Capture(folder / "copy/capture"), made)


def test_a_full_disk_leaves_whole_batches(full: Ended) -> None:
    manifest, tables = read_capture(full.capture.path)
    stored = sum(part.num_rows for part in tables["syscalls"])
    assert stored > 0
    assert stored == manifest["totals"]["syscalls"]["stored"]


def test_a_full_disk_s_losses_are_counted_to_the_last_call(full: Ended) -> None:
    totals = full.capture.manifest["totals"]
    for name, total in totals.items():
        assert total["attempted"] == total["stored"] + total["lost"], name
        assert total["stored"] == full.capture.table(name).num_rows, name
    assert totals["syscalls"]["lost"] > CALLS / 100
    assert totals["syscalls"]["attempted"] >= full.made
    causes = {loss["cause"] for loss in full.capture.manifest["losses"] if loss["count"]}
    assert any("no space left" in cause for cause in causes), causes


def test_a_full_disk_is_told_of(full: Ended) -> None:
    assert full.capture.manifest["state"] == "failed"
    assert "no space left" in full.capture.manifest["failure"]
    assert "warning: lost" in full.errors
    assert "record: the capture is not complete: no space left for the capture" in full.errors
    assert "Traceback" not in full.errors
    assert full.status == 1


@contextlib.contextmanager
def recording_ticks(path: Path) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """The recorder of a process that goes on making calls, and that process."""
    worker = subprocess.Popen([build("ticks"), "60"], stdout=subprocess.DEVNULL)
    command = [*RECORD, "attach", "-o", path, str(worker.pid)]
    recorder = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_until_recording(path, recorder)
        yield recorder, worker
    finally:
        worker.kill()
        worker.wait()
        if recorder.poll() is None:
            recorder.kill()
            recorder.communicate()


def test_a_directory_that_is_removed_is_told_of(tmp_path: Path) -> None:
    with recording_ticks(tmp_path / "capture") as (recorder, worker):
        while (tmp_path / "capture").exists():  # the recorder may make a file while the others are removed
            shutil.rmtree(tmp_path / "capture", ignore_errors=True)
        time.sleep(1.5)
        assert recorder.poll() is None
        worker.kill()
        errors = recorder.communicate(timeout=60)[1].decode()
    assert recorder.returncode == 1
    assert "record: the capture is not complete: capture directory is gone" in errors
    assert "warning: lost" in errors
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_renamed_is_followed(tmp_path: Path) -> None:
    with recording_ticks(tmp_path / "capture") as (recorder, worker):
        os.rename(tmp_path / "capture", tmp_path / "moved")
        renamed_ns = time.monotonic_ns()
        time.sleep(1.5)
        worker.kill()
        errors = recorder.communicate(timeout=60)[1].decode()
    assert recorder.returncode == 0, errors
    manifest, _ = read_capture(tmp_path / "moved")
    assert manifest["state"] == "complete"
    assert manifest["totals"]["syscalls"]["lost"] == 0
    times = [row["ts_enter_ns"] for row in Capture(tmp_path / "moved").rows("syscalls", syscall="munmap")]
    assert times[0] < renamed_ns < renamed_ns + 1_000_000_000 < times[-1]
    assert os.listdir(tmp_path) == ["moved"]
