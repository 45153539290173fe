"""The window on disk: what it drops, what an incident keeps, and that the disk stays bounded."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recorder.flight import Firing, Flight, Incident
from recorder.store import StoreError
from recorder.window import Frozen, Window
from tests.support.stored import ids, numbered, read_capture, rows

HEADER = {"maptrail": "0.1.0", "mode": "host", "started_ns": 0}
MAX_DISK_BYTES = 2 << 20
NOISE = random.Random(20250711)


def flight(keep_ns: int, max_disk_bytes: int = MAX_DISK_BYTES) -> Flight:
    return Flight(keep_ns / 1e9, ("sigbus",), 1.0, max_disk_bytes)


def incident(pid: int) -> Incident:
    return Incident(Firing("sigbus", "faults", 1, pid, pid, "victim"), 0, 0)


def noise(at: int, count: int) -> Any:
    """Rows of some 25 bytes each on the disk, all of one time."""
    columns = {name: [NOISE.getrandbits(63) for _ in range(count)] for name in ("addr", "ptr", "ret")}
    return rows("syscalls", ts_enter_ns=[at] * count, ts_exit_ns=[at] * count, pid=[1] * count, **columns)


def disk_bytes(path: Path) -> int:
    found = {each.stat().st_ino: each.stat().st_blocks * 512 for each in (path, *path.rglob("*"))}
    return sum(found.values())


def incidents(path: Path) -> list[str]:
    return sorted(found.name for found in (path / "incidents").iterdir())


def stored(window: Window, first: int, count: int, **totals: int) -> None:
    window.append("syscalls", numbered(first, count))
    until = first + count
    counts = {"attempted": until, "stored": until, "lost": 0} | totals
    window.commit(drained_to_ns=until, totals={"syscalls": counts})


def test_segments_older_than_the_window_go_and_their_rows_are_told_of(tmp_path: Path) -> None:
    window = Window(tmp_path / "capture", HEADER, flight(100))
    for first in range(0, 500, 50):
        if first:
            window.begin_segment(first)
        stored(window, first, 30)
        stored(window, first + 30, 20)
        while window.tidy():
            pass
    window.close("complete")
    manifest, _ = read_capture(tmp_path / "capture")
    assert ids(tmp_path / "capture") == list(range(400, 500))
    assert manifest["started_ns"] == window.from_ns == 400
    assert manifest["totals"]["syscalls"] == {"attempted": 500, "stored": 100, "lost": 0, "expired": 400}
    assert len(list((tmp_path / "capture" / "syscalls").iterdir())) == len(manifest["files"])


def test_a_segment_that_has_ended_becomes_one_file_and_never_part_of_another(tmp_path: Path) -> None:
    window = Window(tmp_path / "capture", HEADER, flight(1000))
    for first in range(0, 40, 2):
        if first in (16, 30):
            window.begin_segment(first)
        stored(window, first, 2)
    while window.tidy():
        pass
    files = read_capture(tmp_path / "capture")[0]["files"]
    assert [(file["from_ns"], file["rows"]) for file in files] == [
        (0, 16),
        (16, 14),
        *((n, 2) for n in range(30, 40, 2)),
    ]


def test_an_incident_keeps_what_the_window_drops(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    window = Window(path, HEADER, flight(100))
    stored(window, 0, 50)
    window.append("syscalls", numbered(50, 10))  # not acknowledged
    frozen = window.freeze(incident(7))
    assert isinstance(frozen, Frozen)
    assert incidents(path) == ["0001-sigbus-7"]
    assert frozen.directory == path / "incidents" / "0001-sigbus-7"
    for segment in range(1, 6):
        window.begin_segment(segment * 100)
        stored(window, segment * 100, 50)
        while window.tidy():
            pass
    window.compact()
    window.close("complete")
    manifest, _ = read_capture(frozen.directory)
    assert ids(frozen.directory) == list(range(50))
    assert (manifest["state"], manifest["started_ns"], manifest["ended_ns"]) == ("complete", 0, 50)
    assert manifest["incident"] == {
        "trigger": "sigbus", "table": "faults", "ts_ns": 1, "pid": 7, "tid": 7, "comm": "victim", "more": 0,
        "held_back": 0, "keep_s": 1e-7, "after_s": 1.0,
    }  # fmt: skip
    assert manifest["totals"]["syscalls"] == {"attempted": 50, "stored": 50, "lost": 0, "expired": 0}
    assert ids(path)[0] >= 400
    assert read_capture(path)[0]["incidents"] == ["0001-sigbus-7"]


def test_batches_are_shared_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    window = Window(path, HEADER, flight(100))
    stored(window, 0, 5000)
    frozen = window.freeze(incident(7))
    assert frozen
    name = read_capture(frozen.directory)[0]["files"][0]["path"]
    assert (frozen.directory / name).samefile(path / name)
    window.compact()  # what an incident holds is not written again
    assert (frozen.directory / name).samefile(path / name)
    window.close("complete")


def test_the_disk_is_never_fuller_than_allowed(tmp_path: Path) -> None:
    """Three times as much as fits, incidents all along, until no room is left for another."""
    path = tmp_path / "capture"
    window = Window(path, HEADER, flight(1 << 60))
    refused = made = stored_rows = 0
    for at in range(1, 250):
        try:
            window.append("syscalls", noise(at, 1000))
            stored_rows += 1000
        except StoreError as error:
            assert "no room under --max-disk" in str(error)
            refused += 1
        window.commit(drained_to_ns=at, totals={"syscalls": {"attempted": at * 1000, "stored": stored_rows, "lost": 0}})
        assert disk_bytes(path) <= MAX_DISK_BYTES
        while window.tidy():
            assert disk_bytes(path) <= MAX_DISK_BYTES
        if window.segment_bytes > window.limit_bytes // 4:
            window.begin_segment(at)
        if at % 40 == 39:
            made += window.freeze(incident(at)) is not None
            assert disk_bytes(path) <= MAX_DISK_BYTES
    assert window.shortened
    assert refused == 0
    assert (window.incidents, window.no_room) == (made, 6 - made)
    window.compact()
    window.close("complete")
    assert disk_bytes(path) <= MAX_DISK_BYTES
    assert len(incidents(path)) == made >= 1
    manifest, _ = read_capture(path)
    totals = manifest["totals"]["syscalls"]
    assert totals["stored"] + totals["expired"] == stored_rows
    assert totals["expired"] > 0
    for name in incidents(path):
        assert read_capture(path / "incidents" / name)[0]["files"]


def test_what_is_old_goes_before_what_is_new_is_lost(tmp_path: Path) -> None:
    """A burst that fills the disk before anything of it is acknowledged."""
    path = tmp_path / "capture"
    window = Window(path, HEADER, flight(1 << 60))
    for at in range(30):
        window.append("syscalls", noise(at, 1000))
    window.commit(drained_to_ns=30, totals={"syscalls": {"attempted": 30_000, "stored": 30_000, "lost": 0}})
    window.begin_segment(31)
    taken = 0
    with pytest.raises(StoreError, match="no room under --max-disk"):
        while True:
            window.append("syscalls", noise(40, 1000))
            taken += 1
            assert disk_bytes(path) <= MAX_DISK_BYTES
    assert disk_bytes(path) > MAX_DISK_BYTES * 3 // 4
    manifest, tables = read_capture(path)
    assert (manifest["started_ns"], tables["syscalls"]) == (31, [])
    assert manifest["totals"]["syscalls"] == {"attempted": 30_000, "stored": 0, "lost": 0, "expired": 30_000}
    window.close("complete")
    assert len(ids(path)) == taken * 1000


def test_no_incident_is_made_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    window = Window(tmp_path / "capture", HEADER, flight(100, 160_000))
    stored(window, 0, 50)
    assert window.freeze(incident(7)) is None
    assert (window.no_room, window.incidents) == (1, 0)
    assert incidents(tmp_path / "capture") == []
    window.close("complete")
    assert read_capture(tmp_path / "capture")[0]["flight"]["no_room"] == 1


def test_incidents_of_an_earlier_recording_stay_and_count(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    earlier = Window(path, HEADER, flight(100))
    stored(earlier, 0, 5000)
    assert earlier.freeze(incident(7))
    earlier.close("complete")
    (path / "incidents" / ".0002-sigbus-9.tmp" / "syscalls").mkdir(parents=True)  # as a kill leaves it
    (path / "incidents" / "mine").mkdir()
    room = Window(tmp_path / "other", HEADER, flight(100)).limit_bytes
    window = Window(path, HEADER, flight(100), overwrite=True)
    assert incidents(path) == ["0001-sigbus-7", "mine"]
    size = disk_bytes(path / "incidents" / "0001-sigbus-7")
    assert room - size // 2 - 4096 <= window.limit_bytes <= room - size // 2
    stored(window, 0, 10)
    assert window.freeze(incident(8))
    assert incidents(path) == ["0001-sigbus-7", "0002-sigbus-8", "mine"]
    assert ids(path / "incidents" / "0001-sigbus-7") == list(range(5000))
    # one that was taken away makes room
    (path / "incidents" / "0001-sigbus-7").rename(tmp_path / "elsewhere")
    before = window.limit_bytes
    window.begin_segment(20)
    assert window.limit_bytes > before
    window.close("complete")


def test_a_window_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match="no hard links") as caught:
        Window(tmp_path / "capture", HEADER, flight(100))
    assert "--output" in caught.value.hint
    assert not (tmp_path / "capture").exists()


HASTY = """
import sys
from pathlib import Path
from recorder.window import Window
from tests.pure.test_window import HEADER, flight, incident, stored

window = Window(Path(sys.argv[1]), HEADER, flight(200), overwrite=True)
print("on", flush=True)
for turn in range(1 << 20):
    if turn % 5 == 4:
        window.begin_segment(turn * 20)
    stored(window, turn * 20, 20)
    window.tidy()
    if turn % 3 == 2 and window.incidents < 5:
        window.freeze(incident(turn))
        print(window.incidents, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_window_and_whole_incidents(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    moments = random.Random(7)
    promised = 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", HASTY, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout and writer.stdout.readline() == "on\n"
        for _ in range(moments.randrange(3)):
            promised += bool(writer.stdout.readline())
        time.sleep(moments.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        promised += len(writer.stdout.read().splitlines())
        writer.wait()
        kept = ids(path)
        assert kept == list(range(kept[0], kept[0] + len(kept))) if kept else True
        whole = [name for name in incidents(path) if not name.startswith(".")]
        assert len(whole) >= promised
        for name in whole:
            found = ids(path / "incidents" / name)
            assert found == list(range(found[0], found[0] + len(found)))
    assert promised > 5
