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

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
CAPTURE = ROOT / ".cache" / "demo"
BUNDLED = ROOT / "data" / "demo"
CANNOT_RECORD = (4, 125)  # not permitted; failed before the command was started


def pid_of(capture: Path) -> str:
    """The process that the recording began with."""
    return str(json.loads((capture / "manifest.json").read_text())["targets"][0])


def command(name: str) -> Path:
    """The installed command beside this Python."""
    return Path(sys.executable).with_name(name)


def step(name: str, *arguments: str | Path) -> int:
    """Show a command as a user would type it, and run it."""
    shown = [os.path.relpath(a) if isinstance(a, Path) and a.is_relative_to(ROOT) else str(a) for a in arguments]
    print(f"\n$ {shlex.join([name, *shown])}", flush=True)
    return subprocess.run([command(name), *shown]).returncode


def show(capture: Path) -> int:
    return step("analyze", "summary", capture) or step("analyze", "maps", capture, "--pid", pid_of(capture))


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
        kernel = [line for line in (Path(folder) / "maps").read_bytes().splitlines() if b"[vsyscall]" not in line]
    maps = [command("analyze"), "maps", CAPTURE, "--pid", pid_of(CAPTURE)]
    rebuilt = subprocess.run(maps, check=True, capture_output=True).stdout.splitlines()
    same = len(set(rebuilt) & set(kernel))
    print(f"\nOf {len(kernel)} lines that /proc/self/maps showed the workload, {same} are rebuilt to the letter.")
    return rebuilt != kernel


if __name__ == "__main__":
    sys.exit(main())
