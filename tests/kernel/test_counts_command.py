"""Counts of VMAs against /proc/PID/maps, and a leak that is known found again by `analyze diff`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from tests.support.commands import analyze_rows
from tests.support.recordings import record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

MANY = Path(__file__).parents[1] / "fidelity" / "many_mappings.py"


def test_as_many_vmas_as_the_kernel_says(tmp_path: Path) -> None:
    """More than 50,000 in one process, when it was stopped and at every reading of it."""
    script = (
        f"{sys.executable} {MANY} 7 & sleep 4; kill -STOP $!; sleep 1; "
        "echo $! $(grep -vc vsyscall /proc/$!/maps); kill -KILL $!"
    )
    options = ("--checkpoint-every", "500ms", "--freeze")
    capture, done = record_run(tmp_path / "capture", ["/bin/sh", "-c", script], *options)
    pid, lines = map(int, done.stdout.split())
    assert lines > 50_000
    row = max(analyze_rows("counts", capture.path, "--pid", str(pid)), key=lambda row: row["peak"])
    assert (row["vmas"], row["vmas_at_most"]) == (lines, lines)
    with Engine(open_captures([capture.path])) as engine:
        readings = engine.query(
            "WITH readings AS (SELECT pid, ts_begin_ns, count(*) FILTER (path <> '[vsyscall]') AS lines FROM maps "
            f"WHERE reason = 'checkpoint' AND pid = {pid} GROUP BY ALL) "
            "SELECT lines, vmas FROM readings ASOF JOIN vma_counts "
            "ON readings.pid = vma_counts.pid AND ts_begin_ns >= ts_ns WHERE lines > 50000"
        ).dicts()
    assert readings
    assert [row["vmas"] for row in readings] == [row["lines"] for row in readings]


@dataclass(frozen=True)
class Leak:
    capture: Path
    file: Path
    begin_ns: int
    end_ns: int
    pid: int
    code: dict[str, range]


MAPPED, PAGES = 23, 3
FREED, OTHERS = 17, 7


@pytest.fixture(scope="module")
def leak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leak]:
    folder = tmp_path_factory.mktemp("leak")
    file = folder / "leaked.dat"
    file.write_bytes(bytes(4096 * PAGES))
    command = [build("leak"), str(file), *map(str, (MAPPED, PAGES, FREED, OTHERS))]
    capture, done = record_run(folder / "capture", command, "--stacks")
    words = [line.split() for line in done.stdout.decode().splitlines()]
    times = {name: int(first) for name, first, *rest in words if not rest}
    code = {name: range(int(first, 16), int(rest[0], 16)) for name, first, *rest in words if rest}
    yield Leak(capture.path, file, times["begin"], times["end"], times["pid"], code)


def _diff(leak: Leak, *arguments: str) -> list[dict[str, object]]:
    window = ("--from", f"{leak.begin_ns}ns", "--to", f"{leak.end_ns}ns", "--pid", str(leak.pid))
    return analyze_rows("diff", leak.capture, *window, *arguments)


def test_the_leak_is_found_with_its_number_file_and_size(leak: Leak) -> None:
    rows = {(row["class"], row["path"]): row for row in _diff(leak, "--by", "file")}
    leaked = rows["AIFO", str(leak.file)]
    assert (leaked["mappings"], leaked["size_bytes"], leaked["possible"]) == (MAPPED, MAPPED * PAGES * 4096, 0)
    assert rows["AIFI", str(leak.file)]["mappings"] == FREED
    assert rows["AOFI", str(leak.file)]["mappings"] == OTHERS
    sizes = {(row["class"], row["each_bytes"]): row["mappings"] for row in _diff(leak, "--by", "size")}
    assert sizes["AIFO", PAGES * 4096] == MAPPED


def test_what_only_changed_its_permissions_or_place_was_there_before(leak: Leak) -> None:
    """The workload moved one mapping of 31 pages, and changed another of 37, between the two times."""
    sizes = {(row["class"], row["each_bytes"]): row["mappings"] for row in _diff(leak, "--by", "size")}
    for pages in (31, 37):
        assert sizes["AOFO", pages * 4096] == 1
        assert not {kind for kind, each in sizes if each == pages * 4096} - {"AOFO"}


def test_the_function_that_leaks_is_in_the_group(leak: Leak) -> None:
    [group] = [row for row in _diff(leak, "--by", "stack", "--class", "AIFO") if row["mappings"] == MAPPED]
    own = re.findall(r"(\w+)\+0x(\w+) \(leak\)", str(group["stack"]))
    assert [function for function, _ in own] == ["leak", "main"]
    for (_, offset), section in zip(own, ("leak", "entry"), strict=True):
        assert 0 < int(offset, 16) <= len(leak.code[section])


def test_counts_of_the_leak_at_its_peak_and_at_the_end(leak: Leak) -> None:
    """The peak is when what was freed later was still there, and the first of those freed at once."""
    by_file = analyze_rows("counts", leak.capture, "--pid", str(leak.pid), "--by", "file")
    [row] = [row for row in by_file if row["path"] == str(leak.file)]
    peak = MAPPED + OTHERS + 1
    assert (row["at_peak"], row["vmas"], row["vmas_at_most"]) == (peak, MAPPED, MAPPED)
    makers = [row["makers"] for row in analyze_rows("counts", leak.capture, "--pid", str(leak.pid))]
    assert any(f"mmap {leak.file}: {peak}" in text for text in makers), makers
