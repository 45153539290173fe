"""The captures in data/ open, are whole, and say what data/README.md says of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import edit_manifest
from tests.support.commands import analyze_rows

DATA = Path(__file__).resolve().parents[2] / "data"
CAPTURES = sorted(path.parent for path in DATA.glob("*/manifest.json"))
KERNELS = [path for path in CAPTURES if path.name.startswith("linux-")]
ANALYZE = Path(sys.executable).with_name("analyze")


def ask(capture: str, query: str) -> list[dict[str, Any]]:
    return analyze_rows("sql", DATA / capture, "-q", query)


def test_each_is_described() -> None:
    assert len(CAPTURES) >= 2
    text = (DATA / "README.md").read_text()
    assert all(f"`{capture.name}`" in text for capture in CAPTURES)
    assert sum(file.stat().st_size for capture in CAPTURES for file in capture.rglob("*") if file.is_file()) < 5 << 20


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_every_byte_is_verified(capture: Path) -> None:
    subprocess.run([ANALYZE, "check", "--files", capture], check=True, capture_output=True)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_names_are_neutral(capture: Path) -> None:
    manifest = json.loads((capture / "manifest.json").read_text())
    assert manifest["host"] == "example"
    paths = {row["path"] for row in ask(capture.name, "SELECT DISTINCT path FROM vmas WHERE path <> ''")}
    neutral = ("/tmp/example/", "/usr/bin/", "/usr/lib", "/etc/ld.so", "[", "//", "anon_inode:")
    assert [path for path in paths if not path.startswith(neutral)] == []


@pytest.mark.parametrize("capture", ["demo", "demo-i386"])
def test_the_demo_is_told(capture: str) -> None:
    abi = "i386" if capture.endswith("i386") else "x86_64"
    calls = {
        (row["syscall"], row["error"]): row["n"]
        for row in ask(
            capture,
            "SELECT syscall, errno::INTEGER AS error, count(*)::INTEGER AS n"
            f" FROM syscalls WHERE abi = '{abi}' GROUP BY ALL",
        )
    }
    assert calls["remap_file_pages", 0] == 8
    assert calls["remap_file_pages", 22] == 1
    assert calls["mremap", 0] == 1
    [fault] = ask(capture, "SELECT signal, code::INTEGER AS code FROM faults")
    assert fault == {"signal": "SIGBUS", "code": 2}
    assert ask(capture, "SELECT old_size_bytes > new_size_bytes AS cut FROM files WHERE operation = 'ftruncate'")
    assert ask(capture, "SELECT DISTINCT stack_id FROM syscalls JOIN stacks USING (stack_id)")


def test_the_checked_one_is_what_the_kernel_said() -> None:
    done = subprocess.run([ANALYZE, "check", DATA / "checked"], check=True, capture_output=True, text=True)
    match = re.match(r"exact at (\d+) of (\d+) readings, of 1 processes\n", done.stdout)
    assert match is not None and int(match[1]) == int(match[2]) >= 5


@pytest.mark.parametrize("capture", KERNELS, ids=lambda path: path.name)
def test_each_kernel_tells_the_same_of_the_same_program(capture: Path) -> None:
    """Of hooks.c, whatever the functions of the kernel that did it are called."""
    release = json.loads((capture / "manifest.json").read_text())["kernel"]
    assert release.startswith(capture.name.removeprefix("linux-") + ".")
    cuts = ask(
        capture.name,
        "SELECT old_size_bytes::INTEGER AS old, new_size_bytes::INTEGER AS new FROM hooks"
        " WHERE pid = (SELECT min(pid) FROM hooks WHERE comm = 'hooks') AND hook = 'truncate'"
        " AND new_size_bytes < old_size_bytes ORDER BY ts_ns",
    )
    assert cuts == [{"old": 65536, "new": 20487}, {"old": 36864, "new": 8192}, {"old": 65536, "new": 0}]
    # the last one was made by io_uring, so no call tells of it
    calls = "SELECT count(*)::INTEGER AS n FROM files WHERE old_size_bytes = 65536 AND new_size_bytes = 0"
    assert ask(capture.name, calls) == [{"n": 0}]
    windows = ask(
        capture.name,
        "SELECT calls.pgoff::INTEGER AS asked, hooks.pgoff::INTEGER AS used, hooks.prot::INTEGER AS prot"
        " FROM syscalls AS calls JOIN hooks ON calls.tid = hooks.tid AND ts_ns BETWEEN ts_enter_ns AND ts_exit_ns"
        " WHERE syscall = 'remap_file_pages' AND hook = 'mmap' AND calls.comm = 'hooks' ORDER BY ts_ns",
    )
    assert windows == [{"asked": page, "used": page, "prot": 3} for page in (6, 5, 4)]
    failed = ask(
        capture.name,
        "SELECT hook, errno FROM hooks WHERE comm = 'hooks' AND errno IS NOT NULL ORDER BY ts_ns",
    )
    assert failed == [{"hook": "unmap", "errno": 12}, {"hook": "allocate", "errno": 95}]


def test_heap_and_stack_are_named_in_the_timeline_as_in_maps() -> None:
    """Of the child too, which has them from its parent."""
    query = "SELECT pid, to_ns::UBIGINT AS ns FROM spaces WHERE began = 'fork'"
    [child] = ask("demo", query)
    [parent] = json.loads((DATA / "demo" / "manifest.json").read_text())["targets"]
    for pid in (parent, child["pid"]):
        asked = [DATA / "demo", "--pid", str(pid), "--at", f"{child['ns'] - 1}ns"]
        maps = subprocess.run([ANALYZE, "maps", *asked], check=True, capture_output=True, text=True).stdout
        table = subprocess.run([ANALYZE, "timeline", *asked], check=True, capture_output=True, text=True).stdout
        for name in ("[heap]", "[stack]"):
            [line] = [line for line in maps.splitlines() if line.endswith(name)]
            rows = [line.split() for line in table.splitlines() if line.endswith(name)]
            assert [f"{min(row[1] for row in rows)}-{max(row[2] for row in rows)}".replace("0x", "")] == line.split()[
                :1
            ]


def test_an_incident_of_enomem_leads_with_its_trigger(tmp_path: Path) -> None:
    """The calls refused for too many VMAs, as a flight recorder that they triggered would have kept them."""
    where = "WHERE errno = 12 ORDER BY ts_enter_ns LIMIT 1"
    [call] = ask("maplimit", f"SELECT pid::INTEGER AS pid, ts_enter_ns::BIGINT AS ns FROM syscalls {where}")
    shutil.copytree(DATA / "maplimit", incident := tmp_path / "incident")
    fired = {"trigger": "enomem", "table": "syscalls", "ts_ns": call["ns"], "pid": call["pid"], "tid": call["pid"]}
    edit_manifest(incident, incident={**fired, "comm": "mapleak", "more": 0, "held_back": 0})
    done = subprocess.run([ANALYZE, "why", incident], check=True, capture_output=True, text=True)
    lead, reason, *_ = (" ".join(part.split()) for part in done.stdout.split("\n\n"))
    assert re.fullmatch(rf"trigger: enomem in process {call['pid']} \(mapleak\) at \S+: mmap failed with ENOMEM", lead)
    assert f"mmap by mapleak (pid {call['pid']}) failed with ENOMEM: its address space had" in reason
    assert done.stderr.rstrip().endswith(f"analyze counts {incident} --pid {call['pid']}")
    text = subprocess.run([ANALYZE, "summary", incident], check=True, capture_output=True, text=True).stdout
    assert text.startswith(f"complete\n\n{lead.replace('trigger:', 'trigger  ')}\n")


def test_without_readings_check_has_no_answer() -> None:
    command = [ANALYZE, "check", DATA / "maplimit", "--format", "csv"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (5, "error: no reading can judge the rebuild")
    assert done.stdout.startswith("capture,reading,") and done.stdout.count("\n") == 1  # the columns are there
    as_text = subprocess.run(command[:-2], check=False, capture_output=True, text=True)
    assert (as_text.returncode, as_text.stdout) == (5, "")


def test_the_lossy_one_is_not_called_complete() -> None:
    done = subprocess.run([ANALYZE, "summary", DATA / "lossy"], check=True, capture_output=True, text=True)
    lost = json.loads((DATA / "lossy" / "manifest.json").read_text())["totals"]["syscalls"]["lost"]
    first = done.stdout.splitlines()[0]
    assert first.startswith("ended in good order, but records were lost while recording: ")
    assert f" {lost:,} of syscalls" in first


def test_the_lossy_one_counts_what_it_lost() -> None:
    manifest = json.loads((DATA / "lossy" / "manifest.json").read_text())
    total = manifest["totals"]["syscalls"]
    [lost] = ask("lossy", "SELECT sum(count)::INTEGER AS n FROM losses WHERE source = 'calls'")
    [stored] = ask("lossy", "SELECT count(*)::INTEGER AS n FROM syscalls")
    assert total["lost"] == lost["n"] > 0
    assert total["attempted"] == stored["n"] + lost["n"]
