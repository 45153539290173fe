"""The text of a capture's manifest: what is in it, and which files count.

A batch file counts ("is acknowledged") when the manifest lists it, and not before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from recorder.schema import FORMAT_VERSION

__all__ = ["MANIFEST", "FileEntry", "is_manifest", "render"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One acknowledged Parquet file. `path` is relative to the capture; the times are the smallest and
    largest value of the table's time column, CLOCK_MONOTONIC."""

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    from_ns: int
    to_ns: int


def render(fields: Mapping[str, Any], files: Iterable[FileEntry]) -> bytes:
    """The manifest as UTF-8 JSON: the fields in their own order, then the files; a line for each, and for what lists
    hold."""
    members = [f'"{name}": {_value(value)}' for name, value in {"format": FORMAT_VERSION, **fields}.items()]
    members.append(f'"files": {_lines(map(_file, files))}')
    return ("{\n " + ",\n ".join(members) + "\n}\n").encode()


# json.dumps is in C, and twenty times as fast, only without its own indentation; a manifest is written every second.
# Bytes of argv that are no UTF-8 are surrogates in Python; \udcXX is how JSON can carry them.
def _value(value: Any) -> str:
    return _lines(map(json.dumps, value)) if isinstance(value, list) else json.dumps(value)


def _lines(values: Iterable[str]) -> str:
    text = ",\n  ".join(values)
    return f"[\n  {text}\n ]" if text else "[]"


@cache
def _file(entry: FileEntry) -> str:
    return json.dumps(asdict(entry))


def is_manifest(text: bytes) -> bool:
    """Whether the text is the manifest of a capture of any format version."""
    try:
        manifest = json.loads(text)
    except ValueError:
        return False
    return isinstance(manifest, dict) and isinstance(manifest.get("format"), int) and "maptrail" in manifest
