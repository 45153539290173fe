"""The functions that recorded stacks pass through: their names, read on the target when the recording ends.

The addresses of all stacks are laid over all executable mappings that were recorded, of any process and any time: that
finds every function a frame can lie in, and few others. Which of them a frame does lie in, the analysis tells by the
rebuilt address space. A name comes only from the very file that was mapped, not changed since: of the same device,
inode and generation, or found by its path and with the same build id.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recorder.elf import FileMapping, Segment, open_mapped, open_regular, read_image
from recorder.schema import TABLES, arrow_schema
from recorder.symbols import Function, U64s, find, read_build_id, read_functions

__all__ = ["LIMIT_S", "Naming", "read_perf_map"]

LIMIT_S = 10.0
"""At the end of a recording naming stops after so long, with what it has; files with most frames come first."""

_PT_LOAD, _PF_X = 1, 1
_DEBUG = b"/usr/lib/debug/.build-id/%s/%s.debug"
_COARSE_NS = 10_000_000  # a file's times are those of the last tick (current_time() in fs/inode.c), 10 ms at most
_AT_ONCE = 4096  # mappings that are Python objects: of many short processes there are hundreds of thousands
_ALIVE = 16  # processes through which a file is looked for
_PERF_MAP_BYTES = 64 << 20
_PERF_MAP_LINE = re.compile(rb"^(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) ([^\n]{1,4096})$", re.MULTILINE)
_CODE_BYTES = 256  # of a function that are looked at
# bytes that can move the top of the stack: a push or pop; sub, add, and, mov or lea to %rsp. Some are parts of other
# instructions, which costs certainty only
_MOVES = (
    rb"[\x50-\x5f\x68\x6a\x9c]|\xff[\x30-\x37\x70-\x77\xb0-\xb7]|[\x81\x83][\xc4\xe4\xec]"
    rb"|[\x29\x2b\x89][\xc4\xcc\xd4\xdc\xe4\xec\xf4\xfc]|[\x2b\x8b][\xe0-\xe7]|\x8d[\x20-\x27\x60-\x67\xa0-\xa7]"
)
_LEVEL = rb"(?:(?!" + _MOVES + rb")[\x00-\xff])"
# maybe endbr64 or endbr32, push %rbp, then mov %rsp,%rbp; compilers put others between
_PROLOGUE = re.compile(
    rb"(?:\xf3\x0f\x1e[\xfa\xfb])?\x55" + _LEVEL + rb"*?(?<![\x40-\x47\x49-\x4f])(?:\x48?\x89\xe5|\x48?\x8b\xec)"
)
_LEVEL_CODE = re.compile(_LEVEL + rb"*")
_KEYS = ("dev", "inode", "generation", "start", "end", "offset_bytes", "pid", "path")


class _Store(Protocol):
    def read(self, table: str, *columns: str) -> Iterator[pa.Table]: ...


class Image(NamedTuple):
    """What a row of `images` tells of a file."""

    dev: int
    inode: int
    generation: int
    build_id: bytes | None
    segments: tuple[Segment, ...]
    ts_ns: int


@dataclass
class Module:
    """A file that frames lie in: where in it, since when, and mappings through which it can be found."""

    image: Image
    first_ns: int
    offsets: list[U64s] = field(default_factory=list)
    mappings: list[FileMapping] = field(default_factory=list)


class Naming:
    """Names the frames of a recording that has been stored.

    `rows` are those of table `symbols`. `files` counts the files that gave names, `nameless` those that frames lie in
    and that gave none: out of reach, changed, or stripped. `stopped`: the time was up before all were looked at.
    """

    def __init__(self, store: _Store, limit_s: float = LIMIT_S) -> None:
        self._store = store
        self._ends = time.monotonic() + limit_s
        self.rows = arrow_schema(TABLES["symbols"]).empty_table()
        self.files = self.nameless = 0
        self.stopped = False

    def run(self, progress: Callable[[float], None]) -> None:
        """Look for names; `progress` gets the part done.

        Files are opened on a thread of their own: a file system that does not answer must not keep the recording
        from ending.
        """
        modules, made = self._find()
        work = [*(partial(_of_file, module) for module in modules), *(partial(_of_perf_map, *each) for each in made)]
        results: list[list[dict[str, Any]]] = []

        def look() -> None:
            for each in work:
                if self._over():
                    return
                results.append(list(each()))

        looking = threading.Thread(target=look, name="naming", daemon=True)
        looking.start()
        while looking.is_alive() and not self._over():
            looking.join(0.1)
            progress(len(results) / max(len(work), 1))
        found = results[:]
        self.rows = pa.Table.from_pylist([row for rows in found for row in rows], schema=self.rows.schema)
        self.files = sum(bool(rows) for rows in found)
        self.nameless = sum(not rows for rows in found[: len(modules)])
        self.stopped = self.stopped or len(found) < len(work)

    def _over(self) -> bool:
        return time.monotonic() >= self._ends

    def _find(self) -> tuple[list[Module], list[tuple[int, U64s, int]]]:
        """The files that frames can lie in, and the processes whose own code they can lie in, with the addresses there
        and the first time that such code was seen."""
        addresses = self._addresses()
        images = defaultdict(list)
        for rows in self._store.read("images", "dev", "inode", "generation", "build_id", "segments", "ts_ns"):
            for row in rows.to_pylist():
                segments = tuple(Segment(**segment) for segment in row.pop("segments"))
                read = Image(**{"build_id": None, **row}, segments=segments)
                images[read.dev, read.inode].append(read)
        modules: dict[tuple[int, int, int], Module] = {}
        made: dict[int, tuple[list[U64s], int]] = {}
        for mapping, offset_bytes, ts_ns in self._mappings(addresses):
            image = _image_of(mapping, images[mapping.dev, mapping.inode])
            low, high = np.searchsorted(addresses, np.array([mapping.start, mapping.end], np.uint64))
            hit = addresses[low:high]
            if image is not None:
                key = image.dev, image.inode, image.generation
                module = modules.setdefault(key, Module(image, ts_ns))
                module.first_ns = min(module.first_ns, ts_ns)
                module.offsets.append(hit - np.uint64(mapping.start) + np.uint64(offset_bytes))
                if len(module.mappings) < _ALIVE and (not module.mappings or os.path.exists(f"/proc/{mapping.pid}")):
                    module.mappings.append(mapping)
            elif not mapping.path.startswith(b"["):
                found, first_ns = made.get(mapping.pid, ([], ts_ns))
                made[mapping.pid] = ([*found, hit], min(first_ns, ts_ns))
        for module in modules.values():
            module.offsets = [np.unique(np.concatenate(module.offsets))]
        ranked = sorted(modules.values(), key=lambda module: -len(module.offsets[0]))
        return ranked, [(pid, np.unique(np.concatenate(found)), first) for pid, (found, first) in made.items()]

    def _addresses(self) -> U64s:
        """What to look up, sorted: a return address lies behind its call, maybe in the next function already, so the
        byte before it counts; the innermost frame is where the thread was."""
        parts = [np.zeros(0, np.uint64)]
        for rows in self._store.read("stacks", "frames"):
            for frames in rows["frames"].chunks:
                lengths = np.diff(frames.offsets.to_numpy())
                inner = np.zeros(int(lengths.sum()), np.bool_)
                inner[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
                parts.append(frames.flatten().to_numpy() - ~inner)
        return np.unique(np.concatenate(parts))

    def _mappings(self, addresses: U64s) -> Iterator[tuple[FileMapping, int, int]]:
        """Executable mappings over some of the addresses, each with its offset in the file and a time."""
        for table, time_column in (("vmas", "ts_ns"), ("maps", "ts_begin_ns")):
            for rows in self._store.read(table, *_KEYS, "pgoff", "perms", time_column):
                if self._over():
                    self.stopped = True
                    return
                rows = rows.filter(pc.match_substring(rows["perms"].cast(pa.string()), "x"))
                low = np.searchsorted(addresses, rows["start"].to_numpy())
                rows = rows.filter(pa.array(np.searchsorted(addresses, rows["end"].to_numpy()) > low))
                if table == "vmas":
                    offsets = rows["pgoff"].to_numpy() * np.uint64(os.sysconf("SC_PAGESIZE"))
                    rows = rows.append_column("offset_bytes", pa.array(offsets))
                else:
                    rows = rows.append_column("generation", pa.repeat(pa.scalar(0, pa.uint32()), rows.num_rows))
                index = rows.schema.get_field_index("path")
                rows = rows.set_column(index, "path", rows["path"].cast(pa.binary()))
                distinct = rows.group_by(_KEYS, use_threads=False).aggregate([(time_column, "min")])
                for some in distinct.to_batches(_AT_ONCE):
                    for row in some.to_pylist():
                        ts_ns, offset_bytes = row.pop(f"{time_column}_min"), row.pop("offset_bytes")
                        yield FileMapping(**row), offset_bytes, ts_ns


def _image_of(mapping: FileMapping, images: list[Image]) -> Image | None:
    """The image of a mapped file. It must be one and the same build that was ever seen under that number; a generation
    of 0 is one that is not known."""
    exact = [image for image in images if mapping.generation and image.generation == mapping.generation]
    near = exact or [image for image in images if 0 in (image.generation, mapping.generation)]
    builds = {image.build_id or image.segments for image in near}
    return max(near, key=lambda image: (image.generation, image.ts_ns)) if len(builds) == 1 else None


def _virtual_addresses(segments: Iterable[Segment], offsets: U64s) -> tuple[U64s, npt.NDArray[np.bool_]]:
    """ELF virtual addresses of offsets in a file's code, and for which of the offsets there is one."""
    addresses, known = np.zeros(len(offsets), np.uint64), np.zeros(len(offsets), np.bool_)
    for segment in segments:
        if segment.type == _PT_LOAD and segment.flags & _PF_X and segment.offset + segment.filesz < 1 << 64:
            inside = (offsets >= segment.offset) & (offsets < segment.offset + segment.filesz)
            addresses[inside] = offsets[inside] + np.uint64(segment.vaddr - segment.offset & (1 << 64) - 1)
            known |= inside
    return addresses, known


