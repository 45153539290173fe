"""What this machine gives to a recording, and what to do where it does not give enough.

Everything is found by looking or by trying, never by the kernel's version. The plan is what
`record doctor` prints and what the manifest keeps; it attaches and compiles nothing.
"""

from __future__ import annotations

import ctypes
import errno
import gzip
import importlib.metadata
import os
import re
import resource
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal, NamedTuple

from recorder import bccpath
from recorder.btf import VMLINUX, Btf, BtfError, cflags
from recorder.hooks import HOOKS, Chosen, choose
from recorder.syscalls import SYSCALLS

__all__ = ["TRACEFS", "Probe", "Problems", "TracefsError", "chosen_hooks", "make_plan", "private_tracefs", "problems"]

TRACEFS = Path("/sys/kernel/tracing")

State = Literal["on", "off", "absent"]


@dataclass(frozen=True)
class Probe:
    """One fact of the plan.

    `state` is on, off (there, but not to be used as things are) or absent (this machine does not
    have it). `why` is the finding, `hint` what to do, empty if there is nothing. `need` says what
    fails without it: the recording, some answers, or nothing.
    """

    fact: str
    source: str
    state: State
    why: str
    hint: str = ""
    need: Literal["recording", "answers", "nothing"] = "nothing"

    def as_dict(self) -> dict[str, str]:
        """The form of `record doctor --format json` and of the manifest."""
        return {"fact": self.fact, "source": self.source, "state": self.state, "why": self.why, "hint": self.hint}


class Problems(NamedTuple):
    """The probes that are not on: those that prevent recording, and those that make it know less."""

    fatal: list[Probe]
    degraded: list[Probe]


class TracefsError(Exception):
    """tracefs cannot be had; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def make_plan() -> list[Probe]:
    """Look at the machine. Takes about 0.1 s, changes nothing, and never raises for what it finds."""
    machine = os.uname().machine
    architecture = Probe("architecture", "uname", "on", machine, need="recording")
    if machine != "x86_64":
        # the numbers of system calls below are x86_64's too
        why, hint = f"only x86_64 is supported: {machine}", "record on an x86_64 machine"
        return [Probe("architecture", "uname", "absent", why, hint, "recording")]
    # a mount namespace belongs to a thread, and goes with it
    with ThreadPoolExecutor(1) as thread:
        seen = thread.submit(_look_privately).result()
    kprobes = _kprobes(seen)
    return [
        architecture,
        *_privileges(),
        _bcc(),
        _pyarrow(),
        _btf(),
        _ring_buffer(),
        _reading_program(),
        _locked_memory(),
        _tracefs(seen),
        *_tracepoints(seen),
        *_sideband(),
        _i386(),
        _pid_namespace(),
        _hidepid(),
        _lockdown(seen),
        *_settings(),
        kprobes,
        *_hooks(seen, kprobes),
    ]


def problems(plan: list[Probe]) -> Problems:
    """What of a plan prevents recording, and what makes a recording answer less."""
    missing = [probe for probe in plan if probe.state != "on"]
    return Problems(
        [probe for probe in missing if probe.need == "recording"],
        [probe for probe in missing if probe.need == "answers"],
    )


_libc = ctypes.CDLL(None, use_errno=True)
_BPF, _PERF_EVENT_OPEN = 321, 298  # arch/x86/entry/syscalls/syscall_64.tbl
_ROOT = "run as root; in a container, start it with --privileged --pid=host"
_KERNEL = "use a kernel built with {}=y, as the kernels of current distributions are"


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError:
        return None


def _names(folder: Path) -> frozenset[str] | None:
    """Names in a folder, None if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except OSError:
        return None


# --- tracefs


def private_tracefs() -> Path:
    """The folder where tracefs is, mounted for this thread alone if it is not at TRACEFS.

    Mounting moves the calling thread, and the threads and processes it starts later, into a mount
    namespace of their own, for good. Mounts made outside still come in. Raises TracefsError.
    """
    if _names(TRACEFS / "events") is None:
        _unshare_mounts()
        if _libc.mount(b"tracefs", os.fsencode(TRACEFS), b"tracefs", 0, None):
            raise _tracefs_error(ctypes.get_errno())
        if _names(TRACEFS / "events") is None:
            raise TracefsError(f"tracefs shows no events: {TRACEFS}", _KERNEL.format("CONFIG_EVENT_TRACING"))
    return TRACEFS


