"""What recording costs, measured on this machine: `make bench`, or `python -m tests.bench --help`.

Needs root and a machine with nothing else to do; takes some four minutes. Absolute figures differ from machine to
machine, so each is also given as a ratio to the same workload untraced, which runs right before it. The tracers take
turns, in several rounds; of the rounds the median is shown. The workload (tests/workloads/hammer.c) makes mmap,
mprotect and munmap of one page in turn, then getppid, which nobody traces, pinned to one CPU; the tracer may use all.
What rebuilding costs is measured next by `make bench`: tests/bench/rebuild.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from recorder.plan import private_tracefs
from tests.bench.report import Column, machine, say, table
from tests.bench.tracers import (
    HOST,
    TRACED,
    TRACERS,
    UNTRACED,
    Run,
    Tracer,
    Workload,
    adopt_orphans,
    available,
    naming,
    start_and_end,
)

__all__ = ["main"]

_CALLS, _OTHER_CALLS, _FLOOD_CALLS = 450_000, 1_500_000, 3_000_000
_QUICK = 50  # --quick makes that many times fewer calls


class Bench:
    """The figures, as they come in."""

    def __init__(self, quick: bool, rounds: int, scratch: Path) -> None:
        self.quick = quick
        self.rounds = 1 if quick else rounds
        self.scratch = scratch
        self.fewer = _QUICK if quick else 1
        self.cpu = max(os.sched_getaffinity(0))

    def _workload(self, tracer: Tracer) -> Workload:
        fewer = max(self.fewer, tracer.slowdown)
        return Workload((f"{_CALLS // fewer} mix", f"{_OTHER_CALLS // fewer} other"), self.cpu)

    def costs(self) -> list[dict[str, Any]]:
        """A row a tracer: ns of a traced call (and of each kind) and of an untraced one, added ns and ratio."""
        left_out = [tracer.name for tracer in TRACERS if not available(tracer)]
        if left_out:
            say(f"left out, not installed: {', '.join(left_out)}")
        tracers = [tracer for tracer in TRACERS if available(tracer)]
        pairs: dict[str, list[tuple[Run, Run]]] = {tracer.name: [] for tracer in tracers}
        for turn in range(self.rounds):
            for tracer in tracers:
                say(f"round {turn + 1} of {self.rounds}: {tracer.name.strip()}")
                workload = self._workload(tracer)
                # untraced with as many calls: short runs are dearer a call
                pairs[tracer.name].append((UNTRACED.run(workload, self.scratch), tracer.run(workload, self.scratch)))
        everyone = [before for runs in pairs.values() for before, _ in runs]
        return [_row(UNTRACED.name, [(run, run) for run in everyone]), *(_row(name, pairs[name]) for name in pairs)]

    def floods(self) -> list[dict[str, Any]]:
        """How the recorder stands calls made as fast as can be: rates, losses, its CPU time, bytes on disk."""
        cpus = len(os.sched_getaffinity(0))
        calls = _FLOOD_CALLS // self.fewer
        cases = [
            ("mix from one CPU", HOST, Workload((f"{calls} mix",), self.cpu)),
            ("mprotect from one CPU", HOST, Workload((f"{calls} mprotect",), self.cpu)),
            ("munmap of nothing from one CPU", HOST, Workload((f"{2 * calls} munmap",), self.cpu)),
            (f"mprotect from all {cpus} CPUs", HOST, Workload((f"{calls} mprotect {cpus}",))),
        ]
        rows = []
        for name, tracer, workload in cases[:1] if self.quick else cases:
            say(f"flood: {name}")
            rows.append({"workload": name, **_flood(tracer.run(workload, self.scratch))})
        return rows

    def namings(self) -> list[dict[str, Any]]:
        """What it takes to name the frames of stacks when a recording ends."""
        programs = 1000 // self.fewer
        loop = f"i=0; while [ $i -lt {programs} ]; do /bin/true; i=$((i+1)); done"
        cases = [(f"{programs:,} short programs", ["sh", "-c", loop])]
        if not self.quick:
            cases.append(("python", [sys.executable, "-c", "import asyncio, email, json, sqlite3, xml.dom"]))
            cases += [("java -version", ["java", "-version"])] if shutil.which("java") else []
        say("naming frames")
        return [{"workload": name, **naming(command, self.scratch)} for name, command in cases]

    def times(self) -> dict[str, float]:
        """Seconds (medians) a recording of nothing takes to begin, to end, and to let go of the kernel."""
        say("start and end")
        runs = [start_and_end(self.scratch) for _ in range(self.rounds)]
        return dict(zip(("first_event_s", "end_s", "probes_off_s"), map(median, zip(*runs, strict=True)), strict=True))


def _row(name: str, runs: list[tuple[Run, Run]]) -> dict[str, Any]:
    def each(run: Run) -> float:
        return sum(run.ns[kind] for kind in TRACED) / len(TRACED)

    return {
        "tracer": name,
        **{f"{kind}_ns": median(run.ns[kind] for _, run in runs) for kind in TRACED},
        "call_ns": median(each(run) for _, run in runs),
        "call_ratio": median(each(run) / each(before) for before, run in runs),
        "other_ns": median(run.ns["other"] for _, run in runs),
        "other_added_ns": median(run.ns["other"] - before.ns["other"] for before, run in runs),
        "disk_bytes_per_call": median(run.disk_bytes / run.calls for _, run in runs),
    }


def _flood(run: Run) -> dict[str, Any]:
    assert run.capture is not None
    manifest = run.capture.manifest
    lost = sum(table["lost"] for table in manifest["totals"].values())
    files: dict[str, list[int]] = {}
    for file in manifest["files"]:
        kept = files.setdefault(file["table"], [0, 0])
        kept[0] += file["rows"]
        kept[1] += file["bytes"]
    rows = sum(kept[0] for kept in files.values())
    return {
        "calls_per_s": run.rate,
        "records_per_s": run.rate * (rows + lost) / run.calls,
        "lost": lost,
        "lost_ratio": lost / (rows + lost),
        "reader_us_per_record": manifest["recorder"]["cpu_s"] / (rows + lost) * 1e6,
        "compaction_us_per_record": manifest["recorder"]["compaction_cpu_s"] / (rows + lost) * 1e6,
        "bytes_per_record": run.disk_bytes / rows,
        "bytes_per_call": run.disk_bytes / run.calls,
        **{f"{name}_bytes": size / count for name, (count, size) in files.items() if name in ("syscalls", "vmas")},
    }


_COST_COLUMNS: tuple[Column, ...] = (
    ("tracer", "tracer", "{}"),
    *((f"{kind}_ns", f"{kind} ns", "{:,.0f}") for kind in TRACED),
    ("call_ns", "mean ns", "{:,.0f}"),
    ("call_ratio", "ratio", "{:.2f}"),
    ("other_ns", "getppid ns", "{:,.0f}"),
    ("other_added_ns", "added ns", "{:+,.0f}"),
    ("disk_bytes_per_call", "bytes/call", "{:,.1f}"),
)
_NAMING_COLUMNS: tuple[Column, ...] = (
    ("workload", "frames named at the end", "{}"),
    ("rows", "rows", "{:,}"),
    ("stacks", "stacks", "{:,}"),
    ("functions", "functions", "{:,}"),
    ("files", "files", "{}"),
    ("cpu_s", "CPU s", "{:.2f}"),
    ("bytes", "bytes", "{:,}"),
)
_FLOOD_COLUMNS: tuple[Column, ...] = (
    ("workload", "workload, as fast as it can", "{}"),
    ("calls_per_s", "calls/s", "{:,.0f}"),
    ("records_per_s", "records/s", "{:,.0f}"),
    ("lost_ratio", "lost", "{:.2%}"),
    ("reader_us_per_record", "CPU us/record", "{:.3f}"),
    ("compaction_us_per_record", "compacting", "{:.3f}"),
    ("bytes_per_record", "bytes/record", "{:.1f}"),
    ("syscalls_bytes", "syscalls", "{:.1f}"),
    ("vmas_bytes", "vmas", "{:.1f}"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each tracer (3)")
    parser.add_argument("--quick", action="store_true", help="few calls, one round: shows that it works, no figures")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: recording needs root\n\nhint: sudo make bench")
    private_tracefs()  # perf and bpftrace look for it; ours alone, so nothing is left mounted
    adopt_orphans()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"warning: the machine is busy, so the figures will be off: load average {busy:.1f}")
    with tempfile.TemporaryDirectory(prefix="maptrail-bench-") as scratch:
        bench = Bench(options.quick, options.rounds, Path(scratch))
        began = time.monotonic()
        figures: dict[str, Any] = {
            "machine": machine(),
            "costs": bench.costs(),
            "floods": bench.floods(),
            "namings": bench.namings(),
            "times": bench.times(),
        }
    say(f"took {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(figures["machine"], end="\n\n")
    print(table(_COST_COLUMNS, figures["costs"]), end="\n\n")
    print(table(_FLOOD_COLUMNS, figures["floods"]), end="\n\n")
    print(table(_NAMING_COLUMNS, figures["namings"]), end="\n\n")
    print(
        "first event after {first_event_s:.2f} s, end {end_s:.2f} s after the last one, "
        "probes off {probes_off_s:.2f} s later".format(**figures["times"])
    )


if __name__ == "__main__":
    main()
