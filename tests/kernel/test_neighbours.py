"""Other tracers on the machine see what they saw before."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.recordings import record_host
from tests.support.workloads import build

TASK_CALLS = 23_003

_COUNTER = """
import ctypes, os, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 1 << 14 | 1 << 19, None):
    sys.exit("cannot unshare the mount namespace")
if not os.path.isdir("/sys/kernel/tracing/events"):
    libc.mount(b"nodev", b"/sys/kernel/tracing", b"tracefs", 0, None)
point = int(open("/sys/kernel/tracing/events/syscalls/%s/id" % sys.argv[1]).read())
# type, size, config, period, sample_type, read_format, flags: disabled, inherit, enable_on_exec
attr = struct.pack("IIQQQQQ", 2, 112, point, 0, 0, 0, 1 | 2 | 1 << 12).ljust(112, b"\\0")
fd = libc.syscall(298, attr, 0, -1, -1, ctypes.c_ulong(0))
if fd < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
print(struct.unpack("Q", os.read(fd, 8))[0])
"""


def count(point: str, program: Path) -> int:
    """How often another perf user sees a tracepoint while `program` runs."""
    command = ["python3", "-c", _COUNTER, point, program, str(TASK_CALLS), "mprotect"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_another_perf_user_still_sees_every_event(tmp_path: Path) -> None:
    program = build("hammer")
    alone = {point: count(point, program) for point in ("sys_enter_mprotect", "sys_exit_mprotect")}
    assert all(seen >= TASK_CALLS for seen in alone.values())
    with record_host(tmp_path / "capture"):
        beside = {point: count(point, program) for point in alone}
    assert beside == alone
