"""`analyze browse`, driven by its keys: what it shows is what the other commands say, and it never stands still."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
import pytest
from rich.cells import cell_len
from textual._context import active_message_pump

from analysis.browser.app import KEYS
from analysis.browser.questions import Table
from analysis.browser.views import Findings, MapsAt, Processes, Text, Timeline, View, Why, fit
from analysis.errors import AnalysisError
from tests.support.browsing import Screen, browse
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze
from tests.support.terminal import Terminal, on_terminal

DATA = Path(__file__).resolve().parents[2] / "data"
ANALYZE = (sys.executable, "-c", "from analysis.cli import main; main()")
PID = 18572


def test_the_demo_is_browsed() -> None:
    """One session, for the edge cases are looked for once in each."""

    async def story(screen: Screen) -> None:
        for part in (
            from_a_finding_to_its_place,
            all_findings,
            searching,
            everything_about_a_line,
            maps_at_every_change,
        ):
            await part(screen)
            while len(screen.app.stack) > 1:
                await screen.press("escape")
            await screen.press("home")

    browse(DATA / "demo", story)


async def from_a_finding_to_its_place(screen: Screen) -> None:
    text = await screen.press("f")
    assert "demo: findings" in text and screen.here.startswith("> high")
    assert "truncated /tmp/example/files/shrunk.dat from 16 KiB to 4 KiB" in text
    await screen.press("enter")
    assert "! truncated_…" in screen.here
    text = await screen.press("w")
    assert f"0x7f8801d34000 of demo ({PID})" in text and "ftruncate by demo" in text
    text = await screen.press("enter")
    assert "maps of demo" in text and screen.here.split()[1].startswith("7f8801d33000-")
    await screen.press("escape", "escape")
    assert "! truncated_…" in screen.here
    await screen.press("escape", "escape")
    assert "demo: processes (complete)" in screen.text
    assert "demo: processes" in await screen.press("escape")  # the first list stays


async def all_findings(screen: Screen) -> None:
    few = await screen.press("f")
    many = await screen.press("a")
    assert "1/4" in few and "1/19" in many and "all findings" in many
    assert "normal: " in await screen.press("end")
    assert "1/4" in await screen.press("a")
    assert "no other process took part" in await screen.press("end", "o")


async def searching(screen: Screen) -> None:
    await screen.type("18579")
    assert screen.here.split()[1] == "18579"
    await screen.press("home", "enter", "home")
    await screen.type("SHRUNK.dat")
    first = screen.here
    assert "+ mmap" in first and first.endswith("shrunk.dat")
    await screen.press("n")
    assert "! truncated" in screen.here
    await screen.press("N")
    assert screen.here == first
    await screen.type("+0.0064s")
    assert "+0.006407s + remap_file" in screen.here
    await screen.press("home")
    await screen.type("0x7f8801d35fff")
    assert "7f8801d33000" in screen.here
    assert "not found below: no such thing" in await screen.type("no such thing")
    assert "not a time: +7h (write +1.5s" in await screen.type("+7h")
    await screen.press("enter")
    await screen.type("0x7f8801f1e123")
    assert screen.here.split()[1].startswith("7f8801f1e000-") and screen.here.endswith("pages.dat")
    text = await screen.type("+0.006365s")
    assert "at +0.006365s" in text and "7f8801f1e000-7f8801f1f000 rw-s 00007000" in screen.here
    assert "outside the time that was recorded: +9s" in await screen.type("+9s")
    await screen.press("slash", "x", "escape")
    assert "at +0.006365s" in screen.text


async def everything_about_a_line(screen: Screen) -> None:
    assert "other_pid: 18572" in await screen.press("f", "v", *["pagedown"] * 2)
    assert "/ finds text" in await screen.press("escape", "question_mark", "end")


async def maps_at_every_change(screen: Screen) -> None:
    await screen.resize(132, 48)
    text = await screen.press("m")
    for _ in range(3):
        at = re.search(r"at (\+[\d.]+s)", text)
        assert at is not None
        said = analyze("maps", DATA / "demo", "--pid", PID, "--at", at[1]).stdout.splitlines()
        rows = [line[2:] for line in screen.lines[2:-8] if line]
        assert len(rows) > 30
        assert [row[2:].rstrip() for row in rows] == [line.rstrip() for line in said]
        new = {row[2:] for row in rows if row.startswith("+")}
        text = await screen.press("left")
        assert not new & {line[4:] for line in screen.lines}  # what was new then was not there before


_NAMES = {
    "escape": b"\x1b[31m\x1b]0;owned\x07",
    "bidi": "\u202egpj\u2066\u200f".encode(),
    "not utf-8": b"\xff\xfe\x80",
    "markup": b"[red]markup[/][@click=app.bell()]x[/]",
    "newline": b"new\nline\rreturn\ttab",
    "long": b"x" * 4000,
}
_MANY = 3001


@pytest.fixture
def crafted(tmp_path: Path) -> Path:
    """Names that want to be more than names, of files and of the program that maps them; and thousands of mappings."""
    who = {"pid": 7, "tid": 7, "comm": b"\x1b[1m[b]\xe2\x80\xae\n"}

    def mapping(after_ns: int, start: int, **more: object) -> dict[str, object]:
        return {"pid": 7, "tid": 7, "ts_ns": START_NS + after_ns, "start": start, "end": start + 4096, **more}

    vmas = [
        mapping(10 * n, n << 20, perms="rw-s", dev=1, inode=n, path=b"/" + name)
        for n, name in enumerate(_NAMES.values(), 1)
    ]
    vmas += [mapping(1000 * n, n << 32, perms="rw-p") for n in range(1, _MANY + 1)]
    cut = {
        "ts_enter_ns": START_NS + 800, "ts_exit_ns": START_NS + 810, "operation": "ftruncate", "identity": "fd",
        "dev": 1, "inode": 1, "old_size_bytes": 4096, "new_size_bytes": 0,
    }  # fmt: skip
    lost = {"source": "calls", "cpu": 1, "from_ns": START_NS + 100, "to_ns": START_NS + 200, "count": 673}
    tables = {
        "vmas": vmas,
        "tasks": [{**who, "ts_ns": START_NS + 1, "event": "exec", "source": "bpf", "path": _NAMES["escape"]}],
        "files": [{**who, **cut}],
        "losses": [lost],
    }
    return build_capture(tmp_path / "\x1b[7m[b]capture", tables)


def test_hostile_names_are_inert_long_lists_come_in_pages_and_nothing_freezes(crafted: Path) -> None:
    async def story(screen: Screen) -> None:
        await hostile_names(screen)
        await a_long_time_line(screen)
        await a_long_question(screen)
        await a_page_that_cannot_be_read(screen)

    browse(crafted, story)


async def hostile_names(screen: Screen) -> None:
    seen: list[str] = []

    async def look(*keys: str) -> None:
        seen.append(await screen.press(*keys))
        assert all(char.isprintable() for line in screen.lines for char in line)

    await look()
    assert r"\x1b[7m[b]capture: processes" in screen.text
    assert r" 7 \x1b[1m[b]\u20…" in screen.here
    for keys in ("v", "escape f", "v", "escape w", "v", "escape escape enter", "enter home"):
        await look(*keys.split())
    for _ in _NAMES:
        await look("v")
        await look("escape", "down")
    assert "not found below: \\x1b[31m" in await screen.type("\x1b[31m")
    everything = "".join(seen)
    assert "[red]markup[/][@click=app.bell()]x[/]" in everything
    assert r"\x1b[31m\x1b]0;owned\x07" in everything
    assert r"\u202egpj\u2066\u200f" in everything
    assert r"\xff\xfe\x80" in everything
    assert "x" * 78 in everything
    while len(screen.app.stack) > 1:
        await screen.press("escape")


async def a_long_time_line(screen: Screen) -> None:
    await screen.press("home", "enter", "home")
    await screen.type("lost")
    assert "? lost        673 records of calls were lost until" in screen.here
    await screen.press("end")
    assert re.search(r" (3,0\d\d)/\1$", screen.lines[0])
    assert f" {_MANY << 32:x} " in screen.here
    await screen.press("home", *["pagedown"] * 30)
    assert "not seen" in screen.here
    drawing = active_message_pump.set(screen.app.screen)  # who asks for a row first, if drawing is
    assert screen.app.lines.row(1500) is None
    active_message_pump.reset(drawing)
    await screen.settle()
    assert screen.app.lines.row(1500)
    await screen.type(f"{2047 << 32:x}")
    assert f" {2047 << 32:x} " in screen.here


async def a_long_question(screen: Screen) -> None:
    app, answers = screen.app, list[object]()
    forever = "SELECT count(*) AS n FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range + b.range = 1"
    await screen.press("home")
    app.ask("counting", lambda: app._engine.query(forever, "counting for long").dicts(), answers.append)
    began = time.monotonic()
    while "counting for long" not in screen.text:  # progress shows after a second
        assert time.monotonic() - began < 20
        await screen.tap("down")
    moved = screen.here
    await screen.tap("down")
    assert screen.here != moved and app.busy
    began = time.monotonic()
    await screen.press("escape")
    assert time.monotonic() - began < 5 and not app.busy
    assert "ended" in screen.text and not answers
    assert "maps of" in await screen.press("enter")  # and the next question is answered


async def a_page_that_cannot_be_read(screen: Screen) -> None:
    def refuse(_: int) -> None:
        raise AnalysisError("the disk is full", "make room")

    await screen.press("escape")
    listing = screen.app.view.listing
    assert isinstance(listing, Table)
    listing._pages.clear()
    listing.ask = refuse  # type: ignore[method-assign]
    began = time.monotonic()
    while "the disk is full (make room)" not in screen.text:
        assert time.monotonic() - began < 20
        await screen.tap("end")


@pytest.mark.parametrize("view", [Processes, Timeline, MapsAt, Findings, Why, Text])
def test_keys_fit_into_the_last_line(view: type[View]) -> None:
    assert cell_len("".join(f"{KEYS.get(key, key)} {label} " for key, (_, label) in view.keys.items())) <= 80


@pytest.mark.parametrize(
    ("text", "width"), [("日本語テキスト", 7), ("日本語テキスト", 8), ("abc", 5), ("abcdef", 3), ("a", 0)]
)
@pytest.mark.parametrize("tail", [False, True])
def test_cut_text_has_the_width_it_is_given(text: str, width: int, tail: bool) -> None:
    assert cell_len(fit(text, width, tail=tail)) == width


# on a real terminal


def _shown(terminal: Terminal, *wanted: str, seconds: float = 60) -> pyte.Screen:
    """The terminal's screen once it shows these texts."""
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    fed = 0
    ends = time.monotonic() + seconds
    while not all(each in "\n".join(screen.display) for each in wanted):
        assert time.monotonic() < ends, "\n".join(screen.display)
        data = terminal.read(0.1)
        stream.feed(data[fed:])
        fed = len(data)
    return screen


