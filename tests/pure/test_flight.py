"""When segments end and go, which records begin an incident, and which options are refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from recorder.cli import _Failure, _Status, app
from recorder.decode import RECORDS
from recorder.flight import Firing, Flight, Incident, Watch, expired, segment_over
from recorder.ring import Columns
from recorder.schema import NR_I386
from recorder.window import Frozen

S = 1_000_000_000
MIB = 1 << 20
MMAP, MADVISE, MADVISE_I386 = 9, 28, NR_I386 | 219
SIGBUS, SIGSEGV = 7, 11


def records(ring: str, *rows: dict[str, Any]) -> Columns:
    found = np.zeros(len(rows), RECORDS[ring])
    for record, row in zip(found, rows, strict=True):
        for name, value in row.items():
            record[name] = value
    return Columns.of(found)


def fault(nr: int, pid: int, comm: bytes, ts_ns: int = 5) -> dict[str, Any]:
    return {"ts_ns": ts_ns, "pid": pid, "tid": pid + 1, "nr": nr, "comm": np.void(comm.ljust(16, b"\0"))}


def look(watch: Watch, ring: str, *rows: dict[str, Any], at: int = 0, since: int = 0) -> set[int]:
    return watch.look(ring, records(ring, *rows), slice(since, len(rows)), at)


def watch(*triggers: str, keep_s: float = 10, after_s: float = 1) -> Watch:
    return Watch(Flight(keep_s, triggers, after_s, MIB << 10))


def test_a_segment_is_a_part_of_the_window_or_of_the_disk() -> None:
    limit = 16 * MIB
    assert not segment_over(7 * S, 0, 60 * S, limit)
    assert segment_over(8 * S, 0, 60 * S, limit)
    assert segment_over(2 * S, 4 * MIB, 60 * S, limit)
    assert not segment_over(S - 1, 100 * MIB, 60 * S, limit)
    assert not segment_over(S - 1, 0, 2 * S, limit)  # not shorter than a second


def test_a_segment_goes_when_those_after_it_cover_the_window() -> None:
    segments = [(0, 1), (10 * S, 1), (20 * S, 1), (30 * S, 1)]
    assert expired(segments, 39 * S, 30 * S, MIB) == (0, False)
    assert expired(segments, 40 * S, 30 * S, MIB) == (1, False)
    assert expired(segments, 55 * S, 30 * S, MIB) == (2, False)
    assert expired(segments, 500 * S, 30 * S, MIB) == (3, False)  # the newest stays


def test_a_window_that_does_not_fit_gets_shorter() -> None:
    segments = [(0, 4), (10 * S, 4), (20 * S, 4), (30 * S, 4)]
    assert expired(segments, 31 * S, 60 * S, 16) == (0, False)
    assert expired(segments, 31 * S, 60 * S, 15) == (1, True)
    assert expired(segments, 31 * S, 60 * S, 0) == (2, True)  # the newest may still lack its readings
    assert expired(segments, 70 * S, 60 * S, 12) == (1, False)


@pytest.mark.parametrize(
    ("trigger", "ring", "row", "fires"),
    [
        ("sigbus", "faults", fault(SIGBUS, 7, b"a"), True),
        ("sigbus", "faults", fault(SIGSEGV, 7, b"a"), False),
        ("sigsegv", "faults", fault(SIGSEGV, 7, b"a"), True),
        ("enomem", "faults", fault(SIGSEGV, 7, b"a"), False),
        ("enomem", "calls", {"nr": MMAP, "ret": -12, "pid": 7}, True),
        ("enomem", "calls", {"nr": MMAP, "ret": -22, "pid": 7}, False),
        ("enomem", "calls", {"nr": MADVISE, "ret": -12, "pid": 7}, False),
        ("enomem", "calls", {"nr": MADVISE_I386, "ret": -12, "pid": 7}, False),
        ("sigbus", "calls", {"nr": MMAP, "ret": -12, "pid": 7}, False),
    ],
)
def test_what_fires(trigger: str, ring: str, row: dict[str, Any], fires: bool) -> None:
    watching = watch(trigger)
    assert look(watching, ring, row) == ({7} if fires else set())
    assert (watching.open is not None) == fires


def test_an_incident_names_its_record_and_takes_what_follows() -> None:
    watching = watch("sigbus", "sigsegv", "enomem")
    old, first, second = fault(SIGBUS, 3, b"old"), fault(SIGBUS, 7, b"a\xff", 50), fault(SIGSEGV, 9, b"b")
    assert look(watching, "faults", old, first, second, at=100, since=1) == {7, 9}
    assert look(watching, "calls", {"nr": MMAP, "ret": -12, "pid": 9}, {"nr": MMAP, "ret": -12, "pid": 11}) == {11}
    incident = watching.close(0)
    assert incident and incident.until_ns == 100 + S
    assert incident.name == "sigbus-7"
    assert incident.facts() == {
        "trigger": "sigbus", "table": "faults", "ts_ns": 50, "pid": 7, "tid": 8, "comm": "a\\xff", "more": 3,
        "held_back": 0,
    }  # fmt: skip
    assert watching.close(0) is None


def test_the_same_cause_is_held_back_twice_as_long_each_time() -> None:
    """A service that crashes ten times a minute for a day."""
    watching = watch("sigsegv", keep_s=300)
    crashes = records("faults", *[fault(SIGSEGV, 7, b"service")] * 10)
    made, held = [], 0
    for minute in range(24 * 60):
        now = minute * 60 * S
        watching.look("faults", crashes, slice(0, 10), now)
        if watching.open and now >= watching.open.until_ns:
            incident = watching.close(now)
            assert incident
            made.append(now // S)
            held += incident.held_back
    assert len(made) == 9
    assert all(later - sooner >= 300 << number for number, (sooner, later) in enumerate(pairwise(made)))
    assert held <= watching.held_back
    assert watching.held_back > 24 * 60 * 9


def test_another_cause_is_not_held_back() -> None:
    watching = watch("sigsegv", "sigbus")
    look(watching, "faults", fault(SIGSEGV, 7, b"service"))
    watching.close(0)
    assert look(watching, "faults", fault(SIGSEGV, 8, b"service"), fault(SIGSEGV, 9, b"other")) == {8, 9}
    incident = watching.close(0)
    assert incident and (incident.first.pid, incident.more) == (9, 0)
    assert watching.held_back == 1
    assert look(watching, "faults", fault(SIGBUS, 7, b"service")) == {7}


def test_who_asks_is_not_held_back() -> None:
    watching = watch()
    for at in (5, 6):
        watching.ask(99, at)
        incident = watching.close(at)
        assert incident and (incident.name, incident.until_ns) == ("asked-99", at)


def test_a_storm_reads_the_maps_of_a_few() -> None:
    watching = watch("sigsegv")
    assert len(look(watching, "faults", *(fault(SIGSEGV, pid, b"x") for pid in range(1, 1000)))) == 16
    assert watching.open and watching.open.more == 998


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--trigger", "sigbus"], "--trigger needs --keep", "--keep 5m"),
        (["--max-disk", "1G"], "--max-disk needs --keep", "--keep 5m"),
        (["--after", "2s"], "--after needs --trigger", "--trigger sigbus"),
        (["--keep", "5m", "--after", "2s"], "--after needs --trigger", "--trigger sigbus"),
        (["--keep", "5m", "--trigger", "sigbus,oops"], "no such trigger: oops", "sigbus, sigsegv, enomem"),
        (["--keep", "5m", "--trigger", ""], "no such trigger: ", "sigbus, sigsegv, enomem"),
        (["--keep", "5m", "--max-disk", "15M"], "too small for --max-disk: 15.0 MiB", "16M"),
        (["--keep", "10ms"], "too short a time to keep: 0.01 s", "1s"),
    ],
)
def test_options_that_make_no_sense(options: list[str], message: str, hint: str) -> None:
    ended = CliRunner().invoke(app, ["host", *options])
    assert isinstance(ended.exception, _Failure)
    assert (str(ended.exception), ended.exception.status) == (message, 2)
    assert hint in ended.exception.hint


@pytest.mark.parametrize(
    ("trigger", "table", "command"),
    [("sigbus", "faults", "why"), ("enomem", "syscalls", "why"), ("asked", "", "summary")],
)
def test_an_incident_names_the_command_that_explains_it(
    capfd: pytest.CaptureFixture[str], trigger: str, table: str, command: str
) -> None:
    """Also of a refused call: who else died in the window is told by `why` too."""
    incident = Incident(Firing(trigger, table, 3 * S, 7, 7, "leak"), 4 * S, 0)
    _Status().incident(incident, Frozen(Path("/var/an incident"), 0, 3 * S))
    assert capfd.readouterr().err.splitlines()[-1] == f"record: next: analyze {command} '/var/an incident'"
