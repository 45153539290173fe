"""Readings with --freeze are exact, and leave the process as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.freeze import frozen
from tests.support.recordings import record_run
from tests.support.workloads import build


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """Two threads that protect pages without end."""
    process = subprocess.Popen([build("hammer"), "1000000000", "mprotect", "2"])
    time.sleep(0.2)
    yield process
    process.kill()
    process.wait()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def states(pid: int) -> set[str]:
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}


def test_every_thread_stands_still_and_runs_again(busy: subprocess.Popen[bytes]) -> None:
    with frozen(busy.pid) as still:
        assert still
        assert states(busy.pid) == {"t"}
        maps = Path(f"/proc/{busy.pid}/maps").read_text()
        time.sleep(0.1)
        assert Path(f"/proc/{busy.pid}/maps").read_text() == maps
        before = cpu_ticks(busy.pid)
    time.sleep(0.3)
    assert cpu_ticks(busy.pid) > before
    assert "t" not in states(busy.pid)


def test_a_signal_sent_meanwhile_is_not_lost() -> None:
    sleeper = subprocess.Popen(["sleep", "100"])
    time.sleep(0.1)
    with frozen(sleeper.pid) as still:
        assert still
        os.kill(sleeper.pid, signal.SIGTERM)
    assert sleeper.wait(timeout=5) == -signal.SIGTERM


def test_a_process_under_a_debugger_is_left_alone(busy: subprocess.Popen[bytes]) -> None:
    """A second tracer is refused: the first one's hold stays."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from recorder.freeze import frozen\n"
        "with frozen(int(sys.argv[1])) as still:\n print(still, flush=True); time.sleep(100)\n"
    )
    root = Path(__file__).resolve().parents[2]
    holder = subprocess.Popen(["python3", "-c", script, str(busy.pid), str(root)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"True\n"
        with frozen(busy.pid) as still:
            assert not still
    finally:
        holder.kill()
        holder.wait()
    time.sleep(0.2)
    assert "t" not in states(busy.pid), "a killed recorder lets go"


def test_checkpoints_come_as_often_as_asked(tmp_path: Path) -> None:
    options = ["--checkpoint-every", "200ms", "--freeze"]
    capture, _ = record_run(tmp_path / "capture", ["sleep", "1.5"], *options)
    readings = {row["reading"]: row for row in capture.rows("maps", reason="checkpoint")}
    assert 4 <= len(readings) <= 8
    assert len({row["pid"] for row in readings.values()}) == 1


@pytest.mark.parametrize(
    ("options", "warned"), [(["--freeze"], True), (["--freeze", "--checkpoint-every", "1s"], False)]
)
def test_freezing_without_checkpoints_is_told(tmp_path: Path, options: list[str], warned: bool) -> None:
    _, done = record_run(tmp_path / "capture", ["./nowhere"], *options, check=False)
    assert done.returncode == 127
    assert (b"--freeze without --checkpoint-every holds processes only at the end" in done.stderr) is warned