def _resize(terminal: Terminal) -> None:
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))


def test_who_is_new_to_it_finds_the_culprit_by_the_keys_in_the_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 by 24, without colours or a mouse: each line of the table in docs/browse.md."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    text = (DATA.parent / "docs" / "browse.md").read_text().partition("| key | what is shown |")[2]
    steps = re.findall(r"^\| (?:`(\w+)` )?\| (.+) \|$", text, re.MULTILINE)
    assert [key for key, _ in steps] == ["", "f", "w", "o", "Enter"]
    with on_terminal([*ANALYZE, "browse", DATA / "sigbus"]) as terminal:
        _resize(terminal)
        for key, told in steps:
            terminal.type({"": b"", "Enter": b"\r"}.get(key, key.encode()))
            screen = _shown(terminal, *re.findall("`(.+?)`", told))
            assert screen.display[23].rstrip().endswith("q quit")
        terminal.type(b"q")
        assert terminal.end() == 0
    shown = terminal.shown
    assert shown.rindex(b"\x1b[?1049l") > shown.rindex(b"\x1b[?1049h")  # the screen is as it was before
    assert b"\x1b[?1000h" not in shown  # the mouse is the terminal's
    assert not re.search(rb"\x1b\[([0-9]+;)*([34][0-8]|9[0-7])[;m]", shown)


def test_a_signal_leaves_the_terminal_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with on_terminal([*ANALYZE, "browse", DATA / "lossy"]) as terminal:
        _resize(terminal)
        screen = _shown(terminal, "lossy: processes")
        assert re.match(r"lossy: processes \([\d,]+ records were lost", screen.display[0])
        before = set(Path("/tmp").glob("maptrail-*"))
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == 143
        assert terminal.shown.rindex(b"\x1b[?1049l") > terminal.shown.rindex(b"\x1b[?1049h")
        assert len(before - set(Path("/tmp").glob("maptrail-*"))) >= 1  # temporary files are gone


def test_without_a_terminal_it_says_so() -> None:
    done = analyze("browse", DATA / "demo", status=2)
    assert "browsing needs a terminal" in done.stderr and done.stdout == ""


def test_without_textual_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['textual'] = None; from analysis.cli import main; main()"
    command = [sys.executable, "-c", program, "browse", str(DATA / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=DATA.parent, check=False)
    assert done.returncode == 2 and "pip install 'maptrail[review]'" in done.stderr
