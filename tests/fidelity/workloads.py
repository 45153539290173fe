"""Real programs whose address spaces are held against the kernel's, and how to run them.

Each is a command that runs until it is stopped, started in a directory of its own and leading a session, so that
all of its processes can be found and ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from tests.support.workloads import build

__all__ = ["WORKLOADS", "Workload", "members"]

_HERE = Path(__file__).parent
_PYTHON = "/usr/bin/python3"  # of the distribution: its test-suite is a package
_C_FILES = 80


@dataclass(frozen=True)
class Workload:
    """A program to run: `command(directory, seed)` prepares the directory and says what to execute.

    `needs` are programs it uses, and patterns of files. It runs for `seconds`, or until it stops itself (`settles`).
    """

    name: str
    command: Callable[[Path, int], list[str]]
    seconds: float = 8.0
    needs: tuple[str, ...] = ()
    settles: bool = False

    def missing(self) -> list[str]:
        """What it needs that is not here."""
        return [name for name in self.needs if not (glob(name) if "*" in name else shutil.which(name))]

    def start(self, directory: Path, seed: int) -> subprocess.Popen[bytes]:
        """Start it, output into the file `output` of its directory."""
        command = self.command(directory, seed)
        with open(directory / "output", "wb") as output:
            return subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )


def members(session: int) -> list[int]:
    """The living processes of a session, oldest first."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append((int(fields[19]), int(name)))
    return [pid for _, pid in sorted(found)]


def _again(*command: str) -> list[str]:
    """The command, over and over."""
    return ["sh", "-c", 'while :; do "$@"; done', "sh", *command]


def _java(directory: Path, seed: int) -> list[str]:  # noqa: ARG001
    source = shutil.copy(_HERE / "Allocate.java", directory)
    subprocess.run(["javac", "-d", directory, source], check=True, capture_output=True)
    return ["java", "-Xmx256m", "-cp", str(directory), "Allocate", "6"]


def _compile(directory: Path, seed: int) -> list[str]:  # noqa: ARG001
    for number in range(_C_FILES):
        functions = (f"int f{number}_{i}(int x) {{ return x * {i} + (int)sizeof(struct stat); }}\n" for i in range(60))
        (directory / f"f{number}.c").write_text(f"#include <stdio.h>\n#include <sys/stat.h>\n{''.join(functions)}")
    objects = " ".join(f"f{number}.o" for number in range(_C_FILES))
    (directory / "Makefile").write_text(
        f"all.so: {objects}\n\tgcc -shared -o $@ $^\n%.o: %.c\n\tgcc -O2 -fPIC -c -o $@ $<\n"
    )
    return _again("make", "-B", "-j", "4")


def _python(script: str) -> Callable[[Path, int], list[str]]:
    return lambda _, seed: [sys.executable, str(_HERE / script), str(seed)]


def _everycause(mode: str, rounds: int, bits: int) -> Callable[[Path, int], list[str]]:
    return lambda _, seed: [str(build("everycause", 32 if bits == 32 else 64)), mode, str(seed), str(rounds)]


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("java", _java, 10, ("javac", "java")),
        Workload(
            "cpython",
            lambda *_: _again(_PYTHON, "-m", "test", "test_mmap", "test_fork1", "test_posix", "test_threading"),
            12,
            (_PYTHON, "/usr/lib*/python3*/test/test_posix.py"),
        ),
        Workload("make", _compile, 12, ("make", "gcc")),
        Workload("sqlite", _python("grow_database.py")),
        Workload("many", _python("many_mappings.py"), 15),
        *(
            Workload(f"everycause-{mode}-{bits}", _everycause(mode, rounds, bits), 20, ("gcc",), settles=True)
            for bits in (64, 32)
            for mode, rounds in (("alone", 6_000), ("race", 20_000), ("tree", 4_000))
        ),
    )
}
"""By name."""
