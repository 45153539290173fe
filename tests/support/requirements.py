"""What a test needs of the machine: without it a test is skipped with the reason, or fails if told that it must."""

from __future__ import annotations

import os

import pytest

__all__ = ["requires"]


def requires(condition: object, why: str) -> None:
    """End the test unless the condition holds: skipped, or failed if MAPTRAIL_REQUIRE_KERNEL=1."""
    if not condition:
        if os.environ.get("MAPTRAIL_REQUIRE_KERNEL") == "1":
            pytest.fail(f"MAPTRAIL_REQUIRE_KERNEL=1, but {why}", pytrace=False)
        pytest.skip(why)
