"""Processes that really die of SIGBUS and SIGSEGV, or handle it, in one recording: each explained as it was."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import analyze, analyze_rows
from tests.support.recordings import record_run
from tests.support.workloads import build

PAGE = 4096
STORM = 1009
SIGBUS, SIGSEGV = 7, 11

# what the verdict must be: cause, the call to blame, words of the sentence
BLAMED = {
    "truncated_by_itself": ("truncated", "ftruncate", "the same thread had cut the file from 20 KiB to 4 KiB"),
    "truncated_by_path": ("truncated", "truncate", "had cut the file to 3.9 KiB"),
    "truncated_by_open": ("truncated", "openat", "had cut the file to 0 bytes"),
    "truncated_on_tmpfs": ("truncated", "ftruncate", "from 12 KiB to 4 KiB"),
    "truncated_memfd": ("truncated", "ftruncate", "/memfd:memory (deleted) was beyond its end"),
    "truncated_among_many": ("truncated", "ftruncate", "from 12 KiB to 4 KiB"),
    "truncated_after_rename": ("truncated", "truncate", "had cut the file to"),
    "beyond_end": ("beyond end", "mmap", "was never in the file, 4 KiB long; the same thread had mapped 12 KiB of it"),
    "unmapped": ("unmapped", "munmap", "took it away by munmap"),
    "made_read_only": ("protected", "mprotect", "is not to be written"),
    "read_only_file": ("not permitted", "mmap", "had mapped it r--s"),
    "not_executable": ("not permitted", "mmap", "is not to be executed"),
    "clobbered": ("replaced", "mmap", "over what was there"),
    "moved_away": ("moved", "mremap", "moved it elsewhere by mremap"),
    "cut_off": ("unmapped", "mremap", "cut it off by mremap, which shrank the mapping from 12 KiB to 4 KiB"),
    "moved_and_cut_off": ("unmapped", "mremap", "and shrank it from 12 KiB to 4 KiB"),
    "not_inherited": ("not inherited", "madvise", "had kept it from children by MADV_DONTFORK"),
}
# nobody is to blame
ALONE = {
    "disk_full": ("within file", "so this is no truncation"),
    "disk_full_after_cut": ("within file", "so this is no truncation"),
    "null_pointer": ("null pointer", "a null pointer"),
    "never_mapped": ("never mapped", "nothing was ever mapped there"),
    "non_canonical": ("no address", "without telling an address"),
    "stack_overflow": ("stack limit", "it had grown to 256 KiB"),
    "thread_stack_overflow": ("guard", "the stack of a thread is full"),
}
HANDLED = {"handled": ("not permitted", 1), "storm": ("protected", STORM)}
UNHARMED = ("replaced_by_rename", "cut_and_regrown")
# without the kernel's own word for the file
BY_PATH = {"truncated_by_path", "truncated_after_rename"}


@dataclass(frozen=True)
class Told:
    """What a case printed of itself."""

    pid: int
    tid: int
    address: int
    start: int
    offset: int
    path: str
    by_pid: int
    by_tid: int
    status: int

    @classmethod
    def of(cls, words: list[str]) -> Told:
        told = dict(zip(words[::2], words[1::2], strict=True))
        numbers = {name: int(told[name]) for name in ("pid", "tid", "offset", "by_pid", "by_tid", "status")}
        return cls(address=int(told["address"], 16), start=int(told["start"], 16), path=told["path"], **numbers)


@dataclass(frozen=True)
class Recorded:
    capture: Path
    cases: dict[str, Told]
    findings: list[dict[str, Any]]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Findings about the process of a case."""
        return [row for row in self.findings if row["other_pid"] == self.cases[name].pid]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("faults")
    small, files = folder / "small", folder / "files"
    small.mkdir()
    files.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        capture, done = record_run(folder / "capture", [build("edges_faults"), files, small], "--stacks")
    finally:
        subprocess.run(["umount", small], check=True)
    words = [line.split() for line in done.stdout.decode().splitlines()]
    cases = {name: Told.of(rest) for name, *rest in words}
    assert cases.keys() == {*BLAMED, *ALONE, *HANDLED, *UNHARMED}
    findings = analyze_rows("edges", capture.path, "--kind", "faults", "--expected")
    for row in findings:
        row["facts"] = dict(row["facts"])
    yield Recorded(capture.path, cases, findings)


