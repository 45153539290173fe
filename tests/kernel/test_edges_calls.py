"""Mappings clobbered, races, calls that failed halfway and vm.max_map_count, done for real and found again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import analyze_rows
from tests.support.recordings import record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What the program says it did: who, whom it concerned (0: nobody), and where."""

    pid: int
    tid: int
    other: int
    start: int
    end: int

    def among(self, rows: list[Row]) -> list[Row]:
        """Those that its process did in its range."""
        return [row for row in rows if row["pid"] == self.pid and row["start"] < self.end and row["end"] > self.start]


@dataclass(frozen=True)
class Recorded:
    folder: Path
    steps: dict[str, list[Step]]
    found: dict[str, list[Row]]

    def one(self, kind: str, step: str) -> Row:
        """The only finding of a kind that is not normal, in the range of a step that was done once."""
        [done] = self.steps[step]
        [row] = [row for row in done.among(self.found[kind]) if row["expected"] is None]
        return row


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("edges")
    capture, done = record_run(folder / "capture", [build("edges_calls"), folder], "--stacks")
    steps = defaultdict(list)
    for line in done.stdout.decode().splitlines():
        name, pid, tid, other, start, end = line.split()
        steps[name].append(Step(int(pid), int(tid), int(other), int(start, 16), int(end, 16)))
    found = defaultdict(list)
    kinds = ("clobbered", "races", "partial_failure", "map_limit")
    options = [word for kind in kinds for word in ("--kind", kind)]
    for row in analyze_rows("edges", capture.path, *options, "--expected"):
        found[row["kind"]].append({**row, "facts": dict(row["facts"])})
    yield Recorded(folder, dict(steps), found)


@pytest.mark.parametrize(
    ("step", "call", "was", "path"),
    [
        ("clobbered-memory", "mmap", "memory", ""),
        ("clobbered-file", "mmap", "file", "one"),
        ("clobbered-by-mremap", "mremap", "memory", ""),
        ("clobbered-by-shmat", "shmat", "memory", ""),
    ],
)
def test_memory_of_another_thread_is_clobbered(recorded: Recorded, step: str, call: str, was: str, path: str) -> None:
    [done] = recorded.steps[step]
    row = recorded.one("clobbered", step)
    assert (row["severity"], row["certainty"], row["call"], row["tid"]) == ("medium", "certain", call, done.tid)
    assert (row["start"], row["end"]) == (done.start, done.end)
    assert (row["other_pid"], row["other_tid"], row["other_call"]) == (done.pid, done.other, "mmap")
    assert row["facts"]["was"] == was
    assert Path(row["path"]).name == path
    assert row["offset_bytes"] == (2 * 4096 if path else 0)
    assert row["stack_id"] >= 0
    assert row["other_stack_id"] >= 0


def test_what_lay_in_the_heap_goes_with_it(recorded: Recorded) -> None:
    [done] = recorded.steps["clobbered-by-brk"]
    rows = {row["call"]: row for row in done.among(recorded.found["clobbered"])}
    assert rows["brk"]["path"] == str(recorded.folder / "one")
    assert (rows["brk"]["start"], rows["brk"]["end"]) == (done.start, done.end)
    assert rows["mmap"]["facts"]["was"] == "heap"
    assert {row["severity"] for row in rows.values()} == {"medium"}


def test_a_library_is_clobbered_even_by_the_thread_that_loaded_it(recorded: Recorded) -> None:
    row = recorded.one("clobbered", "clobbered-library")
    assert (row["severity"], row["facts"]["was"]) == ("medium", "library")
    assert "libc" in row["path"]


def test_who_dies_of_it_is_said(recorded: Recorded) -> None:
    [done] = recorded.steps["harmed"]
    row = recorded.one("clobbered", "harmed")
    assert (row["severity"], row["other_tid"]) == ("high", done.other)
    assert row["facts"]["faults"] == "1"
    assert "SIGBUS" in row["sentence"]


@pytest.mark.parametrize(
    ("step", "least"), [("reservation", 1), ("given-back", 3), ("same-part", 2), ("loader", 2), ("permuted", 1)]
)
def test_what_is_normal_is_expected(recorded: Recorded, step: str, least: int) -> None:
    [done] = recorded.steps[step]
    rows = done.among(recorded.found["clobbered"])
    assert len(rows) >= least
    assert [row["sentence"] for row in rows if row["expected"] is None] == []