def _of_file(module: Module) -> Iterator[dict[str, Any]]:
    """Rows of the functions that frames lie in, from the debug file and the file itself."""
    image = module.image
    addresses, known = _virtual_addresses(image.segments, module.offsets[0])
    addresses = addresses[known]
    seen = set()
    with _debug_file(image) as debug, _same_file(module) as file:
        for source, fd in (("debug file", debug), ("file", file)):
            found = find(read_functions(fd), addresses) if fd is not None else [None] * len(addresses)
            ts_ns = time.monotonic_ns()
            for function in found:
                if function is not None and function not in seen:
                    seen.add(function)
                    yield {
                        "ts_ns": ts_ns, "dev": image.dev, "inode": image.inode, "generation": image.generation,
                        "build_id": image.build_id, **function._asdict(), "source": source,
                        **({} if file is None else _beginning(file, image.segments, function)),
                    }  # fmt: skip
            addresses = addresses[[function is None for function in found]]


def _beginning(fd: int, segments: Iterable[Segment], function: Function) -> dict[str, int]:
    """What the code of a function tells of its stack frame; nothing where it cannot be read."""
    for segment in segments:
        inside = function.address - segment.vaddr
        if segment.type == _PT_LOAD and segment.flags & _PF_X and 0 <= inside < segment.filesz:
            try:
                code = os.pread(fd, min(function.size_bytes, _CODE_BYTES), inside + segment.offset)
            except (OSError, OverflowError):
                return {}
            moved = len(_LEVEL_CODE.sub(b"", code, count=1))
            return {"framed": int(_PROLOGUE.match(code) is not None), "level_bytes": len(code) - moved}
    return {}


