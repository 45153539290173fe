"""`record attach` records running processes and their later children, from a true picture of their start on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import analyze, analyze_rows
from tests.support.family import assert_recorded, members
from tests.support.recordings import RECORD, Capture, wait_until_recording
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")


@contextlib.contextmanager
def attached(path: Path, *pids: int) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder of these processes, which must end by itself and well."""
    recorder = subprocess.Popen([*RECORD, "attach", "-o", path, *map(str, pids)], stderr=subprocess.PIPE)
    try:
        wait_until_recording(path, recorder)
        yield recorder
        _, errors = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, errors.decode()
        assert Capture(path).manifest["state"] == "complete"
    finally:
        if recorder.poll() is None:
            recorder.kill()
            recorder.wait()


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            yield process
        finally:
            process.kill()


def maps_of(pid: int) -> list[tuple[Any, ...]]:
    """/proc/PID/maps, parsed line by line: start, end, perms, offset, dev, inode, path."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
        span, perms, offset, dev, inode, *path = line.split(maxsplit=5)
        start, end = (int(number, 16) for number in span.split(b"-"))
        major, minor = (int(number, 16) for number in dev.split(b":"))
        found.append((start, end, perms.decode(), int(offset, 16), major << 20 | minor, int(inode), b"".join(path)))
    return found


def test_threads_and_later_children_are_recorded_until_the_last_target_ends(tmp_path: Path) -> None:
    with running(build("family"), "wait") as family, running("sleep", "1000") as sleeper:
        assert family.stdout
        assert family.stdin
        assert family.stdout.readline() == b"ready\n"
        with attached(tmp_path / "capture", sleeper.pid, family.pid) as recorder:
            sleeper.kill()
            time.sleep(0.5)
            assert recorder.poll() is None
            family.stdin.close()
            said = family.stdout.read()
    capture = Capture(tmp_path / "capture")
    assert capture.manifest["targets"] == [sleeper.pid, family.pid]
    relatives = members(said)
    assert_recorded(capture, relatives, strangers={sleeper.pid}, early={"early-thread"})
    alive = {(row["pid"], row["tid"]) for row in capture.rows("tasks", event="alive")}
    early = relatives["early-thread"]
    assert alive == {(family.pid, family.pid), (early.pid, early.tid), (sleeper.pid, sleeper.pid)}
    assert sleeper.pid in {row["pid"] for row in capture.rows("tasks", event="exit")}


def test_the_baseline_is_what_proc_says(tmp_path: Path) -> None:
    with running(sys.executable, "-c", "import json, sys; sys.stdin.read()") as idle:
        ends = time.monotonic() + 10
        while not maps_of(idle.pid) or "pipe" not in Path(f"/proc/{idle.pid}/wchan").read_text():
            assert time.monotonic() < ends
            time.sleep(0.05)
        maps = maps_of(idle.pid)
        with attached(tmp_path / "capture", idle.pid):
            idle.kill()
    rows = Capture(tmp_path / "capture").rows("maps", reason="baseline")
    columns = ("start", "end", "perms", "offset_bytes", "dev", "inode", "path")
    assert len(maps) > 30
    assert [tuple(row[name] for name in columns) for row in rows] == maps
    assert len({(row["reading"], row["ts_begin_ns"], row["ts_end_ns"], row["pid"]) for row in rows}) == 1


def test_a_heap_that_begins_later_is_named(tmp_path: Path) -> None:
    with running(build("lateheap")) as late:
        assert late.stdin
        assert late.stdout
        while "read" not in Path(f"/proc/{late.pid}/wchan").read_text():
            time.sleep(0.01)
        assert "[heap]" not in Path(f"/proc/{late.pid}/maps").read_text()
        with attached(tmp_path / "capture", late.pid):
            late.stdin.write(b"x")
            late.stdin.flush()
            assert late.stdout.read(1) == b"x"
            said = Path(f"/proc/{late.pid}/maps").read_text()
            now_ns = time.monotonic_ns()
            late.stdin.close()
    assert "[heap]" in said
    assert analyze("maps", tmp_path / "capture", "--pid", late.pid, "--at", f"{now_ns}ns").stdout == said


def refused(*pids: str, status: int = 2, folder: Path) -> str:
    """The sentence that attaching to these is refused with."""
    command = [*RECORD, "attach", "-o", folder / "capture", "--", *pids]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    message, blank, hint = done.stderr.splitlines()
    assert message.startswith("record: ")
    assert not blank
    assert hint.startswith("hint: ")
    assert not (folder / "capture").exists()
    return message.removeprefix("record: ")


def test_a_process_that_is_not_there_is_refused(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, 0, -1, -dead.pid):
        assert refused(str(pid), folder=tmp_path) == f"no such process: {pid}"
    with running("sleep", "100") as alive:
        assert refused(str(alive.pid), str(dead.pid), folder=tmp_path) == f"no such process: {dead.pid}"


def test_what_has_no_memory_of_its_own_is_refused(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"])
    kernel_thread = subprocess.run(["pgrep", "-x", "ksoftirqd/0"], capture_output=True, text=True, check=True).stdout
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for pid in (str(zombie.pid), kernel_thread.strip()):
        message = refused(pid, folder=tmp_path)
        assert "no memory" in message
        assert message.endswith(f": {pid}")
    zombie.wait()


def test_a_thread_is_refused_and_its_process_named(tmp_path: Path) -> None:
    with running(build("family"), "wait") as family:
        assert family.stdout
        assert family.stdout.readline() == b"ready\n"
        [tid] = {int(name) for name in os.listdir(f"/proc/{family.pid}/task")} - {family.pid}
        assert refused(str(tid), folder=tmp_path) == f"this is a thread, not a process: {tid}"


def test_the_recorder_itself_is_refused(tmp_path: Path) -> None:
    command = [*RECORD, "attach", "-o", tmp_path / "capture"]
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" $$', *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("record: the recorder does not record itself: ")


@pytest.mark.parametrize("seconds", ["0.7", "1.1", "1.4"])
def test_a_process_that_ends_while_the_recorder_starts_is_no_disaster(tmp_path: Path, seconds: str) -> None:
    with running("sleep", seconds) as sleeper:
        command = [*RECORD, "attach", "-o", tmp_path / "capture", str(sleeper.pid)]
        recorder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        sleeper.wait()
        _, errors = recorder.communicate(timeout=60)
    assert "Traceback" not in errors
    if recorder.returncode:
        assert errors.startswith("record: no such process: ") or "no memory" in errors
        assert not (tmp_path / "capture").exists()
    else:
        assert Capture(tmp_path / "capture").manifest["state"] == "complete"


GROWING = """
import ctypes, sys, time
log = open(sys.argv[1], "w")
mmap = ctypes.CDLL(None).mmap
mmap.restype, mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
while True:
    print(mmap(None, 4096, 1, 0x22, -1 & 2**64 - 1, 0), time.monotonic_ns(), file=log, flush=True)
    time.sleep(0.001)
