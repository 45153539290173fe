"""What rebuilding address spaces costs: the last part of `make bench`, alone `python -m tests.bench.rebuild`.

Needs root, since it records: the hammer (see tests.bench) at a rate at which nothing is lost, and ordinary programs.
What is larger than memory, or worse than what programs do, is generated. Each capture is rebuilt in a process of its
own, from opening it to the stored timeline; the peak of memory is that process's, the interpreter included. Takes
some ten minutes and 5 GB below the directory for temporary files ($TMPDIR).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.capture import open_captures
from analysis.engine import Limits
from analysis.rebuild import rebuilt
from tests.bench.generated import many_calls, many_forks, many_generations, many_moves, many_protections
from tests.bench.report import Column, machine, say, table
from tests.bench.tracers import adopt_orphans, reap
from tests.support.recordings import record_run
from tests.support.workloads import build

__all__ = ["main"]

_MIB = 1 << 20
_TABLES = ("syscalls", "vmas", "tasks")  # what is rebuilt from
_EVENTS_A_CALL = 5 / 3  # of the hammer: every call, and records of two calls out of three
_RATE = 300_000
_PROGRAMS = """
for round in $(seq {rounds}); do
    for source in {sources}; do gcc -O2 -c -o /dev/null "$source"; done
    {python} -c "import pyarrow, duckdb"
done
"""


@dataclass(frozen=True)
class Sizes:
    """How large the captures are: `recorded` in events, `rounds` of starting programs, of the worst ones the mappings
    and how often all of them change."""

    recorded: Sequence[int] = (100_000, 1_000_000, 10_000_000)
    rounds: int = 20
    vmas: int = 50_000
    times: tuple[int, int] = (20, 80)


_QUICK = Sizes((2_000, 10_000), 1, 200, (5, 20))


@dataclass(frozen=True)
class Cost:
    """What a rebuild took. `bare_bytes`: memory before it began; `folder`: where the timeline lies."""

    events: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    bare_bytes: int
    pieces: int
    folder: str


def _memory(field: str) -> int:
    """Bytes from our own status. Not ru_maxrss: it begins with the parent's memory."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) << 10


def _rebuild(path: Path, memory_bytes: int) -> Cost:
    bare, began = _memory("VmRSS"), (time.perf_counter(), time.process_time())
    with tempfile.TemporaryDirectory() as temporary:
        [capture] = open_captures([path])
        folder = rebuilt(capture, Limits(memory_bytes=memory_bytes), Path(temporary))
    seconds, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    peak = _memory("VmHWM")
    if capture.damaged:
        raise RuntimeError(f"batches are damaged: {capture.damaged}")
    events = sum(file.entry.rows for file in capture.files if file.entry.table in _TABLES)
    pieces = pq.read_metadata(folder / "timeline.parquet").num_rows
    return Cost(events, seconds, cpu, peak, bare, pieces, str(folder))


