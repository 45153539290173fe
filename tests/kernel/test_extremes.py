"""Calls with arguments no program should pass: the maps are what the process read, and every question is answered."""

from __future__ import annotations

from typing import Literal

import pytest

from analysis.capture import open_captures
from analysis.dictionary import views
from analysis.engine import Engine
from analysis.maps import line, maps_at
from analysis.spaces import find
from tests.support.commands import analyze_rows
from tests.support.recordings import Capture, record_run
from tests.support.requirements import requires
from tests.support.steps import Step, read_steps
from tests.support.workloads import WorkloadError, build

Recorded = tuple[Capture, list[Step]]


@pytest.fixture(scope="module", params=[64, 32])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    bits: Literal[64, 32] = request.param
    try:
        program = build("extremes", bits)
    except WorkloadError as error:
        requires(False, str(error))
        raise
    folder = tmp_path_factory.mktemp("extremes")
    work = folder / "work"
    work.mkdir()
    capture, _ = record_run(folder / "capture", [program, folder / "steps"], cwd=work)
    return capture, read_steps(folder / "steps")


def test_every_line_is_what_the_process_read(recorded: Recorded) -> None:
    capture, steps = recorded
    assert len(steps) == 8
    with Engine(open_captures([capture.path]), whole=False) as engine:
        for step in steps:
            maps = maps_at(engine, find(engine, step.pid, f"{step.at_ns}ns"))
            assert [line(row) for row in maps.lines] == step.shown, step.name


@pytest.mark.parametrize("recorded", [64], indirect=True)
def test_every_view_can_be_read_whole(recorded: Recorded) -> None:
    capture, steps = recorded
    with Engine(open_captures([capture.path])) as engine:
        for view in views():
            if not view.startswith("edge_"):  # findings reads those
                engine.query(f"SELECT count(COLUMNS(*)) FROM {view}").dicts()
    # where the most was tried, and past the end of all
    for address in ("0x1000", "0xffffffffffffffff"):
        assert analyze_rows("why", capture.path, "--pid", steps[0].pid, "--addr", address)
