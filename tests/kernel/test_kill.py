"""A recorder killed at any moment leaves a capture that opens, with all that was acknowledged, about a second short."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.capture import open_captures
from tests.support.recordings import RECORD, wait_until_recording
from tests.support.stored import read_capture
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

SEED = int(os.environ.get("MAPTRAIL_SEED", "20250711"))
KILLS, EARLY, ENDING = 50, 6, 7  # of the kills: before the first batch, while the recording is being ended
AT_ONCE = 3
MARKS, PAGE = 0x100000000000, 4096  # see tests/workloads/ticks.c

Rows = dict[str, int]


@dataclass
class Killed:
    """A capture, when its recorder was killed, and what the manifest had promised just before."""

    path: Path
    mode: str
    recorder: subprocess.Popen[bytes]
    killed_ns: int
    promised: dict[str, Any]
    ticks: list[tuple[int, int]]

    @cached_property
    def contents(self) -> tuple[dict[str, Any], dict[str, list[pa.Table]]]:
        return read_capture(self.path)

    @property
    def written(self) -> bool:
        return (self.path / "manifest.json").exists()

    @cached_property
    def marks(self) -> set[int]:
        """Numbers of the ticks whose call is in the capture."""
        found: set[int] = set()
        for part in self.contents[1]["syscalls"]:
            addresses = part["addr"].drop_null().to_numpy()
            found.update(((addresses[addresses >> 40 == MARKS >> 40] - MARKS) // PAGE).tolist())
        return found

    def made_before(self, ns: int) -> set[int]:
        return {number for number, at in self.ticks if at < ns and at > self.contents[0]["started_ns"]}


def manifest(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def rows_of(listed: dict[str, Any]) -> Rows:
    rows: Rows = {}
    for file in listed.get("files", ()):
        rows[file["table"]] = rows.get(file["table"], 0) + file["rows"]
    return rows


def wait_and_poll(path: Path, until: float) -> dict[str, Any]:
    """The last manifest seen before `until`: what it lists is a promise."""
    seen = manifest(path)
    while time.monotonic() < until:
        time.sleep(max(0.0, min(0.01, until - time.monotonic())))
        seen = manifest(path)
    return seen


def kill_one(folder: Path, program: Path, number: int, after_s: float) -> Killed:
    path, log = folder / f"{number:02}", folder / f"{number:02}.log"
    mode = ("run", "host")[number % 2]
    command = [program, "60"]
    with log.open("wb") as out:
        if mode == "run":
            worker = None
            recorder = subprocess.Popen(
                [*RECORD, "run", "-o", path, "--", *command], stdout=out, stderr=subprocess.PIPE
            )
        else:
            worker = subprocess.Popen(command, stdout=out)
            recorder = subprocess.Popen([*RECORD, "host", "-o", path], stderr=subprocess.PIPE)
    try:
        if number >= EARLY:
            wait_until_recording(path, recorder, timeout_s=60)
        if number >= KILLS - ENDING:
            stop_at = manifest(path)["targets"][0] if mode == "run" else recorder.pid
            time.sleep(after_s * 2)
            os.kill(stop_at, signal.SIGTERM)
            after_s /= 4
        promised = wait_and_poll(path, time.monotonic() + after_s)
        recorder.kill()
        killed_ns = time.monotonic_ns()
    finally:
        recorder.kill()
        if worker:
            worker.kill()
            worker.wait()
        for pid in manifest(path).get("targets", ()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    ticks = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    return Killed(path, mode, recorder, killed_ns, promised, [(n, at) for n, at in ticks])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    folder = tmp_path_factory.mktemp("killed")
    print(f"MAPTRAIL_SEED={SEED}")
    program = build("ticks")
    moments = random.Random(SEED)
    after = [moments.uniform(0, 1.5) for _ in range(KILLS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda number: kill_one(folder, program, number, after[number]), range(KILLS)))
        for one in found:
            one.recorder.communicate()  # its lock is let go of when it has ended
    return found


def test_every_capture_is_whole(killed: list[Killed]) -> None:
    """`read_capture` compares each listed file's size, SHA-256, rows, schema and times with the manifest."""
    written = [one for one in killed if one.written]
    assert len(written) >= KILLS - EARLY
    for one in written:
        stored, _ = one.contents
        assert stored["mode"] == one.mode
        # a recording that was being ended may have just been
        assert stored["state"] == "recording" or one in killed[KILLS - ENDING :]
    assert sum(one.contents[0]["state"] == "recording" for one in written) >= KILLS - EARLY - ENDING


def test_a_kill_before_the_first_manifest_leaves_none(killed: list[Killed]) -> None:
    for one in killed:
        if not one.written:
            assert not one.promised
            assert not list(one.path.glob("*/*"))


def test_what_was_acknowledged_before_the_kill_is_there(killed: list[Killed]) -> None:
    for one in killed:
        if not one.promised:
            continue
        rows = rows_of(one.contents[0])
        for table, count in rows_of(one.promised).items():
            assert rows[table] >= count, (one.path, table)
        assert one.made_before(one.promised.get("drained_to_ns", 0)) <= one.marks, one.path


def test_about_a_second_is_missing(killed: list[Killed]) -> None:
    """Every call before the time that the manifest names is there, and that time is not long before the kill."""
    missing_s = []
    for one in killed[EARLY : KILLS - ENDING]:
        drained_to_ns = one.contents[0]["drained_to_ns"]
        before = one.made_before(drained_to_ns)
        assert before <= one.marks, (one.path, before - one.marks)
        missing_s.append((one.killed_ns - drained_to_ns) / 1e9)
    print("missing, in seconds:", " ".join(f"{s:.2f}" for s in sorted(missing_s)))
    assert sum(len(one.marks) for one in killed[EARLY:]) > 10 * KILLS
    assert statistics.median(missing_s) < 1.2
    assert max(missing_s) < 4  # several recorders on a busy machine


def test_the_reader_says_that_the_recorder_was_killed_and_what_may_be_missing(killed: list[Killed]) -> None:
    unfinished = [one for one in killed if one.written and one.contents[0]["state"] == "recording"]
    for one, opened in zip(unfinished, open_captures([one.path for one in unfinished]), strict=True):
        stored = one.contents[0]
        assert opened.state == "killed", one.path
        assert not opened.damaged
        assert len(opened.files) == len(stored["files"])
        assert opened.missing_from_ns == stored.get("drained_to_ns", stored["started_ns"])
    some = [one.path for one in unfinished[::6]]
    analyze = Path(sys.executable).with_name("analyze")
    said = subprocess.run([analyze, "summary", *some], capture_output=True, check=True, text=True).stdout
    assert said.count("killed: the recorder ended without closing the capture") == len(some)
    assert said.count("may be missing") == len(some)