"""


def test_the_capture_ends_when_recording_did_and_not_when_it_was_compacted(tmp_path: Path) -> None:
    """The process goes on mapping meanwhile, of which nothing is known: no answer may be about that time."""
    path, log = tmp_path / "capture", tmp_path / "log"
    with running(sys.executable, "-c", GROWING, log) as process:
        while not log.exists() or not log.stat().st_size:
            time.sleep(0.01)
        command = [*RECORD, "attach", "-o", path, "--duration", "1s", str(process.pid)]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=True, timeout=60)
        time.sleep(0.1)
    manifest = Capture(path).manifest
    made = [(int(address), int(made_ns)) for address, made_ns in map(str.split, log.read_text().splitlines()[:-1])]
    assert made[-1][1] > manifest["ended_ns"] == manifest["drained_to_ns"]
    known = {
        page
        for row in analyze_rows("maps", path, "--pid", process.pid)
        for page in range(row["start"], row["end"], 4096)
    }
    # in between is one call at most, which was being made as the recording ended
    assert {address for address, made_ns in made if made_ns < manifest["ended_ns"]} <= known
    assert len({address for address, made_ns in made if made_ns > manifest["ended_ns"]} & known) <= 1
    error = analyze("maps", path, "--pid", process.pid, "--at", f"{manifest['ended_ns'] + 1}ns", status=2).stderr
    assert "outside the time that was recorded" in error
