"""The plan on this machine, and on this machine with a part of it really taken away.

What is missing is made so in a mount or pid namespace of a child process.
"""

from __future__ import annotations

import json
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.hooks import HOOKS
from recorder.plan import make_plan, problems
from recorder.syscalls import SYSCALLS

UNMOUNT = "umount -l /sys/kernel/tracing 2>/dev/null || true"
REPOSITORY = Path(__file__).parents[2]

PLAN = """
import json, os
from recorder.plan import make_plan, problems
{before}
plan = make_plan()
found = problems(plan)
print(json.dumps({{
    "plan": {{probe.fact: probe.as_dict() for probe in plan}},
    "fatal": [probe.fact for probe in found.fatal],
    "degraded": [probe.fact for probe in found.degraded],
}}))
"""


def drop(capabilities: str) -> list[str]:
    listed = ",".join(f"-{capability}" for capability in capabilities.split())
    return ["setpriv", f"--bounding-set={listed}", f"--inh-caps={listed}"] if listed else []


class Plan:
    """A plan made in a child process, after `setup` (shell) and `before` (Python), without some
    capabilities."""

    def __init__(self, setup: str = "true", *, before: str = "", without: str = "", unshare: str = "--mount") -> None:
        python = shlex.join([*drop(without), sys.executable, "-c", PLAN.format(before=before)])
        command = ["unshare", *unshare.split(), "sh", "-ec", f"{setup}\nexec {python}"]
        run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        found = json.loads(run.stdout)
        self.fatal: list[str] = found["fatal"]
        self.degraded: list[str] = found["degraded"]
        self.plan: dict[str, dict[str, str]] = found["plan"]

    def state(self, fact: str) -> str:
        return self.plan[fact]["state"]

    def hint(self, fact: str) -> str:
        return self.plan[fact]["hint"]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_this_machine_can_record() -> None:
    plan = make_plan()
    assert problems(plan).fatal == []


