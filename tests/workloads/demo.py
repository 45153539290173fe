"""What `make demo` does: record a small real workload and look at it.

Where this machine cannot record, `record` says why, and the capture in data/demo is looked at instead.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.workloads import WorkloadError, build

ROOT = Path(__file__).resolve().parents[2]
CAPTURE = ROOT / ".cache" / "demo"
BUNDLED = ROOT / "data" / "demo"
MAP = Path(__file__).with_name("demo.sql")
CANNOT_RECORD = (4, 125)  # not permitted; failed before the command was started


def step(command: str, *arguments: str | Path) -> int:
    """Show a command as a user would type it, and run it."""
    shown = [
        str(a.relative_to(Path.cwd())) if isinstance(a, Path) and a.is_relative_to(Path.cwd()) else str(a)
        for a in arguments
    ]
    print(f"\n$ {shlex.join([command, *shown])}", flush=True)
    return subprocess.run([Path(sys.executable).with_name(command), *shown]).returncode


def record() -> Path:
    """The capture to look at: a new one, or the bundled one."""
    try:
        workload = build("demo")
    except WorkloadError as error:
        print(f"The workload cannot be built, so a bundled capture is shown: {error}", file=sys.stderr)
        return BUNDLED
    with tempfile.TemporaryDirectory() as folder:
        status = step("record", "run", "--output", CAPTURE, "--overwrite", "--", workload, folder)
    if status in CANNOT_RECORD:
        print("\nThis machine cannot record, as said above, so a bundled capture is shown.", file=sys.stderr)
        return BUNDLED
    if status:
        sys.exit(status)
    return CAPTURE


def main() -> int:
    capture = record()
    return step("analyze", "summary", capture) or step("analyze", "sql", capture, "--file", MAP)


if __name__ == "__main__":
    sys.exit(main())
