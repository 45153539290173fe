"""The report in a real browser: it opens alone, shows what is true, and does what a person does with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.commands import analyze
from tests.support.oracle import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, Kernel, Page

DATA = Path(__file__).resolve().parents[2] / "data"
_CANARY = b"window.__canary=1"
HOSTILE = {
    "script": b"/tmp/</script><img src=x onerror=%s><script>%s</script>" % (_CANARY, _CANARY),
    "comment": b"/tmp/<!--<script>%s" % _CANARY,
    "template": b"/tmp/${%s}`{script}{data}&lt;\\u003c" % _CANARY,
    "escape": b"/tmp/\x1b[2J\x1b]0;title\x07",
    "bidi": "/tmp/\u202etxt.exe\u2066".encode(),
    "bytes": b"/tmp/\xff\xfe\xc3\x00"[:-1],
    "long": b"/" + b"A" * 4080 + b"<b>end",
}


@pytest.fixture(scope="session")
def sigbus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the bundled incident."""
    path = tmp_path_factory.mktemp("sigbus") / "report.html"
    done = analyze("report", DATA / "sigbus", "-o", path)
    assert done.stdout == ""
    assert "open it in a browser" in done.stderr
    return path


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mappings of hostile names by a thread of one, many short ones, and a loss."""
    kernel = Kernel()
    thread = kernel.start()
    for number, path in enumerate(HOSTILE.values()):
        kernel.mmap(thread, 0x10000 + 16 * number, 3, Page("rw-s", 70 + number, 0, path), MAP_SHARED)
    for n in range(307):
        kernel.now_ns = START_NS + SECOND + n * 1_000_000
        kernel.mmap(thread, 0x20000, 1, Page("rw-p"), MAP_PRIVATE | MAP_ANONYMOUS)
        kernel.munmap(thread, 0x20000, 1)
    kernel.fork(thread)
    for row in kernel.rows["syscalls"] + kernel.rows["tasks"]:
        row["comm"] = b"<s>%s</s>" % _CANARY[:8]
    kernel.rows["losses"] = [
        {"source": "calls", "cpu": 1, "from_ns": START_NS + 3 * SECOND, "to_ns": START_NS + 4 * SECOND, "count": 23,
         "cause": "<i>ring\u202e full"}
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("hostile")
    calls = len(kernel.rows["syscalls"])
    capture = build_capture(
        folder / "</script><img onerror=x>", kernel.rows, ended_ns=START_NS + 8 * SECOND,
        totals={"syscalls": {"attempted": calls + 23, "stored": calls, "lost": 23}},
        host="<svg onload=window.__canary=1>", command=["</dd><img src=x onerror=window.__canary=1>"],
    )  # fmt: skip
    analyze("report", capture, "-o", folder / "report.html")
    return folder / "report.html"


def _joined(lines: list[str]) -> list[tuple[Any, ...]]:
    """Lines of maps as pages have it: where a VMA ends and one of the same kind begins is not in the report."""
    joined: list[tuple[Any, ...]] = []
    for line in lines:
        if not re.match("[0-9a-f]+-", line) or line.endswith("[vsyscall]"):  # which is no VMA
            continue
        addresses, perms, offset, device, inode, *path = line.split(maxsplit=5)
        start, end = (int(each, 16) for each in addresses.split("-"))
        base = start - int(offset, 16) if inode != "0" else 0
        kind = (perms, device, inode, base, *path)
        if joined and joined[-1][1:] == (start, kind):  # it ends where this begins
            start = joined.pop()[0]
        joined.append((start, end, kind))
    return joined


def test_it_opens_alone_and_without_complaint(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    assert report.complaints == []
    assert report.requests == [sigbus.as_uri()]
    policy = report.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    # what is not of this file does not run
    with pytest.raises(Exception, match="__injected"):
        report.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.__injected = 1'}));"
            "if (!window.__injected) throw Error('__injected is not set')"
        )
    text = report.page.inner_text("#summary")
    assert "complete" in text
    assert "no record was lost" in text


def test_a_newcomer_finds_who_killed_the_service(sigbus: Path, opened: Any) -> None:
    """The steps of docs/report.md: read the first finding, click it, click the second."""
    report = opened(sigbus)
    page = report.page
    # 1: the gravest finding is on top, and says it in a sentence
    first = page.locator("#findings a").first
    assert "high" in first.inner_text()
    told = page.inner_text("#findings")
    assert re.search(r"SIGBUS", told)
    [culprit] = set(re.findall(r"\brefresh \(pid \d+\)", told))
    # 2: a click goes to its place
    before = report.view()
    first.click()
    after = report.view()
    assert after[1] - after[0] < before[1] - before[0]
    assert page.evaluate("location.hash") == "#finding-0"
    # beside it stand who did it, and the maps of the victim just before
    life = page.inner_text("#life")
    assert culprit in life
    assert "certain" in life
    assert any("cache.dat" in line for line in report.maps())
    assert re.search(r"service \d+ at \+\d", page.inner_text("#maps-told"))
    # 3: what came of it
    page.locator("#findings a").nth(1).click()
    page.wait_for_function("document.getElementById('life').textContent.includes('was killed by SIGBUS')")


def test_a_link_to_a_finding_opens_there(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus, "#finding-0")
    assert report.page.locator("#findings a[aria-current=true]").count() == 1
    assert "SIGBUS" in report.page.inner_text("#life")


def test_the_slider_shows_the_maps_that_the_capture_had(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    page = report.page
    # the slider goes through the life of the process that is shown
    service = page.locator("#process option", has_text=re.compile(r"^service \d+, \d")).get_attribute("value")
    page.locator("#process").select_option(service)
    for value in (2003, 5003, 9001):
        page.locator("#time").fill(str(value))
        page.wait_for_function("value => document.getElementById('time').value == value", arg=value)
        page.wait_for_timeout(100)
        report.settled()
        told = re.search(r" (\d+) at (\+[\d.]+s): (\d+) mappings", page.inner_text("#maps-told"))
        assert told is not None
        want = analyze("maps", DATA / "sigbus", "--pid", told[1], "--at", told[2]).stdout.splitlines()
        assert len(want) > 20
        assert _joined(report.maps()) == _joined(want)


def test_wheel_drag_and_buttons_zoom_and_move(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    page = report.page
    x0, x1, y0, y1 = report.view()
    page.locator("#map").scroll_into_view_if_needed()
    page.mouse.move(*report.spot((x0 + x1) / 2))
    page.mouse.wheel(0, -400)
    closer = report.view()
    assert closer[1] - closer[0] < (x1 - x0) * 0.7
    assert closer[2:] == (y0, y1)  # the wheel is for time
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Shift")
    higher = report.view()
    assert higher[3] - higher[2] < (y1 - y0) * 0.7
    assert higher[:2] == closer[:2]
    at_x, at_y = report.spot((higher[0] + higher[1]) / 2)
    page.mouse.down()
    page.mouse.move(at_x + 90, at_y, steps=4)
    page.mouse.up()
    moved = report.view()
    assert moved[0] < higher[0]
    assert moved[1] - moved[0] == pytest.approx(higher[1] - higher[0])
    page.get_by_role("button", name="Fit").click()
    assert report.view() == pytest.approx((x0, x1, y0, y1))
    page.get_by_role("button", name="Addresses +").click()
    assert report.view()[3] - report.view()[2] < y1 - y0
    assert report.complaints == []


def test_everything_can_be_done_by_keyboard(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    page = report.page
    page.locator("#map").focus()
    x0, x1, y0, y1 = report.view()
    page.keyboard.press("+")
    closer = report.view()
    assert closer[1] - closer[0] == pytest.approx((x1 - x0) / 1.6)
    page.keyboard.press("ArrowRight")
    assert report.view()[0] > closer[0]
    page.keyboard.press("Shift+_")
    assert report.view()[3] - report.view()[2] > y1 - y0
    page.keyboard.press("0")
    assert report.view() == pytest.approx((x0, x1, y0, y1))
    time = page.inner_text("#at")
    page.keyboard.press(",")
    page.wait_for_function("before => document.getElementById('at').textContent !== before", arg=time)
    page.wait_for_timeout(100)
    # the maps are a list to go through; each line tells its life
    page.locator("#maps").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#maps [aria-selected=true]")
    assert chosen.get_attribute("id") == "line-1"
    life = page.inner_text("#life")
    assert chosen.inner_text().split()[0].split("-")[0] in life
    assert re.search(r"made\s+\+[\d.]+s by exec", life)
    # every control has a name, and the order is that of the page
    names = page.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas, [tabindex=\"0\"]')].filter((each) => !("
        "each.labels?.length || each.textContent.trim() || each.ariaLabel || each.getAttribute('aria-labelledby')))"
        ".map((each) => each.id)"
    )
    assert names == []


def test_pointing_at_a_mapping_tells_its_life(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus, "#finding-0")
    page = report.page
    x0, x1, _, _ = report.view()
    page.mouse.move(*report.spot(x0 + (x1 - x0) * 0.25))
    page.wait_for_selector("#hover:not([hidden])")
    text = page.inner_text("#hover")
    assert "cache.dat" in text
    assert "r--s" in text
    assert re.search(r"made\s+\+[\d.]+s by mmap, service", text)
    assert "main+0x" in text  # the stack
    page.mouse.move(5, 5)
    assert page.locator("#hover").is_hidden()


def test_filters_leave_out_what_is_not_asked_for(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    page = report.page
    everything = int(report.settled()["drawn"])
    page.locator("[data-kind=code]").uncheck()
    fewer = int(report.settled()["drawn"])
    assert 0 < fewer < everything
    page.locator("[data-kind=code]").check()
    page.locator("#file").fill("CACHE.dat")
    assert 0 < int(report.settled()["drawn"]) < fewer
    page.locator("#file").fill("")
    assert int(report.settled()["drawn"]) == everything
    page.locator("#process").select_option(index=1)
    assert 0 < int(report.settled()["drawn"]) < everything


def test_it_follows_the_screen_and_prints(sigbus: Path, opened: Any) -> None:
    report = opened(sigbus)
    page = report.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light, light_map = page.evaluate(ground), page.locator("#map").screenshot()
    page.emulate_media(color_scheme="dark")
    report.settled()
    assert page.evaluate(ground) != light
    assert page.locator("#map").screenshot() != light_map
    background, ink = (
        [int(each) for each in re.findall(r"\d+", page.evaluate(what))[:3]]
        for what in (ground, ground.replace("backgroundC", "c"))
    )
    assert sum(background) < 150 < 600 < sum(ink)
    page.emulate_media(media="print", color_scheme="light")
    assert page.get_by_role("button", name="Fit").is_hidden()
    assert page.locator("#map").is_visible()
    assert page.pdf().startswith(b"%PDF")
    assert report.complaints == []


def test_hostile_names_are_text(hostile: Path, opened: Any) -> None:
    raw = hostile.read_bytes()
    assert all(name not in raw for name in (b"__canary", b"\x1b", "\u202e".encode(), b"AAAAAAAAAAAAAAAAAAAAAAAA<b>"))
    report = opened(hostile)
    page = report.page
    page.locator("#minor").check()
    page.wait_for_function("document.querySelectorAll('#maps > div').length > 6")
    for line in page.locator("#maps > div").all()[:12]:
        line.click()
        assert page.inner_text("#life")
    page.mouse.move(*report.spot(6 * SECOND, 0.5))
    shown = page.inner_text("body")
    assert page.evaluate("window.__canary") is None
    assert page.locator("img, svg, s, b, i:not(#kinds i), iframe").count() == 0
    assert report.complaints == []
    assert report.requests == [hostile.as_uri()]
    for seen in (
        "</script><img src=x onerror=window.__canary=1>", "<!--<script>", "${window.__canary=1}`{script}{data}",
        r"\x1b[2J\x1b]0;title\x07", r"\u202etxt.exe\u2066", "<s>window.", "<svg onload=window.__canary=1>",
    ):  # fmt: skip
        assert seen in shown, seen
    assert "A" * 4080 in shown
    assert not {"\x1b", "\u202e", "\u2066"} & set(shown)
    # a long name does not make the page wide
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_losses_are_hatched_and_what_is_too_short_is_counted(hostile: Path, opened: Any) -> None:
    report = opened(hostile)
    page = report.page
    assert "23 records were lost" in page.inner_text("#summary")
    page.locator("#map").scroll_into_view_if_needed()
    page.mouse.move(*report.spot(3.5 * SECOND))
    page.wait_for_selector("#hover:not([hidden])")
    assert r"23 records of calls lost on CPU 1: <i>ring\u202e full" in page.inner_text("#hover")
    # 307 mappings of some 10 us are blocks in 8 s, and mappings when looked at closely
    far = report.settled()
    assert far["level"] == "0"
    x, _ = report.spot(1.15 * SECOND)
    found = ""
    for share in range(60):
        page.mouse.move(x, report.spot(0, share / 60)[1])
        found = page.inner_text("#hover") if page.locator("#hover").is_visible() else ""
        if "too short" in found:
            break
    assert re.search(r"\d+ mappings too short to be drawn here \(anonymous\): zoom in", found)
    for box in page.locator("[data-kind]:not([data-kind=anonymous])").all():
        box.uncheck()
    page.locator("#process").select_option(index=1)
    lasting = int(report.settled()["drawn"])
    page.mouse.move(*report.spot(1.15 * SECOND))
    for _ in range(14):
        page.mouse.wheel(0, -400)
    near = report.settled()
    assert near["level"] == "3"
    x0, x1, _, _ = report.view()
    assert x1 - x0 < 5_000_000
    assert abs((x0 + x1) / 2 - 1.15 * SECOND) < 0.03 * SECOND  # a pixel was 12 ms
    assert int(near["drawn"]) > lasting


def test_of_several_captures_each_band_says_which_is_its_own(tmp_path: Path, opened: Any) -> None:
    """Process ids of two machines can be the same, and what was lost on one was not on the other."""
    for name, count in (("one", 0), ("other", 23)):
        kernel = Kernel()
        kernel.mmap(kernel.start(), 0x10000, 3, Page("rw-p"), MAP_PRIVATE | MAP_ANONYMOUS)
        loss = {"source": "calls", "cpu": 0, "from_ns": START_NS + SECOND, "to_ns": START_NS + 2 * SECOND}
        kernel.rows["losses"] = [{**loss, "count": count, "cause": "ring full"}] if count else []
        build_capture(tmp_path / name, kernel.rows, ended_ns=START_NS + 3 * SECOND)
    analyze("report", tmp_path / "one", tmp_path / "other", "-o", tmp_path / "report.html")
    report = opened(tmp_path / "report.html")
    assert report.complaints == []
    page = report.page
    report.settled()
    page.locator("#map").scroll_into_view_if_needed()
    lost = {}
    for share in (each / 30 for each in range(1, 30)):
        page.mouse.move(*report.spot(1.5 * SECOND, share))
        lost[share] = page.locator("#hover").is_visible() and "23 records" in page.inner_text("#hover")
    assert any(lost.values())
    assert not any(there for share, there in lost.items() if share < 0.5)
    named = []
    for share in (0.05, 0.95):
        page.mouse.click(*report.spot(1.5 * SECOND, share))
        report.settled()
        named.append(page.inner_text("#maps-told").split(":")[0])
    assert named == ["one", "other"]


def test_of_many_mappings_those_in_sight_are_listed(tmp_path: Path, opened: Any) -> None:
    kernel = Kernel()
    thread = kernel.start()
    for n in range(1409):
        kernel.mmap(thread, 0x10000 + 2 * n, 1, Page("rw-p"), MAP_PRIVATE | MAP_ANONYMOUS)
    capture = build_capture(tmp_path / "capture", kernel.rows, ended_ns=START_NS + 8 * SECOND)
    analyze("report", capture, "-o", tmp_path / "report.html")
    report = opened(tmp_path / "report.html")
    page = report.page
    assert re.search(r" 1,4\d\d mappings", page.inner_text("#maps-told"))
    assert page.locator("#maps [role=option]").count() == 300
    page.locator("#maps").focus()
    for key in ("Home", "End", "ArrowUp"):
        page.keyboard.press(key)
        line = page.locator("#maps [aria-selected=true]")
        position, size = (int(line.get_attribute(name) or 0) for name in ("aria-posinset", "aria-setsize"))
        assert position == {"Home": 1, "End": size, "ArrowUp": size - 1}[key]
        box, around = line.bounding_box(), page.locator("#maps").bounding_box()
        assert around["y"] <= box["y"] + 1 < box["y"] + box["height"] <= around["y"] + around["height"] + 1
