"""Files named by path alone: looked up after the call, through the caller's own root and directory.

truncate(2) takes a path and leaves no descriptor behind, so without a kernel hook its file can only
be looked up afterwards. The path may name another file by then: the rows say `identity` = path. A file whose contents
did not change since the call, and that has another size than the call gave, is not taken for it.
"""

from __future__ import annotations

import os
import time

import pyarrow as pa
import pyarrow.compute as pc

from recorder.procfs import device
from recorder.schema import TABLES

__all__ = ["name_by_path"]

MOST_LOOKUPS = 256
"""Of one batch; a program that truncates more files than that a second by path leaves the rest unnamed."""
_COARSE_NS = 20_000_000  # a file's times are those of the last tick (current_time() in fs/inode.c), and clocks drift


def name_by_path(files: pa.Table) -> pa.Table:
    """Rows of table `files`, with device and inode where a successful call gave only a path."""
    succeeded = pc.and_(pc.is_valid(files["path_given"]), pc.equal(files["errno"], 0))
    unnamed = pc.and_(pc.is_null(files["identity"]), succeeded)
    rows = pc.indices_nonzero(unnamed).to_pylist()
    if not rows:
        return files
    wanted = ["pid", "path_given", "ts_enter_ns", "new_size_bytes"]
    some = files.select(wanted).take(pa.array(rows[:MOST_LOOKUPS])).to_pylist()
    seen: dict[tuple[int, bytes], os.stat_result | None] = {}
    wall_ns = time.time_ns() - time.monotonic_ns()
    columns = {name: files[name].to_pylist() for name in ("dev", "inode", "identity")}
    for row, who in zip(rows, some, strict=False):
        key = (who["pid"], who["path_given"])
        if key not in seen:
            seen[key] = _look_up(*key)
        found = seen[key]
        if found and (
            found.st_size == who["new_size_bytes"] or found.st_mtime_ns >= who["ts_enter_ns"] + wall_ns - _COARSE_NS
        ):
            columns["dev"][row], columns["inode"][row] = device(found.st_dev), found.st_ino
            columns["identity"][row] = "path"
    for name, values in columns.items():
        index = files.schema.get_field_index(name)
        field = files.schema.field(index)
        files = files.set_column(index, field, pa.array(values, TABLES["files"][name].type))
    return files


def _look_up(pid: int, path: bytes) -> os.stat_result | None:
    absolute = path.startswith(b"/")
    base = b"/proc/%d/%s" % (pid, b"root" if absolute else b"cwd")
    try:
        if os.path.exists(base):
            return os.stat(base + b"/" + path)
        if absolute:  # the process is gone or a zombie; most share this one's root
            return os.stat(path)
    except OSError:
        pass
    return None