def _unshare_mounts() -> None:
    # os.unshare is there from Python 3.12 on
    clone_newns, ms_rec, ms_slave = 0x20000, 1 << 14, 1 << 19
    if _libc.unshare(clone_newns) or _libc.mount(b"none", b"/", None, ms_rec | ms_slave, None):
        raise _tracefs_error(ctypes.get_errno())


def _tracefs_error(number: int) -> TracefsError:
    hints = {
        errno.ENODEV: _KERNEL.format("CONFIG_EVENT_TRACING"),
        errno.ENOENT: "run: mount -t sysfs sysfs /sys",
        # tracefs is there already, at the same place, for root only
        errno.EBUSY: _ROOT,
    }
    message = f"tracefs cannot be mounted at {TRACEFS}: {os.strerror(number)}"
    return TracefsError(message, hints.get(number, f"{_ROOT}; or run as root: mount -t tracefs tracefs {TRACEFS}"))


class _Seen(NamedTuple):
    """What a look into tracefs and securityfs found; None: could not be looked at."""

    error: TracefsError | None
    syscalls: frozenset[str]
    events: frozenset[str]
    kprobes: bool
    kprobes_armed: bool
    unprobeable: frozenset[str]
    lockdown: str | None


_EVENTS = {
    "task/task_newtask": "which new tasks share their parent's address space",
    "sched/sched_process_exec": "which executed files are 32-bit, and when programs start",
    "sched/sched_process_exit": "when tasks end",
    "signal/signal_generate": "SIGBUS and SIGSEGV",
    "raw_syscalls/sys_enter": "calls by 32-bit code",
    "raw_syscalls/sys_exit": "calls by 32-bit code",
}
"""Raw tracepoints, and what is not recorded without each."""


def _look_privately() -> _Seen:
    """To be called in a thread of its own, which loses its mount namespace."""
    error = None
    try:
        private_tracefs()
    except TracefsError as found:
        error = found
    lockdown = _read_mounted("securityfs", "/sys/kernel/security", "lockdown")
    armed = _read_mounted("debugfs", "/sys/kernel/debug", "kprobes/enabled")
    unprobeable = _read_mounted("debugfs", "/sys/kernel/debug", "kprobes/blacklist") or ""
    return _Seen(
        error,
        _names(TRACEFS / "events/syscalls") or frozenset(),
        frozenset(event for event in _EVENTS if _names(TRACEFS / "events" / event) is not None),
        _read(str(TRACEFS / "kprobe_events")) is not None,
        armed is None or armed.strip() != "0",
        frozenset(line.split()[-1] for line in unprobeable.splitlines()),
        lockdown,
    )


def _read_mounted(kind: str, where: str, file: str) -> str | None:
    """A file of a file system that is mounted for this thread alone if need be; None if it cannot be read."""
    text = _read(f"{where}/{file}")
    if text is None and _names(Path(where)) in (None, frozenset()):
        with suppress(TracefsError):
            _unshare_mounts()
            _libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None)
            text = _read(f"{where}/{file}")
    return text


def _mounts(kind: str) -> Iterator[tuple[str, str]]:
    """(mount point, options of the file system) of mounts of a type, escaped as in proc_pid_mountinfo(5)."""
    for line in (_read("/proc/thread-self/mountinfo") or "").splitlines():
        mount, _, source = line.partition(" - ")
        type, _, options = source.split(" ", 2)
        if type == kind:
            yield mount.split(" ")[4], options


def _tracefs(seen: _Seen) -> Probe:
    places = [point for point, _ in _mounts("tracefs")]
    where = f"mounted at {', '.join(places)}" if places else "not mounted"
    if seen.error:
        state: State = "absent" if "CONFIG_" in seen.error.hint else "off"
        return Probe("tracefs", str(TRACEFS), state, str(seen.error), seen.error.hint, "recording")
    if str(TRACEFS) not in places:
        where += f"; the recorder mounts it at {TRACEFS} for itself"
    return Probe("tracefs", str(TRACEFS), "on", where, need="recording")


