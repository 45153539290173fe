"""The text of a capture's manifest: what is in it, and which files count.

A batch file counts ("is acknowledged") when the manifest lists it, and not before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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
    """The manifest as UTF-8 JSON: the fields in their own order, then one line for each file."""
    # bytes of argv that are no UTF-8 are surrogates in Python; \udcXX is how JSON can carry them
    head = json.dumps({"format": FORMAT_VERSION, **fields}, indent=1)
    lines = ",\n  ".join(json.dumps(asdict(entry)) for entry in files)
    return f'{head[:-2]},\n "files": [{lines}]\n}}\n'.encode()


def is_manifest(text: bytes) -> bool:
    """Whether the text is the manifest of a capture of any format version."""
    try:
        manifest = json.loads(text)
    except ValueError:
        return False
    return isinstance(manifest, dict) and isinstance(manifest.get("format"), int) and "maptrail" in manifest
