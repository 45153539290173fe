"""The notebooks run, and say what is kept in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks.execute import FOLDER, NOTEBOOKS, executed


def said(notebook: nbformat.NotebookNode) -> list[Any]:
    """What each cell put out: its text, and which pictures."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type in ("stream", "display_data", "execute_result"), output
            data = output.get("data", {})
            if "image/png" in data:
                found.append("picture")
            else:
                found.append(output.get("text") or data["text/plain"])
    return found


def test_there_are_five() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_says_what_is_kept(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert said(executed(path)) == said(kept), "python -m notebooks.execute"
    assert "picture" in said(kept)
    text = path.read_text()
    assert str(FOLDER.parent) not in text
    assert not re.search(r"/home/|/root/|\\u001b|\\u202e", text)
    assert len(text) < 200_000
