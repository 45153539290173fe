"""What calls and records leave undecided is possible, and no certain answer is wrong. Hooks decide it: tests/vm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recordings import record_run
from tests.support.undecided import CASES, answers
from tests.support.workloads import build


@pytest.mark.usefixtures("short_recordings")
def test_without_hooks_it_is_possible(tmp_path: Path) -> None:
    capture, done = record_run(tmp_path / "capture", [build("undecided"), tmp_path], "--hooks", "off")
    found = answers(capture.path, done.stdout.decode())
    for case in CASES:
        assert found[case]["possible"] and not found[case]["wrong"], (case, found[case])
