"""`make bench` runs; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench


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
    (named,) = figures["namings"]
    assert min(named[key] for key in ("stacks", "functions", "files", "cpu_s", "bytes")) > 0
    assert min(figures["times"].values()) > 0
    assert done.stdout.count("\n") > len(costs), "the table is on standard output"


def test_the_rebuild_is_measured_on_recorded_generated_and_worst_captures(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.bench.rebuild", "--quick", "--events", "60000", "--json", str(told)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(told.read_text())
    *hammers, programs, generated = figures["rebuilds"]
    assert [row["events"] // 1000 for row in hammers] == [2, 10]
    assert all(row["pieces"] > row["events"] / 5 * 2 for row in hammers), "a mmap and a mprotect, before a munmap"
    assert programs["capture"] == "gcc and python" and programs["pieces"] > 100
    assert generated["events"] == 60_000 + 300, "and the start of a hundred programs"
    # one of the program itself, and each of those mapped: standing once, and after every change of all
    assert [row["pieces"] for row in figures["worst"]] == [1 + 200 * 6, 1 + 200 * 21, 201 * 6, 201 * 21]
    assert all(0 < row["bare_mib"] < row["peak_mib"] for row in [*figures["rebuilds"], *figures["worst"]])
    for row in [*figures["rebuilds"], *figures["worst"]]:
        assert f"{row['capture']}  " in done.stdout
    for claim in ("growth:", "rate:", "memory:", "worst:"):
        assert f"\n{claim} " in done.stdout