class Bench:
    """The figures, as they come in."""

    def __init__(self, sizes: Sizes, memory_bytes: int, scratch: Path) -> None:
        self.sizes = sizes
        self.memory_bytes = memory_bytes
        self.scratch = scratch

    def recorded(self) -> list[dict[str, Any]]:
        """Rows of real captures, the hammer's first and by size; what they hold is removed, but for the largest."""
        rows = []
        for events in self.sizes.recorded:
            calls = int(events / _EVENTS_A_CALL)
            command = [build("hammer"), str(calls), "mix", "2", "--rate", str(_RATE)]
            rows.append(self._recorded(f"hammer {events:,}", command, keep=events == self.sizes.recorded[-1]))
        sources = " ".join(map(str, sorted((Path(__file__).parents[1] / "workloads").glob("*.c"))))
        script = _PROGRAMS.format(rounds=self.sizes.rounds, sources=sources, python=sys.executable)
        return [*rows, self._recorded("gcc and python", ["/bin/sh", "-c", script])]

    def generated(self, events: int) -> dict[str, Any]:
        """The row of a capture of so many events, of a hundred processes."""
        return self._generated("generated", partial(many_calls, events=events))

    def worst(self) -> list[dict[str, Any]]:
        """Rows of one address space with many mappings, all of which change again and again, and of fewer with longer
        histories; each also with fewer times."""
        rows = []
        vmas = self.sizes.vmas
        for name, make, mappings, longer in (
            ("mprotect of all", many_protections, vmas, 1),
            ("fork, exit", many_forks, vmas, 1),
            ("mremap of a fifth", many_moves, vmas // 5, 1),
            ("fork of a fork", many_generations, max(vmas // 1000, 1), 50),
        ):
            first = None
            for times in (longer * each for each in self.sizes.times):
                row = self._generated(f"{name}, {times:,} times", partial(make, vmas=mappings, times=times))
                row["million_s"] = row["seconds"] / row["pieces"] * 1e6
                first = first or row["million_s"]
                rows.append(row | {"growth": row["million_s"] / first})
        return rows

    def maps_s(self, capture: str) -> float | None:
        """Seconds `analyze maps` takes where the timeline is stored, start included; None: there is no such command."""
        if find_spec("analysis.commands.maps") is None:
            return None
        say("analyze maps")
        path = self.scratch / capture
        [timeline] = path.with_name(f"{path.name}.timeline").glob("*/timeline.parquet")
        pid = pc.mode(pq.read_table(timeline, columns=["pid"])["pid"])[0]["mode"].as_py()
        code = "from analysis.cli import main; main()"
        command = [sys.executable, "-c", code, "maps", str(path), "--pid", str(pid)]
        for _ in range(2):
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    def _recorded(self, name: str, command: Sequence[str | Path], keep: bool = False) -> dict[str, Any]:
        say(f"record: {name}")
        path = self.scratch / name
        capture, _ = record_run(path, command)
        reap()
        lost = {table: counts["lost"] for table, counts in capture.manifest["totals"].items() if counts["lost"]}
        if lost or capture.manifest["losses"]:
            raise RuntimeError(f"the machine is too busy: of {name} was lost: {lost or capture.manifest['losses']}")
        return self._row(name, path, keep)

    def _generated(self, name: str, make: Callable[[Path], int]) -> dict[str, Any]:
        say(f"generate: {name}")
        path = self.scratch / name
        pieces = make(path)
        row = self._row(name, path)
        if row["pieces"] != pieces:
            raise RuntimeError(f"{name} holds {pieces:,} mappings, rebuilt were: {row['pieces']:,}")
        return row

    def _row(self, name: str, path: Path, keep: bool = False) -> dict[str, Any]:
        say(f"rebuild: {name}")
        command = [
            sys.executable,
            "-m",
            "tests.bench.rebuild",
            "--only",
            path,
            "--memory",
            str(self.memory_bytes // _MIB),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(f"the rebuild of {name} failed, see above")
        cost = Cost(**json.loads(done.stdout))
        say(f"  {cost.events:,} events in {cost.seconds:.1f} s, at most {cost.peak_bytes / _MIB:,.0f} MiB")
        if not keep:
            shutil.rmtree(path)
            shutil.rmtree(Path(cost.folder).parent)
        return {
            "capture": name, "events": cost.events, "seconds": cost.seconds, "cpu_s": cost.cpu_s,
            "events_per_s": cost.events / cost.seconds, "peak_mib": cost.peak_bytes / _MIB,
            "bound_mib": self.memory_bytes / _MIB, "bare_mib": cost.bare_bytes / _MIB, "pieces": cost.pieces,
        }  # fmt: skip


_COLUMNS: tuple[Column, ...] = (
    ("capture", "capture", "{}"),
    ("events", "events", "{:,}"),
    ("seconds", "seconds", "{:.2f}"),
    ("cpu_s", "CPU s", "{:.2f}"),
    ("events_per_s", "events/s", "{:,.0f}"),
    ("peak_mib", "peak MiB", "{:,.0f}"),
    ("bound_mib", "bound MiB", "{:,.0f}"),
    ("pieces", "pieces", "{:,}"),
)
_WORST_COLUMNS: tuple[Column, ...] = (
    *_COLUMNS,
    ("million_s", "s per 10⁶ pieces", "{:.2f}"),
    ("growth", "growth", "{:.2f}"),
)


def _claims(figures: dict[str, Any], maps_s: float | None) -> list[str]:
    """A line for each thing that is aimed at."""
    *_, before, largest = hammers = [row for row in figures["rebuilds"] if row["capture"].startswith("hammer")]
    rows = [*figures["rebuilds"], *figures["worst"]]
    growth, cpu_growth = (
        largest[key] / largest["events"] / (before[key] / before["events"]) for key in ("seconds", "cpu_s")
    )
    peak = max(rows, key=lambda row: row["peak_mib"])
    room = peak["bound_mib"] - peak["peak_mib"]
    slowest = max(figures["worst"], key=lambda row: row["growth"])
    lines = [
        f"growth: an event takes {growth:.2f} times as long ({cpu_growth:.2f} of CPU time) with {largest['events']:,} "
        f"as with {before['events']:,}; the aim is at most 1.20",
        f"rate: {max(row['events_per_s'] for row in hammers):,.0f} events/s; the aim is 1,000,000",
        f"memory: at most {peak['peak_mib']:,.0f} MiB ({peak['capture']}), {abs(room):,.0f} MiB "
        f"{'below' if room >= 0 else 'ABOVE'} the bound; the interpreter alone takes {peak['bare_mib']:,.0f} MiB",
        f"worst: a piece takes at most {slowest['growth']:.2f} times as long with "
        f"{figures['times'][1] // figures['times'][0]} times the pieces ({slowest['capture']}); linear is 1.00",
    ]
    if maps_s is not None:
        lines.append(
            f"analyze maps: {maps_s:.2f} s with a stored timeline of {largest['pieces']:,} pieces, start included"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rebuild", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--events", type=int, metavar="N", help="of the generated capture (50,000,000)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="bound of a rebuild (2048)")
    parser.add_argument("--quick", action="store_true", help="small captures: shows that it works, no figures")
    parser.add_argument("--only", type=Path, metavar="CAPTURE", help="rebuild that one, here, and print what it took")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(asdict(_rebuild(options.only, options.memory * _MIB))))
        return
    if os.geteuid() != 0:
        sys.exit("bench: recording needs root\n\nhint: sudo make bench")
    adopt_orphans()
    sizes = _QUICK if options.quick else Sizes()
    events = options.events or (100_000 if options.quick else 50_000_000)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maptrail-bench-") as scratch:
        bench = Bench(sizes, options.memory * _MIB, Path(scratch))
        recorded = bench.recorded()
        maps_s = bench.maps_s(recorded[len(sizes.recorded) - 1]["capture"])
        figures: dict[str, Any] = {
            "machine": machine(),
            "rebuilds": [*recorded, bench.generated(events)],
            "worst": bench.worst(),
            "times": sizes.times,
            "maps_s": maps_s,
        }
    say(f"took {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(figures["machine"], end="\n\n")
    print(table(_COLUMNS, figures["rebuilds"]), end="\n\n")
    print(f"one address space with {sizes.vmas:,} mappings", end="\n\n")
    print(table(_WORST_COLUMNS, figures["worst"]), end="\n\n")
    print("\n".join(_claims(figures, maps_s)))


if __name__ == "__main__":
    main()
