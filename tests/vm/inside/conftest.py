"""Tests that run inside a guest only, started by tests/vm: the machine is theirs, and it has kprobes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
collect_ignore_glob = [] if "MAPTRAIL_GUEST" in os.environ else ["test_*.py"]  # elsewhere they are no tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vm)
