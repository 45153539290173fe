"""What `make demo` does: record a small real workload, look at it, and hold the map rebuilt from
the recording against the one the kernel showed the workload.

Where this machine cannot record, `record` says why, and the capture in data/demo is looked at instead.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.workloads import WorkloadError, build

__all__ = ["kernel_map", "main", "rebuilt_map"]

ROOT = Path(__file__).resolve().parents[2]
CAPTURE = ROOT / ".cache" / "demo"
BUNDLED = ROOT / "data" / "demo"
MAP = Path(__file__).with_name("demo.sql")
CANNOT_RECORD = (4, 125)  # not permitted; failed before the command was started

Mapping = tuple[int, int, str, int, str]
"""start, end, permissions, offset in the file [bytes], path."""


def rebuilt_map(capture: Path) -> list[Mapping]:
    """The map that demo.sql makes of a capture."""
    rows = json.loads(
        subprocess.run(
            [command("analyze"), "sql", capture, "--file", MAP, "--format", "json"], check=True, stdout=subprocess.PIPE
        ).stdout
    )
    return [
        (*(int(a, 16) for a in row["address"].split("-")), row["perms"], int(row["file_offset"]), row["path"])
        for row in rows
    ]


def kernel_map(maps: Path) -> list[Mapping]:
    """A copy of /proc/PID/maps; neighbours that continue one another are one line."""
    lines: list[Mapping] = []
    for line in maps.read_text().splitlines():
        address, perms, offset_hex, _, _, *rest = line.split(maxsplit=5)
        start, end = (int(a, 16) for a in address.split("-"))
        offset, path = int(offset_hex, 16), rest[0] if rest else ""
        if path == "[vsyscall]":  # shown in every process, and no VMA of any
            continue
        if lines:
            first, before, *same, start_offset, name = lines[-1]
            if (before, *same, name) == (start, perms, path) and (
                not path.startswith("/") or start_offset + start - first == offset
            ):
                lines[-1] = (first, end, perms, start_offset, path)
                continue
        lines.append((start, end, perms, offset, path))
    return lines


def command(name: str) -> Path:
    """The installed command beside this Python."""
    return Path(sys.executable).with_name(name)


def step(name: str, *arguments: str | Path) -> int:
    """Show a command as a user would type it, and run it."""
    shown = [os.path.relpath(a) if isinstance(a, Path) and a.is_relative_to(ROOT) else str(a) for a in arguments]
    print(f"\n$ {shlex.join([name, *shown])}", flush=True)
    return subprocess.run([command(name), *shown]).returncode


def show(capture: Path) -> int:
    return step("analyze", "summary", capture) or step("analyze", "sql", capture, "--file", MAP)


def main() -> int:
    try:
        workload = build("demo")
    except WorkloadError as error:
        print(f"The workload cannot be built, so a bundled capture is shown: {error}", file=sys.stderr)
        return show(BUNDLED)
    with tempfile.TemporaryDirectory() as folder:
        status = step("record", "run", "--output", CAPTURE, "--overwrite", "--", workload, folder)
        if status in CANNOT_RECORD:
            print("\nThis machine cannot record, as said above, so a bundled capture is shown.", file=sys.stderr)
            return show(BUNDLED)
        status = status or show(CAPTURE)
        if status:
            return status
        rebuilt, kernel = rebuilt_map(CAPTURE), kernel_map(Path(folder) / "maps")
    same = len(set(rebuilt) & set(kernel))
    print(f"\nOf {len(kernel)} lines that /proc/self/maps showed the workload, {same} are rebuilt exactly.")
    return rebuilt != kernel


if __name__ == "__main__":
    sys.exit(main())