def _tracepoints(seen: _Seen) -> Iterator[Probe]:
    fact, source = "syscall tracepoints", "tracefs events/syscalls"
    unseen = "unknown without tracefs"
    if seen.error:
        yield Probe(fact, source, "off", unseen, seen.error.hint, "recording")
    elif "sys_enter_mmap" not in seen.syscalls:
        why, hint = "this kernel has no tracepoint of mmap", _KERNEL.format("CONFIG_FTRACE_SYSCALLS")
        yield Probe(fact, source, "absent", why, hint, "recording")
    else:
        why = f"{sum(name.startswith('sys_enter_') for name in seen.syscalls)} system calls"
        yield Probe(fact, source, "on", why, need="recording")
        yield from _calls(seen)
    for event, lost in _EVENTS.items():
        fact, source = f"raw tracepoint {event.partition('/')[2]}", f"tracefs events/{event}"
        if seen.error:
            yield Probe(fact, source, "off", unseen, seen.error.hint, "answers")
        elif event in seen.events:
            yield Probe(fact, source, "on", f"tells {lost}", need="answers")
        else:
            why, hint = f"this kernel has none, so not recorded: {lost}", _KERNEL.format("CONFIG_TRACEPOINTS")
            yield Probe(fact, source, "absent", why, hint, "answers")


def _calls(seen: _Seen) -> Iterator[Probe]:
    for call in (call for call in SYSCALLS if call.number >= 0):
        fact, source = f"call {call.name}", f"syscalls:sys_enter_{call.name}"
        if {f"sys_enter_{call.name}", f"sys_exit_{call.name}"} <= seen.syscalls:
            yield Probe(fact, source, "on", "has its tracepoints")
        else:
            why, hint = "this kernel has no such call, or hides it", "nothing to do where no program can make it"
            yield Probe(fact, source, "absent", why, hint)


# --- what this process may do


def _capabilities() -> int:
    """Effective capabilities, as bits."""
    found = re.search(r"^CapEff:\s*(\w+)", _read("/proc/thread-self/status") or "", re.MULTILINE)
    return int(found[1], 16) if found else 0


# numbers of include/uapi/linux/capability.h
_CAP_SYS_PTRACE, _CAP_SYS_ADMIN, _CAP_SYS_RESOURCE, _CAP_PERFMON, _CAP_BPF = 19, 21, 24, 38, 39


def _capable(*numbers: int) -> bool:
    held = _capabilities()
    return all(held >> number & 1 for number in numbers)


def _privileges() -> Iterator[Probe]:
    fact, source = "privilege to trace", "/proc/self/status CapEff"
    if _capable(_CAP_SYS_ADMIN):
        yield Probe(fact, source, "on", "CAP_SYS_ADMIN", need="recording")
    elif _capable(_CAP_BPF, _CAP_PERFMON):
        yield Probe(fact, source, "on", "CAP_BPF and CAP_PERFMON", need="recording")
    else:
        why = "recording needs root, or CAP_BPF with CAP_PERFMON and a readable tracefs"
        yield Probe(fact, source, "off", why, _ROOT, "recording")
    fact = "privilege to read other processes"
    if _capable(_CAP_SYS_PTRACE):
        yield Probe(fact, source, "on", "CAP_SYS_PTRACE", need="answers")
    else:
        why = "without CAP_SYS_PTRACE only one's own processes' mappings are read at start and after a loss"
        yield Probe(fact, source, "off", why, _ROOT, "answers")


def _pid_namespace() -> Probe:
    fact, source = "initial pid namespace", "/proc/self/ns/pid"
    # PROC_PID_INIT_INO of include/linux/proc_ns.h
    if Path(source).stat().st_ino == 0xEFFFFFFC:
        return Probe(fact, source, "on", "process ids agree with the kernel's", need="answers")
    why = "process ids here differ from those of the kernel's records, so /proc cannot be matched with them"
    return Probe(fact, source, "off", why, "run on the host, or start the container with --pid=host", "answers")


