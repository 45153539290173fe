"""Tests in a real browser: where there is none they are skipped with the reason, or fail if told that they must."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.requirements import requires

HERE = Path(__file__).parent
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all."""
    found = shutil.which("chromium")
    requires(found, "there is no Chromium: sh .ci/setup browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A report in the browser, with what the browser complained of, and what it asked the network for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def settled(self) -> dict[str, str]:
        """What the picture says of itself once all that it needs is unpacked and drawn."""
        self.page.wait_for_function(
            "async () => { await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
            " return document.getElementById('map').dataset.ready === 'true' }"
        )
        state: dict[str, str] = self.page.evaluate("({...document.getElementById('map').dataset})")
        return state

    def view(self) -> tuple[float, float, float, float]:
        """First and last instant [ns], and lower and upper height [units] of what is shown."""
        x0, x1, y0, y1 = map(float, self.settled()["view"].split())
        return x0, x1, y0, y1

    def spot(self, x_ns: float, share: float = 0.5) -> tuple[float, float]:
        """Where an instant of the picture's time is on the page, so far up the picture."""
        x0, x1, _, _ = self.view()
        left, top, width, height = map(float, self.settled()["plot"].split())
        box = self.page.locator("#map").bounding_box()
        assert box is not None
        return box["x"] + left + (x_ns - x0) / (x1 - x0) * width, box["y"] + top + (1 - share) * height

    def maps(self) -> list[str]:
        """The lines of the maps at the slider's time."""
        return [" ".join(line.split()) for line in self.page.locator("#maps > div").all_inner_texts()]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """`opened(path, **options of the browser)`: a report, drawn."""
    contexts = []

    def open_report(path: Path, fragment: str = "", **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
        contexts.append(context)
        context.set_default_timeout(120_000)  # on a busy machine
        report = Opened(context.new_page())
        report.page.on("console", lambda message: report.complaints.append(f"{message.type}: {message.text}"))
        report.page.on("pageerror", lambda error: report.complaints.append(str(error)))
        report.page.on("request", lambda request: report.requests.append(request.url))
        report.page.goto(f"{path.as_uri()}{fragment}")
        report.page.wait_for_selector("main[aria-busy=false]")
        report.settled()
        return report

    yield open_report
    for context in contexts:
        context.close()