def test_each_fault_is_one_finding_and_nothing_else_is(recorded: Recorded) -> None:
    pids = sorted(row["other_pid"] for row in recorded.findings)
    assert pids == sorted(recorded.cases[name].pid for name in (*BLAMED, *ALONE, *HANDLED))


@pytest.mark.parametrize("name", BLAMED)
def test_who_did_it(recorded: Recorded, name: str) -> None:
    [row] = recorded.of(name)
    told = recorded.cases[name]
    cause, call, words = BLAMED[name]
    assert (row["facts"]["cause"], row["call"]) == (cause, call)
    assert (row["pid"], row["tid"], row["comm"]) == (told.by_pid, told.by_tid, "edges_faults")
    assert (row["other_pid"], row["other_tid"]) == (told.pid, told.tid)
    assert row["start"] == told.address & -PAGE
    assert f"{told.address:#x}" in row["sentence"]
    assert words in row["sentence"]
    for stack_id in (row["stack_id"], row["other_stack_id"]):
        assert stack_id >= 0 or stack_id == -errno.EEXIST  # two stacks can fall into one slot
    if told.path != "-":
        assert row["path"].removesuffix(" (deleted)") == told.path
        assert row["offset_bytes"] == told.offset & -PAGE
    if name in BY_PATH:
        assert (row["certainty"], row["reason"]) == ("possible", "the file was looked up by its path, after the call")
    else:
        assert (row["certainty"], row["reason"]) == ("certain", None)


@pytest.mark.parametrize("name", ALONE)
def test_where_nobody_did_it(recorded: Recorded, name: str) -> None:
    [row] = recorded.of(name)
    told = recorded.cases[name]
    cause, words = ALONE[name]
    assert (row["facts"]["cause"], row["call"], row["certainty"]) == (cause, "fault", "certain")
    assert (row["pid"], row["tid"]) == (row["other_pid"], row["other_tid"]) == (told.pid, told.tid)
    assert words in row["sentence"]
    assert "old_size_bytes" not in row["facts"]


@pytest.mark.parametrize("name", [*BLAMED, *ALONE])
def test_a_death_is_grave_and_is_what_the_parent_waited_for(recorded: Recorded, name: str) -> None:
    [row] = recorded.of(name)
    signal = recorded.cases[name].status & 0x7F
    assert signal in (SIGBUS, SIGSEGV)
    assert row["facts"]["signal"] == {SIGBUS: "SIGBUS", SIGSEGV: "SIGSEGV"}[signal]
    assert (row["severity"], row["expected"], row["facts"]["outcome"]) == ("high", None, "killed")
    assert int(row["facts"]["exit_status"]) & 0x7F == signal


@pytest.mark.parametrize("name", HANDLED)
def test_what_is_handled_is_expected_and_told_once(recorded: Recorded, name: str) -> None:
    [row] = recorded.of(name)
    cause, count = HANDLED[name]
    assert (row["severity"], row["facts"]["outcome"], row["facts"]["cause"]) == ("low", "handled", cause)
    assert row["expected"]
    assert int(row["facts"]["faults"]) == count
    assert "and went on" in row["sentence"]


def test_the_size_at_the_fault_is_the_kernels(recorded: Recorded) -> None:
    """Not what a call told last: this file was cut, and lengthened by a write, which is not recorded."""
    [row] = recorded.of("disk_full_after_cut")
    assert row["facts"]["size_bytes"] == str(5 * PAGE)
    [row] = recorded.of("truncated_by_path")
    assert row["facts"]["size_bytes"] == str(PAGE - 7)
    many = recorded.cases["truncated_among_many"]
    [row] = analyze_rows("sql", recorded.capture, "-q", f"FROM faults WHERE pid = {many.pid}")
    status = Path(many.path).stat()
    assert (row["file_inode"], row["file_size_bytes"]) == (status.st_ino, status.st_size)
    assert row["file_dev"] == os.major(status.st_dev) << 20 | os.minor(status.st_dev)


