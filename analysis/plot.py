"""Pictures for a ticket or a notebook: address spaces over time, and counts of VMAs, as matplotlib figures.

`picture` and `counts` lay out with analysis.picture, draw, and return a Figure; `save` writes it. All text is inert:
what is not plainly visible is escaped, and a `$` is a `$` (matplotlib would read formulas between two of them).
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from analysis.charts import (
    Mark,
    bands_of,
    drawn_of,
    lay_out_still,
    marks,
    names_of,
    points_of,
    short,
    since_start,
    span,
    ticks,
    told_of,
    whose,
)
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.picture import KINDS, Bounds
from analysis.replacing import replacing
from analysis.text import inert
from analysis.times import iso

__all__ = ["COLOURS", "MARKS", "check_name", "counts", "picture", "save"]

COLOURS = {
    "code": "#3f6fa8", "file": "#a9c6e6", "shared": "#e3a73f", "heap": "#8e6bb0", "stack": "#c98bb8",
    "anonymous": "#8fb9a0", "jit": "#c8553d", "special": "#b8b8b8",
}  # fmt: skip
"""Of each kind of mapping (see analysis.picture.KINDS)."""
MARKS = {
    "truncated_under_mapping": ("v", "file truncated"),
    "faults": ("X", "fault, or killed by one"),
    "clobbered": ("s", "mapping clobbered"),
    "map_limit": ("P", "limit of mappings"),
}
"""matplotlib's marker and a name, by kind of finding; others are a circle."""
_GRAVE = {"high": "#b3001e", "medium": "#d06a00", "low": "#555555", "info": "#999999"}
_OTHER = ("o", "other finding")
_LABELLED = 8  # lines of counts that have a name and a colour
_LINES = ("#3f6fa8", "#c8553d", "#4c9a6a", "#8e6bb0", "#b8860b", "#c06090", "#5f7f8f", "#7a5c3e")
_LABEL = 34  # characters of a label at the right
_LOST: Any = {"facecolor": "none", "edgecolor": "#999999", "hatch": "xxxx"}
_MOST_SHAPES = 2000  # more of a kind are pixels in an SVG too
_WRAPPED: Any = {"width": 158, "subsequent_indent": "    "}
_RC: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "maptrail",  # the same capture gives the same bytes
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.5,
}


@contextmanager
def _drawing() -> Iterator[None]:
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands for it
        yield


def picture(engine: Engine, pids: Sequence[int] = (), since: str | None = None, until: str | None = None) -> Figure:
    """Address spaces over time: time to the right, addresses up, empty stretches squeezed, findings and losses marked.

    Of processes (none: all), in a window of time (see analysis.times; none: while they had mappings). Raises UsageError
    where there is nothing to draw.
    """
    bounds, bands = lay_out_still(engine, pids, since, until)
    found = marks(engine)
    with _drawing():
        told = [line for text in told_of(engine, bounds, found) for line in textwrap.wrap(text, **_WRAPPED)]
        height = min(max(bounds.height / 28, 3.2), 10.0)
        text = 0.17 * len(told) + 0.55
        figure = Figure(figsize=(12, height + text + 1.0), dpi=130, facecolor="white")
        total = height + text + 1.0
        axes = figure.add_axes((0.125, (text + 0.42) / total, 0.69, height / total))
        axes.set_facecolor("#fbfbfb")
        axes.set_xlim(*span(bands, bounds))
        axes.set_ylim(-2, bounds.height + 6)
        kinds = _draw_mappings(engine, axes, bounds, height)
        lost = _draw_losses(engine, axes)
        _draw_marks(axes, found)
        _label_addresses(engine, axes, bounds, height)
        _label_bands(engine, axes, bounds, height)
        _label_names(engine, axes, bounds, height)
        _time_axis(engine, axes, bounds)
        _title(engine, figure, bounds, total, "memory mappings", 0.125)
        legend: list[Artist] = [Patch(color=COLOURS[kind], label=kind) for kind in KINDS if kind in kinds]
        if "possible" in kinds:
            legend.append(Patch(facecolor="#dddddd", edgecolor="#777777", hatch="/////", label="only possible"))
        shapes = dict.fromkeys(MARKS.get(mark.row["what"], _OTHER) for mark in found)
        legend += [
            Line2D([], [], marker=marker, color="none", markerfacecolor="#444444", markeredgecolor="white", label=name)
            for marker, name in shapes
        ]
        if lost:
            legend.append(Patch(**_LOST, label="records lost"))
        figure.legend(
            handles=legend, loc="upper left", bbox_to_anchor=(0.118, (text + 0.12) / total), ncols=len(legend),
            frameon=False, fontsize=7.5, handlelength=1.1, handletextpad=0.5, columnspacing=1.1, borderpad=0,
        )  # fmt: skip
        for n, line in enumerate(told):
            figure.text(0.125, (text - 0.3 - 0.17 * n) / total, line, fontsize=8, va="top", color="#222222")
    return figure


