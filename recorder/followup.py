"""What decoded rows call for: files to be named, images and maps to be read, stacks to be fetched."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.elf import FileMapping
from recorder.lookup import name_by_path
from recorder.observer import Observer
from recorder.probes import Probes, UserStack
from recorder.resync import Resync
from recorder.schema import TABLES, arrow_schema

__all__ = ["FollowUp"]

_HASH = np.uint64(0x9E3779B97F4A7C15)  # any odd number: spreads inode numbers before the device is added
_MAP_FIXED, _MAP_FIXED_NOREPLACE, _MREMAP_FIXED = 0x10, 0x100000, 2
_STACK_TIMES = {"syscalls": "ts_exit_ns", "files": "ts_exit_ns", "faults": "ts_ns", "hooks": "ts_ns"}
_ENOENT = -2
_EBADF, _EEXIST = 9, 17  # found before anything is touched


class FollowUp:
    """Called with the tables of every batch before they are stored, on the writer's thread."""

    def __init__(self, observer: Observer, probes: Probes, resync: Resync) -> None:
        self._observer = observer
        self._resync = resync
        self._probes = probes
        self._images: set[tuple[int, int, int]] = set()
        self._segment = 0
        # of stacks as the kernel walked them, then of those with callers added:
        numbers = 2 * probes.stack_entries
        self._walked = np.arange(numbers)  # the number without the callers, once seen
        self._told = np.full(numbers, -1, np.int64)  # in which segment each was stored last
        self._used = np.full(numbers, -1, np.int64)  # in which a record had it, or a stack made of it
        self._freed = np.zeros(numbers, np.bool_)
        self._freed_ns = 0

    def begin_segment(self, segment: int, oldest: int) -> None:
        """What is stored from now on must be understood without what was stored before.

        Stacks that no segment from `oldest` on names give their slots in the kernel's tables back, else a long
        recording fills them. Never earlier: within a window a number has one meaning.
        """
        self._images.clear()
        self._segment = segment
        if self._probes.stacks:
            self._freed = (self._used >= 0) & (self._used < oldest)
            self._probes.free_stacks(np.flatnonzero(self._freed).tolist())
            self._freed_ns = time.monotonic_ns()
            self._told[self._freed] = self._used[self._freed] = -1

    def __call__(self, tables: dict[str, pa.Table]) -> None:
        if "files" in tables:
            tables["files"] = name_by_path(tables["files"])
        if "vmas" in tables:
            self._observer.read_images(self._new_images(tables["vmas"]))
        if "syscalls" in tables and (pids := _changed_by_failures(tables["syscalls"])):
            self._resync.doubt(pids, "a failed call can have changed mappings", lost=False)
        if self._probes.stacks:
            if fresh := self._new_stacks(tables):
                tables["stacks"] = fresh_stacks(fresh)
            self._miss_freed(tables)

    def _new_images(self, vmas: pa.Table) -> list[FileMapping]:
        perms = vmas.column("perms").combine_chunks()
        executable = np.array(["x" in text for text in perms.dictionary.to_pylist()], np.bool_)
        inode = vmas.column("inode").to_numpy()
        rows = np.flatnonzero(executable[perms.indices.to_numpy()] & (inode != 0))
        if not len(rows):
            return []
        _, first = np.unique(inode[rows] * _HASH + vmas.column("dev").to_numpy()[rows], return_index=True)
        found = []
        for row in vmas.take(pa.array(rows[first])).to_pylist():
            identity = (row["dev"], row["inode"], row["generation"])
            if identity not in self._images:
                self._images.add(identity)
                found.append(FileMapping(row["pid"], row["start"], row["end"], *identity, row["path"]))
        return found

    def _new_stacks(self, tables: dict[str, pa.Table]) -> list[UserStack]:
        named = [tables[name].column("stack_id") for name in _STACK_TIMES if name in tables]
        if not named:
            return []
        ids = np.unique(np.concatenate([column.drop_null().to_numpy() for column in named]))
        ids = ids[ids >= 0]  # negative: the error of the stack walk
        fresh: Any = ids[self._told[ids] != self._segment]
        found = self._probes.user_stacks(fresh.tolist())
        for stack in found:
            self._walked[stack.stack_id] = stack.walked_id
            self._told[stack.stack_id] = self._segment
        self._used[ids] = self._used[self._walked[ids]] = self._segment
        return found

    def _miss_freed(self, tables: dict[str, pa.Table]) -> None:
        """A number can be freed between its use and this look at it: then whose stack it was is not known."""
        if not self._freed.any():
            return
        for name in _STACK_TIMES.keys() & tables.keys():
            rows = tables[name]
            ids = rows["stack_id"].fill_null(-1).to_numpy()
            freed = self._freed[ids] | self._freed[self._walked[ids]]
            gone = (ids >= 0) & freed & (rows[_STACK_TIMES[name]].to_numpy() < self._freed_ns)
            if gone.any():
                at = rows.schema.get_field_index("stack_id")
                column = pa.array(np.where(gone, _ENOENT, ids), pa.int32(), mask=rows["stack_id"].is_null().to_numpy())
                tables[name] = rows.set_column(at, rows.schema.field(at), column)


def _changed_by_failures(calls: pa.Table) -> list[int]:
    """Processes of calls that failed, maybe after they had unmapped or moved something.

    mmap(MAP_FIXED) unmaps before the file's own handler may refuse, mremap(MREMAP_FIXED) before it moves, and of
    several mappings it may have moved some (mm/vma.c, mm/mremap.c).
    """
    failed = np.flatnonzero(calls.column("errno").to_numpy())
    if not len(failed):
        return []
    some = calls.select(["pid", "syscall", "flags", "errno"]).take(pa.array(failed))
    flags, errno = some.column("flags").fill_null(0).to_numpy(), some.column("errno").to_numpy()
    mapping = pc.is_in(some.column("syscall"), pa.array(["mmap", "old_mmap"])).to_numpy()
    moving = pc.equal(some.column("syscall"), "mremap").to_numpy()
    replacing = (flags & _MAP_FIXED != 0) & (flags & _MAP_FIXED_NOREPLACE == 0)
    doubtful = (mapping & replacing & ~np.isin(errno, (_EBADF, _EEXIST))) | (moving & (flags & _MREMAP_FIXED != 0))
    pids: list[int] = np.unique(some.column("pid").to_numpy()[doubtful]).tolist()
    return pids


def fresh_stacks(found: list[UserStack]) -> pa.Table:
    """Rows of table `stacks`."""
    columns = {
        "ts_ns": [time.monotonic_ns()] * len(found),
        "stack_id": [stack.stack_id for stack in found],
        "frames": [stack.frames for stack in found],
        "recovered": [stack.recovered for stack in found],
        "on_top": [int(stack.on_top) for stack in found],
        "joined": [int(stack.joined) for stack in found],
    }
    return pa.Table.from_pydict(columns, schema=arrow_schema(TABLES["stacks"]))
