"""A workload under each tracer: what its calls cost, and what the tracer kept of them."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.probes import MODES
from tests.support.recordings import RECORD, Capture, record_host
from tests.support.workloads import build

__all__ = [
    "HOST",
    "RUN",
    "TRACED",
    "TRACERS",
    "UNTRACED",
    "Run",
    "Tracer",
    "Workload",
    "adopt_orphans",
    "available",
    "naming",
    "reap",
    "start_and_end",
]

ROOT = Path(__file__).resolve().parents[2]
TRACED = ("mmap", "mprotect", "munmap")
_EVENTS = ("-e", ",".join(f"syscalls:sys_{side}_{call}" for call in TRACED for side in ("enter", "exit")))
_BPFTRACE = """
tracepoint:syscalls:sys_enter_mmap { printf("%lu %d mmap %lx %lx %lx %lx %lx %lx\\n", nsecs, tid, args->addr,
    args->len, args->prot, args->flags, args->fd, args->off); }
tracepoint:syscalls:sys_enter_mprotect { printf("%lu %d mprotect %lx %lx %lx\\n", nsecs, tid, args->start, args->len,
    args->prot); }
tracepoint:syscalls:sys_enter_munmap { printf("%lu %d munmap %lx %lx\\n", nsecs, tid, args->addr, args->len); }
tracepoint:syscalls:sys_exit_mmap, tracepoint:syscalls:sys_exit_mprotect, tracepoint:syscalls:sys_exit_munmap
{ printf("%lu %d %lx\\n", nsecs, tid, args->ret); }
"""
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have orphans of our children become our own, so that `reap` can wait for them."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Wait for every child: a recorder leaves one behind that takes its probes off (Probes.close)."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


@dataclass(frozen=True)
class Run:
    """One run of a workload.

    `ns` is the time of a call by its kind, `rate` the mapping calls a second in the first hammering,
    `calls` their number in all. `capture` is what the recorder made of it, if it was the tracer,
    `disk_bytes` what any tracer left on the disk.
    """

    ns: dict[str, float]
    rate: float
    calls: int
    capture: Capture | None = None
    disk_bytes: int = 0


@dataclass(frozen=True)
class Workload:
    """Hammerings one after the other, each on one CPU if `cpu` is given: (arguments of tests/workloads/hammer.c)."""

    hammerings: tuple[str, ...]
    cpu: int | None = None

    def script(self, folder: Path) -> list[str]:
        """The command that does it; without blanks inside its words, which bpftrace could not pass on."""
        pin = f"taskset -c {self.cpu} " if self.cpu is not None else ""
        path = folder / "workload.sh"
        path.write_text("".join(f"{pin}'{build('hammer')}' {arguments}\n" for arguments in self.hammerings))
        return ["/bin/sh", str(path)]


def _read(output: str, capture: Capture | None = None, disk_bytes: int = 0) -> Run:
    """What the hammers said."""
    begin, end = (int(n) for n in re.findall(r"_ns (\d+)", output)[:2])
    ns, calls = {}, 0
    for kind, made, failed, each in re.findall(r"^(\w+) calls (\d+) failed (\d+) ns_per_call ([\d.]+)", output, re.M):
        if not int(made):
            continue
        if int(failed):
            raise RuntimeError(f"calls of the workload failed: {failed} of {made} {kind}")
        ns[kind] = float(each)
        calls += int(made) if kind in TRACED else 0
    return Run(ns, calls / (end - begin) * 1e9, calls, capture, disk_bytes)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    reap()
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _capture_of(folder: Path) -> tuple[Capture, int]:
    capture = Capture(folder / "capture")
    return capture, sum(file["bytes"] for file in capture.manifest["files"])


def _untraced(command: list[str], _: Path) -> Run:
    return _read(_output(command))


def _run(*options: str) -> Callable[[list[str], Path], Run]:
    def trace(command: list[str], folder: Path) -> Run:
        target = ["run", "--overwrite", "--output", str(folder / "capture"), *options, "--"]
        return _read(_output([*RECORD, *target, *command]), *_capture_of(folder))

    return trace


def _host(command: list[str], folder: Path) -> Run:
    with record_host(folder / "capture", "--overwrite"):
        # not _output: the recorder is a child too, and is not waited for yet
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    reap()
    return _read(output, *_capture_of(folder))


def _alone(mode: str) -> Callable[[list[str], Path], Run]:
    assert mode in MODES

    def trace(command: list[str], _: Path) -> Run:
        probes = [sys.executable, "-m", "tests.bench.probes", mode]
        with subprocess.Popen(probes, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loaded:
            assert loaded.stdout is not None
            if loaded.stdout.readline() != "ready\n":
                raise RuntimeError(f"the probes could not be had: {mode}")
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            assert loaded.stdin is not None
            loaded.stdin.close()
        return _read(output)

    return trace


def _wrapped(*tracer: str, one_word: bool = False) -> Callable[[list[str], Path], Run]:
    """A tracer that starts the command itself and writes to the file named by the word OUTPUT."""

    def trace(command: list[str], folder: Path) -> Run:
        kept = folder / "output"
        words = [str(kept) if word == "OUTPUT" else word for word in tracer]
        run = _read(_output([*words, *([" ".join(command)] if one_word else command)]))
        return replace(run, disk_bytes=kept.stat().st_size)

    return trace


@dataclass(frozen=True)
class Tracer:
    """`slowdown`: about how many times longer a call takes, so that slow ones are given fewer calls."""

    name: str
    trace: Callable[[list[str], Path], Run]
    slowdown: int = 1
    needs: str = ""

    def run(self, workload: Workload, scratch: Path) -> Run:
        folder = scratch / f"{time.monotonic_ns()}"
        folder.mkdir()
        try:
            return self.trace(workload.script(folder), folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


UNTRACED = Tracer("untraced", _untraced)
RUN = Tracer("record run", _run())
HOST = Tracer("record host", _host)
TRACERS = (
    RUN,
    HOST,
    Tracer("record run --stacks", _run("--stacks")),
    Tracer("BPF programs alone", _alone("calls")),
    Tracer("  and 32-bit probes", _alone("i386")),
    Tracer("  by raw_syscalls", _alone("raw")),
    Tracer("side-band alone", _alone("sideband")),
    Tracer("perf record", _wrapped("perf", "record", "-q", "-a", *_EVENTS, "-o", "OUTPUT", "--"), 1, "perf"),
    Tracer("bpftrace", _wrapped("bpftrace", "-o", "OUTPUT", "-e", _BPFTRACE, "-c", one_word=True), 8, "bpftrace"),
    Tracer("perf trace", _wrapped("perf", "trace", "-e", ",".join(TRACED), "-o", "OUTPUT", "--"), 20, "perf"),
    Tracer("strace", _wrapped("strace", "-f", "-e", ",".join(TRACED), "-o", "OUTPUT", "--"), 50, "strace"),
)


def start_and_end(scratch: Path) -> tuple[float, float, float]:
    """Seconds of recording a program that does nothing: from start to the first recorded event, from the last one to
    the recorder's end, and from then until its probes are off the kernel."""
    path = scratch / "nothing"
    before = time.monotonic_ns()
    with subprocess.Popen([*RECORD, "run", "-o", path, "--", "true"], cwd=ROOT, stderr=subprocess.DEVNULL):
        pass
    after = time.monotonic_ns()
    reap()
    off = time.monotonic_ns()
    times = Capture(path).table("syscalls")["ts_exit_ns"].to_pylist()
    shutil.rmtree(path)
    return (min(times) - before) / 1e9, (after - max(times)) / 1e9, (off - after) / 1e9


def naming(command: list[str], scratch: Path) -> dict[str, float]:
    """What it takes to name the frames when a recording with `--stacks` of this command ends."""
    path = scratch / "named"
    _output([*RECORD, "run", "-o", str(path), "--stacks", "--", *command])
    capture = Capture(path)
    symbols = capture.table("symbols")
    shutil.rmtree(path)
    return {
        "rows": sum(file["rows"] for file in capture.manifest["files"]),
        "stacks": capture.manifest["totals"]["stacks"]["stored"],
        "functions": symbols.num_rows,
        "files": len(set(zip(symbols["dev"].to_pylist(), symbols["inode"].to_pylist(), strict=True))),
        "cpu_s": capture.manifest["recorder"]["naming_cpu_s"],
        "bytes": sum(file["bytes"] for file in capture.manifest["files"] if file["table"] == "symbols"),
    }


def available(tracer: Tracer) -> bool:
    return not tracer.needs or shutil.which(tracer.needs) is not None
