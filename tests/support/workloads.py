"""Build and read the C workloads of tests/workloads.

They are real programs making real calls; each says what it did, so a test can hold the recording
against it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Call", "CallLog", "WorkloadError", "build", "read_call_log", "source"]

_SOURCES = Path(__file__).resolve().parents[1] / "workloads"
_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "workloads"


class WorkloadError(RuntimeError):
    """A workload cannot be built here; the message says what to install."""


def source(name: str) -> Path:
    """A workload that is a script."""
    return _SOURCES / name


@functools.cache
def build(name: str, bits: Literal[64, 32] = 64) -> Path:
    """The program made from tests/workloads/NAME.c, compiled when its text changed."""
    source = _SOURCES / f"{name}.c"
    text = b"".join(path.read_bytes() for path in (source, *sorted(_SOURCES.glob("*.h"))))
    program = _CACHE / f"{bits}-{hashlib.sha256(text).hexdigest()[:12]}" / name
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}")  # several test runs may build at once
    command = ["gcc", f"-m{bits}", "-O2", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror", "-pthread"]
    try:
        built = subprocess.run([*command, "-o", partial, source, "-ldl"], capture_output=True, text=True)
    except FileNotFoundError:
        raise WorkloadError("gcc is not installed\nhint: install gcc") from None
    if built.returncode:
        hint = "\nhint: 32-bit code needs gcc-multilib (glibc-devel.i686, lib32-glibc)" if bits == 32 else ""
        raise WorkloadError(f"cannot build {name} for {bits} bits: {built.stderr.strip()}{hint}")
    partial.rename(program)
    return program


@dataclass(frozen=True)
class Call:
    """One line of a call log; `args` are the registers, `ret` is negative for an error."""

    syscall: str
    args: tuple[int, ...]
    ret: int
    errno: int
    tid: int
    before_ns: int
    after_ns: int


@dataclass(frozen=True)
class CallLog:
    """What `counts` did; its calls, and only they, lie between the two times (CLOCK_MONOTONIC)."""

    begin_ns: int
    end_ns: int
    calls: list[Call]


def read_call_log(path: Path) -> CallLog:
    """The log that tests/workloads/counts.c wrote."""
    header, *lines = path.read_text().splitlines()
    _, _, begin, _, end, *_ = header.split()
    calls = []
    for line in lines:
        name, *words = line.split()
        numbers = [int(word) for word in words[6:]]
        calls.append(Call(name, tuple(int(word, 16) for word in words[:6]), *numbers))
    return CallLog(int(begin), int(end), calls)
