"""What stands out in a capture: gathered once, then drawn as text or given as plain values."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.capture import Capture
from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.output import Style, batch_lines
from analysis.text import duration, inert, size
from analysis.times import iso
from analysis.triggers import fired
from recorder.schema import TABLES

__all__ = ["COLUMNS", "SECTIONS", "Summary", "gather", "head", "lines"]

_TOP = 10

# One query a section. Those with a LIMIT show the top of a view that `analyze sql` shows whole.
_QUERIES = {
    "losses": """
        SELECT source, cause, gaps, lost, unknown, from_ns, to_ns
        FROM loss_intervals WHERE {here} ORDER BY from_ns""",
    "processes": """
        SELECT
            pid, comm, comm_bytes, if(pid IN {started}, 'run', began) AS began, first_ns, last_ns, exit_ns,
            calls, failed, faults, vma_records
        FROM processes WHERE {here} ORDER BY calls + file_calls DESC, vma_records DESC, pid LIMIT {top}""",
    "calls": """
        SELECT syscall, abi, calls, failed, processes, total_ns, longest_ns
        FROM calls_by_syscall WHERE {here} ORDER BY calls DESC, syscall""",
    "failures": """
        SELECT syscall, error, calls, processes, first_ns
        FROM failures WHERE {here} ORDER BY calls DESC, syscall, error LIMIT {top}""",
    "faults": """
        SELECT ts_ns, pid, comm, comm_bytes, signal, code, address, ip
        FROM faults WHERE {here} ORDER BY ts_ns LIMIT {top}""",
    "truncations": """
        SELECT ts_enter_ns, pid, comm, operation, path_given, device, inode, old_size_bytes, new_size_bytes, identity,
            certainty, reason
        FROM truncations WHERE {here} ORDER BY ts_enter_ns LIMIT {top}""",
    "readings": """
        SELECT reason, count(DISTINCT reading) AS readings, count(DISTINCT pid) AS processes, count(*) AS lines,
            min(ts_begin_ns) AS ts_begin_ns, max(ts_end_ns) AS ts_end_ns
        FROM maps WHERE {here} GROUP BY reason ORDER BY ts_begin_ns, reason""",
}
SECTIONS = ("tables", *_QUERIES)
"""The tables of a summary."""

COLUMNS = pa.schema(
    [
        ("capture", pa.string()), ("state", pa.string()), ("completeness", pa.list_(pa.string())),
        ("mode", pa.string()), ("command", pa.list_(pa.string())), ("host", pa.string()), ("kernel", pa.string()),
        ("arch", pa.string()), ("cpus", pa.int64()), ("boot_id", pa.string()), ("started_ns", pa.uint64()),
        ("started", pa.string()), ("duration_ns", pa.uint64()), ("size_bytes", pa.uint64()),
    ]
)  # fmt: skip
"""Of the facts, those that make a row; times are CLOCK_MONOTONIC ns, `started` is UTC."""

_TITLES = {
    "tables": "Records: attempted = stored + lost",
    "losses": "Losses, placed in time",
    "processes": "Processes with most calls",
    "calls": "Calls",
    "failures": "Failed calls",
    "faults": "Faults",
    "truncations": "Truncations, opens with O_TRUNC among them",
    "readings": "Readings of /proc/PID/maps",
}


@dataclass(frozen=True)
class Summary:
    """The facts of one capture: single values, and tables by name. Times are CLOCK_MONOTONIC ns."""

    label: str
    capture: Capture
    facts: dict[str, Any]
    tables: dict[str, pa.Table]

    def plain(self) -> dict[str, Any]:
        """All of it for JSON: a table is a list of objects."""
        return self.facts | {name: table.to_pylist() for name, table in self.tables.items()}


_COUNTS = pa.schema(
    [("table", pa.string()), *((name, pa.uint64()) for name in ("read", "attempted", "stored", "lost", "expired"))]
)


def gather(engine: Engine, label: str) -> Summary:
    """Ask everything the summary says of one capture."""
    capture = engine.captures[label]
    manifest, clock = capture.manifest, capture.manifest.clock
    read = dict.fromkeys(TABLES, 0)
    for file in capture.files:
        read[file.entry.table] += file.entry.rows
    facts = {
        "capture": str(capture.path),
        "state": capture.state,
        "completeness": capture.completeness(),
        "missing_from_ns": capture.missing_from_ns,
        "batches": {"read": len(capture.files), "listed": len(capture.files) + len(capture.damaged)},
        "damaged": [
            {"path": each.entry.path, "why": each.why, "from_ns": each.entry.from_ns, "to_ns": each.entry.to_ns}
            for each in capture.damaged
        ],
        "ignored": list(capture.ignored),
        "mode": manifest.mode,
        "command": list(manifest.command),
        "targets": list(manifest.targets),
        "host": manifest.host,
        "kernel": manifest.kernel,
        "arch": manifest.arch,
        "cpus": manifest.cpus,
        "boot_id": manifest.boot_id,
        "maptrail": manifest.maptrail,
        "started_ns": clock.started_ns,
        "started": iso(clock.started_ns, clock),
        "duration_ns": max(capture.covered_to_ns - clock.started_ns, 0),
        "size_bytes": sum(file.entry.bytes for file in capture.files),
        "recorder": manifest.recorder,
        "incident": None if manifest.incident is None else vars(manifest.incident),
        "trigger": fired(engine, label),
        "keep_s": manifest.keep_s,
        "incidents": list(manifest.incidents),
    }
    counts = [{"table": name, "read": read[name], **manifest.totals.get(name, {})} for name in TABLES]
    here = f"capture = {text_literal(label)}"
    tables = {"tables": pa.Table.from_pylist(counts, _COUNTS)}
    # before the recording there was no more of the command of `record run` than a child that waited
    started = list(manifest.targets) if manifest.mode == "run" else []
    tables |= {
        name: engine.query(sql.format(here=here, top=_TOP, started=started), f"summing up {name}").table()
        for name, sql in _QUERIES.items()
    }
    return Summary(label, capture, facts, tables)


def lines(summary: Summary, style: Style) -> Iterator[str]:
    """The summary as lines of text, what is missing first."""
    style = replace(style, clocks={summary.label: summary.capture.manifest.clock})
    for line in summary.facts["completeness"]:
        yield f"{inert(line)}\n"
    yield "\n"
    for name, text in (*_trigger(summary.facts), *head(summary.facts), *_window(summary)):
        yield f"{name:<9} {inert(text)}\n"
    for name, title in _TITLES.items():
        table = summary.tables[name]
        if name == "tables":
            table = table.filter(pc.greater(pc.add(table["read"], pc.fill_null(table["attempted"], 0)), 0))
            if pc.sum(table["expired"]).as_py():
                title += " + expired (older than the window)"
            else:
                table = table.drop_columns(["expired"])
        if not table.num_rows:
            continue
        yield f"\n{title}\n"
        yield from batch_lines(table, style)
    # before the end, what is attempted can still be in the rings
    for row in summary.tables["tables"].to_pylist() if summary.capture.state == "complete" else ():
        if row["attempted"] is not None and row["attempted"] != row["stored"] + row["lost"] + row["expired"]:
            yield f"\n{row['table']}: the recorder's counts do not add up: attempted is not stored + lost + expired\n"


def _trigger(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["trigger"] is not None:
        yield "trigger", facts["trigger"]


def _window(summary: Summary) -> Iterator[tuple[str, str]]:
    manifest = summary.capture.manifest
    if manifest.keep_s is not None:
        count = len(manifest.incidents)
        names = f": incidents/{', '.join(manifest.incidents[-3:])}" if count else ""
        dots = ", the last of them" if count > 3 else ""
        yield "window", f"the last {manifest.keep_s:g} s were to be kept; {count} incidents{dots}{names}"


def head(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What it is a recording of, by name."""
    what = facts["mode"]
    if facts["command"]:
        what += f": {shlex.join(facts['command'])}"
    elif facts["targets"]:
        what += f": {', '.join(map(str, facts['targets']))}"
    yield "capture", facts["capture"]
    yield "recorded", what
    yield "host", f"{facts['host']}, Linux {facts['kernel']} {facts['arch']}, {facts['cpus']} CPUs"
    yield "when", f"{facts['started']}, for {duration(facts['duration_ns'])}"
    yield "size", f"{size(facts['size_bytes'])} in {facts['batches']['read']} batches"
    recorder = facts["recorder"]
    if "cpu_s" in recorder and "max_rss_bytes" in recorder:
        yield "recorder", f"{recorder['cpu_s']:.2f} s of CPU, {size(int(recorder['max_rss_bytes']))} of memory at most"
