"""Keeps rebuilt timelines beside their captures, so that a second question answers at once.

CAPTURE.timeline/KEY/ holds a few Parquet files. KEY is a hash of the capture's list of files (names and SHA-256)
and of the code that rebuilds, so that a timeline of something else is never used. Where that folder cannot be
written, the user's cache directory is taken, and where that cannot be either, a temporary one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.capture import Capture
from analysis.errors import AnalysisError
from analysis.text import inert

__all__ = ["STORED", "folders", "keep", "partial", "stored"]

_OURS = re.compile("[0-9a-f]{32}")

STORED = {
    "timeline": {
        "space": "UBIGINT", "pid": "UINTEGER", "start": "UBIGINT", "end": "UBIGINT", "from_ns": "UBIGINT",
        "to_ns": "UBIGINT", "perms": "VARCHAR", "dev": "UINTEGER", "inode": "UBIGINT", "generation": "UINTEGER",
        "path_bytes": "BLOB", "offset_bytes": "UBIGINT", "actor": "BIGINT", "cause_ns": "UBIGINT",
        "call_ns": "UBIGINT", "end_actor": "BIGINT", "end_ns": "UBIGINT", "end_call_ns": "UBIGINT",
        "reason": "VARCHAR",
    },
    "spaces": {
        "space": "UBIGINT", "pid": "UINTEGER",
        "users": "STRUCT(pid UINTEGER, from_ns UBIGINT, to_ns UBIGINT)[]", "from_ns": "UBIGINT", "to_ns": "UBIGINT",
        "began": "VARCHAR", "parent": "UBIGINT", "ended": "VARCHAR",
    },
    "doubts": {
        "space": "UBIGINT", "start": "UBIGINT", "end": "UBIGINT", "from_ns": "UBIGINT", "to_ns": "UBIGINT",
        "reason": "VARCHAR",
    },
    "marks": {"space": "UBIGINT", "from_ns": "UBIGINT", "mark": "VARCHAR", "address": "UBIGINT"},
    "traits": {
        "space": "UBIGINT", "ts_ns": "UBIGINT", "start": "UBIGINT", "end": "UBIGINT", "trait": "VARCHAR",
        "value": "VARCHAR",
    },
}  # fmt: skip
"""The files of a stored timeline: their columns and DuckDB types."""


def _key(capture: Capture) -> str:
    """What a stored timeline must have been made of."""
    key = hashlib.sha256()
    for file in capture.files:
        key.update(f"{file.entry.path}\0{file.entry.sha256}\0".encode(errors="surrogateescape"))
    for damage in capture.damaged:
        key.update(f"damaged {damage.entry.path}\0".encode(errors="surrogateescape"))
    key.update(f"{capture.manifest.clock.started_ns} {capture.manifest.page_size}".encode())
    key.update(_code())
    return key.hexdigest()[:32]


@cache
def _code() -> bytes:
    """The code that rebuilds."""
    package = files("analysis")
    scripts = sorted(package.joinpath("sql", "rebuild").iterdir(), key=lambda path: path.name)
    modules = [package / "rebuild.py", package / "timeline.py"]
    return b"".join(each.read_bytes() for each in [*modules, package / "sql" / "macros.sql", *scripts])


def folders(capture: Capture, temporary: Path) -> list[Path]:
    """Where the timeline of a capture can lie, the best place first."""
    path, key = capture.path.resolve(), _key(capture)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return [
        path.with_name(f"{path.name}.timeline") / key,
        cache / "maptrail" / f"{named}.timeline" / key,
        temporary / f"{named}.timeline" / key,
    ]


def stored(capture: Capture, temporary: Path) -> Path | None:
    """The folder of the stored timeline of this capture, made by this version of the code; None if there is none."""
    for folder in folders(capture, temporary):
        with suppress(OSError, ValueError, pa.ArrowException):
            for name in STORED:
                _check(folder / f"{name}.parquet", list(STORED[name]))
            return folder
    return None


def _check(path: Path, columns: list[str]) -> None:
    """DuckDB takes data files to come from a trusted writer: only what this user wrote is read."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise ValueError("not written by this user")
        if pq.read_metadata(file).schema.to_arrow_schema().names != columns:
            raise ValueError("not a timeline")


def partial(folder: Path) -> Path:
    """The folder that is written before it is renamed to `folder`."""
    return folder.with_name(f"{folder.name}.{os.getpid()}.tmp")


def keep(capture: Capture, temporary: Path, write: Callable[[Path], None]) -> Path:
    """Write the timeline of a capture to the best folder that can be written; return the folder.

    `write` fills a folder. What other versions of the capture or the code left beside it is removed.
    """
    candidates = folders(capture, temporary)
    for folder in candidates:
        made = partial(folder)
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.mkdir(mode=0o700)
        except OSError:
            continue
        try:
            write(made)
            for name in STORED:
                (made / f"{name}.parquet").chmod(0o600)
                _sync(made / f"{name}.parquet")
            with suppress(OSError):  # another command was faster: its timeline is the same
                made.rename(folder)
                _sync(folder.parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        for old in folder.parent.iterdir():
            if old != folder and _OURS.fullmatch(old.name):
                shutil.rmtree(old, ignore_errors=True)
        if folder != candidates[0]:
            where = ", for this command only" if folder == candidates[-1] else f" but in {inert(str(folder.parent))}"
            print(f"note: the timeline cannot be kept beside the capture{where}", file=sys.stderr)
        return folder
    raise AnalysisError(f"nowhere to write the timeline of {inert(str(capture.path))}", "free space on the disk")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
