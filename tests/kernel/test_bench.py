"""`make bench` runs; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_measures_every_tracer_that_is_installed(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(told)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(told.read_text())
    costs = {row["tracer"].strip(): row for row in figures["costs"]}
    assert {"untraced", "record run", "record host", "record run --stacks", "by raw_syscalls"} <= costs.keys()
    assert all(row[f"{kind}_ns"] > 0 for row in costs.values() for kind in ("mmap", "mprotect", "munmap", "other"))
    assert all(row["disk_bytes_per_call"] > 0 for name, row in costs.items() if name.startswith("record"))
    (flood,) = figures["floods"]
    assert flood["records_per_s"] > flood["calls_per_s"] > 0
    assert flood["reader_us_per_record"] > 0
    assert min(figures["times"].values()) > 0
    assert done.stdout.count("\n") > len(costs), "the table is on standard output"
