"""`record host` records everybody, beginning with who is there, and not itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.kernel.test_counts import compare
from tests.support.recordings import Capture, record_host
from tests.support.workloads import build, read_call_log

pytestmark = pytest.mark.usefixtures("short_recordings")


def readable() -> set[int]:
    """Processes with mappings, as the test sees them."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and Path(f"/proc/{name}/maps").read_bytes():
                found.add(int(name))
        except OSError:
            continue
    return found


def started_at(pid: int) -> bytes:
    """Start time in ticks since boot, so that a number used again is told apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
    except OSError:
        return b""


def test_the_baseline_has_everybody_who_is_there(tmp_path: Path) -> None:
    before = {pid: started_at(pid) for pid in readable()}
    with record_host(tmp_path / "capture") as recorder:
        stayed = {pid for pid in readable() if before.get(pid) == started_at(pid)}
    capture = Capture(tmp_path / "capture")
    assert len(stayed) > 2
    assert stayed <= {row["pid"] for row in capture.rows("maps", reason="baseline")}
    alive = capture.rows("tasks", event="alive")
    assert stayed <= {row["pid"] for row in alive}
    names = {row["pid"]: row["comm"] for row in alive if row["pid"] == row["tid"]}
    assert names[os.getpid()] == Path("/proc/self/comm").read_bytes().removesuffix(b"\n")
    assert recorder.pid not in names


def test_the_recorder_is_not_in_its_recording(tmp_path: Path) -> None:
    with record_host(tmp_path / "capture") as recorder:
        subprocess.run([build("hammer"), "7919", "mix"], check=True, stdout=subprocess.DEVNULL)
    capture = Capture(tmp_path / "capture")
    assert capture.table("syscalls").num_rows > 7000
    for name in ("syscalls", "vmas", "tasks", "files", "faults", "maps", "images"):
        assert recorder.pid not in capture.table(name)["pid"].to_pylist(), name
        assert capture.manifest["totals"].get(name, {}).get("lost", 0) == 0


def test_a_32_bit_program_is_recorded_from_its_exec_on(tmp_path: Path) -> None:
    """Its probes are put on when it is seen to start, and the time it took is a gap that is told of."""
    with record_host(tmp_path / "capture"):
        subprocess.run([build("counts", 32), tmp_path / "log", tmp_path / "file"], check=True)
    capture = Capture(tmp_path / "capture")
    log = read_call_log(tmp_path / "log")
    rows = [row for row in capture.rows("syscalls", tid=log.calls[0].tid) if row["ts_enter_ns"] >= log.begin_ns]
    rows = [row for row in rows if row["ts_exit_ns"] <= log.end_ns]
    for row, call in zip(rows, log.calls, strict=True):
        compare(row, call, 32)

    gap, of_files = [row for row in capture.rows("losses") if row["count"] is None]
    assert [gap["source"], of_files.pop("source")] == ["calls", "files"]
    assert of_files.items() <= gap.items()
    execs = capture.rows("tasks", pid=log.calls[0].tid, event="exec", source="bpf")
    assert [row["elf_class"] for row in execs] == [1]
    assert gap["from_ns"] == execs[0]["ts_ns"]
    assert gap["from_ns"] < gap["to_ns"] <= log.begin_ns
    assert "32-bit" in gap["cause"]
    # its maps were read when the gap was over, so nothing of what it did before is in doubt any more
    readings = [row for row in capture.rows("maps", pid=log.calls[0].tid) if row["reason"].startswith("resync")]
    assert readings
    assert readings[0]["ts_begin_ns"] >= gap["to_ns"]
