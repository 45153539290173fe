"""The BPF programs: compiled, loaded, attached. The only module that uses bcc.

Which programs are attached is decided by looking at what the kernel has (tracefs, raw
tracepoints), never by its version; `outcome` says for each what became of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recorder.bccpath import import_bcc
from recorder.bpfdir import bpf_dir
from recorder.decode import RECORDS
from recorder.hooks import FUNCTIONS, Chosen, Function
from recorder.ring import BpfRing, map_counters
from recorder.syscalls import SYSCALLS, Syscall

__all__ = ["SOURCES", "Attached", "ProbeError", "Probes", "RingSizes", "Sources", "UserStack"]

SOURCES = ("calls", "files", "tasks", "faults", "threads", "stacks", "hooks")
"""Sources of loss, in the order of `enum source` in bpf/common.h."""

Sources = npt.NDArray[np.void]

_COUNTER = np.dtype(
    [(name, "<u8") for name in ("attempted", "lost", "first_lost_ns", "last_lost_ns", "acknowledged")]
    + [("unused", "<u8", (3,))]
)
_FAMILIES = ("calls.c", "files.c", "tasks.c", "faults.c", "i386.c", "hooks.c")
_RAW = {
    "task_newtask": "on_task_newtask",
    "sched_process_exec": "on_sched_process_exec",
    "sched_process_exit": "on_sched_process_exit",
    "signal_generate": "on_signal_generate",
}
_I386 = {"sys_enter": "on_sys_enter", "sys_exit": "on_sys_exit"}
_FORKING = ("clone", "clone3", "fork")  # calls that can copy an address space: when they began is all that is asked
_SPECIAL_ENTRY = {
    "mmap": "enter_mmap",
    "prctl": "enter_prctl",
    "ftruncate": "enter_fd_2",
    "fallocate": "enter_fd_4",
    "truncate": "enter_truncate",
    "open": "enter_open",
    "openat": "enter_openat",
    "openat2": "enter_openat2",
    "creat": "enter_creat",
}
_PAGE = os.sysconf("SC_PAGESIZE")
_PERF_EVENT_IOC_DISABLE = 0x2401
_MOST_CALLERS = 14  # that are added to a stack: malloc of glibc has five
_USER_END = 1 << 56  # with five levels of page tables, x86_64
MAX_FRAMES = 127  # PERF_MAX_STACK_DEPTH, the default of kernel.perf_event_max_stack


class ProbeError(Exception):
    """The kernel or bcc refused; `hint` says what the user can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class RingSizes:
    """Bytes of each BPF ring; rounded up to a power of two of pages."""

    calls: int = 64 << 20
    files: int = 4 << 20
    tasks: int = 8 << 20
    faults: int = 1 << 20
    hooks: int = 1 << 24

    def pages(self, ring: str) -> int:
        pages = max(1, -(-getattr(self, ring) // _PAGE))
        return int(1 << (pages - 1).bit_length())


@dataclass(frozen=True)
class Attached:
    """What became of one probe."""

    name: str
    on: bool
    why: str = ""


class _Extended(ctypes.Structure):
    """struct extended of bpf/stacks.h."""

    _fields_ = (
        ("name", ctypes.c_uint64),
        ("stack_id", ctypes.c_uint32),
        ("count", ctypes.c_uint16),
        ("joined_at", ctypes.c_uint16),
        ("callers", ctypes.c_uint64 * _MOST_CALLERS),
        ("at", ctypes.c_uint8 * 16),
    )


class UserStack(NamedTuple):
    """A user stack: its return addresses, innermost first.

    `walked_id` is the number of the stack as the kernel walked it, of which this may be one with callers added;
    `recovered` counts those, from the second frame on; `on_top`: the first of them was the word at the top of the
    stack; `joined`: all of the stack up to the next frame was looked through (see bpf/stacks.h).
    """

    stack_id: int
    walked_id: int
    frames: list[int]
    recovered: int
    on_top: bool
    joined: bool


@dataclass
class Probes:
    """The loaded programs and their rings.

    `targets_only` limits recording to processes named with `add_target` and their descendants.
    Every program leaves this process out. With `wake`, faults and calls that fail with ENOMEM wake who polls their
    ring.
    """

    offsets: list[str]
    tracefs: Path
    sizes: RingSizes = RingSizes()
    targets_only: bool = False
    stacks: bool = False
    wake: bool = False
    stack_entries: int = 1 << 16  # 84 MB of the kernel's; of 1,000 short processes 2^14 lost 30 % of the stacks
    threads: int = 1 << 16
    hooks: Sequence[Chosen] = ()
    rings: dict[str, BpfRing] = field(default_factory=dict, init=False)
    outcome: list[Attached] = field(default_factory=list, init=False)
    i386_attached: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.cpus = _possible_cpus()
        folder = bpf_dir()
        # BCC looks for kernel headers here, and finds the project's own
        os.environ["BCC_KERNEL_SOURCE"] = str(folder / "headers")
        self._bcc = import_bcc()
        self._bpf = self._load(folder)
        for ring in RECORDS:
            fd = self._bpf[ring].map_fd
            self.rings[ring] = BpfRing(fd, self.sizes.pages(ring) * _PAGE, RECORDS[ring])
        self.counters: Sources = map_counters(self._bpf["counters"].map_fd, (len(SOURCES), self.cpus), _COUNTER)
        self._recording = map_counters(self._bpf["recording"].map_fd, (1,), np.dtype([("on", "<u8")]))

    def _load(self, folder: Path) -> Any:
        macros = {
            "SELF_TGID": os.getpid(),
            "MM_KEY": f"{secrets.randbits(64)}ULL",
            "MAX_CPUS": self.cpus,
            "PAGE_BYTES": _PAGE,
            "MAX_THREADS": self.threads,
            "STACK_ENTRIES": self.stack_entries,
            "MOST_CALLERS": _MOST_CALLERS,
            **{f"RING_{ring.upper()}_PAGES": self.sizes.pages(ring) for ring in RECORDS},
        }
        macros |= {f"HOOK_{name}": FUNCTIONS.index(function.name) for name, function in self._hooked()}
        flags = [
            *self.offsets,
            *(macro for chosen in self.hooks for macro in chosen.macros),
            *(f"-D{name}={value}" for name, value in macros.items()),
            "-w",
        ]
        flags += ["-DONLY_TARGETS"] if self.targets_only else []
        flags += ["-DWITH_STACKS"] if self.stacks else []
        flags += ["-DWITH_WAKE"] if self.wake else []
        # One text, since BCC rewrites map accesses in the main file only
        names = ("wire.h", "common.h", "stacks.h", *_FAMILIES)
        text = "\n".join(f'#line 1 "bpf/{name}"\n{(folder / name).read_text()}' for name in names)
        try:
            return self._bcc.BPF(text=text.replace("#pragma once\n", "\n"), cflags=flags)
        except Exception as error:  # bcc raises bare Exception
            raise ProbeError(f"the BPF programs did not compile: {error}", "run: record doctor") from error

    def attach(self) -> None:
        """Attach every program this kernel has a place for; fails if the mapping calls cannot be had.

        They make no records until `start`.
        """
        for event, function in _RAW.items():
            self._raw(event, function)
        for call in SYSCALLS:
            if call.number >= 0:
                self._attach_syscall(call)
        for name in _FORKING:
            if (self.tracefs / f"events/syscalls/sys_enter_{name}").is_dir():
                self._attempt(
                    f"syscalls:{name}", partial(self._attach_tracepoint, f"sys_enter_{name}", "enter_forking")
                )
        for _, hooked in self._hooked():
            self._hook(hooked)
        if not any(a.on for a in self.outcome if a.name == "syscalls:mmap"):
            why = next((a.why for a in self.outcome if a.name == "syscalls:mmap"), "")
            raise ProbeError(f"the tracepoint of mmap could not be used: {why}", "run: record doctor")

    def _hooked(self) -> list[tuple[str, Function]]:
        return [(each.hook.name, each.function) for each in self.hooks if each.function]

    def attach_i386(self) -> None:
        """See 32-bit calls too; every system call of the machine then costs about 0.15 µs more."""
        if not self.i386_attached:
            self.i386_attached = True
            for event, function in _I386.items():
                self._raw(event, function)

    def _attempt(self, name: str, attach: Callable[[], object]) -> bool:
        try:
            attach()
        except Exception as error:  # bcc raises bare Exception
            self.outcome.append(Attached(name, False, str(error)))
            return False
        self.outcome.append(Attached(name, True))
        return True

    def _raw(self, event: str, function: str) -> None:
        self._attempt(
            f"raw:{event}", lambda: self._bpf.attach_raw_tracepoint(tp=event.encode(), fn_name=function.encode())
        )

    def _hook(self, function: Function) -> None:
        # without the probe at its return a call of it that fails would be taken for done
        if not function.failed or self._attempt(
            f"kretprobe:{function.name}",
            lambda: self._bpf.attach_kretprobe(event=function.name.encode(), fn_name=function.failed.encode()),
        ):
            self._attempt(
                f"kprobe:{function.name}",
                lambda: self._bpf.attach_kprobe(event=function.name.encode(), fn_name=function.program.encode()),
            )

    def _attach_syscall(self, call: Syscall) -> None:
        enter, leave = (self.tracefs / f"events/syscalls/sys_{side}_{call.name}" for side in ("enter", "exit"))
        if not (enter.is_dir() and leave.is_dir()):
            self.outcome.append(Attached(f"syscalls:{call.name}", False, "this kernel has no such tracepoint"))
            return
        entry = _SPECIAL_ENTRY.get(call.name, f"enter_{len(call.args)}")
        exit = "leave_file_call" if call.family == "files" else "leave_call"

        def attach() -> None:
            # the exit first: a call that is entered before both are there is left out whole
            for point, function in ((leave, exit), (enter, entry)):
                self._attach_tracepoint(point.name, function)

        self._attempt(f"syscalls:{call.name}", attach)

    def _attach_tracepoint(self, point: str, function: str) -> None:
        name = f"syscalls:{point}".encode()
        self._bpf.attach_tracepoint(tp=name, fn_name=function.encode())
        # The program runs as long as the event exists. Enabled, it would have perf make a sample of each call too,
        # on the one CPU it was opened for (perf_syscall_enter): 0.2 to 0.4 µs a call there.
        fcntl.ioctl(self._bpf.tracepoint_fds[name], _PERF_EVENT_IOC_DISABLE, 0)

    def start(self) -> None:
        self._recording["on"] = 1

    def stop(self) -> None:
        """Make no more records; a call that has not returned by now is left out."""
        self._recording["on"] = 0

    def close(self) -> None:
        """Take the programs off and let go of the rings. The last thing to do: no thread may be at work any more.

        Letting go of a syscall tracepoint waits for the kernel, some 35 ms for each of the six dozen
        (tracepoint_synchronize_unregister in perf_trace_event_unreg, under one lock). A child that holds them until
        this process has ended does the waiting.
        """
        gone, held = os.pipe()
        if os.fork() == 0:
            os.setsid()
            for fd in (0, 1, 2, held):
                with contextlib.suppress(OSError):
                    os.close(fd)
            os.read(gone, 1)
            os._exit(0)
        os.close(gone)
        self._bpf.cleanup()

    def add_target(self, pid: int) -> None:
        """With `targets_only`: record process `pid` and every process it makes from now on."""
        if not self.targets_only:
            return
        table = self._bpf["targets"]
        table[ctypes.c_uint32(pid)] = ctypes.c_uint8(1)

    def targets(self) -> list[int]:
        """Processes recorded now: those named, and what they made that is still alive."""
        return [key.value for key in self._bpf["targets"]]

    def losers(self) -> dict[int, int]:
        """Processes that lost records since the last call, with how many."""
        table = self._bpf["losers"]
        found = {key.value: value.value for key, value in table.items()}
        for pid in found:
            del table[ctypes.c_uint32(pid)]
        return found

    def user_stacks(self, stack_ids: Iterable[int]) -> list[UserStack]:
        """These stacks, without those that are gone."""
        found = []
        for stack_id in stack_ids:
            extended = _Extended(stack_id=stack_id)
            if stack_id >= self.stack_entries and not self._look_up(
                "extended", stack_id - self.stack_entries, extended
            ):
                continue
            addresses = (ctypes.c_uint64 * MAX_FRAMES)()
            if not self._look_up("stacks", extended.stack_id, addresses):
                continue
            walked = list(itertools.takewhile(_is_code, addresses))
            count = extended.count
            frames = [*walked[:1], *extended.callers[:count], *walked[1:]]
            on_top, joined = count > 0 and extended.at[0] == 0, extended.joined_at > 0
            found.append(UserStack(stack_id, extended.stack_id, frames, count, on_top, joined))
        return found

    def free_stacks(self, stack_ids: Sequence[int]) -> None:
        """Forget these stacks, so that others get their numbers."""
        for stack_id in stack_ids:
            table = "extended" if stack_id >= self.stack_entries else "stacks"
            key = ctypes.byref(ctypes.c_uint32(stack_id % self.stack_entries))
            self._bcc.lib.bpf_delete_elem(self._bpf[table].map_fd, key)
        recent = self._bpf["recent"]
        for top in list(recent.keys()) if stack_ids else ():
            self._bcc.lib.bpf_delete_elem(recent.map_fd, ctypes.byref(top))

    def _look_up(self, table: str, key: int, value: Any) -> bool:
        """Fill `value`, a ctypes object; False: there is no such key."""
        fd = self._bpf[table].map_fd
        done: int = self._bcc.lib.bpf_lookup_elem(fd, ctypes.byref(ctypes.c_uint32(key)), ctypes.byref(value))
        return done == 0


def _is_code(address: int) -> bool:
    """Whether code can be there at all: a walk along what is no frame pointer ends in anything."""
    return 0 < address < _USER_END


def _possible_cpus() -> int:
    """How many CPU numbers there can be; bpf_get_smp_processor_id is below it."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition("-")[2].rpartition(",")[2]
    return int(last) + 1
