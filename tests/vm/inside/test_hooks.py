"""What is recorded on this kernel, above all by hooks, against programs that know what they did: one recording."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recorder import plan
from recorder.hooks import HOOKS, Chosen
from tests.kernel import test_counts, test_files
from tests.support.recordings import Capture, record_run
from tests.support.workloads import build, read_call_log

PAGE = 4096
Facts = dict[str, list[list[int]]]
Rows = list[dict[str, Any]]
FOLDER = Path("/tmp/example")  # neutral, since the capture is kept in data/


@pytest.fixture(scope="module")
def recorded() -> tuple[Capture, Facts]:
    (FOLDER / "work").mkdir(parents=True)
    programs = "counts", "files", "hooks"
    for name in (*programs, "undecided"):
        shutil.copy(build(name), FOLDER)
    given = Path(os.environ["MAPTRAIL_GUEST"])
    commands = [f"./{name} {FOLDER}/{name}.log {FOLDER}/{name}.dat" for name in programs]
    # what it says is held against what analysis makes of it, which is quicker outside
    commands.append(f"./undecided {FOLDER}/work >{given}/undecided.told")
    # its maps are read meanwhile, to hold the rebuilt ones against
    options = "--checkpoint-every", "300ms", "--freeze"
    capture, done = record_run(given / "capture", ["sh", "-c", " && ".join(commands)], *options, cwd=FOLDER)
    assert b"warning" not in done.stderr
    facts: Facts = {}
    for line in (FOLDER / "hooks.log").read_text().splitlines():
        name, *numbers = line.split()
        facts.setdefault(name, []).append([int(number) for number in numbers])
    return capture, facts


@pytest.fixture(scope="module")
def debugfs() -> Path:
    place = Path("/sys/kernel/debug")
    if not list(place.iterdir()):
        subprocess.run(["mount", "-t", "debugfs", "debugfs", place], check=True)
    return place


def hits(capture: Capture, hook: str) -> Rows:
    return [row for row in capture.rows("hooks", hook=hook) if row["errno"] is None]


def failure(capture: Capture, hit: dict[str, Any]) -> int | None:
    """The error that followed a hit, if one did: the next row of that thread and function is of its return."""
    later = [
        row for row in capture.rows("hooks", tid=hit["tid"], function=hit["function"]) if row["ts_ns"] > hit["ts_ns"]
    ]
    return later[0]["errno"] if later else None


def test_calls_and_size_changes_are_exact(recorded: tuple[Capture, Facts]) -> None:
    capture, _ = recorded
    test_counts.compare_all(capture, read_call_log(FOLDER / "counts.log"), 64)
    test_files.compare_all(capture, test_files.read_log(FOLDER / "files.log"), FOLDER / "files.dat", 64)


def test_every_hook_of_this_kernel_is_on(recorded: tuple[Capture, Facts]) -> None:
    capture, _ = recorded
    symbols = {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    probes = {probe["name"]: probe["on"] for probe in capture.manifest["probes"]}
    for hook in HOOKS:
        there = [function for function in hook.functions if function.name in symbols]
        if hook.name != "replace":  # from 6.12 on
            assert bool(there) == (hook.name != "zero_pfn"), hook.name
        for function in there[:1]:
            assert probes[f"kprobe:{function.name}"]
            assert probes.get(f"kretprobe:{function.name}", not function.failed)
    total = capture.manifest["totals"]["hooks"]
    assert total["attempted"] == total["stored"] == len(capture.table("hooks")) > 0


def test_mmap_and_remap_file_pages_are_told_as_the_kernel_used_them(recorded: tuple[Capture, Facts]) -> None:
    capture, facts = recorded
    hooked = {row["pid"] for row in capture.rows("tasks", event="exec") if row["path"] == b"./hooks"}
    rows = [row for row in hits(capture, "mmap") if row["pid"] in hooked]
    for addr, size, prot, flags, pgoff, inode in facts["mmap"]:
        [row] = [row for row in rows if row["inode"] == inode and row["pgoff"] == pgoff and row["size"] == size]
        assert row["addr"] == addr
        assert row["prot"] == prot  # remap_file_pages was asked for 0
        assert row["flags"] & flags == flags
        assert row["old_size_bytes"] == 16 * PAGE
        [call] = [
            call
            for call in capture.rows("syscalls", tid=row["tid"])
            if call["ts_enter_ns"] <= row["ts_ns"] <= call["ts_exit_ns"]
        ]
        assert call["syscall"] == ("remap_file_pages" if addr else "mmap")
        assert (call["mm"], call["size"]) == (row["mm"], row["size"])


def test_an_unmap_is_told_in_pages_and_its_failure_too(recorded: tuple[Capture, Facts]) -> None:
    capture, facts = recorded
    for addr, size, errno in facts["unmap"]:
        [row] = [row for row in hits(capture, "unmap") if (row["addr"], row["size"]) == (addr, size)]
        assert (failure(capture, row) or 0) == errno


def test_a_refused_map_fixed_that_left_a_hole_unmapped_it(recorded: tuple[Capture, Facts]) -> None:
    capture, facts = recorded
    [[addr, size, left]] = facts["hole"]
    rows = [
        row for row in hits(capture, "unmap") + hits(capture, "replace") if (row["addr"], row["size"]) == (addr, size)
    ]
    assert len(rows) == (not left)
    assert all(failure(capture, row) is None for row in rows)


def test_the_elf_loader_s_trims_are_seen(recorded: tuple[Capture, Facts]) -> None:
    """It maps a whole image by its first segment and unmaps what is past that segment."""
    capture, _ = recorded
    firsts: dict[bytes, dict[str, Any]] = {}
    for row in capture.rows("vmas"):
        if b"ld-linux" in row["path"] or row["path"].endswith(b"/hooks"):
            firsts.setdefault(row["path"], row)
    assert len(firsts) == 2
    unmaps = hits(capture, "unmap")
    for whole in firsts.values():
        trims = [row for row in unmaps if row["addr"] + row["size"] == whole["end"] and row["addr"] > whole["start"]]
        assert trims, whole
        [space] = {row["mm"] for row in trims}
        assert space in {row["mm"] for row in hits(capture, "mmap")}


def test_truncation_by_path_and_by_io_uring_is_told(recorded: tuple[Capture, Facts]) -> None:
    capture, facts = recorded
    rows = hits(capture, "truncate")
    for inode, old, new in facts["truncate"]:
        sizes = {"inode": inode, "old_size_bytes": old, "new_size_bytes": new}
        [row] = [row for row in rows if sizes.items() <= row.items()]
        assert failure(capture, row) is None
        taken = [
            each for each in hits(capture, "invalidate") if each["inode"] == inode and each["ts_ns"] > row["ts_ns"]
        ]
        assert taken[0]["offset_bytes"] == -(-new // PAGE) * PAGE
        assert (taken[0]["length_bytes"], taken[0]["flags"]) == (0, 1)
        assert (taken[0]["dev"], taken[0]["generation"]) == (row["dev"], row["generation"])


def test_fallocate_is_told_whoever_makes_it(recorded: tuple[Capture, Facts]) -> None:
    capture, facts = recorded
    rows = [row for row in hits(capture, "allocate") if row["inode"] == facts["allocate"][0][0]]
    assert len(rows) == len(facts["allocate"])
    for row, (inode, mode, offset, length, errno) in zip(rows, facts["allocate"], strict=True):
        told = [row[name] for name in ("inode", "flags", "offset_bytes", "length_bytes")]
        assert told == [inode, mode, offset, length]
        assert (failure(capture, row) or 0) == errno


def test_kprobes_that_are_switched_off_are_told(debugfs: Path) -> None:
    enabled = debugfs / "kprobes/enabled"
    enabled.write_text("0")
    try:
        found = {probe.fact: probe for probe in plan.make_plan()}
    finally:
        enabled.write_text("1")
    assert found["kprobes"].state == "off"
    assert str(enabled) in found["kprobes"].hint
    assert found["hook mmap"].state == "off"
    assert found["hook mmap"].why == "do_mmap is there, but kprobes are off"
    assert {probe.fact: probe.state for probe in plan.make_plan()}["hook mmap"] == "on"


WITH_A_HOOK_THAT_IS_REFUSED = """
import dataclasses, sys
from recorder import hooks
name, choose = "{symbol}", hooks.choose
hooks.FUNCTIONS = tuple(name if each == "do_mmap" else each for each in hooks.FUNCTIONS)
def with_another(hook, symbols, btf):
    found = choose(hook, symbols, btf)
    mmap = found.function and found.function.name == "do_mmap"
    return dataclasses.replace(found, function=dataclasses.replace(found.function, name=name)) if mmap else found