def _hidepid() -> Probe:
    fact, source = "processes of others", "/proc mount options"
    # the mount made last covers those before it
    hidden = re.search(r"\bhidepid=(\w+)", dict(_mounts("proc")).get("/proc", ""))
    if hidden is None or hidden[1] in ("0", "off") or _capable(_CAP_SYS_PTRACE):
        why = f"{hidden[0]} does not concern CAP_SYS_PTRACE" if hidden else "hidepid is not set"
        return Probe(fact, source, "on", why, need="answers")
    return Probe(fact, source, "off", f"/proc hides the processes of others: {hidden[0]}", _ROOT, "answers")


# --- Python packages


def _bcc() -> Probe:
    command = bccpath.install_command()
    hint = f"run: {command}" if command else "install BCC's Python package, see https://github.com/iovisor/bcc"
    folders = [str(folder) for pattern in bccpath._FOLDERS for folder in sorted(Path("/").glob(pattern))]
    for where in (None, *([folder] for folder in folders)):
        spec = PathFinder.find_spec("bcc", where)
        if spec and spec.origin:
            return Probe("bcc", "Python package", "on", str(Path(spec.origin).parent), need="recording")
    return Probe("bcc", "Python package", "absent", "the Python package bcc is not installed", hint, "recording")


def _pyarrow() -> Probe:
    with suppress(importlib.metadata.PackageNotFoundError):
        return Probe("pyarrow", "Python package", "on", importlib.metadata.version("pyarrow"), need="recording")
    why, hint = "the Python package pyarrow is not installed", "run: python3 -m pip install pyarrow"
    return Probe("pyarrow", "Python package", "absent", why, hint, "recording")


# --- BPF


def _btf() -> Probe:
    try:
        with Btf() as btf:
            offsets = [flag for flag in cflags(btf) if flag.startswith("-DOFF_")]
    except BtfError as error:
        return Probe("BTF", VMLINUX, "absent", str(error), error.hint, "recording")
    return Probe("BTF", VMLINUX, "on", f"has all {len(offsets)} struct offsets", need="recording")


def _bpf(command: int, attributes: bytes) -> int:
    """bpf(2): a new fd, or a negative error number."""
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    fd: int = _libc.syscall(_BPF, command, buffer, len(buffer))
    return fd if fd >= 0 else -ctypes.get_errno()


def _make_ring() -> int:
    """0, or the error number of making a small BPF ring buffer."""
    map_create, ringbuf = 0, 27
    fd = _bpf(map_create, struct.pack("<4I", ringbuf, 0, 0, os.sysconf("SC_PAGE_SIZE")))
    if fd >= 0:
        os.close(fd)
    return -min(fd, 0)


def _refused(what: str, number: int, option: str) -> tuple[State, str, str]:
    """State, reason and remedy of a system call's error."""
    state: State = "off" if number in (errno.EPERM, errno.EACCES) else "absent"
    return state, f"{what}: {os.strerror(number)}", _ROOT if state == "off" else _KERNEL.format(option)


def _ring_buffer() -> Probe:
    number = _make_ring()
    if not number:
        return Probe("BPF ring buffer", "bpf(2)", "on", "could be made", need="recording")
    state, why, hint = _refused("the kernel makes no BPF ring buffer", number, "CONFIG_BPF_SYSCALL")
    return Probe("BPF ring buffer", "bpf(2)", state, why, hint, "recording")


def _reading_program() -> Probe:
    """Try to load: bpf_probe_read_kernel(stack, 8, 0). Lockdown and missing privilege refuse it."""
    program = b"".join(
        struct.pack("<BBhi", code, registers, 0, immediate)
        for code, registers, immediate in (
            (0xBF, 0xA1, 0),  # r1 = r10
            (0x07, 0x01, -8),  # r1 += -8
            (0xB7, 0x02, 8),  # r2 = 8
            (0xB7, 0x03, 0),  # r3 = 0
            (0x85, 0x00, 113),  # call bpf_probe_read_kernel
            (0xB7, 0x00, 0),  # r0 = 0
            (0x95, 0x00, 0),  # exit
        )
    )
    text, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    prog_load, raw_tracepoint = 5, 17
    attributes = struct.pack(
        "<2I2Q", raw_tracepoint, len(program) // 8, ctypes.addressof(text), ctypes.addressof(licence)
    )
    fd = _bpf(prog_load, attributes)
    fact = "BPF programs that read the kernel"
    if fd >= 0:
        os.close(fd)
        return Probe(fact, "bpf(2)", "on", "could be loaded", need="recording")
    state, why, hint = _refused("the kernel loads no BPF program that reads its memory", -fd, "CONFIG_BPF_EVENTS")
    if state == "absent":
        hint += ", and not locked down to confidentiality"
    return Probe(fact, "bpf(2)", state, why, hint, "recording")


