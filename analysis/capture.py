"""Opens captures: every file is checked before a byte of it is decoded.

Captures come from machines under investigation, while DuckDB takes data files to come from a trusted
writer (its security page) and ignores page checksums. So what it may read is decided here, with hashlib
and pyarrow: the file lies inside the capture and is a regular file, has the size and SHA-256 of the
manifest, a readable footer, only zstd, the declared columns and types, the stated number of rows, and
expands to no more than a budget. A file that fails is left out, and said to be missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import CaptureError, ExitCode
from analysis.progress import Progress
from analysis.text import size
from analysis.times import Clock, relative
from recorder.manifest import MANIFEST, FileEntry
from recorder.schema import FORMAT_VERSION, TABLES, arrow_schema

__all__ = ["Capture", "CheckedFile", "Damage", "Incident", "Manifest", "open_captures", "read_manifest"]

_MANIFEST_BYTES = 64 << 20  # 200 bytes a file: a third of a million files
_EXPANSION = 400  # bytes in memory per byte on disk; 25 is usual, 3.4 MB can be made to hold 10⁹ rows (2,400)
_EXPANSION_FREE = 64 << 20  # what any file may take, however well it compresses
_FDS = "/proc/self/fd"
_SPARE_FDS = 256  # DuckDB opens each file once more, as many at once as it has threads
_BATCH = re.compile(r"([a-z]+)/([0-9A-Za-z][0-9A-Za-z_.-]*\.parquet)", re.ASCII)


@dataclass(frozen=True)
class Incident:
    """What made a flight recorder freeze this capture: the record of `table` at `ts_ns` by thread `tid`, how many more
    there were until then, and of the same cause since the incident before that were held back."""

    trigger: str
    table: str
    ts_ns: int
    pid: int
    tid: int
    comm: str
    more: int
    held_back: int


@dataclass(frozen=True)
class Manifest:
    """The manifest, each value of the type it must have. Times are CLOCK_MONOTONIC ns.

    Of a flight recorder's window, `keep_s` is what was to be kept, and `incidents` are the folders of those made.
    """

    state: str
    failure: str | None
    mode: str
    command: tuple[str, ...]
    targets: tuple[int, ...]
    host: str
    boot_id: str
    kernel: str
    arch: str
    page_size: int
    cpus: int
    max_map_count: int | None
    maptrail: str
    clock: Clock
    updated_ns: int
    drained_to_ns: int
    probe_plan: tuple[dict[str, str], ...]
    totals: dict[str, dict[str, int]]
    losses: tuple[dict[str, Any], ...]
    recorder: dict[str, float]
    incident: Incident | None
    keep_s: float | None
    incidents: tuple[str, ...]
    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class CheckedFile:
    """A batch that passed every check; `columns` are the declared ones it has.

    While the capture grows `held` is the open file, and `path` leads to it: the recorder may delete it at any moment.
    """

    entry: FileEntry
    path: Path
    columns: frozenset[str]
    held: BinaryIO | None = None


@dataclass(frozen=True)
class Damage:
    """A listed batch that is left out, and why."""

    entry: FileEntry
    why: str


@dataclass(frozen=True)
class Capture:
    """An opened capture: its manifest, the batches that may be read, and what is wrong with it.

    `growing` is true while the recorder holds its lock on the directory. `ignored` names files that the
    manifest does not list: left by a crash between a rename and the manifest, or by a compaction.
    """

    path: Path
    manifest: Manifest
    files: tuple[CheckedFile, ...]
    damaged: tuple[Damage, ...]
    ignored: tuple[str, ...]
    growing: bool

    @cached_property
    def state(self) -> str:
        """complete, growing, killed or failed: how the recording stands."""
        if self.manifest.state == "recording":
            return "growing" if self.growing else "killed"
        return self.manifest.state

    @property
    def missing_from_ns(self) -> int | None:
        """Time after which events may be missing because the recording did not end well; None: it did."""
        return None if self.state == "complete" else self.manifest.drained_to_ns

    @property
    def covered_to_ns(self) -> int:
        """Time up to which the capture holds everything that was not lost.

        Not `ended_ns`: once, that was when the capture was compacted, and the processes had gone on meanwhile.
        """
        return self.manifest.drained_to_ns

    def completeness(self) -> list[str]:
        """What a reader must know first, a sentence each: how it ended, and what could not be read."""
        manifest, clock = self.manifest, self.manifest.clock
        since = relative(manifest.drained_to_ns, clock, 3)
        behind = max(manifest.updated_ns - manifest.drained_to_ns, 0) / 1e9
        counts = [f"{each['lost']:,} of {table}" for table, each in manifest.totals.items() if each["lost"]]
        lost = f"records were lost while recording: {', '.join(counts)}; see the table losses"
        lines = {
            "complete": [f"ended in good order, but {lost}" if counts else "complete"],
            "growing": [f"still recording: events up to {since} are in the files"],
            "killed": [
                f"killed: the recorder ended without closing the capture; its last sign is of "
                f"{relative(manifest.updated_ns, clock, 3)}, events after {since} may be missing "
                f"({behind:.1f} s, and up to about a second more)"
            ],
            "failed": [f"failed: {manifest.failure or 'no reason given'}; events after {since} may be missing"],
        }[self.state]
        if counts and self.state != "complete":
            lines.append(lost)
        if self.damaged:
            total = len(self.files) + len(self.damaged)
            gaps = "; ".join(
                f"{damage.entry.path} ({damage.why}), covers {relative(damage.entry.from_ns, clock, 3)} "
                f"to {relative(damage.entry.to_ns, clock, 3)}"
                for damage in self.damaged
            )
            lines.append(f"{len(self.files)} of {total} batches read; missing: {gaps}")
        if self.ignored:
            shown = ", ".join(self.ignored[:3]) + (", ..." if len(self.ignored) > 3 else "")
            why = "too new for the manifest are left out" if self.growing else "not listed in the manifest are ignored"
            lines.append(f"{len(self.ignored)} files {why}: {shown}")
        return lines

    def incomplete(self) -> list[str]:
        """What makes this capture less than whole, lost records too, a sentence each; none: nothing does."""
        return [line for line in self.completeness() if line != "complete"]


def open_captures(paths: Sequence[Path], only: Mapping[str, int] | None = None) -> list[Capture]:
    """Open captures and check every file of theirs; a progress line shows once it takes over a second.

    `only` is for a quick look: these tables, and of each no more than its first so many bytes on disk.

    Raises CaptureError where a directory is no capture or its manifest cannot be used.
    """
    captures = []
    for path in paths:
        with Progress(f"checking {path.name!a}") as progress:
            captures.append(_open(path, progress, only))
    return captures


def read_manifest(path: Path) -> Manifest:
    """The manifest alone, without a look at the files. Raises CaptureError."""
    root = _open_root(path)
    try:
        return _manifest(_manifest_text(root, path), path)
    finally:
        os.close(root)


def _open_root(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CaptureError(f"no such capture: {path}") from None
    except NotADirectoryError:
        raise CaptureError(f"not a capture: {path}", "a capture is the directory that `record` wrote") from None
    except PermissionError:
        raise _denied(path) from None
    except OSError as error:  # a name too long, a loop of links, a failing disk
        raise CaptureError(f"cannot read the capture ({error.strerror}): {path}") from None


def _open(path: Path, progress: Callable[[float, float], None], only: Mapping[str, int] | None) -> Capture:
    root = _open_root(path)
    try:
        text = _manifest_text(root, path)
        while True:
            manifest = _manifest(text, path)
            if only is not None:
                manifest = replace(manifest, files=tuple(_first(manifest.files, only)))
            hold = manifest.state == "recording" and _locked(root) and _can_hold(len(manifest.files))
            files, damaged = _check_files(root, path, manifest.files, progress, hold)
            # a recorder that grows or compacts this capture may have replaced batches while they were checked
            before, text = text, _manifest_text(root, path)
            if text == before or not damaged:
                break
        growing = manifest.state == "recording" and _locked(root)
        return Capture(path, manifest, tuple(files), tuple(damaged), tuple(_unlisted(path, manifest.files)), growing)
    finally:
        os.close(root)


def _first(entries: Iterable[FileEntry], only: Mapping[str, int]) -> Iterator[FileEntry]:
    left = dict(only)
    for entry in entries:
        if entry.table in left:
            left[entry.table] -= entry.bytes
            if left[entry.table] >= 0:
                yield entry


def _denied(path: Path) -> CaptureError:
    hint = "a capture belongs to who recorded it: run as that user, or copy it and chown the copy"
    return CaptureError(f"not permitted to read: {path}", hint, ExitCode.NOT_PERMITTED)


def _locked(root: int) -> bool:
    """Whether a recorder on this machine still holds its lock on the directory."""
    try:
        fcntl.flock(root, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(root, fcntl.LOCK_UN)
    return False


def _can_hold(files: int) -> bool:
    """Whether so many files can be open at once, and be opened again without their names."""
    if not os.path.isdir(_FDS):
        return False
    import resource

    wanted = files + _SPARE_FDS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted <= hard


def _open_regular(name: str, directory: int) -> int:
    # O_NONBLOCK: a FIFO must not hold us
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("not a regular file")
    return fd


def _manifest_text(root: int, path: Path) -> bytes:
    try:
        with os.fdopen(_open_regular(MANIFEST, root), "rb") as file:
            text = file.read(_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise CaptureError(f"not a capture, it has no {MANIFEST}: {path}") from None
    except PermissionError:
        raise _denied(path / MANIFEST) from None
    except OSError as error:
        raise CaptureError(f"the manifest cannot be read: {path / MANIFEST}: {error.strerror or error}") from None
    if len(text) > _MANIFEST_BYTES:
        raise CaptureError(f"the manifest is larger than {size(_MANIFEST_BYTES)}: {path / MANIFEST}")
    return text


def _manifest(text: bytes, path: Path) -> Manifest:
    """The manifest from its JSON. Nothing in it is trusted to have the type it should."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise CaptureError(f"the manifest is not JSON: {path / MANIFEST}") from None
    if not isinstance(fields, dict):
        raise CaptureError(f"the manifest is not a JSON object: {path / MANIFEST}")
    version = fields.get("format")
    if version != FORMAT_VERSION:
        raise CaptureError(
            f"the capture has format {version!a}, this version reads format {FORMAT_VERSION}: {path}",
            "analyze it with the maptrail version that recorded it, or a newer one",
        )
    try:
        state = _text(fields, "state")
        if state not in ("recording", "complete", "failed"):
            raise ValueError(f"state is {state!a}")
        clock = fields.get("clock")
        if not isinstance(clock, dict):
            raise ValueError("clock is missing")
        started = _number(fields, "started_ns")
        return Manifest(
            state=state,
            failure=_text(fields, "failure", None),
            mode=_text(fields, "mode", ""),
            command=tuple(map(str, _sequence(fields, "command"))),
            targets=tuple(pid for pid in _sequence(fields, "targets") if isinstance(pid, int)),
            host=_text(fields, "host", ""),
            boot_id=_text(fields, "boot_id", ""),
            kernel=_text(fields, "kernel", ""),
            arch=_text(fields, "arch", ""),
            page_size=_number(fields, "page_size", 4096),
            cpus=_number(fields, "cpus", 0),
            max_map_count=None if fields.get("max_map_count") is None else _number(fields, "max_map_count"),
            maptrail=_text(fields, "maptrail", ""),
            clock=Clock(started, _number(clock, "monotonic_ns"), _number(clock, "realtime_ns")),
            updated_ns=_number(fields, "updated_ns", started),
            drained_to_ns=_number(fields, "drained_to_ns", started),
            probe_plan=tuple(
                {str(key): str(value) for key, value in row.items()}
                for row in _sequence(fields, "probe_plan")
                if isinstance(row, dict)
            ),
            totals={
                table: {
                    **{key: _number(counts, key) for key in ("attempted", "stored", "lost")},
                    "expired": _number(counts, "expired", 0),
                }
                for table, counts in _mapping(fields, "totals").items()
                if table in TABLES and isinstance(counts, dict)
            },
            losses=tuple(row for row in _sequence(fields, "losses") if isinstance(row, dict)),
            recorder={
                key: value
                for key, value in _mapping(fields, "recorder").items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            },
            incident=_incident(_mapping(fields, "incident")),
            keep_s=_seconds(_mapping(fields, "flight")),
            incidents=tuple(map(str, _sequence(fields, "incidents"))),
            files=tuple(_entry(row) for row in _sequence(fields, "files") if _known(row)),
        )
    except ValueError as error:
        raise CaptureError(f"the manifest is damaged, {error}: {path / MANIFEST}") from None


