"""`analyze maps` against what processes read of themselves in /proc/self/maps, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.maps import Maps, line, maps_at
from analysis.spaces import find
from tests.support.recordings import record_run
from tests.support.requirements import requires
from tests.support.steps import VSYSCALL, Step, read_steps
from tests.support.workloads import WorkloadError, build


def _answers(tmp_path: Path, bits: Literal[64, 32]) -> list[tuple[Step, Maps]]:
    try:
        program = build("selfmaps", bits)
    except WorkloadError as error:
        requires(False, str(error))
        raise
    work = tmp_path / "work"
    work.mkdir()
    capture, _ = record_run(tmp_path / "capture", [program, tmp_path / "steps"], cwd=work)
    with Engine(open_captures([capture.path]), whole=False) as engine:
        steps = read_steps(tmp_path / "steps")
        return [(step, maps_at(engine, find(engine, step.pid, f"{step.at_ns}ns"))) for step in steps]


@pytest.mark.parametrize("bits", [64, 32])
def test_every_line_is_what_the_process_read(tmp_path: Path, bits: Literal[64, 32]) -> None:
    answers = _answers(tmp_path, bits)
    assert len(answers) == 29
    assert len({step.pid for step, _ in answers}) == 3  # the process, its child, and a vfork child
    back = [step.name for step, _ in answers].index("a file's pages moved back")
    for number, (step, maps) in enumerate(answers):
        assert [line(row) for row in maps.lines] == step.shown, step.name
        possible = [row["path"] for row in maps.lines if row["certainty"] == "possible"]
        # whether memory that was moved beside its like merged with it depends on whether both were written
        assert possible.count("") == (2 if step.name == "moved beside its like" else 0), (step.name, possible)
        # and of a file on whether it is the same open file; until the exec
        assert len(possible) - possible.count("") == (number >= back and step.name != "executed"), (step.name, possible)
        # nothing was ever attached at that address, so what was detached there is not certain
        detached = step.name == "detached where the whole would lie"
        assert [row["reason"] for row in maps.doubts] == ["what was attached there is not known"] * detached, step.name


def test_a_process_that_lived_for_milliseconds(tmp_path: Path) -> None:
    """cat's own words; it is the last instant before it ends that is asked for."""
    command = ["sh", "-c", f"cat /proc/self/maps > {tmp_path / 'read'}; true"]
    capture, _ = record_run(tmp_path / "capture", command)
    [began] = [row for row in capture.rows("tasks", event="exec", source="bpf") if row["path"].endswith(b"/cat")]
    [ended] = capture.rows("tasks", event="exit", source="perf", pid=began["pid"])
    assert ended["ts_ns"] - began["ts_ns"] < 100_000_000
    with Engine(open_captures([capture.path]), whole=False) as engine:
        found = {line(row) for row in maps_at(engine, find(engine, began["pid"])).lines}
    read = (tmp_path / "read").read_text().splitlines()
    # cat frees its buffer at the end, and what is only there while it reads is not asked for
    missing = [each for each in read if each not in found and not each.endswith(VSYSCALL)]
    assert len(read) > 15
    assert [each.split()[1:5] for each in missing] in ([], [["rw-p", "00000000", "00:00", "0"]])
