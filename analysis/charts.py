"""What still pictures have in common, whatever draws them: a window of time, what is drawn, marks, ticks, sentences.

All of it is asked of the tables that analysis.picture lays out; times are the picture's, in ns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.engine import Engine
from analysis.picture import Bounds, Most, lay_out
from analysis.text import inert

__all__ = [
    "MOST", "Mark", "bands_of", "drawn_of", "lay_out_still", "marks", "names_of", "points_of", "short", "since_start",
    "span", "ticks", "told_of", "whose",
]  # fmt: skip

MOST = Most(spaces=12, edges=150_000, rows=60_000)
"""Of a picture that cannot be zoomed."""
_BRIEF = 200  # of the picture's time, one part in so many is a moment
_NUMBERED = 6  # findings that are told in words
_LONGEST = 480  # characters of one of them


@dataclass(frozen=True)
class Mark:
    """A finding to be marked: a row of signs, and, for the gravest, its number in the words below."""

    row: dict[str, Any]
    number: int | None


def short(text: str, width: int) -> str:
    """Text of so many characters at most."""
    return text if len(text) <= width else text[: width - 1] + "…"


def whose(engine: Engine, row: dict[str, Any], width: int) -> str:
    """Whose address space a row of shown is: `comm (pid)`, inert, of so many characters of comm; of several captures
    with its own before it."""
    capture = f"{short(inert(row['capture']), width)}: " if len(engine.captures) > 1 else ""
    return f"{capture}{short(inert(row['comm'] or ''), width)} ({row['pid']})"


def lay_out_still(
    engine: Engine,
    pids: Sequence[int],
    since: str | None,
    until: str | None,
    findings: Sequence[str] | None = None,
) -> tuple[Bounds, list[dict[str, Any]]]:
    """Lay out a picture that cannot be zoomed; its bounds, and the rows of shown of what is in it, lowest first.

    Without a window it is the time in which the processes had mappings. Address spaces that were there for a moment
    only, as between fork and exec, and have no grave finding, are left out. `findings` as of analysis.picture.lay_out.
    """
    bounds = lay_out(engine, pids, *_window(engine, pids, since, until), most=MOST, findings=findings)
    height = bounds.height
    grave = "SELECT band FROM signs WHERE expected IS NULL AND severity IN ('high', 'medium') AND band IS NOT NULL"
    stood = f"least(coalesce(x1, {bounds.width_ns}), {bounds.width_ns}) - greatest(x0, since_ns::BIGINT - zero_ns)"
    tall = "(SELECT max(y1) - min(y0) + 6 FROM axis WHERE axis.band = shown.band)"
    engine.execute(
        f"CREATE OR REPLACE TABLE left_out AS SELECT band, {tall} AS height FROM shown "
        f"WHERE ({stood}) * {_BRIEF} < {bounds.width_ns} AND band NOT IN ({grave})"
    )
    [(few, many)] = engine.execute("SELECT (SELECT count(*) FROM left_out), (SELECT count(*) FROM shown)")
    if 0 < few < many:
        [(gone,)] = engine.execute("SELECT sum(height) FROM left_out")
        height -= gone
        for table in ("shown", "axis", "rectangles", "blocks", "signs", "lines_over_time"):
            engine.execute(f"DELETE FROM {table} WHERE band IN (SELECT band FROM left_out)")
        for table in ("axis", "rectangles", "blocks", "signs"):
            below = f"coalesce((SELECT sum(height) FROM left_out WHERE left_out.band < {table}.band), 0)"
            engine.execute(f"UPDATE {table} SET y0 = y0 - {below}, y1 = y1 - {below}")
    else:
        engine.execute("DELETE FROM left_out")
    return replace(bounds, height=height), engine.query("FROM shown ORDER BY band").dicts()


def _window(engine: Engine, pids: Sequence[int], since: str | None, until: str | None) -> tuple[str | None, str | None]:
    if since is not None or until is not None or len(engine.captures) != 1:
        return since, until
    [capture] = engine.captures.values()
    users = f"SELECT (capture, space) FROM uses WHERE pid IN ({', '.join(map(str, pids))})"
    engine.need_timeline()
    [(first, last)] = engine.execute(
        f"SELECT min(from_ns), max(coalesce(to_ns, {capture.covered_to_ns})) FROM timeline "
        f"{f'WHERE (capture, space) IN ({users})' if pids else ''}"
    )
    if first is None:
        return None, None
    room = max((last - first) // 50, 1000)
    first = max(first - room, capture.manifest.clock.started_ns)
    return f"{first}ns", f"{max(min(last + room, capture.covered_to_ns), first)}ns"


def span(bands: Sequence[dict[str, Any]], bounds: Bounds) -> tuple[int, int]:
    """First and last instant of the picture of these rows of shown."""
    first = min(band["since_ns"] - band["zero_ns"] for band in bands)
    return first, max(bounds.width_ns, first + 1)


def since_start(engine: Engine, bounds: Bounds) -> int:
    """What to add to the picture's time to have it from the start of the capture, if there is only one. ns."""
    if len(engine.captures) > 1:
        return 0
    [(label, capture)] = engine.captures.items()
    return bounds.zero_ns[label] - capture.manifest.clock.started_ns


