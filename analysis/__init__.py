"""Analysis of captures: runs anywhere, needs neither root nor bcc.

    import analysis

    with analysis.open("data/demo") as trail:
        print(trail.maps_text(pid=18572, at="+0.00698s"))
        frame = trail.edges().df()

`open` makes a Trail; its methods ask what the commands of `analyze` ask.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.trail import Trail

__all__ = ["open"]


def open(
    *paths: str | os.PathLike[str],
    memory_bytes: int | None = None,
    threads: int | None = None,
    symbols: str | os.PathLike[str] | None = None,
) -> Trail:
    """Open captures, directories that `record` wrote, to ask them together.

    `memory_bytes` bounds the memory (default: half of what there is), `threads` the CPUs (default: all). `symbols` is
    a folder of debug files, or of any ELF files, for the names of functions. A capture that is not whole warns with
    CaptureWarning. Raises analysis.errors.CaptureError where a directory is no capture.
    """
    from analysis.capture import open_captures
    from analysis.engine import Limits
    from analysis.trail import Trail

    if not paths:
        raise TypeError("open() needs the path of a capture")
    captures = open_captures([Path(path) for path in paths])
    return Trail(captures, Limits(memory_bytes, threads), None if symbols is None else Path(symbols))