def test_why_lists_the_deaths_first(recorded: Recorded) -> None:
    rows = analyze_rows("why", recorded.capture)
    assert {row["what"] for row in rows} == {"fault"}
    pids = [row["pid"] for row in rows]
    assert sorted(pids[-len(HANDLED) :]) == sorted(recorded.cases[name].pid for name in HANDLED)
    told = recorded.cases["clobbered"]
    [row] = analyze_rows("why", recorded.capture, "--pid", told.pid)
    assert (row["pid"], row["tid"]) == (told.pid, told.tid)


@pytest.mark.parametrize("name", ["truncated_by_open", "truncated_memfd", "beyond_end", "unmapped", "made_read_only"])
def test_the_life_of_an_address(recorded: Recorded, name: str) -> None:
    told = recorded.cases[name]
    rows = analyze_rows("why", recorded.capture, "--pid", told.pid, "--addr", f"{told.address:#x}")
    verdict, *life = rows
    assert verdict["what"] == "verdict"
    assert BLAMED[name][2] in verdict["text"]
    assert [row["ts_ns"] for row in life] == sorted((row["ts_ns"] for row in life), reverse=True)
    assert life[0]["what"] == "fault"
    mapped = [row for row in life if row["what"] == "mapping"]
    assert mapped[-1]["start"] == told.start
    assert mapped[-1]["perms"] in ("r--s", "rw-s", "rw-p")
    if told.path != "-":
        assert mapped[-1]["offset_bytes"] == told.offset
    did = [row for row in life if row["call"] == BLAMED[name][1] and row["tid"] == told.by_tid]
    assert did and all(row["pid"] == told.by_pid for row in did)
    assert any("libc" in row["stack"] for row in did)


def test_an_address_at_another_time(recorded: Recorded) -> None:
    told = recorded.cases["unmapped"]
    address = ("--pid", told.pid, "--addr", f"{told.address:#x}")
    rows = analyze_rows("why", recorded.capture, *address)
    [mapped] = [row for row in rows if row["what"] == "mapping"]
    [unmapped] = [row for row in rows if row["what"] == "unmapped"]
    before = analyze_rows("why", recorded.capture, *address, "--at", f"{mapped['ts_ns'] + 1}ns")
    assert f"{told.address:#x} lies in memory, rw-p" in before[0]["text"]
    assert [row["what"] for row in before] == ["verdict", "mapping"]
    after = analyze_rows("why", recorded.capture, *address, "--at", f"{unmapped['ts_ns']}ns")
    assert f"nothing is mapped at {told.address:#x}; memory lay there until munmap by" in after[0]["text"]
    assert {row["certainty"] for row in (*before, *after)} == {"certain"}


def test_the_process_is_found_by_its_address(recorded: Recorded) -> None:
    told = recorded.cases["never_mapped"]
    done = analyze("why", recorded.capture, "--addr", f"{told.address:#x}")
    assert f"edges_faults (pid {told.pid}) was killed by SIGSEGV" in done.stdout
    shared = recorded.cases["made_read_only"]
    done = analyze("why", recorded.capture, "--addr", f"{shared.address:#x}", status=2)
    assert "processes have faulted at" in done.stderr
    assert str(shared.pid) in done.stderr
    done = analyze("why", recorded.capture, "--addr", "0x7ffffffff000", status=1)
    assert "nothing is known of 0x7ffffffff000" in done.stderr


def test_it_reads_well_at_80_columns(recorded: Recorded) -> None:
    told = recorded.cases["truncated_by_open"]
    address = f"{told.address & -PAGE:#x}"
    done = analyze("why", recorded.capture, "--pid", told.pid, "--addr", address)
    assert done.stdout.startswith(f"certain: edges_faults (pid {told.pid}) was killed by SIGBUS at {address}")
    longest = len(told.path) + 26  # a path is not parted
    assert all(len(line) <= max(80, longest) for line in done.stdout.splitlines())
    assert f"address {address} of process {told.pid} at +" in done.stderr
    assert "hint: " in done.stderr
