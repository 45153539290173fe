"""Tells the life of an address: what lay there, who put it there and took it away, its file's size, and the faults."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from analysis.dictionary import quote, text_literal
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.output import Style
from analysis.rows import Rows
from analysis.scripts import run
from analysis.spaces import Place, find
from analysis.stacks import name_stacks, with_stacks
from analysis.text import inert
from analysis.times import relative
from analysis.triggers import fired

__all__ = ["COLUMNS", "life", "lines", "listed", "owner", "place_of", "sent", "triggers", "troubles"]

COLUMNS = (
    "capture", "ts_ns", "what", "certainty", "reason", "text", "pid", "tid", "comm", "call", "call_ns", "stack_id",
    "until_ns", "start", "end", "perms", "dev", "inode", "generation", "path", "path_bytes", "offset_bytes",
    "size_bytes", "stack",
)  # fmt: skip
"""Of the rows. `what` is verdict, fault, refusal (of a call), truncation, growth, mapping, unmapped, doubt or loss;
`offset_bytes` is the address's, `stack` the frames of the call or fault, innermost first."""

_SELECT = ", ".join(map(quote, COLUMNS))
_SHOWN = 20  # rows of one kind that are written out
_WIDTH, _NARROWEST = 80, 30
_TYPED_NS = 1000  # a time that was shown in microseconds was rounded down

_TROUBLE = f"""
    SELECT {_SELECT}
    FROM (
        SELECT
            * EXCLUDE (pid, tid, comm, stack_id), 'fault' AS what, sentence AS text,
            other_pid AS pid, other_tid AS tid, other_comm AS comm, other_stack_id AS stack_id,
            facts['perms'] AS perms, facts['size_bytes']::UBIGINT AS size_bytes,
            NULL::UBIGINT AS until_ns, NULL::VARCHAR AS stack, lower(facts['signal']) AS trigger
        FROM edge_faults
        UNION ALL BY NAME
        SELECT *, 'refusal' AS what, sentence AS text, 'enomem' AS trigger
        FROM edge_map_limit
        WHERE severity = 'high' OR (call <> 'madvise' AND (capture, 'enomem', pid) IN {{fired}})
    )
    WHERE {{condition}}
    ORDER BY
        (capture, trigger, pid) IN {{fired}} DESC,
        list_position(['high', 'medium', 'low', 'info'], severity), capture, ts_ns
"""

# those that faulted there come first
_OWNERS = """
    SELECT capture, pid, bool_or(faulted) AS faulted
    FROM (
        SELECT capture, pid, true AS faulted FROM faults WHERE address >> 12 = {address} >> 12
        UNION ALL
        SELECT capture, uses.pid, false
        FROM timeline JOIN uses USING (capture, space)
        WHERE start <= {address} AND "end" > {address}
    )
    GROUP BY capture, pid
    ORDER BY faulted DESC, capture, pid
"""

_SENT = f"""
    SELECT pid, names.comm, exit_status & 127 AS signal
    FROM tasks LEFT JOIN (SELECT capture, pid, comm FROM processes) AS names USING (capture, pid)
    WHERE event = 'ended' AND exit_status & 127 IN (7, 11) AND {{condition}}
        AND (capture, pid) NOT IN (SELECT (capture, pid) FROM faults)
    LIMIT {_SHOWN}
"""

_FAULT = """
    SELECT ts_ns FROM faults
    WHERE capture = {capture} AND pid = {pid} AND address >> 12 = {address} >> 12 AND {condition}
    ORDER BY ts_ns DESC LIMIT 1
"""


def troubles(engine: Engine, pid: int | None) -> Rows:
    """The faults of a capture, or of one of its processes, and calls refused for too many VMAs, deadly ones first.

    Those that are alike are one row. Of an incident, what fired comes before all; it can be any refusal with ENOMEM.
    """
    incidents = [
        f"({text_literal(label)}, {text_literal(incident.trigger)}, {incident.pid}::UINTEGER)"
        for label, capture in engine.captures.items()
        if (incident := capture.manifest.incident)
    ]
    return engine.query(
        _TROUBLE.format(
            condition="true" if pid is None else f"pid = {pid}", fired=f"({', '.join(incidents) or 'NULL'})"
        ),
        "explaining faults",
    )


def triggers(engine: Engine) -> Iterator[str]:
    """What made incidents of these captures, a paragraph each."""
    for label in engine.captures:
        if (text := fired(engine, label)) is not None:
            yield f"{inert(f'trigger: {text}')}\n\n"


def sent(engine: Engine, pid: int | None) -> str:
    """Who died of SIGBUS or SIGSEGV without a fault of memory, in words: kill(2) or the like sent the signal."""
    rows = engine.query(_SENT.format(condition="true" if pid is None else f"pid = {pid}")).dicts()
    names = {7: "SIGBUS", 11: "SIGSEGV"}
    died = [f"{inert(row['comm'] or '')} (pid {row['pid']}) died of {names[row['signal']]}" for row in rows]
    return f"; {', '.join(died)}, which was sent to it, as kill does" if died else ""


