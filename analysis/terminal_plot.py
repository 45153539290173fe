"""The pictures of analysis.plot in characters, for a machine without a browser. Needs no matplotlib.

A letter says what lies there, so that no colour is needed; on a terminal letters stand on colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from analysis.charts import (
    bands_of,
    drawn_of,
    lay_out_still,
    marks,
    names_of,
    points_of,
    short,
    span,
    ticks,
    told_of,
    whose,
)
from analysis.engine import Engine
from analysis.output import Style
from analysis.picture import KINDS, Bounds
from analysis.text import inert

__all__ = ["LETTERS", "counts", "picture"]

LETTERS = {
    "code": "x", "file": "f", "shared": "s", "heap": "h", "stack": "k", "anonymous": "a", "jit": "j", "special": "v",
}  # fmt: skip
"""Of each kind of mapping."""
_COLOURS = {
    "code": 44, "file": 46, "shared": 43, "heap": 45, "stack": 105, "anonymous": 42, "jit": 41, "special": 47,
}  # fmt: skip
_LEFT, _RIGHT = 14, 18  # columns of addresses and of names
_WIDTH = 100
_COUNTED, _BAR = 6, 8  # charts of counts, and lines of each


def picture(
    engine: Engine,
    pids: Sequence[int] = (),
    since: str | None = None,
    until: str | None = None,
    *,
    style: Style,
    lines: int = 40,
) -> Iterator[str]:
    """Address spaces over time, in so many lines and the width of a style; else as analysis.plot.picture."""
    bounds, bands = lay_out_still(engine, pids, since, until)
    found = marks(engine)
    width = style.width or _WIDTH
    right = _RIGHT if width >= 72 else 0
    columns = max(width - _LEFT - right, 8)
    first, last = span(bands, bounds)
    # 0 is the top line; every cell is a kind, and whether that is certain
    cells: list[list[tuple[str, bool] | None]] = [[None] * columns for _ in range(lines)]
    top = bounds.height + 4

    def across(x: float) -> float:
        return (x - first) / (last - first) * columns

    def down(y: float) -> float:
        return (top - y) / top * lines

    rows = drawn_of(engine, bounds)
    kinds = {row["kind"] for row in rows}
    small = []
    for row in rows:  # a cell is what lies in its middle
        left, end = round(across(row["x0"])), round(across(row["x1"]))
        upper, lower = round(down(row["y1"])), round(down(row["y0"]))
        if left >= end or upper >= lower:
            small.append(row)
            continue
        for line in cells[max(upper, 0) : lower]:
            line[max(left, 0) : end] = [(row["kind"], row["certain"])] * (min(end, columns) - max(left, 0))
    for row in small:  # what is in the middle of none shows where nothing else does
        left = min(max(int(across(row["x0"])), 0), columns - 1)
        for at in range(left, max(left + 1, min(round(across(row["x1"])), columns))):
            line = cells[min(max(int(down((row["y0"] + row["y1"]) / 2)), 0), lines - 1)]
            line[at] = line[at] or (row["kind"], row["certain"])
    text = [[_cell(cell, style) for cell in line] for line in cells]
    lost = _losses(engine, across, columns)
    for n, line in enumerate(cells):
        for at in lost:
            if line[at] is None:
                text[n][at] = "~"
    for mark in sorted(found, key=lambda mark: mark.number is not None):
        row = mark.row
        y = top if row["y0"] is None or row["y1"] is None else (row["y0"] + row["y1"]) / 2
        at, n = min(max(int(across(row["x0"])), 0), columns - 1), min(max(int(down(y)), 0), lines - 1)
        sign = "!" if mark.number is None else str(mark.number)
        text[n][at] = f"\x1b[1;37;41m{sign}\x1b[0m" if style.colour else sign
    starts, names = _addresses(engine, down, lines), _names(engine, bounds, down, lines, right)
    for n, shown in enumerate(text):
        yield f"{starts.get(n, ''):>{_LEFT - 2}} |{''.join(shown)} {names.get(n, '')}".rstrip() + "\n"
    yield from _axis(engine, bounds, first, last, columns, lost)
    said = [f"{LETTERS[kind]} {kind}" for kind in KINDS if kind in kinds]
    said += ["? only possible"] if any(not row["certain"] for row in rows) else []
    said += ["~ records lost"] if lost else []
    said += ["! a finding"] if any(mark.number is None for mark in found) else []
    yield from _wrapped("  ".join(said), width)
    for sentence in told_of(engine, bounds, found):
        yield from _wrapped(sentence, width)


def _cell(cell: tuple[str, bool] | None, style: Style) -> str:
    if cell is None:
        return " "
    kind, certain = cell
    letter = LETTERS[kind] if certain else "?"
    return f"\x1b[30;{_COLOURS[kind]}m{letter}\x1b[0m" if style.colour else letter


def _losses(engine: Engine, across: Any, columns: int) -> list[int]:
    found: set[int] = set()
    for row in engine.query("SELECT x0, x1 FROM signs WHERE what = 'loss'").dicts():
        found |= set(range(max(int(across(row["x0"])), 0), min(int(across(row["x1"])) + 1, columns)))
    return sorted(found)


def _addresses(engine: Engine, down: Any, lines: int) -> dict[int, str]:
    """The first address of each stretch of mappings, and whose it is at the last, by line."""
    found: dict[int, str] = {}
    rows = engine.query(
        "FROM (SELECT y0, start, mapped, lag(mapped) OVER (PARTITION BY band ORDER BY start) AS below FROM axis) "
        "WHERE mapped AND below IS NOT true ORDER BY y0 DESC"
    ).dicts()
    for row in rows:
        if row["mapped"] and not row["below"]:
            found.setdefault(min(max(round(down(row["y0"])) - 1, 0), lines - 1), f"{row['start']:x}")
    tops = "SELECT capture, pid, max(y1) AS top FROM shown JOIN axis USING (band) GROUP BY band, capture, pid"
    for row in engine.query(tops).dicts():
        name = f"{row['pid']} {inert(row['capture'])}" if len(engine.captures) > 1 else f"pid {row['pid']}"
        found[min(max(round(down(row["top"])), 0), lines - 1)] = short(name, _LEFT - 2)
    return found


def _names(engine: Engine, bounds: Bounds, down: Any, lines: int, width: int) -> dict[int, str]:
    """What lies there, by line: of each file or area the largest that has room."""
    found: dict[int, str] = {}
    for row in names_of(engine, bounds) if width else ():
        n = min(max(int(down((row["y0"] + row["y1"]) / 2)), 0), lines - 1)
        found.setdefault(n, short(row["name"], width - 1))
    return found


def _axis(engine: Engine, bounds: Bounds, first: int, last: int, columns: int, lost: Sequence[int]) -> Iterator[str]:
    line, labels = ["~" if at in lost else "-" for at in range(columns)], [" "] * (columns + _LEFT + _RIGHT)
    used = 0
    for at, label in ticks(engine, bounds, first, last, max(columns // 14, 1)):
        column = min(int((at - first) / (last - first) * columns), columns - 1)
        line[column] = "+"
        if column >= used:
            labels[column : column + len(label)] = label
            used = column + len(label) + 2
    yield f"{'':>{_LEFT - 2}} +{''.join(line)}\n"
    yield f"{'':>{_LEFT}}{''.join(labels)}".rstrip() + "\n"


def _wrapped(text: str, width: int) -> Iterator[str]:
    for line in textwrap.wrap(text, width, subsequent_indent="   ", break_on_hyphens=False):
        yield f"{line}\n"


def counts(
    engine: Engine, pids: Sequence[int] = (), since: str | None = None, until: str | None = None, *, style: Style
) -> Iterator[str]:
    """VMAs over time, a chart for each of the address spaces with most. Arguments as of `picture`."""
    bounds, _ = lay_out_still(engine, pids, since, until, ["map_limit"])
    bands = bands_of(engine)
    first, last = span(bands, bounds)
    columns = max((style.width or _WIDTH) - _LEFT, 8)

    def across(x: float) -> float:
        return (x - first) / (last - first) * columns

    lost = _losses(engine, across, columns)
    for band in bands[:_COUNTED]:
        limit = band["limit_vmas"]
        most = [0] * columns
        points = points_of(engine, band["band"])
        end = bounds.width_ns if band["x1"] is None else min(band["x1"], bounds.width_ns)
        for point, after in zip(points, [*(each["x"] for each in points[1:]), end], strict=True):
            left = min(max(int(across(point["x"])), 0), columns - 1)
            right = min(max(int(across(after)), left + 1), columns)
            most[left] = max(most[left], point["most"])
            for at in range(left, right):
                most[at] = max(most[at], point["vmas"])
        told = "limit not recorded" if limit is None else f"limit {limit:,}, {band['peak'] / limit:.1%} of it"
        yield f"{whose(engine, band, _WIDTH)}: {band['peak']:,} VMAs at the peak; {told}\n"
        # near the limit its line is shown
        top = limit if limit is not None and band["peak"] * 2 > limit else max(band["peak"], 1)
        for n in range(_BAR, 0, -1):
            bar = "".join("#" if value * _BAR >= top * n - top // 2 and value else " " for value in most)
            if n == _BAR and top == limit:
                bar = "".join("=" if char == " " else char for char in bar)
            label = f"{top:,}" if n == _BAR else ""
            yield f"{label:>{_LEFT - 2}} |{bar}".rstrip() + "\n"
        yield from _axis(engine, bounds, first, last, columns, lost)
    if len(bands) > _COUNTED:
        yield f"and {len(bands) - _COUNTED} more address spaces: --pid chooses\n"
    if lost:
        yield "~ records lost\n"
