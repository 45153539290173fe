"""The capture on disk: batches are written whole, acknowledged by the manifest, and merged.

The contract, at every moment and also after SIGKILL or a power failure: `manifest.json` parses, each file it lists
is complete and has the listed SHA-256, and each acknowledged row is in exactly one of them. A file that the manifest
does not list (a crash before it was acknowledged, or after it was merged into another) is to be ignored, and so is
every `*.tmp`; `manifest.json.tmp` is there during the whole recording, see `Directory.reserve`.

Our own output is never mapped into memory: when the disk fills, a mapped page is a SIGBUS, a write() an error.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recorder.manifest import MANIFEST, FileEntry, is_manifest, render
from recorder.parquet import ROW_GROUP_ROWS, decode, encode, live, merge
from recorder.schema import TABLES

__all__ = ["RESERVE_BYTES", "SMALL_FILES", "Directory", "Store", "StoreError", "StoredFile"]

SMALL_ROWS = 65_536
SMALL_FILES = 64
"""While recording, a table keeps at most about this many files of fewer rows on each level."""
STEP_ROWS = 2 * ROW_GROUP_ROWS
"""Rows of one merge while recording: about 0.15 s of the writer's time."""
FINAL_ROWS = 4 * ROW_GROUP_ROWS
"""Rows of one merge at the end: 120 MB at the peak and 1.8 M rows/s for `syscalls`. Twice as many take twice the
memory, and save 0.7 % of the size."""
_LEFT_ALONE = -1
MERGE_BYTES = 128 << 20
"""Bound of one merge in memory, Arrow bytes."""
RESERVE_BYTES = 64 << 10