def ticks(engine: Engine, bounds: Bounds, first: float, last: float, most: int) -> Iterator[tuple[float, str]]:
    """Round times between two instants, at most so many: where they are, and as `+1.5s` from the start."""
    shift = since_start(engine, bounds)
    least = (last - first) / most
    power = 10 ** math.floor(math.log10(max(least, 1)))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= least)
    digits = max(0, math.ceil(9 - math.log10(step)))
    at = math.ceil((first + shift) / step) * step
    while at - shift <= last:
        yield at - shift, f"{at / 1e9:+.{digits}f}s"
        at += step


def drawn_of(engine: Engine, bounds: Bounds) -> list[dict[str, Any]]:
    """What to fill: rectangles, and blocks for those too short; `cover` is how much of the area is mapped.

    A block is certain where all that it stands for is.
    """
    return engine.query(
        f"SELECT greatest(x0, 0) AS x0, least(coalesce(x1, {bounds.width_ns}), {bounds.width_ns}) AS x1, y0, y1, "
        "rectangles.kind, reason IS NULL AS certain, coalesce(perms[1:3] = '---', false) AS barred, 1.0 AS cover "
        "FROM rectangles JOIN looks USING (look) WHERE kept AND level <= 1 "
        "UNION ALL SELECT x0, x1, y0, y1, kind, possible = 0, false, cover FROM blocks WHERE level = 1"
    ).dicts()


def marks(engine: Engine) -> list[Mark]:
    """The findings of the picture that was laid out, in order of time; what is normal or harmless is left out."""
    rows = engine.query(
        "SELECT signs.*, rank() OVER (ORDER BY list_position(['high', 'medium', 'low', 'info'], severity), x0, what) "
        "AS place FROM signs WHERE what <> 'loss' AND expected IS NULL AND severity <> 'info' ORDER BY x0, what"
    ).dicts()
    grave = sorted((row for row in rows if row["severity"] in ("high", "medium")), key=lambda row: row["place"])
    told = sorted(grave[:_NUMBERED], key=lambda row: (row["x0"], row["what"]))
    numbers = {id(row): number for number, row in enumerate(told, 1)}
    return [Mark(row, numbers.get(id(row))) for row in rows]


def told_of(engine: Engine, bounds: Bounds, found: Sequence[Mark]) -> Iterator[str]:
    """The gravest findings in inert sentences, and what the picture leaves out."""
    shift = since_start(engine, bounds)
    several = len(engine.captures) > 1
    for mark in found:
        if mark.number is not None:
            row = mark.row
            doubt = f" (possible: {row['reason']})" if row["certainty"] == "possible" else ""
            text = short(inert(row["sentence"] + doubt), _LONGEST)
            where = f"{inert(row['capture'])}: " if several else ""
            yield f"{mark.number}  {(row['x0'] + shift) / 1e9:+.6f}s  {where}{text}"
    more = sum(mark.number is None and mark.row["severity"] in ("high", "medium") for mark in found)
    if more:
        yield f"and {more:,} more findings: analyze edges"
    [(brief,)] = engine.execute("SELECT count(*) FROM left_out")
    if brief:
        spaces = "an address space that was" if brief == 1 else f"{brief:,} address spaces that were"
        yield f"left out: {spaces} there for a moment only"
    [(left_out,)] = engine.execute("SELECT count(*) FROM rectangles WHERE NOT kept OR level > 1")
    if left_out:
        yield f"{left_out:,} of {bounds.rectangles:,} mappings are too short to be seen and stand together as blocks"
    losses = engine.query("SELECT capture, sentence FROM signs WHERE what = 'loss' ORDER BY x0").dicts()
    if losses:
        gaps = len(losses) - 1
        where = f"{inert(losses[0]['capture'])}: " if several else ""
        yield where + inert(losses[0]["sentence"]) + (f", and {gaps:,} more gap{'s' * (gaps > 1)}" if gaps else "")


def names_of(engine: Engine, bounds: Bounds) -> list[dict[str, Any]]:
    """What lies where: of each file or area its heights and its inert name, those that stood longest first."""
    rows = engine.query(
        f"""
        WITH named AS (
            SELECT band, y0, y1, least(coalesce(x1, {bounds.width_ns}), {bounds.width_ns}) - greatest(x0, 0) AS stood,
                CASE WHEN rectangles.kind IN ('heap', 'stack') THEN '[' || rectangles.kind || ']'
                    ELSE coalesce(try(decode(path_bytes)), path_bytes::VARCHAR) END AS name
            FROM rectangles JOIN looks USING (look) WHERE kept
        )
        SELECT band, name, min(y0) AS y0, max(y1) AS y1 FROM named WHERE name <> '' GROUP BY band, name
        ORDER BY max(stood) DESC, name LIMIT 200
        """
    ).dicts()
    for row in rows:
        name = inert(row["name"])
        row["name"] = name.rsplit("/", 1)[-1] or name
    return rows


def bands_of(engine: Engine) -> list[dict[str, Any]]:
    """The address spaces whose VMAs are counted: rows of shown, with the most they had and the limit; most first."""
    return engine.query(
        "SELECT shown.*, max(most) AS peak, max(limit_vmas) AS limit_vmas FROM shown JOIN lines_over_time USING (band) "
        "GROUP BY ALL ORDER BY peak DESC, band"
    ).dicts()


def points_of(engine: Engine, band: int) -> list[dict[str, Any]]:
    """The numbers of VMAs of one of them over time: x [ns], vmas, and most since the point before."""
    return engine.query(f"SELECT x, vmas, most FROM lines_over_time WHERE band = {band} ORDER BY x").dicts()
