"""Files that shrink under mappings, and mappings past the end of files: findings against what the processes know."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.commands import analyze_rows
from tests.support.recordings import record_run
from tests.support.workloads import source

Finding = dict[str, Any]
Facts = dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Facts], list[Finding]]]:
    """What the workload did, by case, and every finding about files."""
    folder = tmp_path_factory.mktemp("edges")
    (folder / "files").mkdir()
    capture, done = record_run(folder / "capture", [sys.executable, source("edges_files.py"), folder / "files"])
    cases = {case["case"]: case for case in map(json.loads, done.stdout.splitlines())}
    kinds = ("--kind", "truncated_under_mapping", "--kind", "beyond_eof")
    yield cases, analyze_rows("edges", capture.path, "--expected", *kinds)


def _of(told: tuple[dict[str, Facts], list[Finding]], case: str) -> tuple[Facts, list[Finding]]:
    facts = told[0][case]
    return facts, [row for row in told[1] if (row["dev"], row["inode"]) == (facts["dev"], facts["inode"])]


BY_PATH = {
    "by_path": "the file was looked up by its path, after the call",
    "by_path_unlinked": "the path led nowhere after the call",
    "by_path_moved": "the path led nowhere after the call",
    "by_path_exchanged": "the path led nowhere after the call",
    "by_path_relative": "the file of the call could not be told by its path afterwards, though the path of this one",
    "by_path_linked": "the file of the call could not be told by its path afterwards; it is one of 2 calls",
}
"""Why the file of a call by path is only possible. A file that is too old to be the one counts as none."""


@pytest.mark.parametrize("case", ["own", *BY_PATH, "by_open", "tmpfs", "memfd", "renamed"])
def test_who_truncated_the_file_that_a_process_died_of(told: Any, case: str) -> None:
    facts, found = _of(told, case)
    assert facts["signal"] == -signal.SIGBUS
    [row] = [row for row in found if row["other_pid"] == facts["victim"]]
    assert (row["kind"], row["severity"], row["pid"]) == ("truncated_under_mapping", "high", facts["by"])
    assert (row["start"], row["end"]) == (facts["start"], facts["end"])
    assert (row["facts"]["faults"], row["facts"]["fault_pids"]) == ("1", str(facts["victim"]))
    # a call by path names its file only after it was made
    assert row["certainty"] == ("possible" if case.startswith("by_path") else "certain")
    assert (row["reason"] or "").startswith(BY_PATH.get(case, ""))
    assert str(facts["by"]) in row["sentence"] and "SIGBUS came of it once" in row["sentence"]


def test_the_process_that_only_had_it_mapped_was_not_harmed(told: Any) -> None:
    facts, found = _of(told, "by_open")
    [row] = [row for row in found if row["other_pid"] == facts["mapper"]]
    assert (row["severity"], row["facts"]["faults"], row["pid"]) == ("medium", "0", facts["by"])


@pytest.mark.parametrize(
    ("case", "severity", "how"),
    [("stayed", "medium", "shrank"), ("unmapped", "low", "shrank"), ("hole", "low", "hole")],
)
def test_what_was_lost_and_nobody_touched(told: Any, case: str, severity: str, how: str) -> None:
    facts, found = _of(told, case)
    [row] = [row for row in found if row["other_pid"] == facts["victim"]]
    assert (row["severity"], row["facts"]["how"], row["pid"], row["certainty"]) == (
        severity,
        how,
        facts["by"],
        "certain",
    )
    assert (row["start"], row["end"], row["facts"]["faults"]) == (facts["start"], facts["end"], "0")


def test_a_file_that_was_replaced_was_not_truncated(told: Any) -> None:
    facts, found = _of(told, "replaced")
    [row] = found
    assert (row["severity"], row["facts"]["how"]) == ("info", "replaced")
    assert row["facts"]["new_inode"] == str(facts["new_inode"])
    assert "no truncation" in row["sentence"]


@pytest.mark.parametrize(
    ("case", "severity", "grew", "faults"),
    [
        ("past", "low", "false", "0"),
        ("past_touched", "high", "false", "1"),
        ("past_grown", "low", "true", "0"),
        ("past_remapped", "medium", "false", "0"),
    ],
)
def test_pages_past_the_end_of_a_file(told: Any, case: str, severity: str, grew: str, faults: str) -> None:
    facts, found = _of(told, case)
    [row] = [row for row in found if row["kind"] == "beyond_eof"]
    assert (row["severity"], row["pid"], row["certainty"]) == (severity, facts["by"], "certain")
    assert (row["start"], row["end"]) == (facts["start"], facts["end"])
    assert (row["facts"]["grew"], row["facts"]["faults"]) == (grew, faults)
    if case == "past_touched":
        assert facts["signal"] == -signal.SIGBUS


@pytest.mark.parametrize(
    "case", ["near_part", "near_unmapped", "near_grown", "near_other", "near_rest", "near_exchanged", "near_same_name"]
)
def test_what_lost_no_mapped_page_is_not_found(told: Any, case: str) -> None:
    assert _of(told, case)[1] == []


def test_nothing_else_of_the_run_stands_out(told: Any) -> None:
    inodes = {facts["inode"] for facts in told[0].values()}
    rest = [row for row in told[1] if row["inode"] not in inodes and row["expected"] is None]
    assert [row["sentence"] for row in rest if row["severity"] in ("high", "medium")] == []
