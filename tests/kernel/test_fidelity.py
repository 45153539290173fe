"""A small part of `make test-fidelity`: programs that change their mappings in every way, held against the kernel.

The judges are the kernel's own /proc/PID/maps, read while the processes stood still. tests.fidelity has the rest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity.__main__ import run
from tests.fidelity.workloads import WORKLOADS


@pytest.mark.parametrize(
    ("name", "processes"),
    [("everycause-race-32", 1), ("everycause-tree-64", 20)],  # the others: make test-fidelity
)
def test_every_certain_page_is_as_the_kernel_says(name: str, processes: int, tmp_path: Path) -> None:
    verdict = run(WORKLOADS[name], tmp_path, seed=23, seconds=6)
    wrong = [row for row in verdict.outcome.differences if row["doubt"] is None]
    assert not wrong
    assert not verdict.outcome.count("wrong")
    assert not verdict.unjudged
    assert len(set(verdict.held) & verdict.judged) >= processes
    # doubts are few: most readings are exact, whatever the program did
    assert verdict.outcome.count("exact") >= 0.8 * verdict.outcome.judges
