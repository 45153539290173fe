"""What workloads read of themselves in /proc/self/maps, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from analysis.text import inert

__all__ = ["VSYSCALL", "Step", "read_steps"]

VSYSCALL = "[vsyscall]"  # no event tells of it, and no reading was taken


@dataclass
class Step:
    """What one process read of itself at one instant."""

    at_ns: int
    pid: int
    name: str
    lines: list[bytes] = field(default_factory=list)

    @property
    def shown(self) -> list[str]:
        """The lines as they can be printed, without [vsyscall]."""
        shown = [inert(each.decode(errors="backslashreplace")) for each in self.lines]
        return [each for each in shown if not each.endswith(VSYSCALL)]


def read_steps(output: Path) -> list[Step]:
    """What a workload wrote there: below each line "at NS PID NAME" its /proc/self/maps."""
    steps: list[Step] = []
    for text in output.read_bytes().removesuffix(b"\n").split(b"\n"):
        if text.startswith(b"at "):
            _, at_ns, pid, name = text.split(b" ", 3)
            steps.append(Step(int(at_ns), int(pid), name.decode()))
        else:
            steps[-1].lines.append(text)
    return steps
