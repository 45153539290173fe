"""The capture of a flight recorder: the last segments only, and incidents that keep what they held.

An incident is a capture of its own below `incidents/`. Its batches are hard links, since a batch never changes: it
costs nothing when it is made, and the disk space of what the window drops later. So that there is always room for one,
the window takes no more than half of what the incidents leave of `--max-disk`; they take three quarters at most, and
then it has the rest.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from recorder.flight import Flight, Incident, expired
from recorder.manifest import MANIFEST, render
from recorder.store import RESERVE_BYTES, SMALL_FILES, Directory, Store, StoredFile, StoreError

__all__ = ["INCIDENTS", "Frozen", "Window"]

INCIDENTS = "incidents"
_NAME = re.compile(r"(\d{4,})-[a-z]+-\d+")
_TEMPORARY = re.compile(r"\.\d{4,}-[a-z]+-\d+\.tmp")
_BLOCK_BYTES = 4096
_LEAST_SHARE = 8  # an incident must leave the window one part in so many, with as much again for the next incident


@dataclass(frozen=True)
class Frozen:
    """An incident on the disk: what its batches take, beside the window or with it, by a name for each of them."""

    directory: Path
    from_ns: int
    to_ns: int
    files: dict[str, int] = field(default_factory=dict)
    other_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values()) + self.other_bytes


class Window(Store):
    """A Store that keeps the last `flight.keep_s` seconds, on at most `flight.max_disk_bytes` of disk, incidents
    included. For the writer's thread; the plain attributes can be read by any.

    Incidents of earlier recordings in the same directory stay, and count.
    """

    def __init__(self, directory: Path, header: dict[str, Any], flight: Flight, *, overwrite: bool = False) -> None:
        self._flight = flight
        self._keep_ns = round(flight.keep_s * 1e9)
        self._begins = [int(header["started_ns"])]  # of each segment that is kept
        self._frozen: dict[str, Frozen] = {}
        self._kept: dict[str, int] = {}
        self._made = self._last = 0
        self._least_bytes = flight.max_disk_bytes // _LEAST_SHARE
        self.limit_bytes = 0
        self.segment_bytes = 0
        self.disk_bytes = 0
        self.covers_s = 0.0
        self.shortened = False
        self.no_room = 0
        super().__init__(directory, header, overwrite=overwrite)
        self._measure()

    def _prepare(self) -> None:
        try:
            self._incidents = self._root.child(INCIDENTS)
            for name in os.listdir(self._incidents.fd):
                path = self.directory / INCIDENTS / name
                if _TEMPORARY.fullmatch(name):  # of a recorder that was killed
                    shutil.rmtree(path, ignore_errors=True)
                elif found := _NAME.fullmatch(name):
                    self._last = max(self._last, int(found[1]))
                    self._frozen[name] = _earlier(path)
            self._try_links()
        except OSError as error:
            raise self._failure(error) from error
        self._count_kept()

    def _try_links(self) -> None:
        first, second = ".link", ".link.tmp"
        try:
            os.close(os.open(first, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._incidents.fd))
            os.link(first, second, src_dir_fd=self._incidents.fd, dst_dir_fd=self._incidents.fd)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            message = f"the file system has no hard links, which --keep needs: {self.directory}"
            raise StoreError(message, "choose another directory with --output", error.errno) from error
        finally:
            for name in (first, second):
                self._incidents.remove(name)

    # -- segments ---------------------------------------------------------------------------

    def begin_segment(self, from_ns: int, **fields: Any) -> None:
        """What is appended from now on belongs to a segment that begins then, with readings of everybody's maps.

        The keys given are set in the manifest by the next commit.
        """
        self._segment += 1
        self._fields |= fields
        self._begins.append(from_ns)
        with contextlib.suppress(OSError):  # incidents can have been moved away, one by one or all
            incidents, self._incidents = self._incidents, self._root.child(INCIDENTS)
            incidents.close()
            there = set(os.listdir(self._incidents.fd))
            self._frozen = {name: frozen for name, frozen in self._frozen.items() if name in there}
        self._count_kept()

    @property
    def from_ns(self) -> int:
        """When the window begins, CLOCK_MONOTONIC."""
        return self._begins[0]

    @property
    def segment(self) -> int:
        """Number of the newest segment."""
        return self._segment

    @property
    def oldest(self) -> int:
        """Number of the oldest segment that is kept."""
        return self._segment - len(self._begins) + 1

    @property
    def totals(self) -> dict[str, dict[str, int]]:
        """Of each table, as the manifest has them: attempted = stored + lost + expired."""
        totals: dict[str, dict[str, int]] = self._fields.get("totals", {})
        return totals

    def append(self, table: str, batch: pa.Table) -> None:
        """Store.append; where there is no room, what is old goes before what is new is lost."""
        while True:
            try:
                return super().append(table, batch)
            except _NoRoom:
                if len(self._begins) < 2:
                    raise
            self.shortened = True
            self._publish_from(self.oldest + 1, self._files, {})

    def commit(self, **fields: Any) -> None:
        """Store.commit, and drop the segments that are older than the window, or more than fits on the disk."""
        files = self._with_pending()
        if self._segment == 0:  # the first begins when recording does
            self._begins = [fields.get("started_ns", self._begins[0])]
        oldest = self.oldest
        sizes = dict.fromkeys(range(oldest, self._segment + 1), 0)
        for file in itertools.chain.from_iterable(files.values()):
            if file.segment in sizes:
                sizes[file.segment] += self._own_bytes(file)
        now_ns = fields.get("drained_to_ns", self._fields.get("drained_to_ns", 0))
        drop, early = expired(
            list(zip(self._begins, sizes.values(), strict=True)), now_ns, self._keep_ns, self.limit_bytes
        )
        fields["flight"] = {**vars(self._flight), "no_room": self.no_room, **fields.get("flight", {})}
        fields["incidents"] = sorted(self._frozen)
        try:
            self._publish_from(oldest + drop, files, fields, pending=[])
        finally:
            self.shortened = early or (self.shortened and not self._covers(now_ns))
            self.covers_s = max(now_ns - self.from_ns, 0) / 1e9

    def _publish_from(
        self, segment: int, files: dict[str, list[StoredFile]], fields: dict[str, Any], **more: Any
    ) -> None:
        """Publish the files less those of segments before that one."""
        begins = self._begins[segment - self.oldest :]
        gone = [file.entry for kept in files.values() for file in kept if file.segment < segment]
        files = {name: [file for file in kept if file.segment >= segment] for name, kept in files.items()}
        totals = fields.get("totals", self.totals)
        fields |= {"started_ns": begins[0], "totals": _less_expired(totals, files)}
        try:
            self._publish(files, fields, obsolete=gone, **more)
        finally:
            if self._files is files:
                self._begins = begins
            self._measure()

    def _covers(self, now_ns: int) -> bool:
        return self._begins[0] <= now_ns - self._keep_ns

    def _runs(self, files: list[StoredFile]) -> Iterator[tuple[list[StoredFile], int]]:
        """A segment that has ended becomes one file a table. What an incident holds stays: it would be there twice."""
        for (segment, kept), run in itertools.groupby(
            files, lambda file: (file.segment, file.entry.path in self._kept)
        ):
            if not kept:
                yield list(run), SMALL_FILES if segment == self._segment else 1

    # -- the disk ---------------------------------------------------------------------------

    def _own_bytes(self, file: StoredFile) -> int:
        """What dropping the file would free."""
        return 0 if file.entry.path in self._kept else _blocks(file.entry.bytes)

    def _count_kept(self) -> None:
        self._kept = {}
        for frozen in self._frozen.values():
            self._kept.update(frozen.files)
        self._measure()

    def _measure(self) -> None:
        listed = list(itertools.chain(*self._files.values(), self._pending))
        own = sum(map(self._own_bytes, listed)) + sum(_blocks(entry.bytes) for entry in self._obsolete)
        kept = sum(self._kept.values()) + sum(frozen.other_bytes for frozen in self._frozen.values())
        # the manifest, the next one and its reserve, another incident's; directories
        aside = 5 * _blocks(self._manifest_bytes) + 2 * RESERVE_BYTES
        self.disk_bytes = own + kept + aside
        free = max(self._flight.max_disk_bytes - kept - aside, 0)
        self.limit_bytes = free // 2 if free // 2 >= self._least_bytes else free * 3 // 4
        self.segment_bytes = sum(self._own_bytes(file) for file in listed if file.segment == self._segment)

    def _admit(self, size_bytes: int) -> None:
        self._measure()
        if self.disk_bytes + _blocks(size_bytes) > self._flight.max_disk_bytes:
            hint = f"raise --max-disk, or move incidents away from: {self.directory / INCIDENTS}"
            raise _NoRoom("no room under --max-disk", hint, errno.EDQUOT)

    # -- incidents --------------------------------------------------------------------------

    @property
    def incidents(self) -> int:
        """How many this recording has made."""
        return self._made

    def freeze(self, incident: Incident) -> Frozen | None:
        """Make a capture of what is acknowledged now; None, and counted, where the disk has no room for it.

        It appears whole, under its name, or not at all. Raises StoreError when it cannot be written.
        """
        left = self.limit_bytes - sum(map(self._own_bytes, self._listed())) // 2
        if left < self._least_bytes:
            self.no_room += 1
            return None
        name = f"{self._last + 1:04}-{incident.name}"
        temporary = f".{name}.tmp"
        path = self.directory / INCIDENTS / name
        ended_ns = self._fields.get("drained_to_ns", self.from_ns)
        fields = {key: value for key, value in self._fields.items() if key not in ("flight", "incidents")}
        fields |= {"state": "complete", "failure": None, "ended_ns": ended_ns, "updated_ns": time.monotonic_ns()}
        fields["incident"] = {**incident.facts(), "keep_s": self._flight.keep_s, "after_s": self._flight.after_s}
        # records that are still in the rings are not attempted yet
        fields["totals"] = {
            table: {**counts, "attempted": counts["stored"] + counts["lost"] + counts["expired"]}
            for table, counts in fields.get("totals", {}).items()
        }
        text = render(fields, (file.entry for file in self._listed()))
        try:
            self._link(temporary, text)
            os.rename(temporary, name, src_dir_fd=self._incidents.fd, dst_dir_fd=self._incidents.fd)
            self._incidents.sync()
        except OSError as error:
            shutil.rmtree(path.with_name(temporary), ignore_errors=True)
            raise self._failure(error) from error
        self._made += 1
        self._last += 1
        files = {file.entry.path: _blocks(file.entry.bytes) for file in self._listed()}
        tables = len({file.entry.table for file in self._listed()})
        frozen = Frozen(path, self.from_ns, ended_ns, files, _blocks(len(text)) + (tables + 1) * _BLOCK_BYTES)
        self._frozen[name] = frozen
        self._count_kept()
        return frozen

    def _listed(self) -> list[StoredFile]:
        return list(itertools.chain(*self._files.values()))

    def _link(self, name: str, manifest: bytes) -> None:
        """Make the folder of an incident, on the disk when this returns."""
        with contextlib.ExitStack() as stack:
            folder = self._incidents.child(name)
            stack.callback(folder.close)
            tables: dict[str, Directory] = {}
            for file in self._listed():
                table, _, batch = file.entry.path.partition("/")
                if table not in tables:
                    tables[table] = folder.child(table)
                    stack.callback(tables[table].close)
                os.link(batch, batch, src_dir_fd=self._folders[table].fd, dst_dir_fd=tables[table].fd)
            folder.stage(MANIFEST, memoryview(manifest))
            folder.reveal(MANIFEST)
            for each in (*tables.values(), folder):
                each.sync()

    def close(self, state: str, **fields: Any) -> None:
        if self._closed:
            return
        try:
            super().close(state, **fields)
        finally:
            self._incidents.close()


class _NoRoom(StoreError):
    """Under --max-disk, that is."""


def _blocks(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _earlier(directory: Path) -> Frozen:
    """An incident of an earlier recording, as far as its size goes."""
    files: dict[str, int] = {}
    other = 0
    for folder, _, names in os.walk(directory):
        other += os.lstat(folder).st_blocks * 512
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            files[f"inode {found.st_ino}"] = found.st_blocks * 512
    return Frozen(directory, 0, 0, files, other)


def _less_expired(totals: dict[str, dict[str, int]], files: dict[str, list[StoredFile]]) -> dict[str, dict[str, int]]:
    """Stored rows that were dropped with their segment are `expired`: attempted = stored + lost + expired."""
    less = {}
    for table, counts in totals.items():
        rows = sum(file.entry.rows for file in files[table])
        less[table] = {**counts, "stored": rows, "expired": counts["stored"] + counts.get("expired", 0) - rows}
    return less