class StoreError(Exception):
    """The capture cannot be created or written. `hint` says what to do; `errno` is the system's, where it is one."""

    def __init__(self, message: str, hint: str = "", errno: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.errno = errno


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of this recording: what the manifest says of it, the memory its rows take, how often it was merged
    while recording, whether its rows are by (pid, time), and the segment of a window that it belongs to."""

    entry: FileEntry
    live_bytes: int
    level: int = 0
    ordered: bool = False
    segment: int = 0


class Directory:
    """A directory held open, so that renaming it while we record does no harm. In a removed one the kernel creates
    nothing (ENOENT), so that is noticed."""

    def __init__(self, path: Path | str, within: int | None = None, *, follow: bool = True) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self.fd = os.open(path, flags, dir_fd=within)

    def close(self) -> None:
        os.close(self.fd)

    def sync(self) -> None:
        os.fsync(self.fd)

    def child(self, name: str) -> Directory:
        """The folder of that name, made if it is not there. A symbolic link is refused (ENOTDIR)."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.fd)
            self.sync()
        return Directory(name, self.fd, follow=False)

    def stage(self, name: str, data: memoryview) -> None:
        """Write `name`.tmp and bring it to the disk. One that is there already is written over, in its own blocks."""
        fd = os.open(f"{name}.tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        try:
            done = 0
            while done < len(data):
                done += os.write(fd, data[done:])
            os.ftruncate(fd, done)
            os.fsync(fd)
        finally:
            os.close(fd)

    def reveal(self, name: str) -> None:
        os.rename(f"{name}.tmp", name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def reserve(self, name: str, size: int) -> None:
        """Take the space that the next `stage` of that name needs, if it is there to take.

        So a full disk can still be told of in the manifest: what was lost, how the recording ended.
        """
        with contextlib.suppress(OSError):
            fd = os.open(f"{name}.tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)

    def read(self, name: str) -> bytes:
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd), "rb") as file:
            return file.read()

    def remove(self, name: str) -> None:
        """Unlink, or leave the file where that is not possible: readers ignore what is not listed."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.fd)


class Store:
    """Writes one capture. For one thread: the writer's.

    `header` is the manifest's start (host, kernel, command, clock, ...), a key each; `commit` and `close` replace
    keys of it. A directory that does not exist is made, mode 0700; one that does must be empty, or with `overwrite`
    hold a capture that nobody is recording. An exclusive flock on the directory says that the recorder lives.

    Raises StoreError, and only that, when the capture cannot be made.
    """

    def __init__(self, directory: Path, header: dict[str, Any], *, overwrite: bool = False) -> None:
        self.directory = directory
        self._fields: dict[str, Any] = {"state": "recording", "failure": None, **header}
        self._files: dict[str, list[StoredFile]] = {name: [] for name in TABLES}
        self._pending: list[StoredFile] = []
        self._obsolete: list[FileEntry] = []
        self._written = dict.fromkeys(TABLES, 0)
        self._folders: dict[str, Directory] = {}
        self._closed = False
        self._manifest_bytes = 0
        self._segment = 0
        try:
            created = self._make()
            self._root = Directory(directory)
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._claim(overwrite)
            self._prepare()
            self._publish(self._files, {})
            self._discard_old()
        except BaseException:
            if created:
                self._root.remove(f"{MANIFEST}.tmp")
                with contextlib.suppress(OSError):
                    for name in os.listdir(directory):
                        (directory / name).rmdir()
                    directory.rmdir()
            self._root.close()
            raise

    def _make(self) -> bool:
        parent = self.directory.parent
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            hint = f"make it first: mkdir -p {shlex.quote(str(parent))}"
            raise StoreError(f"no such directory: {parent}", hint, error.errno) from error
        folder = Directory(parent)
        try:
            folder.sync()
        finally:
            folder.close()
        return True

    def _claim(self, overwrite: bool) -> None:
        """Take the lock, and make sure that there is nothing here, or nothing but what may be overwritten."""
        hint = _ELSEWHERE
        try:
            fcntl.flock(self._root.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = set(os.listdir(self._root.fd)) - {f"{MANIFEST}.tmp"}
            if not names:
                return
            if not overwrite:
                message = "output directory already exists"
                hint += ", or replace the capture in it with --overwrite"
            elif MANIFEST in names and is_manifest(self._root.read(MANIFEST)):
                return
            else:
                message = "not a capture, so it is not overwritten"
            raise StoreError(f"{message}: {self.directory}", hint, errno.EEXIST)
        except BlockingIOError as error:
            raise StoreError(f"another recording is writing there: {self.directory}", hint, error.errno) from error
        except OSError as error:
            raise self._failure(error) from error

    def _prepare(self) -> None:
        """What is to be done once the directory is ours, before anything in it is replaced."""

    def _discard_old(self) -> None:
        """Remove an earlier capture's files, which the manifest has ceased to list, and nothing else."""
        for table in TABLES:
            with contextlib.suppress(OSError):
                folder = Directory(table, self._root.fd, follow=False)
                for name in os.listdir(folder.fd):
                    if name.endswith((".parquet", ".parquet.tmp")):
                        folder.remove(name)
                folder.close()
                os.rmdir(table, dir_fd=self._root.fd)

    def append(self, table: str, batch: pa.Table) -> None:
        """Write the rows as a file of their own; the next `commit` acknowledges it. No rows, no file.

        Columns that are null throughout are left out until files are merged: half of `syscalls`, most often, and a
        third of the time to write it.

        Raises StoreError, its errno kept, when the file cannot be written (no space, quota, I/O error, directory
        removed or read-only). Nothing else is hurt by that: the caller counts the rows as lost and goes on, since
        the space may come back.
        """
        if batch.num_rows:
            batch = live(batch)
            self._pending.append(replace(self._write(table, batch, batch.nbytes), segment=self._segment))

    def commit(self, **fields: Any) -> None:
        """Replace the manifest: acknowledge every appended batch and set the given keys.

        Raises StoreError when it cannot; the old manifest stands, and the next commit acknowledges these batches.
        """
        self._publish(self._with_pending(), fields, pending=[])

    def _with_pending(self) -> dict[str, list[StoredFile]]:
        files = {name: list(kept) for name, kept in self._files.items()}
        for file in self._pending:
            files[file.entry.table].append(file)
        return files

    @property
    def stored_bytes(self) -> int:
        """Bytes of the acknowledged files."""
        return sum(file.entry.bytes for files in self._files.values() for file in files)

    def read(self, table: str, *columns: str) -> Iterator[pa.Table]:
        """Some columns of the acknowledged rows of a table, file by file; files that do not read back are left out."""
        for file in list(self._files[table]):
            with contextlib.suppress(_Damaged):
                yield decode(self._bytes(file), columns)

    def tidy(self) -> bool:
        """Merge small acknowledged files of one table, if there are too many; True if it did.

        To be called while recording, whenever the writer has nothing else to do: it takes up to about 0.15 s. A row
        is merged a few times at most, since merged files are merged again only with their like. Raises StoreError
        like `append`; the capture is whole then.
        """
        for run, most in [run for files in self._files.values() for run in self._runs(files)]:
            for level in sorted({file.level for file in run} - {_LEFT_ALONE}):
                small = [
                    file
                    for file in run
                    if file.level == level and file.entry.rows < SMALL_ROWS and file.live_bytes < MERGE_BYTES // 4
                ]
                if len(small) > most:
                    self._merge(next(_groups(small, STEP_ROWS)), level + 1)
                    return True
        return False

    def _runs(self, files: list[StoredFile]) -> Iterator[tuple[list[StoredFile], int]]:
        """Neighbours of one table that may be merged, and how many small ones may be among them while recording."""
        yield files, SMALL_FILES

    def compact(self, progress: Callable[[float], None] | None = None) -> None:
        """Merge all acknowledged files into large ones, by (pid, time) inside each. At the end of a recording.

        Files stay in order of time among each other. Never holds more than FINAL_ROWS rows or MERGE_BYTES at once.
        `progress` gets the part done, 0 to 1. May be interrupted anywhere. Raises StoreError like `append`; what is
        merged by then stays merged.
        """
        total = sum(file.entry.rows for files in self._files.values() for file in files)
        done = 0
        for run in [run for files in self._files.values() for run, _ in self._runs(files)]:
            for group in list(_groups(run, FINAL_ROWS)):
                if len(group) > 1 or not group[0].ordered:
                    self._merge(group, group[0].level)
                done += sum(file.entry.rows for file in group)
                if progress:
                    progress(done / total)

    def close(self, state: str, **fields: Any) -> None:
        """Write the last manifest, with that state, and let go of the directory. A second call does nothing.

        Raises StoreError when the manifest cannot be written; the directory is let go of all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.commit(state=state, **fields)
        finally:
            self._root.remove(f"{MANIFEST}.tmp")
            for folder in self._folders.values():
                folder.close()
            # a child of a fork may hold the same open directory, and with it the lock
            fcntl.flock(self._root.fd, fcntl.LOCK_UN)
            self._root.close()

    def _write(self, table: str, rows: pa.Table, size: int, level: int = 0, ordered: bool = False) -> StoredFile:
        """Write a file that nothing lists yet: .tmp, fsync, rename, fsync of the folder."""
        data = encode(TABLES[table], rows)
        self._admit(data.size)
        times = pc.min_max(rows[TABLES[table].time])
        self._written[table] += 1
        name = f"{self._written[table]:06}.parquet"
        entry = FileEntry(
            table,
            f"{table}/{name}",
            rows.num_rows,
            data.size,
            hashlib.sha256(data).hexdigest(),
            times["min"].as_py(),
            times["max"].as_py(),
        )
        try:
            if table not in self._folders:
                self._folders[table] = self._root.child(table)
            folder = self._folders[table]
            try:
                folder.stage(name, memoryview(data))
                folder.reveal(name)
                folder.sync()
            except BaseException:
                folder.remove(f"{name}.tmp")
                folder.remove(name)
                raise
        except OSError as error:
            raise self._failure(error) from error
        return StoredFile(entry, size, level, ordered)

    def _admit(self, size_bytes: int) -> None:
        """Raises StoreError where a file of that size may not be written."""

    def _merge(self, group: list[StoredFile], level: int) -> None:
        """Replace acknowledged files, neighbours in time, by one.

        If one does not read back as it was written, all stay as they are, for the reader to judge.
        """
        table = group[0].entry.table
        at = self._files[table].index(group[0])
        rest = [file for file in self._files[table] if file not in group]
        try:
            rows = merge(TABLES[table], self._read(group))
        except _Damaged:
            self._files[table] = rest[:at] + [replace(file, level=_LEFT_ALONE) for file in group] + rest[at:]
            return
        merged = self._write(table, rows, sum(file.live_bytes for file in group), level, ordered=True)
        merged = replace(merged, segment=group[0].segment)
        files = {**self._files, table: [*rest[:at], merged, *rest[at:]]}
        try:
            self._publish(files, {}, obsolete=[file.entry for file in group])
        except BaseException:
            if self._files is not files:
                self._folders[table].remove(Path(merged.entry.path).name)
            raise

    def _read(self, group: list[StoredFile]) -> Iterator[pa.Table]:
        for file in group:
            yield decode(self._bytes(file))

    def _bytes(self, file: StoredFile) -> bytes:
        try:
            data = self._folders[file.entry.table].read(Path(file.entry.path).name)
        except OSError as error:
            raise _Damaged from error
        if hashlib.sha256(data).hexdigest() != file.entry.sha256:
            raise _Damaged
        return data

    def _publish(
        self,
        files: dict[str, list[StoredFile]],
        fields: dict[str, Any],
        *,
        pending: list[StoredFile] | None = None,
        obsolete: Iterable[FileEntry] = (),
    ) -> None:
        """Replace the manifest by one that lists `files`; the obsolete ones, which it does not list, can go then."""
        fields = {**self._fields, **fields, "updated_ns": time.monotonic_ns()}
        text = render(fields, (file.entry for kept in files.values() for file in kept))
        try:
            self._root.stage(MANIFEST, memoryview(text))
            # Before the rename: should that or the fsync fail, or an interrupt come between, it is in doubt which
            # manifest is on the disk. So nothing that either lists is removed until a later one is safe.
            self._files, self._fields = files, fields
            self._pending = self._pending if pending is None else pending
            self._obsolete += obsolete
            self._root.reveal(MANIFEST)
            self._root.sync()
        except OSError as error:
            raise self._failure(error) from error
        for entry in self._obsolete:
            self._folders[entry.table].remove(Path(entry.path).name)
        self._obsolete.clear()
        self._manifest_bytes = len(text)
        self._root.reserve(MANIFEST, 2 * len(text) + RESERVE_BYTES)

    def _failure(self, error: OSError) -> StoreError:
        message, hint = _FAILURES.get(error.errno or 0, (f"cannot write the capture ({error.strerror})", ""))
        return StoreError(f"{message}: {self.directory}", hint, error.errno)


class _Damaged(Exception):
    """A file does not read back as it was written."""


def _groups(files: list[StoredFile], limit_rows: int) -> Iterator[list[StoredFile]]:
    """Neighbours that together stay within the bounds of one merge; a file too large alone is alone."""
    group: list[StoredFile] = []
    rows = size = 0
    for file in files:
        rows, size = rows + file.entry.rows, size + file.live_bytes
        if group and (rows > limit_rows or size > MERGE_BYTES):
            yield group
            group, rows, size = [], file.entry.rows, file.live_bytes
        group.append(file)
    if group:
        yield group


_ELSEWHERE = "choose another directory with --output"
_FREE = "free some space there, or record to another disk with --output"
_FAILURES = {
    errno.ENOSPC: ("no space left for the capture", _FREE),
    errno.EDQUOT: ("disk quota exceeded by the capture", _FREE),
    errno.EIO: ("input/output error while writing the capture", f"see the kernel's log (dmesg), or {_ELSEWHERE}"),
    errno.EROFS: ("file system is read-only", _ELSEWHERE),
    errno.EACCES: ("not permitted to write the capture", _ELSEWHERE),
    errno.EPERM: ("not permitted to write the capture", _ELSEWHERE),
    errno.ENOTDIR: ("not a directory", _ELSEWHERE),
    errno.ELOOP: ("not a directory", _ELSEWHERE),
    errno.ENOENT: ("capture directory is gone", "leave it where it is until the recording has ended"),
}