def _locked_memory() -> Probe:
    """Whether BPF memory counts against RLIMIT_MEMLOCK, as before Linux 5.11: tried with a limit of nothing."""
    fact, source = "memory for BPF", "RLIMIT_MEMLOCK"
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft >> 10} KiB"
    if _make_ring():
        return Probe(fact, source, "off", "unknown without a BPF ring buffer", _ROOT)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    try:
        charged = _make_ring() != 0
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    if not charged:
        return Probe(fact, source, "on", f"not counted against the limit of {limit}", need="recording")
    if soft == resource.RLIM_INFINITY or hard == resource.RLIM_INFINITY or _capable(_CAP_SYS_RESOURCE):
        return Probe(fact, source, "on", f"counted against the limit of {limit}, which can be raised", need="recording")
    why = f"counted against the limit of {limit}, which this process may not raise"
    return Probe(fact, source, "off", why, "run first: ulimit -l unlimited", "recording")


# --- the perf side-band


def _open_sideband(read_format: int) -> int:
    """0, or the error number of opening an event as the recorder does, on one CPU."""
    software, dummy, monotonic = 1, 9, 1
    # mmap, comm, task, mmap_data, sample_id_all, mmap2, comm_exec, use_clockid; disabled, no kernel
    flags = sum(1 << bit for bit in (0, 5, 6, 8, 9, 13, 17, 18, 23, 24, 25))
    attributes = struct.pack("<2I5Q44xi16x", software, 112, dummy, 0, 0, read_format, flags, monotonic)
    cpu = min(os.sched_getaffinity(0))
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    fd: int = _libc.syscall(_PERF_EVENT_OPEN, buffer, -1, cpu, -1, ctypes.c_ulong(8))
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0


def _sideband() -> Iterator[Probe]:
    number = _open_sideband(0)
    fact, source = "perf side-band", "perf_event_open(2)"
    if number:
        state, why, hint = _refused("the kernel opens no event for mapping changes", number, "CONFIG_PERF_EVENTS")
        if state == "off" and _capable(_CAP_SYS_ADMIN):
            hint = "allow perf_event_open in the container's seccomp profile, or start it with --privileged"
        yield Probe(fact, source, state, why, hint, "recording")
        return
    yield Probe(fact, source, "on", "could be opened for all processes", need="recording")
    fact, source = "count of side-band losses", "PERF_FORMAT_LOST"
    if _open_sideband(1 << 4):
        why = "not known to this kernel: losses are told by PERF_RECORD_LOST, one record late"
        yield Probe(fact, source, "absent", why, "nothing to do")
    else:
        yield Probe(fact, source, "on", "could be opened")


# --- kernel configuration and settings


@cache
def _configuration() -> str:
    """The kernel's configuration, empty if it is not published."""
    with suppress(OSError, EOFError):
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    return _read(f"/boot/config-{os.uname().release}") or ""


def _i386() -> Probe:
    fact, source, option = "32-bit processes", "/proc/sys/abi/vsyscall32", "CONFIG_IA32_EMULATION"
    disabled = re.search(r"\bia32_emulation=(0|off|n|false)\b", _read("/proc/cmdline") or "")
    # vdso32-setup.c makes the file, and is built with the emulation
    if not disabled and (Path(source).exists() or f"\n{option}=y\n" in _configuration()):
        return Probe(fact, source, "on", "run here; raw_syscalls is attached when one is seen")
    why = "switched off at boot" if disabled else "this kernel does not run them, as far as it shows"
    return Probe(fact, source, "absent", why, "nothing to do where none can run")


