"""Real programs, rebuilt and held against the kernel's own maps: `make test-fidelity`, or `python -m tests.fidelity`.

Needs root; takes some five minutes. Every process of the machine is recorded and judged, with those of a workload
stopped at random moments so that what they were doing does not blur the readings. Exits with 1 when a certain answer
is wrong anywhere, or when fewer than 30 processes of the workloads could be judged.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from analysis.capture import open_captures
from analysis.checks import Outcome, compare, lines
from analysis.engine import Engine
from tests.fidelity.recording import record
from tests.fidelity.workloads import WORKLOADS, Workload

__all__ = ["Verdict", "main", "run"]

_ENOUGH = 30


@dataclass(frozen=True)
class Verdict:
    """What the kernel says of one workload's rebuild; `held` are the processes that its end found standing still."""

    workload: str
    capture: Path
    held: list[int]
    outcome: Outcome

    @property
    def judged(self) -> set[int]:
        """Processes of the workload and of the rest of the machine that a reading judged."""
        return {row["pid"] for row in self.outcome.verdicts if row["verdict"] in ("exact", "possible", "wrong")}

    @property
    def unjudged(self) -> set[int]:
        """Processes that stood still at the end and that nothing judged."""
        return set(self.held) - self.judged


def run(workload: Workload, directory: Path, seed: int, seconds: float | None = None) -> Verdict:
    """Record a workload, rebuild the capture, and compare."""
    capture, held = record(workload, directory, seed, seconds)
    with Engine(open_captures([capture])) as engine:
        return Verdict(workload.name, capture, held, compare(engine))


def main() -> int:
    """Run the workloads asked for; print a line for each and every difference that counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the captures here")
    arguments = parser.parse_args()
    chosen = arguments.workloads or list(WORKLOADS)
    scratch = arguments.keep or Path(tempfile.mkdtemp(prefix="maptrail-fidelity-"))
    print(f"{'workload':<22} {'stopped':>7} {'judged':>7} {'readings':>8} {'exact':>7} {'possible':>8} {'wrong':>6}")
    good, processes = True, 0
    try:
        for name in chosen:
            workload = WORKLOADS[name]
            if missing := workload.missing():
                print(f"{name:<22} not installed: {', '.join(missing)}")
                good = False
                continue
            verdict = run(workload, scratch / name, arguments.seed)
            outcome = verdict.outcome
            counts = (outcome.judges, *(outcome.count(each) for each in ("exact", "possible", "wrong")))
            print(
                f"{name:<22} {len(verdict.held):>7} {len(verdict.judged):>7}", *map("{:>7}".format, counts), flush=True
            )
            processes += len(set(verdict.held) & verdict.judged)
            if outcome.count("wrong") or verdict.unjudged:
                good = False
                sys.stdout.writelines(f"    {line}" for line in lines(outcome))
                for pid in sorted(verdict.unjudged):
                    print(f"    no reading judged process {pid}")
    finally:
        if arguments.keep is None:
            shutil.rmtree(scratch)
    if not arguments.workloads and processes < _ENOUGH:
        print(f"too few processes of the workloads were judged: {processes}")
        good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