hooks.choose = with_another
from recorder import cli, plan
plan._read_mounted = lambda *_: None  # as where the blacklist is not to be read
sys.argv = ["record", "run", "-o", "{output}", "--", "true"]
cli.main()
"""


@pytest.fixture(scope="module")
def refused(debugfs: Path) -> str:
    """A function that the kernel lets nobody probe."""
    names = {line.split()[-1] for line in (debugfs / "kprobes/blacklist").read_text().splitlines()}
    return next(name for name in ("do_int3", "exc_int3") if name in names)


def test_a_hook_on_the_blacklist_is_off(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = dataclasses.replace(HOOKS[0].functions[1], name=refused)
    monkeypatch.setattr(plan, "chosen_hooks", lambda: (Chosen(HOOKS[0], function, ""),))
    [probe] = [probe for probe in plan.make_plan() if probe.fact == "hook mmap"]
    assert probe.state == "off"
    assert refused in probe.why and "blacklist" in probe.why


def test_a_hook_that_cannot_be_attached_is_reported_and_not_fatal(refused: str, tmp_path: Path) -> None:
    output = tmp_path / "capture"
    program = WITH_A_HOOK_THAT_IS_REFUSED.format(symbol=refused, output=output)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    capture = Capture(output)
    [probe] = [probe for probe in capture.manifest["probes"] if probe["name"] == f"kprobe:{refused}"]
    assert not probe["on"]
    assert f"kprobe:{refused} could not be had" in done.stderr
    assert capture.rows("hooks", hook="unmap")
    assert not capture.rows("hooks", hook="mmap")
