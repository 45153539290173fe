"""Options that several commands share. Imports nothing slow: `analyze --help` reads it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis import completion

__all__ = [
    "By", "CapturesArgument", "Certainty", "Class", "Format", "FormatOption", "FromOption", "MemoryOption",
    "PidOption", "Severity", "SymbolsOption", "ToOption", "parse_size",
]  # fmt: skip


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Certainty(StrEnum):
    """How sure an answer is."""

    CERTAIN = "certain"
    POSSIBLE = "possible"


class Severity(StrEnum):
    """How grave a finding is, gravest first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class By(StrEnum):
    """What mappings are grouped by; `mapping`: not at all."""

    FILE = "file"
    STACK = "stack"
    SIZE = "size"
    CAUSE = "cause"
    PROCESS = "process"
    THREAD = "thread"
    MAPPING = "mapping"


class Class(StrEnum):
    """Allocated (created) inside or outside a window of time, freed inside or outside it."""

    AIFO = "AIFO"
    AIFI = "AIFI"
    AOFI = "AOFI"
    AOFO = "AOFO"


CapturesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="CAPTURE...",
        help="Directories that `record` wrote.",
        readable=False,  # what is not permitted has a status of its own
        show_default=False,
        autocompletion=completion.capture,
    ),
]
FormatOption = Annotated[
    Format, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(list(Format)[:-1])} or {Format.ARROW}.")
]


def pid_option(help: str) -> Any:
    """--pid, once or, of a list, repeated; a shell completes it from the capture."""
    return typer.Option("--pid", min=1, metavar="PID", help=help, show_default=False, autocompletion=completion.pid)


PidOption = Annotated[int | None, pid_option("Of a process, also where it shared the address space.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file that is there, or a folder that an export wrote.")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="From this time on. Default: the start.", show_default=False),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Up to this time. Default: the end.", show_default=False)
]
SymbolsOption = Annotated[
    Path | None,
    typer.Option(
        "--symbols",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Look here for the functions of stacks: debug files, or any ELF files, found by their build ids.",
        show_default=False,
    ),
]

_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def parse_size(text: str) -> int:
    """Bytes from `512M`, `4GiB` or `1000000`; units are binary."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.ASCII | re.IGNORECASE)
    if match is None or not (count := int(float(match[1]) * (1 << _UNITS[match[2].lower()]))):
        raise typer.BadParameter(f"not a size: {text} (write 512M or 4G)")
    return count


MemoryOption = Annotated[
    int | None,
    typer.Option(
        parser=parse_size, metavar="SIZE", help="Most memory to use, as 512M or 4G. Default: half of what there is."
    ),
]
