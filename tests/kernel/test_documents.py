"""The recording that README.md shows, once more: what it prints is what `record` prints."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.recordings import RECORD
from tests.support.workloads import build

ROOT = Path(__file__).resolve().parents[2]


def shape(text: str) -> list[str]:
    """Lines without their numbers."""
    return [re.sub(r"\d+(\.\d+)?", "N", line) for line in text.strip().splitlines()]


def test_a_recording_ends_as_the_readme_shows(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"^\$ record run -o demo -- \./demo .*?\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block
    (tmp_path / "demo").symlink_to(build("demo"))
    (tmp_path / "files").mkdir()
    done = subprocess.run(
        [*RECORD, "run", "-o", "taken", "--", "./demo", "files"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    before, _, shown = block[1].partition("...\n")
    assert before == ""  # what the command itself prints
    wanted = shown.replace("/tmp/example/files", "files").replace("into demo", "into taken")
    assert shape(done.stderr) == shape(wanted.replace("summary demo", "summary taken"))
