"""The browser's time line of a process."""

from __future__ import annotations

from pathlib import Path

from analysis.browser.questions import Questions
from analysis.capture import open_captures
from analysis.engine import Engine
from tests.sql.test_hooks import START
from tests.sql.test_rebuild_files import call, vma
from tests.support.captures import START_NS, build_capture


def test_nothing_happens_to_a_mapping_where_it_becomes_doubtful(tmp_path: Path) -> None:
    """A refused MAP_FIXED of all its pages is between its beginning and its end."""
    rows = {
        "tasks": START,
        "vmas": [vma(210, 0x1000, 4)],
        "syscalls": [
            call(250, 260, "mmap", 0x1000, 4, errno=12, flags=18),
            call(300, 310, "munmap", 0x1000, 4),
        ],
    }
    with Engine(open_captures([build_capture(tmp_path / "capture", rows)])) as engine:
        parts = engine.query("SELECT certainty FROM timeline ORDER BY from_ns").dicts()
        assert [row["certainty"] for row in parts] == ["certain", "possible"]
        Questions(engine).happened(7)
        told = engine.execute("SELECT sign, ts_ns FROM happened_1 ORDER BY ts_ns")
    seen = [(sign, ts_ns - START_NS) for sign, ts_ns in told if sign in "+-"]
    assert seen == [("+", 210), ("-", 310)]
