"""`record run` is to its command and its caller as if it were not there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.family import assert_recorded, marked, members
from tests.support.recordings import RECORD, Capture, record_run, wait_until_recording
from tests.support.terminal import on_terminal
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

ROOT = Path(__file__).parents[2]

SURROUNDINGS = """
env -0; pwd; umask; ulimit -a; nice; cat /proc/self/oom_score_adj
readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/net
grep -E 'Sig(Blk|Ign)|^Cap|NoNewPrivs|Seccomp' /proc/self/status
ls /proc/self/fd | wc -l
cat
"""

# prints each signal it gets; SIGUSR2 ends it
CATCHER = """
import os, signal, sys
def caught(number, frame):
    os.write(1, b"got " + signal.Signals(number).name.encode() + b"\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, caught)
signal.signal(signal.SIGUSR2, lambda *_: os._exit(3))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


def ended_well(capture: Capture) -> bool:
    return capture.manifest["state"] == "complete"


def test_the_command_finds_everything_as_its_caller_left_it(tmp_path: Path) -> None:
    script = ["sh", "-c", SURROUNDINGS]
    environment = {"PATH": os.environ["PATH"], "odd": "\udcff=\n", "PYTHONPATH": str(ROOT)}
    given = bytes(range(256)) * 1000
    alone = subprocess.run(script, capture_output=True, check=True, input=given, cwd="/var", env=environment)
    capture, recorded = record_run(tmp_path / "capture", script, input=given, cwd="/var", env=environment)
    assert b"odd=\xff=\n\0" in recorded.stdout
    assert recorded.stdout == alone.stdout
    assert recorded.stdout.endswith(given)
    assert ended_well(capture)


def test_a_closed_standard_error_puts_nothing_into_the_command_s_output(tmp_path: Path) -> None:
    command = [*RECORD, "run", "-o", tmp_path / "capture", "--", "sh", "-c", "ls /proc/self/fd; exit 4"]
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" 2>&-', *command], stdout=subprocess.PIPE)
    assert done.returncode == 4
    assert done.stdout.split() == [b"0", b"1", b"2"]  # 2 is the folder that ls reads
    assert ended_well(Capture(tmp_path / "capture"))


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -ABRT $$", 134)]
)
def test_the_exit_status_is_the_command_s(tmp_path: Path, script: str, status: int) -> None:
    capture, done = record_run(tmp_path / "capture", ["sh", "-c", script], check=False)
    assert done.returncode == status
    assert ended_well(capture)


