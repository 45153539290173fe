"""What `record doctor` prints: each fact, where it comes from on this kernel, and what to do."""

from __future__ import annotations

import json
import os
import sys
import textwrap

from recorder.plan import Probe, make_plan, problems

__all__ = ["show"]

_COLOURS = {"on": "32", "off": "33", "absent": "2"}


def show(format: str) -> int:
    """Print the plan; 0 when recording works here, 1 when it does not, 2 for an unknown format."""
    plan = make_plan()
    trouble = problems(plan)
    if format == "json":
        report = {
            "recording": not trouble.fatal,
            "fatal": [probe.as_dict() for probe in trouble.fatal],
            "degraded": [probe.as_dict() for probe in trouble.degraded],
            "plan": [probe.as_dict() for probe in plan],
        }
        print(json.dumps(report, indent=1))
    elif format == "table":
        print("\n".join(_lines(_shorter(plan))))
        print()
        if trouble.fatal:
            print(f"Recording does not work here: {trouble.fatal[0].why}")
        elif trouble.degraded:
            print(f"Recording works here; {len(trouble.degraded)} things are less than they could be.")
        else:
            print("Recording works here.")
        if not trouble.fatal:
            print("To keep the minutes before a crash: record host --keep 5m --trigger sigbus,sigsegv,enomem")
        hints = list(dict.fromkeys(probe.hint for probe in (*trouble.fatal, *trouble.degraded) if probe.hint))
        if hints:
            print("\n" + "\n".join(f"hint: {hint}" for hint in hints))
    else:
        print(f"record: no such format: {format}\n\nhint: table or json", file=sys.stderr)
        return 2
    return 1 if trouble.fatal else 0


def _shorter(plan: list[Probe]) -> list[Probe]:
    """The plan with one line for all the calls that can be recorded."""
    calls = [probe for probe in plan if probe.fact.startswith("call ")]
    on = [probe for probe in calls if probe.state == "on"]
    if not on:
        return plan
    all_on = Probe("calls", "syscalls:sys_enter_*", "on", f"{len(on)} of {len(calls)} have tracepoints")
    at = plan.index(calls[0])
    return [*plan[:at], all_on, *(probe for probe in plan[at:] if probe not in on)]


def _lines(plan: list[Probe]) -> list[str]:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = os.get_terminal_size().columns if sys.stdout.isatty() else 100
    facts = max(len(probe.fact) for probe in plan)
    sources = min(max(len(probe.source) for probe in plan), 44)
    lines = []
    for probe in plan:
        state = f"{probe.state:<6}"
        if colour:
            state = f"\x1b[{_COLOURS[probe.state]}m{state}\x1b[0m"
        head = f"{probe.fact:<{facts}}  {state}  {probe.source:<{sources}}"
        indent = facts + sources + 12
        why = textwrap.wrap(probe.why, max(width - indent, 30), break_on_hyphens=False) or [""]
        lines.append(f"{head}  {why[0]}".rstrip())
        lines += [" " * indent + more for more in why[1:]]
    return lines
