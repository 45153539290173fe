"""SIGKILL of the recorder, at any moment, costs no acknowledged row."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.stored import ids, read_capture

ROOT = Path(__file__).parents[2]
KILLS = 15  # the recorder itself is killed 50 times: tests/kernel/test_kill.py


def test_kills_lose_no_acknowledged_row(tmp_path: Path) -> None:
    moments = random.Random(20240607)
    rows = unlisted = 0
    for number in range(KILLS):
        capture = tmp_path / str(number)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.store_writer", str(capture)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout
            first = writer.stdout.readline()
            time.sleep(moments.uniform(0, 0.3))
            os.kill(writer.pid, signal.SIGKILL)
            promised = int((first + writer.stdout.read()).rstrip("\n").split("\n")[-1])
        assert writer.returncode == -signal.SIGKILL
        manifest, tables = read_capture(capture)
        found = sorted(number for part in tables["syscalls"] for number in part["ts_enter_ns"].to_pylist())
        assert found == list(range(len(found)))  # each once, none missing
        # the writer may have died between the manifest and telling us of it
        assert len(found) == manifest["drained_to_ns"] >= promised
        assert manifest["state"] == "recording"
        rows += len(found)
        unlisted += len(list((capture / "syscalls").iterdir())) - len(manifest["files"])
    assert rows > KILLS * 10
    assert unlisted > 0  # some kills did come at a bad moment


def test_a_killed_recording_can_be_overwritten(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    command = [sys.executable, "-m", "tests.support.store_writer", str(capture)]
    for extra in ([], ["--overwrite"]):
        with subprocess.Popen([*command, *extra], cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            assert writer.stdout.readline()
            writer.kill()
        assert ids(capture)[0] == 0
