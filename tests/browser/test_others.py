"""What else a browser shows of a capture: drawings, and the tables of a notebook."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

import analysis
from tests.browser.test_report import hostile as hostile
from tests.support.commands import analyze


def test_hostile_names_are_text_in_drawings_and_tables(hostile: Path, browser: Browser, tmp_path: Path) -> None:
    [capture] = [path.parent for path in hostile.parent.rglob("manifest.json")]
    analyze("plot", capture, "-o", tmp_path / "plot.svg")
    with analysis.open(capture) as trail:
        table = trail.timeline().df()
    assert any("__canary" in path for path in table["path"])
    (tmp_path / "table.html").write_text(f"<!doctype html><meta charset=utf-8>{table._repr_html_()}")
    for name in ("plot.svg", "table.html"):
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((tmp_path / name).as_uri())
        page.wait_for_timeout(300)
        assert page.evaluate("window.__canary") is None
        assert asked == [(tmp_path / name).as_uri()]
        assert page.evaluate("document.querySelectorAll('img, script, iframe, foreignObject').length") == 0
        page.close()
    assert b"\x1b" not in (tmp_path / "plot.svg").read_bytes()