def test_the_look_changes_nothing() -> None:
    def state() -> tuple[object, ...]:
        mounts = Path("/proc/self/mountinfo").read_text()
        opened = len(list(Path("/proc/self/fd").iterdir()))
        return Path("/proc/self/ns/mnt").readlink(), mounts, opened, Path.cwd()

    make_plan()  # libraries are loaded now
    before = state()
    make_plan()
    assert state() == before

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (12288, hard))
    try:
        make_plan()
        assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == (12288, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


def test_calls_are_those_that_tracefs_lists() -> None:
    script = "mount -t tracefs t /mnt && ls /mnt/events/syscalls"
    listed = subprocess.run(["unshare", "--mount", "sh", "-ec", script], capture_output=True, text=True, check=True)
    names = set(listed.stdout.split())
    states = {probe.fact: probe.state for probe in make_plan()}
    calls = [call.name for call in SYSCALLS if call.number >= 0]
    assert {fact.removeprefix("call ") for fact in states if fact.startswith("call ")} == set(calls)
    for name in calls:
        assert (states[f"call {name}"] == "on") == (f"sys_enter_{name}" in names), name
    assert states["call mmap"] == "on"


def test_no_btf(empty: Path) -> None:
    plan = Plan(f"mount --bind {empty} /sys/kernel/btf")
    assert plan.fatal == ["BTF"]
    assert plan.state("BTF") == "absent"
    assert "CONFIG_DEBUG_INFO_BTF" in plan.hint("BTF")
    for hook in HOOKS:
        assert plan.state(f"hook {hook.name}") == "absent"
        assert "without BTF" in plan.plan[f"hook {hook.name}"]["why"]


def test_no_symbols_are_no_hooks() -> None:
    plan = Plan("mount --bind /dev/null /proc/kallsyms")
    assert plan.fatal == []
    for hook in HOOKS:
        assert plan.state(f"hook {hook.name}") == "absent"
        assert plan.plan[f"hook {hook.name}"]["why"] == "symbols are not to be read"


def test_no_bcc_names_the_command_of_the_distribution(empty: Path, tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=rocky\nID_LIKE="rhel fedora"\n')
    hide = f"mount --bind {empty} /usr/lib/python3/dist-packages"
    own = Plan(hide)
    assert own.fatal == ["bcc"]
    assert own.hint("bcc").startswith("run: ")
    # the file the standard library reads first, /etc/os-release, is a link on most distributions
    other = Plan(f"{hide}\nmount --bind {release} $(readlink -f /etc/os-release)")
    assert other.hint("bcc") == "run: dnf install -y python3-bcc"


def test_tracefs_that_is_mounted_is_used() -> None:
    plan = Plan("mount -t tracefs t /sys/kernel/tracing")
    assert plan.fatal == []
    where = plan.plan["tracefs"]["why"]
    assert re.search(r"mounted at (.*, )?/sys/kernel/tracing", where)
    assert "recorder mounts" not in where


def test_tracefs_that_is_not_mounted_is_mounted_privately() -> None:
    plan = Plan(UNMOUNT)
    assert plan.fatal == []
    assert plan.state("tracefs") == "on"
    assert "the recorder mounts it" in plan.plan["tracefs"]["why"]


def test_no_place_for_tracefs(empty: Path) -> None:
    plan = Plan(f"mount --bind {empty} /sys/kernel")
    assert {"tracefs", "syscall tracepoints", "BTF"} <= set(plan.fatal)
    assert "raw tracepoint signal_generate" in plan.degraded
    assert plan.state("tracefs") == "off"
    assert "No such file" in plan.plan["tracefs"]["why"]
    assert plan.hint("tracefs") == "run: mount -t sysfs sysfs /sys"


def test_capabilities_without_sys_admin_cannot_mount_tracefs() -> None:
    plan = Plan(UNMOUNT, without="sys_admin")
    assert plan.plan["privilege to trace"]["why"] == "CAP_BPF and CAP_PERFMON"
    assert plan.state("BPF programs that read the kernel") == "on"
    assert plan.state("perf side-band") == "on"
    assert plan.fatal == ["tracefs", "syscall tracepoints"]
    assert "mount -t tracefs tracefs /sys/kernel/tracing" in plan.hint("tracefs")
    assert Plan("mount -t tracefs t /sys/kernel/tracing", without="sys_admin").fatal == []


def test_bpf_capability_missing() -> None:
    plan = Plan(without="sys_admin bpf")
    assert plan.fatal[0] == "privilege to trace"
    assert "BPF ring buffer" in plan.fatal
    assert plan.state("BPF ring buffer") == "off"
    assert "root" in plan.hint("BPF ring buffer")


def test_an_ordinary_user() -> None:
    nobody = 65534
    # the first plan imports what the second needs
    plan = Plan(before=f"make_plan(); os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})")
    assert plan.fatal[0] == "privilege to trace"
    assert {"BPF ring buffer", "BPF programs that read the kernel", "tracefs", "perf side-band"} <= set(plan.fatal)
    assert "privilege to read other processes" in plan.degraded
    for fact in plan.fatal:
        assert plan.hint(fact).startswith("run as root"), fact
    assert plan.state("BTF") == "on"
    assert plan.state("bcc") == "on"


def test_a_container_with_its_own_processes() -> None:
    plan = Plan(unshare="--mount --pid --fork --mount-proc")
    assert plan.fatal == []
    assert plan.degraded == ["initial pid namespace"]
    assert "--pid=host" in plan.hint("initial pid namespace")


def test_hidden_processes() -> None:
    hide = "mount -t proc -o hidepid=2 p /proc"
    plan = Plan(hide, unshare="--mount --pid --fork")
    assert plan.state("processes of others") == "on"
    assert "hidepid=" in plan.plan["processes of others"]["why"]
    plan = Plan(hide, unshare="--mount --pid --fork", without="sys_ptrace")
    assert {"privilege to read other processes", "processes of others"} <= set(plan.degraded)
    assert "hidepid=" in plan.plan["processes of others"]["why"]


def test_lockdown_is_shown_where_securityfs_is_not_mounted() -> None:
    script = "mount -t securityfs s /mnt && cat /mnt/lockdown"
    shown = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    state = next(probe for probe in make_plan() if probe.fact == "lockdown")
    if level := re.search(r"\[(\w+)\]", shown.stdout):
        assert level[1] in state.why
        assert state.state == ("off" if level[1] == "none" else "on")
    else:
        assert state.state == "absent"


def test_private_tracefs_is_private_and_outer_mounts_still_come_in(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from recorder.plan import TRACEFS, private_tracefs
assert private_tracefs() == TRACEFS
assert (TRACEFS / "events/syscalls/sys_enter_mmap/id").read_text().strip().isdigit()
assert private_tracefs() == TRACEFS
print("ready", flush=True)
sys.stdin.read(1)
assert (Path(sys.argv[1]) / "outer").exists()
"""
    script = f"""
{UNMOUNT}
mount --make-rshared /
mkfifo {tmp_path}/in {tmp_path}/out
{shlex.join([sys.executable, "-c", code, str(tmp_path / "place")])} <{tmp_path}/in >{tmp_path}/out &
exec 3>{tmp_path}/in 4<{tmp_path}/out
read line <&4
test "$line" = ready
test ! -e /sys/kernel/tracing/events
mkdir {tmp_path}/place
mount -t tmpfs t {tmp_path}/place
touch {tmp_path}/place/outer
echo >&3
wait $!
"""
    run = subprocess.run(["unshare", "--mount", "sh", "-ec", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_private_tracefs_says_why_it_cannot() -> None:
    code = """
from recorder.plan import TracefsError, private_tracefs
try:
    private_tracefs()
except TracefsError as error:
    print(error, error.hint, sep="|")
"""
    setup = f"{UNMOUNT}\nexec {shlex.join([*drop('sys_admin'), sys.executable, '-c', code])}"
    run = subprocess.run(["unshare", "--mount", "sh", "-ec", setup], cwd=REPOSITORY, capture_output=True, text=True)
    message, hint = run.stdout.strip().split("|")
    assert message == "tracefs cannot be mounted at /sys/kernel/tracing: Operation not permitted"
    assert "mount -t tracefs" in hint


def test_the_plan_is_quick() -> None:
    make_plan()
    taken = []
    for _ in range(7):
        begin = time.perf_counter()
        make_plan()
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 0.15
