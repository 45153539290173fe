"""`analyze report`: what it refuses, and that the page is what its policy says; tests/browser looks at it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from tests.support.captures import build_capture
from tests.support.commands import analyze
from tests.support.oracle import Kernel


def test_a_file_is_replaced_only_if_told_so(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.start()
    capture = build_capture(tmp_path / "capture", kernel.rows)
    (tmp_path / "report.html").write_text("mine")
    done = analyze("report", capture, "-o", tmp_path / "report.html", status=2)
    assert "it is there already" in done.stderr
    assert (tmp_path / "report.html").read_text() == "mine"
    done = analyze("report", capture, "-o", tmp_path / "report.html", "--overwrite")
    assert done.stdout == ""
    page = (tmp_path / "report.html").read_text()
    # the policy names the one script and the one style that the page has
    for name, element in (("script-src", "script"), ("style-src", "style")):
        [text] = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in page
    # and nothing comes from outside, nor is there a place to put markup
    assert not re.search(r"""(?:src|href)=["'](?!#)|innerHTML|insertAdjacentHTML|document\.write|eval\(""", _ours(page))


def _ours(page: str) -> str:
    """The page without D3, which can set innerHTML; we do not ask it to."""
    return page[: page.index("<script>")] + page[page.index("Draws the report from the blocks") :]


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.start()
    capture = build_capture(tmp_path / "capture", kernel.rows)
    done = analyze("report", capture, "-o", tmp_path / "none" / "report.html", status=2)
    assert "no such folder" in done.stderr
    done = analyze("report", capture, "-o", tmp_path / "report.html", "--pid", 4711, status=2)
    assert "nothing was recorded of process: 4711" in done.stderr
    assert not (tmp_path / "report.html").exists()
