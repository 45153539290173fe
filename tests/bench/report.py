"""How the benchmarks tell what they measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Column", "machine", "say", "table"]

Column = tuple[str, str, str]
"""A column of a table: key of the figure, title, how it is written."""


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Aligned text: the first column to the left, figures to the right."""
    cells = [[title for _, title, _ in columns]]
    cells += [[form.format(row[key]) for key, _, form in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def machine() -> str:
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ":?"
    )
    return f"{len(os.sched_getaffinity(0))} CPUs,{model.partition(':')[2]}, Linux {os.uname().release}"
