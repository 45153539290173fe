"""Text for people: inert, with sizes and durations in units one can read.

comm and paths are bytes chosen by the programs under investigation. Sent raw to a terminal they can
move the cursor, hide themselves or turn the reading direction (CVE-2024-58251 is that hole in netstat).
"""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["device", "duration", "inert", "shell_path", "size"]


def inert(text: str) -> str:
    r"""The text with everything that is not plainly visible written as `\x1b`, `\u202e` or `\U000e0001`.

    `str.isprintable` is false for the Unicode categories Other (controls, bidirectional and zero-width
    format characters, surrogates, unassigned) and Separator, except the space. A backslash stays as it
    is, so the text reads well but is not reversible: the `_bytes` columns are.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shell_path(path: Path) -> str:
    """A path as it is typed in a shell; where it is not plainly visible it could not be typed either."""
    return inert(shlex.quote(str(path)))


def device(dev: int) -> str:
    """A dev_t of the kernel, major << 20 | minor, as /proc/PID/maps shows it: major:minor in hex."""
    return f"{dev >> 20:02x}:{dev & 0xFFFFF:02x}"


def size(count: int) -> str:
    """A number of bytes: exact where it is a whole number of a binary unit, else to one decimal."""
    value, unit = float(abs(count)), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if value < 1024 or unit == "EiB":
            break
        value /= 1024
    digits = f"{value:.1f}".removesuffix(".0") if value % 1 else f"{value:.0f}"
    return f"{'-' if count < 0 else ''}{digits} {unit}"


def duration(ns: int) -> str:
    """A length of time in the largest unit that leaves a whole part: 1.5 s, 12.25 ms, 800 ns."""
    for limit, unit in ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")):
        if abs(ns) >= limit:
            return f"{ns / limit:.3f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{ns} ns"
