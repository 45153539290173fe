"""The views `mappings` and `vma_counts` against a kernel of pages: what programs do at random, page by page."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from tests.support.captures import build_capture
from tests.support.oracle import (
    DONTUNMAP,
    FIXED,
    HEAP,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MAYMOVE,
    PAGE,
    Kernel,
    Page,
    Thread,
)  # fmt: skip

Birth = tuple[str, int]
"""What mapped a page, and the time of that event."""


class World:
    """A kernel, and beside it what each page of each process was born of. `frees` counts pages unmapped by birth."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.kernel = Kernel()
        self.births: dict[int, dict[int, Birth]] = {}
        self.frees: Counter[tuple[int, int, Birth]] = Counter()
        self.seen: list[tuple[int, dict[int, dict[int, Birth]], dict[int, int]]] = []
        self.start()

    def start(self) -> None:
        thread = self.kernel.start()
        self.births[thread.pid] = {}
        self._note(thread, "exec")

    def _pages(self, thread: Thread) -> dict[int, Page]:
        return dict(self.kernel.spaces[thread.pid].pages)

    def _free(self, pid: int, page: int) -> None:
        self.frees[pid, page, self.births[pid].pop(page)] += 1

    def _note(self, thread: Thread, cause: str, anew: range = range(0)) -> None:
        """Take over what the kernel has: pages gone are freed, pages that are there now or anew are born."""
        births = self.births[thread.pid]
        pages = self._pages(thread)
        for page in [page for page in births if page not in pages]:
            self._free(thread.pid, page)
        records = [row["ts_ns"] for row in self.kernel.rows["vmas"] if row["tid"] == thread.tid]
        for page in pages:
            if page not in births or page in anew:
                if page in births:
                    self._free(thread.pid, page)
                births[page] = (cause, records[-1])

    def act(self) -> None:
        kernel, chance = self.kernel, self.chance
        thread = chance.choice(kernel.threads)
        first, count = chance.randrange(0x500, 0x528), chance.choice((1, 1, 2, 3, 8))
        before = self._pages(thread)
        calls = len(kernel.rows["syscalls"])
        match chance.randrange(20):
            case 0 | 1 | 2 | 3:
                page = chance.choice(
                    (Page("rw-p"), Page("---p"), Page("r--p", 91, 5, b"/a"), Page("rw-s", 92, 0, b"/b"))
                )
                shared = MAP_SHARED if page.perms[3] == "s" else MAP_PRIVATE
                flags = shared | (0 if page.inode else MAP_ANONYMOUS) | chance.choice((0, MAP_FIXED))
                kernel.mmap(thread, first, count, page, flags)
                done = kernel.rows["syscalls"][-1]["errno"] == 0
                self._note(thread, "mmap", range(first, first + count) if done else range(0))
            case 4 | 5 | 6:
                kernel.munmap(thread, first, count)
                self._note(thread, "munmap")
            case 7 | 8 | 9:
                kernel.mprotect(thread, first, count, chance.choice(("rw-", "r--", "---")))
                self._note(thread, "mprotect")
            case 10:
                kernel.remap(thread, first, count, chance.randrange(9))
                done = kernel.rows["syscalls"][-1]["errno"] == 0
                self._note(thread, "remap_file_pages", range(first, first + count) if done else range(0))
            case 11 | 12 | 13 | 14 | 15:
                new = chance.choice((count, count, count + 2, max(count - 1, 1)))
                flags = chance.choice((0, MAYMOVE, MAYMOVE | FIXED, MAYMOVE | FIXED, MAYMOVE | FIXED | DONTUNMAP))
                to = chance.randrange(0x500, 0x528)
                kernel.mremap(thread, first, count, new, to, flags)
                self._moved(thread, before, first, count, flags)
            case 16:
                kernel.brk(thread, HEAP + chance.randrange(6))
                self._note(thread, "brk")
            case 17 if len(kernel.threads) < 3:
                child = kernel.fork(thread)
                self.births[child.pid] = dict.fromkeys(self._pages(child), ("fork", kernel.now_ns))
            case 18 if len(kernel.threads) > 1:
                for page in list(self.births[thread.pid]):
                    self._free(thread.pid, page)
                if chance.random() < 0.5:
                    kernel.execute(thread)
                    self._note(thread, "exec")
                else:
                    kernel.exit(thread)
            case _:
                return
        assert len(kernel.rows["syscalls"]) <= calls + 1
        vmas = {each.pid: len(list(kernel.spaces[each.pid].vmas())) for each in kernel.threads}
        alive = {pid: dict(births) for pid, births in self.births.items() if pid in vmas}
        self.seen.append((kernel.now_ns + 5, alive, vmas))

    def _moved(self, thread: Thread, before: dict[int, Page], first: int, count: int, flags: int) -> None:
        call = self.kernel.rows["syscalls"][-1]
        if call["errno"]:
            return
        births, pages = self.births[thread.pid], self._pages(thread)
        old, to, size = dict(births), call["ret"] // PAGE, call["new_size"] // PAGE
        fresh = ("mremap", call["ts_enter_ns"])
        copied = {}
        for n in range(size):
            if to + n not in pages or (to != first and flags & FIXED and size == count and first + n not in before):
                continue  # of several mappings, gaps stay what they were
            if n < count and (to == first or (first + n in old and not flags & DONTUNMAP)):
                copied[to + n] = old[first + n]
            else:
                copied[to + n] = fresh
        for page in copied:
            if page in births and to != first:
                self._free(thread.pid, page)
            births[page] = copied[page]
        for page in range(first, first + count):
            if page not in pages and page in births:
                if to != first and page - first < size:
                    del births[page]  # moved
                else:
                    self._free(thread.pid, page)


def _found(engine: Engine) -> list[dict[str, Any]]:
    return engine.query("SELECT *, if(created_ns IS NULL, 'before', cause) AS born FROM mappings").dicts()


@pytest.mark.parametrize("seed", range(7))
def test_pages_are_known_by_what_mapped_them(tmp_path: Path, seed: int) -> None:
    world = World(seed)
    for _ in range(250):
        world.act()
    with Engine(open_captures([build_capture(tmp_path / "capture", world.kernel.rows)])) as engine:
        rows = _found(engine)
        counts = engine.query("SELECT pid, ts_ns, vmas, vmas_at_most FROM vma_counts ORDER BY ts_ns").dicts()
    assert {row["certainty"] for row in rows if row["start"] >= HEAP * PAGE} == {"certain"}
    for at, alive, vmas in world.seen:
        for pid, births in alive.items():
            found = {
                page: (row["cause"], row["cause_ns"])
                for row in rows
                if row["pid"] == pid and row["from_ns"] <= at and (row["to_ns"] is None or row["to_ns"] > at)
                for page in range(row["start"] // PAGE, row["end"] // PAGE)
            }
            assert found == births, (at, pid)
            [*_, last] = [row for row in counts if row["pid"] == pid and row["ts_ns"] <= at]
            assert last["vmas"] <= vmas[pid] <= last["vmas_at_most"], (at, pid)
    freed = Counter(
        (row["pid"], page, (row["cause"], row["cause_ns"]))
        for row in rows
        if row["freed"]
        for page in range(row["start"] // PAGE, row["end"] // PAGE)
    )
    assert freed == world.frees
