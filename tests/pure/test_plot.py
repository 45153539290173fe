"""`analyze plot`: the figures hold what the views say, whatever the names in them, and say what they leave out."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.text import Text

from analysis import plot, terminal_plot
from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.output import Style
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze

DATA = Path(__file__).resolve().parents[2] / "data"
PID = 1672
REFRESH = "refresh (pid 1675) truncated /tmp/example/cache.dat"


@pytest.fixture(scope="module")
def sigbus() -> Iterator[Engine]:
    with Engine(open_captures([DATA / "sigbus"])) as engine:
        yield engine


@pytest.fixture(scope="module")
def figure(sigbus: Engine) -> Figure:
    return plot.picture(sigbus, [PID])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]


def test_mappings_lie_where_the_timeline_has_them(sigbus: Engine, figure: Figure) -> None:
    [row] = sigbus.query(
        f"SELECT from_ns, to_ns FROM timeline WHERE pid = {PID} AND contains(path, 'cache.dat')"
    ).dicts()
    zero = sigbus.captures["sigbus"].manifest.clock.started_ns
    [axes] = figure.axes
    shared = [each for each in axes.collections if tuple(each.get_facecolor()[0][:3]) == to_rgb(plot.COLOURS["shared"])]
    [shape] = [path.get_extents() for each in shared for path in each.get_paths()]
    [(shift, _)] = {(row["from_ns"] - zero - shape.x0, 0)}
    assert shape.x1 - shape.x0 == row["to_ns"] - row["from_ns"]
    # ticks tell the time from the start of the capture
    for at, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        assert float(label.get_text().removesuffix("s")) * 1e9 == pytest.approx(at + shift, abs=1000)


def test_findings_are_marked_and_told(figure: Figure) -> None:
    said = texts(figure)
    assert any(text.startswith("1  +0.246551s  " + REFRESH) for text in said)
    assert any(text.startswith("2  +0.248078s  service (pid 1672) was killed by SIGBUS") for text in said)
    assert {"1", "2", "cache.dat", "[stack]", "libc.so.6", "file truncated"} <= set(said)
    assert "left out: an address space that was there for a moment only" in said
    times = sorted(float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_marker() in ("v", "X"))
    assert np.diff(times).tolist() == [pytest.approx((0.248078 - 0.246551) * 1e9, abs=1001)]


def test_files_are_what_their_ending_says(figure: Figure, tmp_path: Path) -> None:
    plot.save(figure, tmp_path / "one.svg")
    plot.save(figure, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert REFRESH in "".join(ET.parse(tmp_path / "one.svg").getroot().itertext())
    plot.save(figure, tmp_path / "one.png")
    pixels = imread(tmp_path / "one.png")[..., :3].reshape(-1, 3)
    for kind in ("code", "file", "shared", "stack", "anonymous", "special"):
        alike = np.abs(pixels - to_rgb(plot.COLOURS[kind])).max(axis=1) < 0.02
        assert alike.mean() > 0.004, kind


def test_counts_are_those_of_the_view_under_their_limit(sigbus: Engine) -> None:
    figure = plot.counts(sigbus, [PID])
    [peak] = sigbus.query(
        f"SELECT max(vmas) AS vmas FROM vma_counts JOIN spaces USING (capture, space) WHERE spaces.pid = {PID} "
        "AND ended = 'exit'"
    ).dicts()
    [axes] = figure.axes
    [counted] = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert max(counted.get_ydata()) == peak["vmas"] > 20
    assert f"service ({PID}): {peak['vmas']}" in texts(figure)
    assert "limit: 65,530" in texts(figure) and axes.get_yscale() == "log"
    told = list(terminal_plot.counts(sigbus, [PID], style=Style()))
    assert told[0] == f"service ({PID}): {peak['vmas']} VMAs at the peak; limit 65,530, 0.0% of it\n"


def test_the_command_draws_here_and_into_a_file(tmp_path: Path) -> None:
    done = analyze("plot", DATA / "sigbus", "--pid", PID, "--terminal")
    assert "\x1b" not in done.stdout  # no terminal, no colours
    rows = [line for line in done.stdout.splitlines() if " |" in line]
    assert len(rows) == 40
    [cache] = [row for row in rows if row.endswith("cache.dat")]
    assert "sssss" in cache and cache.split()[-2].endswith("1")  # the end of it is where the first finding is
    [stack] = [row for row in rows if row.endswith("[stack]")]
    assert "kkkkk" in stack and rows.index(stack) < 4
    assert f"1  +0.246551s  {REFRESH}" in done.stdout
    options = [DATA / "sigbus", "--counts", "-o", tmp_path / "counts.png"]
    assert "wrote " in analyze("plot", *options).stderr
    assert imread(tmp_path / "counts.png").shape[:2] == (650, 1560)
    assert "it is there already" in analyze("plot", *options, status=2).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pid", 1], "where to draw is not said"),
        (["-o", "picture.gif"], "end it with .png or .svg"),
        (["--terminal", "--pid", 999_999], "nothing was recorded of process: 999999"),
        (["--terminal", "--to", "+0s"], "nothing that could be drawn was mapped in that time"),
    ],
)
def test_wrong_use_is_told(options: list[Any], said: str) -> None:
    assert said in analyze("plot", DATA / "sigbus", *options, status=2).stderr


def test_without_matplotlib_characters_are_left() -> None:
    program = "import sys; sys.modules['matplotlib'] = None; from analysis.cli import main; main()"
    command = [sys.executable, "-c", program, "plot", str(DATA / "sigbus"), "-o", "x.png"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=DATA.parent, check=False)
    assert done.returncode == 2 and "pip install 'maptrail[review]', or use --terminal" in done.stderr


_NAMES = (
    "$x^2$",
    "$\\frac{",
    "</text><script>alert(1)</script>",
    "\x1b[31m\x07",
    "\u202egpj",
    "日本",
    "x" * 4000,
    "&amp;\n",
)


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    """A `$` starts no formula, `<` no element, and what is not visible is escaped."""
    place = {"pid": 7, "tid": 7, "ts_ns": START_NS + 1000, "perms": "rw-s", "dev": 1}
    vmas = [
        {**place, "start": n << 20, "end": (n << 20) + (1 << 16), "inode": n, "path": f"/dir/{name}".encode()}
        for n, name in enumerate(_NAMES, 1)
    ]
    who = {"pid": 7, "tid": 7, "comm": b"$a_b$\x1b<b>"}
    tasks = [
        {**who, "ts_ns": START_NS, "event": "exec", "source": "bpf"},
        {**who, "ts_ns": START_NS + 10_000_000, "event": "exit", "source": "bpf"},
    ]
    capture = build_capture(tmp_path / "$c$<i>", {"vmas": vmas, "tasks": tasks}, host="$h$")
    with Engine(open_captures([capture])) as engine:
        figure = plot.picture(engine)
        plot.save(figure, tmp_path / "picture.png")
        plot.save(figure, tmp_path / "picture.svg")
        drawn = list(terminal_plot.picture(engine, style=Style(width=80, colour=True)))
    root = ET.parse(tmp_path / "picture.svg").getroot()
    assert not [each for each in root.iter() if "script" in each.tag]
    labels = ["".join(each.itertext()).strip() for each in root.iter() if each.tag.endswith("}text")]
    assert all(label.isprintable() for label in labels)
    expected = ["$x^2$", "$\\frac{", "script>", r"\x1b[31m\x07", r"\u202egpj", "日本", "x" * 33 + "…", r"&amp;\012"]
    assert set(expected) <= set(labels), labels
    assert any(label.startswith(r"$c$<i>: $a_b$\x1b<b> (7)") for label in labels)
    plain = [Text.from_ansi(line.rstrip("\n")) for line in drawn]
    assert all(line.plain.isprintable() and line.cell_len <= 80 for line in plain)
    assert any(line.plain.endswith("$x^2$") for line in plain), [line.plain for line in plain]
    assert any("\x1b[30;43m" in line for line in drawn)  # shared memory


def test_of_several_captures_each_says_which_is_its_own(tmp_path: Path) -> None:
    """Process ids of two machines can be the same; and where records were lost is said below the counts too."""
    place = {"pid": 7, "tid": 7, "ts_ns": START_NS + 1000, "perms": "rw-p", "start": 1 << 20, "end": 1 << 21}
    task = {"pid": 7, "tid": 7, "ts_ns": START_NS, "event": "exec", "comm": b"twin"}
    loss = {"source": "calls", "cpu": 0, "from_ns": START_NS + 2000, "to_ns": START_NS + 4000, "count": 3}
    for name, losses in (("one", []), ("other", [{**loss, "cause": "ring full"}])):
        build_capture(tmp_path / name, {"vmas": [place], "tasks": [task], "losses": losses}, ended_ns=START_NS + 5000)
    with Engine(open_captures([tmp_path / "one", tmp_path / "other"])) as engine:
        said = texts(plot.picture(engine))
        assert {"one, other: 2 processes", "one: twin (7)", "other: twin (7)"} <= set(said)
        drawn = "".join(terminal_plot.picture(engine, style=Style()))
        assert "7 one |" in drawn and "7 other |" in drawn
        counted = list(terminal_plot.counts(engine, style=Style()))
        assert [line.split(":")[0] for line in counted if "at the peak" in line] == ["one", "other"]
        assert "~~~" in "".join(counted) and counted[-1] == "~ records lost\n"
