"""What decoded rows call for: files to be named, images to be read, stacks to be fetched."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.elf import FileMapping
from recorder.lookup import name_by_path
from recorder.observer import Observer
from recorder.probes import Probes
from recorder.schema import TABLES, arrow_schema

__all__ = ["FollowUp"]

_HASH = np.uint64(0x9E3779B97F4A7C15)  # any odd number: spreads inode numbers before the device is added


class FollowUp:
    """Called with the tables of every batch before they are stored, on the writer's thread."""

    def __init__(self, observer: Observer, probes: Probes) -> None:
        self._observer = observer
        self._probes = probes
        self._images: set[tuple[int, int, int]] = set()
        self._stacks: npt.NDArray[np.bool_] = np.zeros(probes.stack_entries, np.bool_)

    def __call__(self, tables: dict[str, pa.Table]) -> None:
        if "files" in tables:
            tables["files"] = name_by_path(tables["files"])
        if "vmas" in tables:
            self._observer.read_images(self._new_images(tables["vmas"]))
        if self._probes.stacks:
            fresh = self._new_stacks(tables)
            if fresh:
                tables["stacks"] = fresh_stacks(self._probes.frames(fresh))

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

    def _new_stacks(self, tables: dict[str, pa.Table]) -> list[int]:
        named = [tables[name].column("stack_id") for name in ("syscalls", "files", "faults") if name in tables]
        if not named:
            return []
        ids = np.unique(np.concatenate([column.drop_null().to_numpy() for column in named]))
        ids = ids[ids >= 0]  # negative: the error of the stack walk
        fresh: Any = ids[~self._stacks[ids]]
        self._stacks[fresh] = True
        return list(fresh.tolist())


def fresh_stacks(found: list[tuple[int, list[int]]]) -> pa.Table:
    """Rows of table `stacks`, from ids and frames."""
    ids, frames = [stack_id for stack_id, _ in found], [frames for _, frames in found]
    columns = {"ts_ns": [time.monotonic_ns()] * len(found), "stack_id": ids, "frames": frames}
    return pa.Table.from_pydict(columns, schema=arrow_schema(TABLES["stacks"]))
