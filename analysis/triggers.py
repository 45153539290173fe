"""Says in words what made a flight recorder freeze a capture: the trigger, the process, and its fault or call."""

from __future__ import annotations

from analysis.dictionary import quote, text_literal
from analysis.engine import Engine
from analysis.times import relative
from recorder.schema import TABLES

__all__ = ["fired"]

_WHAT = {
    "faults": "format('{} at 0x{:x}', signal, address)",
    "syscalls": "format('{} failed with {}', syscall, coalesce(error, errno::VARCHAR))",
}


def fired(engine: Engine, label: str) -> str | None:
    """What fired: `enomem in process 7 (leak) at +4.1s: mmap failed with ENOMEM`. None where it is no incident."""
    capture = engine.captures[label]
    incident = capture.manifest.incident
    if incident is None:
        return None
    who = f"in process {incident.pid} ({incident.comm})" if incident.table else f"by process {incident.pid}"
    text = f"{incident.trigger} {who} at {relative(incident.ts_ns, capture.manifest.clock, 6)}"
    if incident.table in _WHAT:
        errors = " LEFT JOIN error_names USING (errno)" if incident.table == "syscalls" else ""
        rows = engine.query(
            f"SELECT {_WHAT[incident.table]} AS what FROM {incident.table}{errors} WHERE tid = {incident.tid} "
            f"AND capture = {text_literal(label)} AND {quote(TABLES[incident.table].time)} = {incident.ts_ns}"
        ).dicts()
        text += "".join(f": {row['what']}" for row in rows[:1])
    text += f", and {incident.more} more until the end" if incident.more else ""
    return text + (f"; {incident.held_back} held back since the incident before" if incident.held_back else "")