@contextmanager
def _debug_file(image: Image) -> Iterator[int | None]:
    """An fd of the file that the distribution's debug packages install for this build; None if there is none."""
    text = (image.build_id or b"").hex().encode()
    fd = open_regular(_DEBUG % (text[:2], text[2:]), None) if len(text) > 2 else None
    try:
        yield fd if fd is not None and read_build_id(fd) == image.build_id else None
    finally:
        if fd is not None:
            os.close(fd)


@contextmanager
def _same_file(module: Module) -> Iterator[int | None]:
    """An fd of the file that was mapped; None if it is out of reach, or is another by now."""
    for fd, identified in _candidates(module):
        try:
            if _unchanged(fd, module, identified):
                yield fd
                return
        finally:
            os.close(fd)
    yield None


def _candidates(module: Module) -> Iterator[tuple[int, bool]]:
    """Files that may be the one; whether device, inode and generation say so."""
    for mapping in reversed(module.mappings):
        mapping = mapping._replace(generation=module.image.generation)
        if (fd := open_mapped(mapping)) is not None:
            yield fd, True
        # of overlay and btrfs, stat tells another device than the mapping
        if mapping.path.startswith(b"/"):
            for name in (b"/proc/%d/root%s" % (mapping.pid, mapping.path), mapping.path):
                if (fd := open_regular(name, None)) is not None:
                    yield fd, False