def _lockdown(seen: _Seen) -> Probe:
    source = "/sys/kernel/security/lockdown"
    levels = seen.lockdown or ""
    if not levels and (given := re.search(r"\blockdown=(\w+)", _read("/proc/cmdline") or "")):
        source, levels = "/proc/cmdline", f"[{given[1]}]"
    chosen = re.search(r"\[(\w+)\]", levels)
    if chosen is None:
        return Probe("lockdown", source, "absent", "unknown: the kernel does not show it", "run as root to see more")
    if chosen[1] == "none":
        return Probe("lockdown", source, "off", "none", "nothing to do")
    if chosen[1] == "confidentiality":
        hint = "boot with lockdown=integrity, or without Secure Boot"
        return Probe("lockdown", source, "on", "confidentiality: BPF may not read the kernel", hint)
    return Probe("lockdown", source, "on", f"{chosen[1]}: BPF may read the kernel")


def _settings() -> Iterator[Probe]:
    for name, meaning in (
        ("unprivileged_bpf_disabled", "concerns processes without privilege only"),
        ("perf_event_paranoid", "concerns processes without privilege only"),
        ("kptr_restrict", "kernel addresses are not needed"),
    ):
        source = f"/proc/sys/kernel/{name}"
        value = _read(source)
        if value is None:
            yield Probe(name, source, "absent", f"not to be read; {meaning}", "nothing to do")
        else:
            yield Probe(name, source, "on", f"{value.strip()}; {meaning}")


def _kprobes(seen: _Seen) -> Probe:
    source = "/sys/bus/event_source/devices/kprobe"
    if not seen.kprobes_armed:
        enabled = "/sys/kernel/debug/kprobes/enabled"
        return Probe("kprobes", source, "off", "they are switched off, all of them", f"run: echo 1 >{enabled}")
    if seen.kprobes or Path(source).exists():
        return Probe("kprobes", source, "on", "kernel functions can be hooked")
    why = "this kernel has none: what only its functions tell is possible, not certain"
    return Probe("kprobes", source, "absent", why, _KERNEL.format("CONFIG_KPROBES"))


@cache
def _symbols() -> frozenset[str] | None:
    """Those of the functions worth a hook that the kernel has, not in a module; None if that is not to be read."""
    with suppress(OSError):
        if text := Path("/proc/kallsyms").read_bytes():
            names = (function.name for hook in HOOKS for function in hook.functions)
            return frozenset(name for name in names if any(f" {kind} {name}\n".encode() in text for kind in "tT"))
    return None


@cache
def chosen_hooks() -> tuple[Chosen, ...]:
    """For each hook the function that this kernel has; () where BTF cannot be read."""
    try:
        with Btf() as btf:
            return tuple(choose(hook, _symbols() or (), btf) for hook in HOOKS)
    except BtfError:
        return ()


def _hooks(seen: _Seen, kprobes: Probe) -> Iterator[Probe]:
    if not chosen_hooks():
        for hook in HOOKS:
            why = "where arguments lie is not known without BTF"
            yield Probe(f"hook {hook.name}", VMLINUX, "absent", why, _KERNEL.format("CONFIG_DEBUG_INFO_BTF"))
    for chosen in chosen_hooks():
        fact, source = f"hook {chosen.hook.name}", "/proc/kallsyms and BTF"
        if _symbols() is None:
            yield Probe(fact, source, "absent", "symbols are not to be read", _ROOT)
            continue
        if chosen.function is None:
            yield Probe(fact, source, "absent", chosen.why, "nothing to do")
            continue
        source = f"kprobe:{chosen.function.name}"
        if kprobes.state != "on":
            why = f"{chosen.function.name} is there, but kprobes are {kprobes.state}"
            yield Probe(fact, source, "off", why, kprobes.hint)
        elif chosen.function.name in seen.unprobeable:
            why = f"the kernel lets nobody probe {chosen.function.name} (debugfs kprobes/blacklist)"
            yield Probe(fact, source, "off", why, "nothing to do")
        else:
            yield Probe(fact, source, "on", f"tells {chosen.hook.tells}")
