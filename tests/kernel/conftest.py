"""Tests on the real kernel: where they cannot run they are skipped with the reason, or fail if told that they must."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def requires(condition: object, why: str) -> None:
    """End the test unless the condition holds: skipped, or failed if MAPTRAIL_REQUIRE_KERNEL=1."""
    if not condition:
        if os.environ.get("MAPTRAIL_REQUIRE_KERNEL") == "1":
            pytest.fail(f"MAPTRAIL_REQUIRE_KERNEL=1, but {why}", pytrace=False)
        pytest.skip(why)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(autouse=True)
def root() -> None:
    requires(os.geteuid() == 0, "this needs root")