def _title(engine: Engine, figure: Figure, bounds: Bounds, total: float, what: str, left: float) -> None:
    names = [inert(label) for label in engine.captures]
    [row] = engine.query(
        "SELECT count(DISTINCT (capture, pid)) AS processes, min(pid) AS pid, min(comm) AS comm FROM shown"
    ).dicts()
    who = f"{inert(row['comm'] or '')} ({row['pid']})" if row["processes"] == 1 else f"{row['processes']} processes"
    if bounds.spaces < bounds.spaces_there:
        who += f"; {bounds.spaces} of {bounds.spaces_there} address spaces"
    label, zero_ns = next(iter(bounds.zero_ns.items()))
    manifest = engine.captures[label].manifest
    zero = iso(zero_ns - since_start(engine, bounds), manifest.clock)
    told = f"{what}; {inert(manifest.host)}, +0s is {zero[:23]}Z"
    title = f"{short(', '.join(names), 60)}: {short(who, 60)}"
    figure.text(left, 1 - 0.16 / total, title, fontsize=12, va="top", weight="bold")
    figure.text(left, 1 - 0.39 / total, told, fontsize=8, va="top", color="#555555")


def _draw_mappings(engine: Engine, axes: Axes, bounds: Bounds, height: float) -> set[str]:
    """Draw what is mapped; the kinds that there are, and `possible` if any is only that."""
    rows = drawn_of(engine, bounds)
    seen: set[str] = set()
    groups: dict[tuple[str, bool, bool, int, bool], list[dict[str, Any]]] = {}
    line = (bounds.height + 8) / height / 45  # units of what is high enough to have an edge
    for row in rows:
        dense = max(round(row["cover"] * 4), 1)  # a block that is half empty is paler
        groups.setdefault(
            (row["kind"], row["certain"], bool(row["barred"]), dense, row["y1"] - row["y0"] < line), []
        ).append(row)
    least = bounds.width_ns / 1500  # narrower is not to be seen
    for (kind, certain, barred, dense, thin), members in groups.items():
        seen |= {kind} if certain else {kind, "possible"}
        shapes = []
        for row in members:
            right = max(row["x1"], row["x0"] + least)
            shapes.append(((row["x0"], row["y0"]), (right, row["y0"]), (right, row["y1"]), (row["x0"], row["y1"])))
        # memory that nobody may touch is an outline
        edge = {"linewidth": 0, "antialiased": False} if thin else {"linewidth": 0.4}
        axes.add_collection(
            PolyCollection(
                shapes,
                facecolor=COLOURS[kind],
                edgecolor="white",
                alpha=0.25 if barred else dense / 4,  # memory that nobody may touch is pale
                hatch=None if certain else "/////",
                rasterized=len(members) > _MOST_SHAPES,
                **edge,
            ),
            autolim=False,
        )
    return seen


def _draw_losses(engine: Engine, axes: Axes) -> bool:
    rows = engine.query("SELECT x0, x1 FROM signs WHERE what = 'loss'").dicts()
    first, last = axes.get_xlim()
    for row in rows:
        end = max(row["x1"], row["x0"] + (last - first) / 400)
        axes.axvspan(max(row["x0"], first), end, **_LOST, linewidth=0, zorder=3)
    return bool(rows)