_REQUIRED: Any = object()


def _text(fields: dict[str, Any], name: str, default: Any = _REQUIRED) -> Any:
    value = fields.get(name)
    if isinstance(value, str):
        return value
    if value is None and default is not _REQUIRED:
        return default
    raise ValueError(f"{name} is no text")


def _number(fields: dict[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name, default)
    if type(value) is int and 0 <= value < 1 << 64:
        return value
    raise ValueError(f"{name} is no count")


def _sequence(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name) or []
    if isinstance(value, list):
        return value
    raise ValueError(f"{name} is no list")


def _mapping(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name) or {}
    if isinstance(value, dict):
        return value
    raise ValueError(f"{name} is no object")


def _incident(fields: dict[str, Any]) -> Incident | None:
    if not fields:
        return None
    values: dict[str, Any] = {name: _text(fields, name) for name in ("trigger", "table", "comm")}
    values |= {name: _number(fields, name) for name in ("ts_ns", "pid", "tid", "more", "held_back")}
    return Incident(**values)


def _seconds(flight: dict[str, Any]) -> float | None:
    value = flight.get("keep_s")
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError("keep_s is no time")


def _known(row: Any) -> bool:
    """Whether a listed file is of a table we know: a newer recorder of the same format may add tables."""
    if not isinstance(row, dict):
        raise ValueError("a listed file is no object")
    return _text(row, "table") in TABLES


def _entry(row: dict[str, Any]) -> FileEntry:
    return FileEntry(
        table=_text(row, "table"),
        path=_text(row, "path"),
        sha256=_text(row, "sha256"),
        **{name: _number(row, name) for name in ("rows", "bytes", "from_ns", "to_ns")},
    )


def _check_files(
    root: int, path: Path, entries: tuple[FileEntry, ...], progress: Callable[[float, float], None], hold: bool
) -> tuple[list[CheckedFile], list[Damage]]:
    """Check all files at once: hashlib and pyarrow let go of the interpreter's lock."""
    listed: dict[str, int] = {}
    for entry in entries:
        listed[entry.path] = listed.get(entry.path, 0) + 1
    checked: list[CheckedFile] = []
    damaged: list[Damage] = []
    total, done = sum(entry.bytes for entry in entries), 0
    absolute = path.resolve()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = {pool.submit(_check, root, absolute, entry, hold): entry for entry in entries if listed[entry.path] == 1}
        damaged += [Damage(entry, "listed more than once") for entry in entries if listed[entry.path] > 1]
        try:
            for job in as_completed(jobs):
                entry = jobs[job]
                done += entry.bytes
                progress(done, total)
                try:
                    checked.append(job.result())
                except FileNotFoundError:
                    damaged.append(Damage(entry, "missing"))
                except (OSError, ValueError, pa.ArrowException) as error:
                    reason = error.strerror if isinstance(error, OSError) else None
                    damaged.append(Damage(entry, reason or str(error).partition("\n")[0]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return (
        sorted(checked, key=lambda file: file.entry.path),
        sorted(damaged, key=lambda damage: damage.entry.path),
    )


def _check(root: int, capture: Path, entry: FileEntry, hold: bool) -> CheckedFile:
    """Check one file; ValueError or OSError says what is wrong."""
    match = _BATCH.fullmatch(entry.path)
    if not match or match[1] != entry.table:
        raise ValueError("not a path of this table in the capture")
    directory = os.open(entry.table, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        fd = _open_regular(match[2], directory)
    finally:
        os.close(directory)
    with os.fdopen(fd, "rb") as file:
        actual = os.fstat(fd).st_size
        if actual != entry.bytes:
            raise ValueError(f"size differs: {actual} bytes instead of {entry.bytes}")
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256.lower():
            raise ValueError("sha256 differs")
        file.seek(0)
        columns = _check_footer(pq.read_metadata(file), entry)
        if not hold:
            return CheckedFile(entry, capture / entry.path, columns)
        held = os.fdopen(os.dup(fd), "rb")
        return CheckedFile(entry, Path(f"{_FDS}/{held.fileno()}"), columns, held)


def _check_footer(footer: pq.FileMetaData, entry: FileEntry) -> frozenset[str]:
    if footer.num_rows != entry.rows:
        raise ValueError(f"row count differs: {footer.num_rows} instead of {entry.rows}")
    rows = uncompressed = 0
    for group in (footer.row_group(number) for number in range(footer.num_row_groups)):
        rows += group.num_rows
        for chunk in (group.column(number) for number in range(group.num_columns)):
            if chunk.compression != "ZSTD":
                raise ValueError(f"codec is {chunk.compression}, not ZSTD")
            if chunk.file_path:
                raise ValueError("a column lies in another file")
            uncompressed += chunk.total_uncompressed_size
    if rows != footer.num_rows:
        raise ValueError("its row groups hold another number of rows than it says")
    columns = _check_schema(footer.schema.to_arrow_schema(), entry.table)
    width = sum(_width(field.type) for field in _declared(entry.table) if field.name in columns)
    expanded = max(uncompressed, rows * width)
    if expanded > max(_EXPANSION_FREE, _EXPANSION * entry.bytes):
        raise ValueError(f"would expand from {size(entry.bytes)} to {size(expanded)}")
    return columns


@cache
def _declared(table: str) -> list[pa.Field]:
    return list(arrow_schema(TABLES[table]))


def _width(type: pa.DataType) -> int:
    """Bytes that a value takes at least, in memory."""
    if pa.types.is_dictionary(type):
        return 4
    return type.bit_width // 8 if pa.types.is_primitive(type) else 8


def _check_schema(found: pa.Schema, table: str) -> frozenset[str]:
    """The declared columns that are there. Others are left alone: a newer recorder may have added them."""
    columns = set()
    for declared in _declared(table):
        number = found.get_all_field_indices(declared.name)
        if len(number) > 1:
            raise ValueError(f"column is there twice: {declared.name}")
        if number:
            field = found.field(number[0])
            if _plain(field.type) != _plain(declared.type):
                raise ValueError(f"column {declared.name} is {field.type}, not {declared.type}")
            columns.add(declared.name)
        elif not declared.nullable:
            raise ValueError(f"column is missing: {declared.name}")
    return frozenset(columns)


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if pa.types.is_dictionary(type) else type


def _unlisted(path: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    listed = {entry.path for entry in entries}
    for table in TABLES:
        try:
            names = sorted(os.listdir(path / table))
        except OSError:
            continue
        yield from (f"{table}/{name}" for name in names if f"{table}/{name}" not in listed)