def _unchanged(fd: int, module: Module, identified: bool) -> bool:
    """The image was read a little after the file was mapped, so an equal build id does not say enough: a library can
    have been written over in that second. Without a build id the file's own time of change counts, which a rename
    moves too, but nobody can set."""
    now, build_id, found = read_image(fd), module.image.build_id, os.fstat(fd)
    if now is None or now.build_id != build_id or not (identified or build_id):
        return False
    changed_ns = found.st_mtime_ns if build_id else found.st_ctime_ns
    return changed_ns < _realtime_ns(module.first_ns) - _COARSE_NS


def _realtime_ns(monotonic_ns: int) -> int:
    return monotonic_ns + time.time_ns() - time.monotonic_ns()


def _of_perf_map(pid: int, addresses: U64s, first_ns: int) -> Iterator[dict[str, Any]]:
    """Rows of the functions that a runtime says it made. Where it made several at one place, the last."""
    text = read_perf_map(pid, first_ns)
    lines = _PERF_MAP_LINE.findall(text) if text else []
    start = np.array([int(line[0], 16) for line in lines], np.uint64)
    size = np.array([int(line[1], 16) for line in lines], np.uint64)
    covering = (np.flatnonzero(address - start < size) for address in addresses)  # below the start it wraps
    for row in sorted({int(rows[-1]) for rows in covering if len(rows)}):
        place = {"dev": 0, "inode": 0, "generation": 0, "pid": pid, "address": int(start[row])}
        named = {"size_bytes": int(size[row]), "name": lines[row][2], "source": "perf map"}
        yield {"ts_ns": time.monotonic_ns(), **place, **named}


def read_perf_map(pid: int, first_ns: int) -> bytes | None:
    """The text of a process's /tmp/perf-PID.map, its start if it is long.

    Anyone can put a file there: it must be the process's user's. Whose a process was that has ended is not known, so
    then it must be root's, and written since the process was seen.
    """
    proc = Path(f"/proc/{pid}")
    try:
        status = (proc / "status").read_bytes()
        owner = int(re.search(rb"^Uid:\t\d+\t(\d+)", status, re.MULTILINE)[1])  # type: ignore[index]
        name = b"/proc/%d/root/tmp/perf-%s.map" % (pid, re.search(rb"^NSpid:.*?(\d+)$", status, re.MULTILINE)[1])  # type: ignore[index]
        since_ns = 0
    except (OSError, TypeError):
        owner, name, since_ns = 0, b"/tmp/perf-%d.map" % pid, _realtime_ns(first_ns)
    fd = open_regular(name, None, os.O_NOFOLLOW)
    if fd is None:
        return None
    try:
        found = os.fstat(fd)
        if found.st_uid != owner or found.st_ctime_ns < since_ns:
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(_PERF_MAP_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