def _draw_marks(axes: Axes, found: Sequence[Mark]) -> None:
    first, last = axes.get_xlim()
    bottom, top = axes.get_ylim()
    near: list[tuple[float, float]] = []
    for mark in sorted(found, key=lambda mark: mark.number is not None):  # the gravest on top
        row = mark.row
        if row["x0"] is None:
            continue
        y = (row["y0"] + row["y1"]) / 2 if row["y0"] is not None and row["y1"] is not None else top
        marker, _ = MARKS.get(row["what"], _OTHER)
        grave = mark.number is not None
        colour = _GRAVE[row["severity"]]
        if grave:
            axes.axvline(row["x0"], color=colour, linewidth=0.6, alpha=0.5, zorder=4)
        axes.plot(
            [row["x0"]], [y], marker=marker, markersize=8 if grave else 5, color=colour, markeredgecolor="white",
            markeredgewidth=0.8, zorder=6, clip_on=False,
        )  # fmt: skip
        if grave:
            wide, high = (last - first) / 50, (top - bottom) / 12
            close = sum(abs(x - row["x0"]) < wide and abs(each - y) < high for x, each in near)
            near.append((row["x0"], y))
            beside = -1 if row["x0"] > first + 0.85 * (last - first) else 1  # names are at the right
            axes.annotate(
                str(mark.number), (row["x0"], y), xytext=(beside * (7 + 11 * close), 6), textcoords="offset points",
                fontsize=8, weight="bold", color="white", zorder=7, annotation_clip=False,
                bbox={"boxstyle": "circle,pad=0.2", "facecolor": colour, "edgecolor": "white", "linewidth": 0.6},
            )  # fmt: skip


def _label_addresses(engine: Engine, axes: Axes, bounds: Bounds, height: float) -> None:
    """The first address of each stretch of mappings, where there is room for it."""
    rows = engine.query(
        "FROM (SELECT y0, y1, start, mapped, lag(mapped) OVER (PARTITION BY band ORDER BY start) AS below FROM axis) "
        "WHERE NOT mapped OR below IS NOT true ORDER BY y0"
    ).dicts()
    room = (bounds.height + 8) / height * 0.13  # units of a line of text
    ticks: list[tuple[float, str]] = []
    for row in rows:
        if row["mapped"] and not row["below"] and (not ticks or row["y0"] - ticks[-1][0] >= room):
            ticks.append((row["y0"], f"{row['start']:x}"))
        if not row["mapped"] and row["below"] is not None:
            axes.axhspan(row["y0"], row["y1"], facecolor="#ececec", edgecolor="none", zorder=0)
    axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks], fontsize=7, family="monospace")
    axes.tick_params(axis="y", length=2, pad=2, colors="#555555")


def _label_bands(engine: Engine, axes: Axes, bounds: Bounds, height: float) -> None:
    """Whose address space it is, above each of several."""
    rows = engine.query(
        "SELECT shown.*, max(y1) AS top FROM shown JOIN axis USING (band) GROUP BY ALL ORDER BY top"
    ).dicts()
    room = (bounds.height + 8) / height * 0.13
    last = -room
    for row in rows[:-1]:
        axes.axhline(row["top"] + 1, color="#cccccc", linewidth=0.6, zorder=1)
    for row in rows if len(rows) > 1 else ():
        if row["top"] - last >= room:
            last = row["top"]
            before = ", before it executed another program" if row["ended"] == "exec" else ""
            axes.annotate(
                f"{whose(engine, row, 40)}{before}",
                (0, last), xycoords=("axes fraction", "data"), xytext=(4, 1), textcoords="offset points",
                fontsize=8, weight="bold", va="bottom", color="#333333", zorder=5,
            )  # fmt: skip


