"""The picture of address spaces over time: time to the right, addresses up, empty stretches squeezed.

The work is done in SQL, by the files of analysis/sql/picture in the order of their numbers: the tables are `shown`
(the address spaces, one band each), `looks` (files and permissions), `axis` (addresses to heights), `rectangles`
(mappings, each with its level of detail), `blocks` (what stands for those too small to be drawn), `signs` (findings and
losses) and `lines_over_time` (counts of VMAs). What draws, asks these. Of rectangles only those that are `kept` are
drawn as themselves; so what is drawn is bounded, whatever the capture holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import filters
from analysis.dictionary import text_literal
from analysis.edges import gather, kinds
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.scripts import run

__all__ = ["KINDS", "Bounds", "Most", "lay_out"]

KINDS = ("code", "file", "shared", "heap", "stack", "anonymous", "jit", "special")
"""What a mapping is drawn as; `pieces.sql` and `looks.sql` say which is which."""


@dataclass(frozen=True)
class Most:
    """What a picture holds at most: address spaces, cells of the axis, and rectangles that are drawn as themselves."""

    spaces: int = 200
    edges: int = 12_000
    rows: int = 700_000


@dataclass(frozen=True)
class Bounds:
    """How large the picture is: `width_ns` of time, `height` in units of the axis.

    `zero_ns` is by capture what 0 of the picture's time is [CLOCK_MONOTONIC]. `spaces` of `spaces_there` are shown, and
    `kept` of the `rectangles` as themselves.
    """

    width_ns: int
    height: float
    zero_ns: dict[str, int]
    spaces: int
    spaces_there: int
    rectangles: int
    kept: int


def lay_out(
    engine: Engine,
    pids: Sequence[int] = (),
    since: str | None = None,
    until: str | None = None,
    *,
    most: Most | None = None,
    findings: Sequence[str] | None = None,
) -> Bounds:
    """Make the tables of a picture of these processes (none: all) in a window of time (see analysis.times).

    `findings` are the kinds of findings that are marked (None: all). Captures of several machines share wall time.
    Raises UsageError where nothing was recorded that could be drawn.
    """
    most = most or Most()
    engine.need_timeline()
    for pid in pids:
        filters.of_pid(engine, pid)  # refused where nothing was recorded of it
    windows = filters.windows(engine, since, until)
    clocks = {label: engine.captures[label].manifest.clock for label in windows}
    shifts = {label: clock.realtime_ns - clock.monotonic_ns for label, clock in clocks.items()}
    begin = min(windows[label][0] + shifts[label] for label in windows)
    zeros = {label: begin - shifts[label] for label in windows}
    rows = ", ".join(
        f"({text_literal(label)}, {first}::UBIGINT, {last}::UBIGINT, {zeros[label]}::BIGINT)"
        for label, (first, last) in windows.items()
    )
    engine.execute(
        f"CREATE OR REPLACE TABLE asked AS FROM (VALUES {rows}) AS asked(capture, since_ns, until_ns, zero_ns); "
        "CREATE OR REPLACE TABLE asked_pids (pid UINTEGER)"
    )
    for pid in pids:
        engine.execute(f"INSERT INTO asked_pids VALUES ({pid})")
    engine.execute(f"SET VARIABLE spaces_most = {most.spaces}; SET VARIABLE edges_most = {most.edges}")
    engine.execute(f"SET VARIABLE rows_most = {most.rows}")
    engine.execute("DROP TABLE IF EXISTS found")
    gather(engine, kinds() if findings is None else findings, [])
    run(engine, "names", "naming heaps and stacks")
    run(engine, "picture", "laying out the picture")
    [counts] = engine.query(
        "SELECT count(*) AS rectangles, count(*) FILTER (kept) AS kept, (SELECT max(y1) FROM axis) AS height, "
        "(SELECT count(*) FROM shown) AS spaces, (SELECT max(spaces) FROM shown) AS spaces_there FROM rectangles"
    ).dicts()
    if not counts["rectangles"]:
        if since is not None or until is not None:
            raise UsageError("nothing that could be drawn was mapped in that time", "leave out --from and --to")
        raise UsageError("no mapping was recorded that could be drawn", "`analyze summary` says what the capture holds")
    width_ns = max(last - zeros[label] for label, (_, last) in windows.items())
    return Bounds(max(width_ns, 1), zero_ns=zeros, **counts)