@pytest.mark.parametrize(
    ("text", "mode", "by_path", "status", "says"),
    [
        (None, 0, True, 127, "command not found"),
        (None, 0, False, 127, "command not found"),
        ("#!/bin/sh\n", 0o644, True, 126, "Permission denied"),
        ("#!/bin/sh\n", 0o644, False, 126, "Permission denied"),
        ("no program", 0o755, True, 126, "Exec format error"),
        ("#!/nonexistent/interpreter\n", 0o755, True, 126, "No such file or directory"),
    ],
)
def test_what_cannot_be_executed_is_told_in_a_sentence(
    tmp_path: Path, text: str | None, mode: int, by_path: bool, status: int, says: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if text is not None:
        (folder / "thing").write_text(text)
        (folder / "thing").chmod(mode)
    command = str(folder / "thing") if by_path else "thing"
    path = {**os.environ, "PATH": f"{os.environ['PATH']}:{folder}"}
    _, done = record_run(tmp_path / "capture", [command], check=False, env=path)
    assert done.returncode == status
    message, blank, hint, *rest = done.stderr.decode().splitlines()
    assert message.startswith("record: ")
    assert message.endswith(f": {command}")
    assert says in message
    assert not blank
    assert hint.startswith("hint: ")
    assert not rest
    assert done.stdout == b""


def test_a_file_here_is_no_command(tmp_path: Path) -> None:
    """Without a slash only the PATH counts."""
    (tmp_path / "thing").write_text("#!/bin/sh\nexit 1")
    (tmp_path / "thing").chmod(0o755)
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    _, done = record_run(tmp_path / "capture", ["thing"], check=False, cwd=tmp_path, env=path)
    assert done.returncode == 127
    assert not (tmp_path / "capture").exists()


@contextlib.contextmanager
def catcher(path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The recorder of a program that prints its signals and is ready."""
    command = [*RECORD, "run", "-o", path, *options, "--", sys.executable, "-c", CATCHER]
    recorder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert recorder.stdout
        assert recorder.stdout.readline() == b"ready\n"
        yield recorder
    finally:
        if recorder.poll() is None:
            for pid in json.loads((path / "manifest.json").read_text())["targets"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            recorder.communicate(timeout=60)


def test_signals_reach_the_command_once_and_the_recording_ends_well(tmp_path: Path) -> None:
    names = ["SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP", "SIGTERM"]
    with catcher(tmp_path / "capture") as recorder:
        assert recorder.stdout
        for name in names:
            recorder.send_signal(signal.Signals[name])
            assert recorder.stdout.readline() == f"got {name}\n".encode()
            time.sleep(0.1)  # a second one would be here by now
        recorder.send_signal(signal.SIGUSR2)
        rest, errors = recorder.communicate(timeout=60)
        assert rest == b""
        assert recorder.returncode == 3
        assert b"Traceback" not in errors
    assert ended_well(Capture(tmp_path / "capture"))


def test_duration_ends_the_recording_and_not_the_command(tmp_path: Path) -> None:
    with catcher(tmp_path / "capture", "--duration", "700ms") as recorder:
        while not ended_well(capture := Capture(tmp_path / "capture")):
            assert recorder.poll() is None
            time.sleep(0.05)
        lasted_s = (capture.manifest["ended_ns"] - capture.manifest["started_ns"]) / 1e9
        assert 0.7 <= lasted_s < 5
        time.sleep(0.3)
        assert recorder.poll() is None
        assert recorder.stdout
        recorder.send_signal(signal.SIGTERM)
        assert recorder.stdout.readline() == b"got SIGTERM\n"
        recorder.send_signal(signal.SIGUSR2)
        recorder.communicate(timeout=60)
        assert recorder.returncode == 3


def test_keys_of_a_terminal_reach_the_command_once(tmp_path: Path) -> None:
    command = [*RECORD, "run", "-o", tmp_path / "capture", "--", sys.executable, "-c", CATCHER]
    with on_terminal(command) as terminal:
        assert b"ready\r\n" in terminal.read(30, b"ready\r\n")
        terminal.type(b"\x03")
        terminal.read(10, b"got SIGINT")
        terminal.type(b"\x1c")
        terminal.read(10, b"got SIGQUIT")
        terminal.read(1.2)  # long enough for a status line, and for a second signal
        os.kill(terminal.pid, signal.SIGUSR2)
        assert terminal.end() == 3
    assert terminal.shown.count(b"got SIG") == 2
    assert b"\r\x1b[Krecording " in terminal.shown
    assert b"calls/s" in terminal.shown
    assert b"next: analyze summary" in terminal.shown
    assert ended_well(Capture(tmp_path / "capture"))


def test_a_terminal_that_is_stopped_does_not_stop_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with on_terminal([*RECORD, "run", "-o", path, "--", "sleep", "3.5"]) as terminal:
        terminal.read(30, b"recording ")
        stopped_ns = time.monotonic_ns()
        terminal.type(b"\x13")  # Ctrl-S
        time.sleep(2.8)
        drained_to_ns = Capture(path).manifest["drained_to_ns"]
        terminal.type(b"\x11")
        assert terminal.end() == 0
    assert drained_to_ns > stopped_ns + 500_000_000


def test_a_pipe_gets_no_status_line(tmp_path: Path) -> None:
    _, done = record_run(tmp_path / "capture", ["sleep", "1.5"])
    assert b"\r" not in done.stderr
    assert b"\x1b" not in done.stderr
    assert b"calls/s" not in done.stderr
    assert done.stderr.startswith(b"recorded ")
    assert done.stdout == b""


def test_every_relative_is_recorded_and_no_stranger(tmp_path: Path) -> None:
    stranger = subprocess.Popen([build("ticks"), "30"], stdout=subprocess.DEVNULL)
    try:
        capture, done = record_run(tmp_path / "capture", [build("family")])
    finally:
        stranger.kill()
        stranger.wait()
    assert_recorded(capture, members(done.stdout))


def test_the_held_child_is_hardly_seen(tmp_path: Path) -> None:
    """What the recorder's fork does between its release and its exec is not the command's."""
    capture, done = record_run(tmp_path / "capture", [build("family")])
    pid = members(done.stdout)["self"].pid
    [exec_ns] = [row["ts_ns"] for row in capture.rows("tasks", pid=pid, event="exec", source="bpf")]
    before = [row for row in capture.rows("syscalls", pid=pid) if row["ts_exit_ns"] < exec_ns]
    assert len(before) <= 10
    assert marked(capture)


def test_a_command_that_ends_at_once_is_recorded(tmp_path: Path) -> None:
    capture, _ = record_run(tmp_path / "capture", ["true"])
    assert capture.rows("tasks", event="exec", source="bpf")
    assert any(row["path"].endswith(b"/true") for row in capture.rows("vmas"))


def test_nothing_is_left_of_the_recorder(tmp_path: Path) -> None:
    """No process of it goes on after a few seconds."""
    path = tmp_path / "capture"
    recorder = subprocess.Popen([*RECORD, "run", "-o", path, "--", "sleep", "1"], stderr=subprocess.PIPE)
    wait_until_recording(path, recorder)
    recorder.communicate(timeout=60)
    ends = time.monotonic() + 30
    while str(path).encode() in (listed := subprocess.run(["ps", "-eo", "args"], capture_output=True).stdout):
        assert time.monotonic() < ends, listed.decode()
        time.sleep(0.2)


def test_the_memory_that_is_told_is_the_recorder_s_own(tmp_path: Path) -> None:
    """And not that of whoever started it, from which the kernel counts ru_maxrss."""
    started = "import os, sys; held = b'x' * (3 << 29); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", started, *RECORD, "run", "-o", tmp_path / "capture", "--", "true"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert Capture(tmp_path / "capture").manifest["recorder"]["max_rss_bytes"] < 1 << 30
