"""Tests on the real kernel: where they cannot run they are skipped with the reason, or fail if told that they must."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requirements import requires
from tests.support.tracepoints import tracepoints_held

HERE = Path(__file__).parent
ALONE = {
    "test_kill", "test_loss", "test_sideband", "test_trouble",  # are about rates, or fill the machine
    "test_fidelity", "test_flight", "test_host", "test_incident",  # look at every process
    "test_neighbours",  # is about who else records
}  # fmt: skip
"""Files whose tests need the machine for themselves; the others may run beside each other."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if item.path.stem in ALONE:
                item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def root() -> None:
    requires(os.geteuid() == 0, "this needs root")


@pytest.fixture(scope="session")
def short_recordings() -> Iterator[None]:
    """For tests of many recordings: their beginnings and ends are quicker. Without root it does nothing."""
    if os.geteuid():
        yield
        return
    with tracepoints_held():
        yield
