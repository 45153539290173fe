"""The flight recorder: what happened before a trigger is kept, nothing else, and the disk stays bounded.

Two recordings: one, of this process and what it makes, whose window has long moved on when a file is cut under a
mapping; and one of the host that has to be cut short to fit its disk, and is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from tests.support.commands import analyze, analyze_rows
from tests.support.recordings import RECORD, Capture, wait_until_recording
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

PAGE = 4096
KEEP_S, SEGMENT_S, SLACK_S = 5, 1, 4  # slack: a busy machine
MAX_DISK_BYTES = 16 << 20


def until(condition: Callable[[], Any], timeout_s: float = 30) -> Any:
    """The first true value of the condition."""
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        with contextlib.suppress(OSError, ValueError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def manifest(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    return found


def disk_bytes(path: Path) -> int:
    """What du says, hard links once; files that go meanwhile are gone."""
    blocks: dict[int, int] = {}
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names, "."):
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(folder, name))
                blocks[found.st_ino] = found.st_blocks
    return 512 * sum(blocks.values())


def incidents(path: Path) -> list[Path]:
    return sorted(found for found in (path / "incidents").iterdir() if found.name[0].isdigit())


def checked(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(analyze("check", path, "--format", "json").stdout)["captures"]
    return found


@contextlib.contextmanager
def flight(path: Path, *what: object) -> Iterator[subprocess.Popen[str]]:
    recorder = subprocess.Popen([*RECORD, *map(str, what), "-o", path], stderr=subprocess.PIPE, text=True)
    try:
        wait_until_recording(path, recorder)  # type: ignore[arg-type]
        yield recorder
    finally:
        recorder.kill()
        recorder.wait()


@dataclass
class Flown:
    """A recording that ended in good order, and what its processes saw themselves."""

    path: Path
    said: str
    victim: int
    mapped: int
    fault: dict[str, int]
    maps: bytes
    cut_by: int
    crashed: int
    refused: int
    incidents: list[Path] = field(default_factory=list)


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Flown:
    folder = tmp_path_factory.mktemp("flown")
    path, file = folder / "capture", folder / "data"
    file.write_bytes(bytes(4 * PAGE))
    victim = subprocess.Popen([build("victim"), file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert victim.stdin and victim.stdout
    mapped = int(victim.stdout.readline().split()[1], 16)
    options = ("--keep", f"{KEEP_S}s", "--trigger", "sigbus,sigsegv,enomem", "--after", "500ms", "--stacks")
    with flight(path, "attach", os.getpid(), victim.pid, *options) as recorder:
        started = manifest(path)["started_ns"]
        until(lambda: manifest(path)["started_ns"] > started)  # the first reading of the victim is gone
        cut = subprocess.Popen(["truncate", "-s", "4096", file])
        cut.wait()
        victim.stdin.write("\n")
        victim.stdin.flush()
        words = victim.stdout.readline().split()
        maps = Path(f"/proc/{victim.pid}/maps").read_bytes()
        until(lambda: len(incidents(path)) == 1)
        victim.communicate("\n")
        crashed = subprocess.Popen([sys.executable, "-c", "import ctypes; ctypes.string_at(16)"])
        crashed.wait()
        refused = subprocess.Popen(
            [sys.executable, "-c", "import mmap; mmap.mmap(-1, 1 << 32)"], stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31)),
        )  # fmt: skip
        refused.wait()
        until(lambda: len(incidents(path)) == 2)
        recorder.send_signal(signal.SIGUSR1)
        until(lambda: len(incidents(path)) == 3)
        again = subprocess.run([sys.executable, "-c", "import ctypes; ctypes.string_at(16)"], check=False)
        assert again.returncode == -signal.SIGSEGV
        recorder.send_signal(signal.SIGTERM)
        said = recorder.communicate(timeout=120)[1]
        assert recorder.returncode == 0, said
    fault = {name: int(text, 16 if name == "fault" else 10) for name, text in zip(words[::2], words[1::2], strict=True)}
    return Flown(path, said, victim.pid, mapped, fault, maps, cut.pid, crashed.pid, refused.pid, incidents(path))


def test_an_incident_holds_what_was_before_it(flown: Flown) -> None:
    """The mapping that is older than the window, who cut its file, and the fault."""
    incident = Capture(flown.incidents[0])
    assert incident.path.name == f"0001-sigbus-{flown.victim}"
    [fault] = incident.rows("faults", pid=flown.victim)
    assert fault["address"] == flown.fault["fault"] == flown.mapped + 3 * PAGE
    assert flown.fault["before_ns"] <= fault["ts_ns"] <= flown.fault["after_ns"]
    said = incident.manifest["incident"]
    assert (said["trigger"], said["table"], said["ts_ns"], said["tid"]) == (
        "sigbus", "faults", fault["ts_ns"], fault["tid"],
    )  # fmt: skip
    cuts = [row for row in incident.rows("files", pid=flown.cut_by) if row["operation"] == "ftruncate"]
    assert [(row["old_size_bytes"], row["new_size_bytes"]) for row in cuts] == [(4 * PAGE, PAGE)]
    assert incident.manifest["started_ns"] < fault["ts_ns"]
    assert not [row for row in incident.rows("syscalls", pid=flown.victim) if row["ret"] == flown.mapped]
    at = f"{fault['ts_ns']}ns"
    shown = analyze("maps", incident.path, "--pid", flown.victim, "--at", at).stdout
    assert [line.split() for line in shown.splitlines()] == [line.split() for line in flown.maps.decode().splitlines()]
    # after the fault, for half a second, recording went on
    assert incident.manifest["ended_ns"] - fault["ts_ns"] > 400_000_000


def test_the_victim_is_read_at_once_and_again(flown: Flown) -> None:
    incident = Capture(flown.incidents[0])
    readings = {row["reading"]: row for row in incident.rows("maps", reason="trigger", pid=flown.victim)}
    first, last = readings.values()
    assert 0 < first["ts_begin_ns"] - flown.fault["before_ns"] < 500_000_000
    assert last["ts_begin_ns"] - flown.fault["before_ns"] > 400_000_000
    [verdict] = checked(incident.path)
    assert {row["verdict"] for row in verdict["verdicts"] if row["pid"] == flown.victim} == {"exact"}
    assert verdict["wrong"] == 0


def test_a_summary_says_what_happened(flown: Flown) -> None:
    text = analyze("summary", flown.incidents[0]).stdout
    assert text.startswith("complete\n")
    assert f"\n\ntrigger   sigbus in process {flown.victim} (victim) at +" in text
    assert f": SIGBUS at {flown.fault['fault']:#x}" in text
    assert "do not add up" not in text
    text = analyze("summary", flown.path).stdout
    assert f"window    the last {KEEP_S} s were to be kept; 3 incidents: incidents/0001-sigbus" in text
    assert "attempted = stored + lost + expired" in text
    assert "do not add up" not in text


def test_why_leads_with_what_made_the_incident(flown: Flown) -> None:
    text = analyze("why", flown.incidents[1]).stdout
    assert text.startswith(f"trigger: sigsegv in process {flown.crashed} (python")
    assert "SIGSEGV at 0x10, and 1 more until the end\n\n" in text.partition("\n\n")[0] + "\n\n"
    assert f"(pid {flown.crashed}) was killed by SIGSEGV at 0x10: a null pointer" in " ".join(text.split())


def test_triggers_close_together_are_one_incident_and_the_same_again_is_held_back(flown: Flown) -> None:
    incident = Capture(flown.incidents[1])
    assert incident.path.name == f"0002-sigsegv-{flown.crashed}"
    assert [row["pid"] for row in incident.rows("faults", signal="SIGSEGV")] == [flown.crashed]
    refused = [row for row in incident.rows("syscalls", pid=flown.refused) if row["errno"] == 12]
    assert [row["size"] for row in refused] == [1 << 32]
    assert incident.manifest["incident"]["more"] >= 1
    assert len(flown.incidents) == 3
    last = manifest(flown.path)
    assert last["flight"]["held_back"] >= 1
    assert last["incidents"] == [path.name for path in flown.incidents]
    # recording went on without a gap, also of what was held back
    faults = last["totals"]["faults"]
    assert (faults["attempted"], faults["lost"]) == (3, 0)


def test_the_window_is_frozen_when_asked_to(flown: Flown) -> None:
    incident = Capture(flown.incidents[2])
    assert incident.path.name == f"0003-asked-{os.getpid()}"
    assert incident.manifest["incident"]["trigger"] == "asked"
    assert len(incident.rows("faults", signal="SIGSEGV")) == 1
    assert f"record: asked by process {os.getpid()}: the last " in flown.said
    assert f"record: next: analyze summary {incident.path}" in flown.said


def test_what_is_older_than_the_window_is_gone(flown: Flown) -> None:
    capture = Capture(flown.path)
    last = capture.manifest
    assert last["state"] == "complete"
    window_s = (last["drained_to_ns"] - last["started_ns"]) / 1e9
    assert KEEP_S <= window_s <= KEEP_S + SEGMENT_S + SLACK_S
    # but for a call that was being made when it began
    assert min(file["to_ns"] for file in last["files"]) >= last["started_ns"]
    listed = {file["path"] for file in last["files"]}
    there = {str(found.relative_to(flown.path)) for found in flown.path.glob("*/*.parquet")}
    assert there == listed
    for table, counts in last["totals"].items():
        assert counts["attempted"] == counts["stored"] + counts["lost"] + counts["expired"], table
        assert counts["stored"] == capture.table(table).num_rows, table
    assert last["totals"]["maps"]["expired"] > 0
    [verdict] = checked(flown.path)
    assert verdict["wrong"] == 0
    assert verdict["exact"] > 0


def test_stacks_are_told_again_in_every_segment(flown: Flown) -> None:
    for capture in (Capture(flown.path), Capture(flown.incidents[0])):
        told = capture.table("stacks")["stack_id"].to_pylist()
        named = {row["stack_id"] for name in ("syscalls", "files", "faults") for row in capture.rows(name)}
        assert {number for number in named if number >= 0} == set(told)
        assert len(named) > 10


def test_an_incident_names_the_functions_of_its_stacks(flown: Flown) -> None:
    query = (
        f"SELECT function, frames.certainty FROM frames JOIN faults USING (stack_id) WHERE faults.pid = {flown.victim}"
    )
    [row] = analyze_rows("sql", flown.incidents[0], "-q", f"{query} AND depth = 1")
    assert row == {"function": "main", "certainty": "certain"}


def test_what_is_said_names_the_next_command(flown: Flown) -> None:
    lines = flown.said.splitlines()
    [at] = [number for number, line in enumerate(lines) if "sigbus in process" in line]
    assert lines[at].startswith(f"record: sigbus in process {flown.victim} (victim): the last ")
    assert lines[at + 1] == f"record: next: analyze why {flown.incidents[0]}"
    assert "\x1b" not in flown.said


def crashes(path: Path) -> list[Path]:
    """Incidents of ours."""
    return [found for found in incidents(path) if manifest(found)["incident"]["comm"].startswith("crash")]


@dataclass
class Cut:
    """A recording of more than fits, killed."""

    path: Path
    most_bytes: int
    before_kill: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    path = tmp_path_factory.mktemp("cut") / "capture"
    most = 0
    with flight(
        path, "host", "--keep", "60s", "--trigger", "sigsegv", "--after", "200ms", "--max-disk", "16M"
    ) as recorder:
        noise = subprocess.Popen([build("noise"), "60", "400000"], stdout=subprocess.DEVNULL)
        ends = time.monotonic() + 60
        crashed = 0
        # some 3 MB of noise a second: until the window was full, and as much again was recorded
        while (calls := manifest(path)["totals"]["syscalls"])["expired"] <= calls["stored"]:
            assert time.monotonic() < ends, calls
            for _ in range(25):
                most = max(most, disk_bytes(path))
                time.sleep(0.02)
            if len(found := crashes(path)) < 2 and calls["stored"] > 100_000 * (len(found) + 1):
                crashed += 1  # another name is another cause
                code = f"open('/proc/self/comm', 'w').write('crash{crashed}'); import ctypes; ctypes.string_at(16)"
                subprocess.run([sys.executable, "-c", code], check=False)
                with contextlib.suppress(AssertionError):  # it can have fallen into the time of somebody else's
                    until(lambda: len(crashes(path)) > len(found), 5)
        noise.kill()
        noise.wait()
        time.sleep(1)  # what was dropped first can have been enough, and is said after it is gone
        last = manifest(path)
        recorder.kill()
        said = recorder.communicate()[1]
    return Cut(path, most, last, said)


def test_the_disk_stays_bounded_and_what_is_lost_by_it_is_told(cut: Cut) -> None:
    totals = cut.before_kill["totals"]["syscalls"]
    print(f"at most {cut.most_bytes >> 10:,} KiB; {totals}")
    assert MAX_DISK_BYTES / 4 < cut.most_bytes <= MAX_DISK_BYTES
    assert "the window is shorter than --keep" in cut.said
    assert cut.before_kill["updated_ns"] - cut.before_kill["started_ns"] < 59e9
    assert totals["expired"] >= totals["stored"]


def test_a_kill_leaves_everything_readable(cut: Cut) -> None:
    found = crashes(cut.path)
    assert found  # the second has room only where the first left some
    window, *frozen = open_captures([cut.path, *found])
    assert window.state == "killed"
    assert {capture.state for capture in frozen} == {"complete"}
    for capture in (window, *frozen):
        assert not capture.damaged, capture.path
        # of a machine on which nothing else happens a short window can have no record of a mapping
        assert {file.entry.table for file in capture.files} >= {"syscalls", "tasks", "maps", "images"}
    for capture in frozen:
        assert "vmas" in {file.entry.table for file in capture.files}
        assert capture.manifest.incident
        [fault] = Capture(capture.path).rows("faults", comm=capture.manifest.incident.comm.encode())
        assert fault["ts_ns"] == capture.manifest.incident.ts_ns
