"""`record doctor` says what is so, quickly, in few lines."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recorder.hooks import HOOKS
from recorder.syscalls import SYSCALLS
from tests.support.terminal import on_terminal

DOCTOR = (Path(sys.executable).with_name("record"), "doctor")
TRACEFS = "mount -t tracefs none /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing/events && ls -d */*"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    done = subprocess.run([*DOCTOR, "--format", "json"], capture_output=True, check=True)
    assert done.stderr == b""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def plan(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    facts = {probe["fact"]: probe for probe in report["plan"]}
    assert len(facts) == len(report["plan"])
    return facts


@pytest.fixture(scope="module")
def events() -> set[str]:
    """What tracefs has, looked at without the recorder."""
    listed = subprocess.run(["unshare", "--mount", "sh", "-c", TRACEFS], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_recording_works_where_these_tests_run(report: dict[str, Any]) -> None:
    assert report["recording"] is True
    assert report["fatal"] == []


def test_each_call_agrees_with_tracefs(plan: dict[str, dict[str, str]], events: set[str]) -> None:
    calls = [call for call in SYSCALLS if call.number >= 0]
    assert {fact for fact in plan if fact.startswith("call ")} == {f"call {call.name}" for call in calls}
    for call in calls:
        there = f"syscalls/sys_enter_{call.name}" in events
        assert plan[f"call {call.name}"]["state"] == ("on" if there else "absent"), call.name


def test_each_raw_tracepoint_agrees_with_tracefs(plan: dict[str, dict[str, str]], events: set[str]) -> None:
    probes = [probe for fact, probe in plan.items() if fact.startswith("raw tracepoint ")]
    assert len(probes) == 6
    for probe in probes:
        event = probe["source"].removeprefix("tracefs events/")
        assert probe["state"] == ("on" if event in events else "absent"), event


def test_hooks_agree_with_kallsyms(plan: dict[str, dict[str, str]]) -> None:
    symbols = {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    kprobes = Path("/sys/bus/event_source/devices/kprobe").exists()
    assert plan["kprobes"]["state"] == ("on" if kprobes else "absent")
    for hook in HOOKS:
        probe = plan[f"hook {hook.name}"]
        there = [function.name for function in hook.functions if function.name in symbols]
        if there:
            assert (probe["state"], probe["source"]) == ("on" if kprobes else "off", f"kprobe:{there[0]}")
            assert kprobes or there[0] in probe["why"]
        else:
            assert probe["state"] == "absent"
            assert all(f"no symbol {function.name}" in probe["why"] for function in hook.functions)


def test_settings_agree_with_proc(plan: dict[str, dict[str, str]]) -> None:
    for name in ("unprivileged_bpf_disabled", "perf_event_paranoid", "kptr_restrict"):
        path = Path("/proc/sys/kernel") / name
        assert plan[name]["state"] == ("on" if path.exists() else "absent")
        if path.exists():
            assert plan[name]["why"].startswith(f"{path.read_text().strip()};")


def test_what_is_not_there_has_a_line_and_what_is_has_one_for_all(plan: dict[str, dict[str, str]]) -> None:
    done = subprocess.run(DOCTOR, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for fact, probe in plan.items():
        shown = [line for line in lines if re.match(rf"{re.escape(fact)}\s+{probe['state']}\s+", line)]
        assert len(shown) == (0 if fact.startswith("call ") and probe["state"] == "on" else 1), fact
    calls = [probe["state"] for fact, probe in plan.items() if fact.startswith("call ")]
    assert any(f"{calls.count('on')} of {len(calls)} have tracepoints" in line for line in lines)
    assert "Recording works here" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_terminal_gets_colours_and_its_own_width() -> None:
    with on_terminal(DOCTOR) as terminal:
        assert terminal.end() == 0
    assert b"\x1b[32mon" in terminal.shown
    assert b"Recording works here" in terminal.shown


def test_it_answers_at_once() -> None:
    """Judged by its CPU time, since others may be using the machine."""
    wall_s, cpu_s = [], []
    for _ in range(3):
        before, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*DOCTOR, "--format", "json"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall_s.append(time.monotonic() - before)
        cpu_s.append(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    print(f"record doctor: {min(wall_s):.2f} s, {min(cpu_s):.2f} s of CPU")
    assert min(cpu_s) < 1
    assert min(wall_s) < 3


def test_it_works_without_privilege_and_says_what_is_missing() -> None:
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *DOCTOR]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": "/nonexistent"})
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "Recording does not work here: " in done.stdout
    assert "\nhint: run as root" in done.stdout


def test_an_unknown_format_is_wrong_use() -> None:
    done = subprocess.run([*DOCTOR, "--format", "xml"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "record: no such format: xml\n\nhint: table or json\n"
    assert done.stdout == ""