def _label_names(engine: Engine, axes: Axes, bounds: Bounds, height: float) -> None:
    """What lies where, at the right: of each file or area the rectangle that stood longest."""
    rows = names_of(engine, bounds)
    room = (bounds.height + 8) / height * 0.14
    taken: list[float] = []
    for row in rows:
        y = (row["y0"] + row["y1"]) / 2
        if all(abs(y - each) >= room for each in taken):
            taken.append(y)
            axes.annotate(
                short(row["name"], _LABEL), (1, y), xycoords=("axes fraction", "data"), xytext=(5, 0),
                textcoords="offset points", fontsize=7.5, va="center", color="#333333", annotation_clip=False,
            )  # fmt: skip


def _time_axis(engine: Engine, axes: Axes, bounds: Bounds) -> None:
    labels = dict(ticks(engine, bounds, *axes.get_xlim(), 8))
    axes.set_xticks(list(labels), list(labels.values()))
    axes.tick_params(axis="x", length=3, labelsize=8, colors="#555555")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def counts(engine: Engine, pids: Sequence[int] = (), since: str | None = None, until: str | None = None) -> Figure:
    """VMAs of address spaces over time, and the limit that vm.max_map_count sets. Arguments as of `picture`."""
    bounds, _ = lay_out_still(engine, pids, since, until, ["map_limit"])
    bands = bands_of(engine)
    with _drawing():
        figure = Figure(figsize=(12, 5), dpi=130, facecolor="white")
        axes = figure.add_axes((0.075, 0.1, 0.74, 0.74))
        axes.set_facecolor("#fbfbfb")
        axes.set_xlim(*span(bands, bounds))
        ends: list[tuple[float, str, str]] = []
        for place, band in enumerate(bands):
            points = points_of(engine, band["band"])
            named = place < _LABELLED
            colour = _LINES[place] if named else "#cccccc"
            end = bounds.width_ns if band["x1"] is None else min(band["x1"], bounds.width_ns)
            x = [*(min(point["x"], end) for point in points), end]
            y = [point["vmas"] for point in points]
            axes.plot(x, [*y, y[-1]], drawstyle="steps-post", color=colour, linewidth=1.4, zorder=3 if named else 2)
            if named:
                ends.append((band["peak"], f"{whose(engine, band, 18)}: {band['peak']:,}", colour))
        _draw_losses(engine, axes)
        _spread(axes, [*ends, *_limit(axes, bands)])
        _time_axis(engine, axes, bounds)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        axes.tick_params(axis="y", labelsize=8, colors="#555555")
        _title(engine, figure, bounds, 5, "VMAs, which vm.max_map_count limits", 0.075)
    return figure


def _limit(axes: Axes, bands: list[dict[str, Any]]) -> list[tuple[float, str, str]]:
    """Draw the limit and return its name; where counts are far below it the axis is logarithmic, to show both."""
    peak = max(band["peak"] for band in bands)
    limits = sorted({band["limit_vmas"] for band in bands if band["limit_vmas"] is not None})
    most = max([peak, *limits])
    if most > 8 * max(peak, 1):
        axes.set_yscale("log")
        axes.set_ylim(1, most * 2)
    else:
        axes.set_ylim(0, most * 1.08)
    for limit in limits:
        axes.axhline(limit, color=_GRAVE["high"], linewidth=1, linestyle=(0, (6, 3)), zorder=4)
    return [(limit, f"limit: {limit:,}", _GRAVE["high"]) for limit in limits]


def _spread(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right, highest first, none over another."""
    to_points = axes.transData.transform
    last = float("inf")
    for value, label, colour in sorted(ends, reverse=True):
        _, y = to_points((0, max(value, 1)))
        y = min(y, last - 17)
        last = y
        bottom, top = axes.get_position().y0, axes.get_position().y1
        height = axes.get_figure().bbox.height  # type: ignore[union-attr]
        at = (y / height - bottom) / (top - bottom)
        axes.annotate(
            label, (1, max(at, 0)), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", fontsize=8,
            va="center", color=colour, annotation_clip=False,
        )  # fmt: skip


def check_name(path: Path) -> None:
    """Raises UsageError where the name of a file does not say as what to write it."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"not the name of a picture: {inert(str(path))}", "end it with .png or .svg")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, as the ending of the name says. Raises UsageError."""
    check_name(path)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with _drawing(), replacing(path) as part:
        figure.savefig(part, metadata=metadata)