def owner(engine: Engine, address: int) -> int | None:
    """The process that faulted at an address, else the only one that ever had something there; None if none had.

    Raises UsageError with the processes where there are several.
    """
    rows = engine.query(_OWNERS.format(address=address), "looking for the process").dicts()
    pids = list(dict.fromkeys(row["pid"] for row in rows if row["faulted"] or not rows[0]["faulted"]))
    if len(pids) > 1:
        did = "faulted" if rows[0]["faulted"] else "had something mapped"
        shown = f"{', '.join(map(str, pids[:_SHOWN]))}{', ...' if len(pids) > _SHOWN else ''}"
        raise UsageError(f"{len(pids)} processes have {did} at {address:#x}: {shown}", "give one with --pid")
    return pids[0] if pids else None


def place_of(engine: Engine, pid: int, address: int, at: str | None) -> tuple[Place, bool]:
    """The address space and the instant that are asked about, and whether the process faulted there then.

    Without a time it is that of the last fault at the address, else the end of the process or of the capture.
    """
    place = find(engine, pid, at)
    condition = "true" if at is None else f"ts_ns BETWEEN {place.at_ns} AND {place.at_ns + _TYPED_NS - 1}"
    found = engine.query(
        _FAULT.format(capture=text_literal(place.capture), pid=pid, address=address, condition=condition)
    ).dicts()
    if found:
        place = find(engine, pid, f"{found[0]['ts_ns']}ns")
    return place, bool(found)


def life(engine: Engine, place: Place, address: int, faulted: bool) -> Rows:
    """What is known of an address until an instant: the verdict, then what happened, newest first."""
    engine.execute(
        f"CREATE OR REPLACE TABLE question AS SELECT {text_literal(place.capture)} AS capture, "
        f"{place.space}::UBIGINT AS space, {place.pid}::UINTEGER AS pid, {address}::UBIGINT AS address, "
        f"{place.at_ns}::UBIGINT AS at_ns, {faulted} AS faulted"
    )
    run(engine, "why", "looking into the life of the address")
    name_stacks(engine, "FROM callers")
    return engine.query(
        f"SELECT {_SELECT} FROM "
        "(SELECT *, coalesce(call_ns, ts_ns) AS taken_ns FROM (FROM verdict UNION ALL BY NAME FROM life)) "
        "LEFT JOIN (SELECT capture, pid, stack_id, ts_ns AS taken_ns, array_to_string(stack_lines, ' < ') AS stack "
        f"FROM {with_stacks('callers', 'ts_ns')}) USING (capture, pid, stack_id, taken_ns) "
        "ORDER BY what <> 'verdict', ts_ns DESC, what"
    )


def listed(engine: Engine, rows: Iterable[dict[str, Any]], style: Style) -> Iterator[str]:
    """Faults and refusals as people read them, each a sentence below its time and how sure it is."""
    for number, row in enumerate(rows):
        if number == _SHOWN:
            yield "...\nthere are more: --pid PID has those of a process, --format json has all\n"
            return
        doubt = f": {row['reason']}" if row["certainty"] == "possible" else ""
        yield f"{_where(engine, row)}  {row['certainty']}{inert(doubt)}\n"
        yield from _wrapped("  ", row["text"], style)
        yield "\n"


def lines(engine: Engine, rows: Iterable[dict[str, Any]], style: Style) -> Iterator[str]:
    """The verdict and the life of an address as people read them: the time and what it is, then the text beside it."""
    count: Counter[str] = Counter()
    verdict = None
    for row in rows:
        what, text = row["what"], row["text"]
        count[what] += 1
        if what == "verdict":
            verdict = text
            yield from _wrapped(f"{row['certainty']}: ", text, style)
            if row["certainty"] == "possible":
                yield from _wrapped("  because ", row["reason"], style)
            yield "\n"
        elif count[what] <= _SHOWN:
            if text == verdict:
                text = f"{row['call']}, see above"
            elif row["certainty"] == "possible" and what != "doubt":
                text += f" (possible: {row['reason']})"
            yield from _wrapped(f"{_where(engine, row):>11}  {what:<10}  ", text, style)
            if row["stack"]:
                yield from _wrapped(f"{'':25}at ", row["stack"], style)
    for what, number in count.items():
        if number > _SHOWN:
            yield f"and {number - _SHOWN:,} more: {what}; --format json has all\n"


def _where(engine: Engine, row: dict[str, Any]) -> str:
    when = relative(row["ts_ns"], engine.captures[row["capture"]].manifest.clock)
    return f"{inert(row['capture'])} {when}" if len(engine.captures) > 1 else when


def _wrapped(lead: str, text: str, style: Style) -> Iterator[str]:
    width = max((style.width or _WIDTH) - len(lead), _NARROWEST)
    # a path is one word, however long
    for line in textwrap.wrap(inert(text), width, break_long_words=False, break_on_hyphens=False):
        yield f"{lead}{line}\n"
        lead = " " * len(lead)