def test_nothing_was_there_to_be_clobbered(recorded: Recorded) -> None:
    [done] = recorded.steps["nothing-there"]
    assert [row for row in done.among(recorded.found["clobbered"]) if row["tid"] == done.tid] == []


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        ("unmap-protect", {"munmap", "mprotect"}),
        ("protect-protect", {"mprotect"}),
        ("unmap-map", {"munmap", "mmap"}),
        ("drop-map", {"madvise", "mmap"}),
    ],
)
def test_calls_that_race(recorded: Recorded, step: str, calls: set[str]) -> None:
    [everywhere] = recorded.steps[f"all-{step}"]
    rows = [row for row in everywhere.among(recorded.found["races"]) if {row["call"], row["other_call"]} == calls]
    assert rows
    for row in rows:
        # the two were under way at once as far as the program could tell, too
        [met] = [done for done in recorded.steps[step] if done.start <= row["start"] < done.end]
        assert {row["tid"], row["other_tid"]} == {met.tid, met.other}
        known = row["facts"]["first"] != ""
        assert row["certainty"] == ("certain" if known else "possible")
        if step == "unmap-protect":
            failed = "ENOMEM" in row["facts"]["errors"]
            assert row["facts"]["first"] == ("munmap" if failed else "mprotect")


@pytest.mark.parametrize("step", ["same-protect", "unmap-unmap", "drop-drop", "apart"])
def test_calls_that_meet_but_give_the_same_in_either_order(recorded: Recorded, step: str) -> None:
    assert recorded.steps[step]  # they met
    for done in recorded.steps[step]:
        rows = [row for row in done.among(recorded.found["races"]) if done.other in (row["tid"], row["other_tid"])]
        assert [row["sentence"] for row in rows] == []


def test_an_fd_replaced_under_mmap(recorded: Recorded) -> None:
    [done] = recorded.steps["fd-replaced"]
    names = {(recorded.folder / name).stat().st_ino: str(recorded.folder / name) for name in ("one", "two")}
    rows = [row for row in done.among(recorded.found["races"]) if row["other_call"] is None]
    assert rows
    for row in rows:
        assert row["path"] == names[row["inode"]]
        [at_entry] = [inode for inode in names if inode != row["inode"]]
        assert row["facts"]["fd_file"].endswith(f"inode {at_entry}")
        assert (row["severity"], row["certainty"]) == ("medium", "certain")
    for step in ("fd-replaced-after", "device"):
        [done] = recorded.steps[step]
        assert [row for row in done.among(recorded.found["races"]) if row["other_call"] is None] == []


@pytest.mark.parametrize(
    ("step", "call", "error", "how", "severity", "changed_bytes"),
    [
        ("halfway-mprotect", "mprotect", "ENOMEM", "protected", "medium", 3 * 4096),
        ("halfway-mmap", "mmap", "ENODEV", "unmapped", "medium", 2 * 4096),
        ("halfway-madvise", "madvise", "ENOMEM", "advised", "low", 6 * 4096),
        ("halfway-mlock", "mlock", "ENOMEM", "locked", "low", 3 * 4096),
    ],
)
def test_calls_that_failed_halfway(
    recorded: Recorded, step: str, call: str, error: str, how: str, severity: str, changed_bytes: int
) -> None:
    if step not in recorded.steps:
        assert step == "halfway-mmap"
        assert "refused-whole" in recorded.steps  # as the program saw itself: this kernel leaves no hole
        return
    [done] = recorded.steps[step]
    [row] = [row for row in done.among(recorded.found["partial_failure"]) if row["call"] == call]
    assert (row["start"], row["end"], row["severity"]) == (done.start, done.end, severity)
    facts = row["facts"]
    assert (facts["error"], facts["how"], facts["changed_bytes"]) == (error, how, str(changed_bytes))


@pytest.mark.parametrize("step", ["changed-nothing", "refused-early", "refused-whole"])
def test_calls_that_failed_and_changed_nothing(recorded: Recorded, step: str) -> None:
    for done in recorded.steps.get(step, []):
        assert done.among(recorded.found["partial_failure"]) == []
    assert {"changed-nothing", "refused-early"} <= set(recorded.steps)


def test_the_limit_of_vmas_is_told_from_other_reasons(recorded: Recorded) -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    [done] = recorded.steps["limit"]
    [row] = [row for row in recorded.found["map_limit"] if row["severity"] == "high"]
    assert (row["pid"], row["call"], row["start"], row["certainty"]) == (done.pid, "mprotect", done.start, "certain")
    facts = row["facts"]
    assert facts["limit_vmas"] == str(limit)
    assert int(facts["vmas"]) <= limit <= int(facts["vmas_at_most"]) + 1
    assert facts["makers"].startswith("m")
    likely = {(row["pid"], row["call"]): row["facts"]["likely"] for row in recorded.found["map_limit"]}
    assert likely[recorded.steps["rlimit"][0].pid, "mmap"] == "size"
    assert likely[recorded.steps["halfway-mlock"][0].pid, "mlock"] == "hole"
