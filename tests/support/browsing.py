"""Drives `analyze browse` by its keys and reads its screen, without a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from analysis.browser.app import Browser
from analysis.capture import open_captures
from analysis.engine import Engine

__all__ = ["Screen", "browse"]


class Screen:
    """80 columns, 24 lines, and a keyboard."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    async def press(self, *keys: str) -> str:
        """Press keys, each once the one before was answered; what is shown then."""
        for key in keys:
            await self._pilot.press(key)
            await self.settle()
        return self.text

    async def type(self, text: str) -> str:
        """Type text and Enter, into the search."""
        await self._pilot.press("slash")
        self.app.query_one(Input).value = text
        return await self.press("enter")

    async def settle(self) -> None:
        """Until nothing is asked any more."""
        await self._pilot.pause()
        await self._pilot.pause()  # what is drawn can ask for more
        began = time.monotonic()
        while len(self.app.workers) or self.app.lines.waits:
            assert time.monotonic() - began < 120, f"waits for rows that nobody brings: {self.text}"
            await self.app.workers.wait_for_complete()
            await self._pilot.pause()

    async def tap(self, key: str) -> None:
        """Press a key, and do not wait for answers."""
        await self._pilot.press(key)
        await self._pilot.pause()

    async def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self.settle()

    @property
    def lines(self) -> list[str]:
        """What each line of the screen shows."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.lines)

    @property
    def here(self) -> str:
        """The line under the cursor."""
        [line] = [line for line in self.lines[2:] if line.startswith("> ")]
        return line


def browse(capture: Path, story: Callable[[Screen], Awaitable[None]]) -> None:
    """Open a capture in the browser, wait for the first list, and go through a story."""

    async def run() -> None:
        with Engine(open_captures([capture])) as engine:
            engine.need_timeline()
            app = Browser(engine)
            async with app.run_test(size=(80, 24)) as pilot:
                screen = Screen(app, pilot)
                await screen.settle()
                await story(screen)

    asyncio.run(run())
