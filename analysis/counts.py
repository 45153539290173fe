"""Counts VMAs over time against vm.max_map_count, and says who makes them and when the limit is reached."""

from __future__ import annotations

from analysis import filters
from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.makers import KEYS, PATH, with_names
from analysis.options import By
from analysis.scripts import run
from analysis.times import Clock, parse

__all__ = ["count", "forecasts", "group_of", "makers", "per_second", "series", "step_ns"]

_MOST_STEPS = 1_000_000
_GROUPS = (By.CAUSE, By.FILE, By.STACK, By.THREAD)
_NAMED = 3  # makers named with a forecast


def per_second(rate: str) -> str:
    """SQL for a rate as text: three figures, for of a process that lived for milliseconds it is in millions."""
    return (
        f"CASE WHEN abs({rate}) < 100 THEN format('{{:+.1f}}/s', {rate}) ELSE format('{{}}{{:,}}/s', "
        f"if({rate} > 0, '+', ''), round({rate}, 2 - floor(log10(abs({rate})))::INTEGER)::BIGINT) END"
    )


def step_ns(text: str) -> int:
    """A length of time such as 100ms, in ns."""
    try:
        length = parse(f"+{text}", Clock(0, 0, 0))
    except UsageError:
        length = 0
    if length < 1:
        raise UsageError(f"not a length of time: {text}", "write 100ms, or another number of ns, us, ms, s or m")
    return length


def group_of(text: str) -> By:
    """What VMAs can be grouped by. Raises UsageError for anything else."""
    if text not in _GROUPS:
        raise UsageError(f"VMAs cannot be grouped by: {text}", f"one of: {', '.join(_GROUPS)}")
    return By(text)


def count(engine: Engine, pid: int | None = None) -> None:
    """Count in the address spaces of a process, or in all."""
    engine.need_timeline()
    captures = ", ".join(
        f"({text_literal(label)}, {capture.manifest.clock.started_ns}::UBIGINT, {capture.covered_to_ns}::UBIGINT, "
        f"{'NULL' if capture.manifest.max_map_count is None else capture.manifest.max_map_count}::BIGINT)"
        for label, capture in engine.captures.items()
    )
    spaces = "spaces" if pid is None else filters.of_pid(engine, pid)
    engine.execute(
        "CREATE TABLE targets AS SELECT DISTINCT capture, space, since_ns, until_ns, limit_vmas "
        f"FROM (SELECT capture, space FROM {spaces}) "
        f"JOIN (VALUES {captures}) AS captures(capture, since_ns, until_ns, limit_vmas) USING (capture)"
    )
    run(engine, "counts", "counting VMAs")


def forecasts(engine: Engine, compact: bool) -> str:
    """A query: a row for each address space, with what made most of its VMAs at the peak. `compact`: for a table."""
    run(engine, "makers", "asking who made them")
    columns = (
        "capture, host, pid, space, comm, peak, peak_at_most, peak_ns, vmas, vmas_at_most, possible, limit_vmas, "
        "share, rate, rate_at_most, outlook, forecast_ns, certainty, reason, makers"
    )
    if compact:
        columns = "capture, " if len(engine.captures) > 1 else ""
        columns += (
            "pid, comm, peak, peak_ns, vmas, vmas_at_most, limit_vmas, format('{:.1f} %', share * 100) AS share, "
            f"{per_second('rate')} || "
            f"if(starts_with(outlook, 'not known'), ' to ' || {per_second('rate_at_most')}, '') AS rate, "
            "outlook, forecast_ns, certainty "
            "|| coalesce(if(possible > 0, format(': {} of them, ', possible), ': ') || reason, '') AS certainty, makers"
        )
    return f"""
        WITH named AS (
            SELECT
                capture, space, concat(cause, ' ', {PATH.removesuffix(" AS path")}) AS maker,
                sum(change_to_peak) AS made
            FROM made GROUP BY ALL HAVING made > 0
        ),
        most AS (
            FROM named QUALIFY row_number() OVER (PARTITION BY capture, space ORDER BY made DESC, maker) <= {_NAMED}
        )
        SELECT {columns}
        FROM forecasts
        LEFT JOIN (
            SELECT capture, space, string_agg(maker || ': ' || made, ', ' ORDER BY made DESC, maker) AS makers
            FROM most GROUP BY capture, space
        ) USING (capture, space)
        ORDER BY peak_at_most DESC, peak DESC, capture, space
    """


def makers(engine: Engine, by: By, compact: bool) -> str:
    """A query: what made the VMAs that each address space has at the end, and those it had at its peak."""
    run(engine, "makers", "asking who made them")
    origin = "capture, host, space, " if not compact else "capture, " if len(engine.captures) > 1 else ""
    return (
        f"SELECT {origin}pid, sum(change_to_peak)::BIGINT AS at_peak, "
        "sum(change)::BIGINT AS vmas, sum(change_at_most)::BIGINT AS vmas_at_most, "
        f"sum(possible)::BIGINT AS possible, {KEYS[by]} FROM {with_names(engine, 'made', by)} "
        "GROUP BY ALL HAVING at_peak <> 0 OR vmas <> 0 OR vmas_at_most <> 0 "
        "ORDER BY greatest(at_peak, vmas_at_most) DESC, vmas DESC"
    )


def series(engine: Engine, every_ns: int, compact: bool) -> str:
    """A query: the VMAs of each address space at evenly spaced instants."""
    [(steps,)] = engine.execute(f"SELECT max(end_ns - from_ns) // {every_ns} FROM chosen")
    if (steps or 0) > _MOST_STEPS:
        raise UsageError(f"so short steps make too many rows: {steps}", "give --every a longer time")
    engine.execute(f"SET VARIABLE every = {every_ns}")
    run(engine, "series", "counting VMAs")
    columns = (
        "*"
        if not compact
        else "* EXCLUDE (host, space)"
        if len(engine.captures) > 1
        else "* EXCLUDE (capture, host, space)"
    )
    return f"SELECT {columns} FROM series ORDER BY capture, space, ts_ns"
