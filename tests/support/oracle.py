"""A kernel small enough to be obviously right: address spaces as dicts of pages.

It does what programs ask for, page by page, and tells of it as the recorder would: calls with entry and return,
whole VMAs after merging, forks, executions and exits, readings of maps. What it told becomes a capture; what it
knows is what the rebuild must find. Page numbers stand for addresses / 4096 throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.captures import START_NS

__all__ = ["Kernel", "Page", "Space", "Thread"]

PAGE = 4096
HEAP = 0x400
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NOREPLACE = 1, 2, 16, 32, 0x100000
MAYMOVE, FIXED, DONTUNMAP = 1, 2, 4
CLONE_VM = 0x100


@dataclass(frozen=True)
class Page:
    """What a page is mapped to; `pgoff` is the offset in the file in pages, 0 for anonymous memory."""

    perms: str
    inode: int = 0
    pgoff: int = 0
    path: bytes = b""

    def after(self, pages: int) -> Page:
        """The page that many pages further on in the same VMA."""
        return Page(self.perms, self.inode, self.pgoff + pages if self.inode else 0, self.path)


@dataclass(eq=False)
class Space:
    """An address space: its pages by number, those a fork leaves out, the first page past the heap."""

    number: int
    pages: dict[int, Page] = field(default_factory=dict)
    dontfork: set[int] = field(default_factory=set)
    top: int = HEAP

    def run(self, first: int, last: int) -> tuple[int, int]:
        """The VMA around pages that are alike: first page, and first page past it."""
        while self.pages.get(first - 1, Page("?")).after(1) == self.pages[first]:
            first -= 1
        while self.pages.get(last) == self.pages[last - 1].after(1):
            last += 1
        return first, last

    def vmas(self) -> Iterable[tuple[int, int]]:
        """Every VMA, in order."""
        at = -1
        for page in sorted(self.pages):
            if page >= at:
                first, at = self.run(page, page + 1)
                yield first, at

    def gone(self, pages: Iterable[int]) -> None:
        for page in pages:
            self.pages.pop(page, None)
            self.dontfork.discard(page)


@dataclass(eq=False)
class Thread:
    """A thread; `free_ns` is when its last call returned."""

    pid: int
    tid: int
    free_ns: int = 0


class Kernel:
    """Processes and their address spaces, and the rows that tell of what they did.

    Each method is one thing done by a thread; it takes effect at `now_ns`, which only ever grows. `early` and
    `late` are how far before and after that the call's entry and return lie, so calls of several threads overlap.
    `states` are how address spaces looked: time, number of the space, process, pages; `busy` the calls of each.
    """

    def __init__(self) -> None:
        self.now_ns = START_NS + 1000
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("syscalls", "vmas", "tasks", "maps", "losses", "images")
        }
        code = {"type": 1, "flags": 5, "offset": 0, "vaddr": 0, "filesz": PAGE, "memsz": PAGE, "align": PAGE}  # PT_LOAD
        self.rows["images"].append({"dev": 8, "inode": 90, "path": b"/bin/program", "segments": [code]})
        self.spaces: dict[int, Space] = {}
        self.threads: list[Thread] = []
        self.states: list[tuple[int, int, int, dict[int, Page]]] = []
        self.busy: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._numbers = iter(range(1, 1 << 30))
        self._pids = iter(range(100, 1 << 20))

    # -- telling ----------------------------------------------------------------------------

    def settle(self, thread: Thread) -> None:
        """Remember how the thread's address space looks now: after this change, before the next."""
        space = self.spaces[thread.pid]
        self.states.append((self.now_ns, space.number, thread.pid, dict(space.pages)))

    def _step(self, thread: Thread | None = None, early: int = 0) -> int:
        """Go on in time, past the thread's last call; the entry of a call that takes effect now."""
        since = thread.free_ns if thread else 0
        self.now_ns = max(self.now_ns + 10, since + 2)
        return max(since + 1, self.now_ns - early)

    def _call(self, thread: Thread, enter: int, late: int, syscall: str, ret: int, **args: int) -> None:
        thread.free_ns = self.now_ns + 1 + late
        self.busy[self.spaces[thread.pid].number].append((enter, thread.free_ns))
        self.rows["syscalls"].append(
            {
                "ts_enter_ns": enter, "ts_exit_ns": thread.free_ns, "pid": thread.pid, "tid": thread.tid,
                "mm": self.spaces[thread.pid].number, "syscall": syscall, "abi": "x86_64",
                "ret": ret, "errno": -ret if ret < 0 else 0, **args,
            }
        )  # fmt: skip

    def _record(self, thread: Thread, first: int, last: int) -> None:
        """An MMAP2 record of the VMA around these pages, which are alike."""
        space = self.spaces[thread.pid]
        first, last = space.run(first, last)
        page = space.pages[first]
        self.rows["vmas"].append(
            {
                "ts_ns": self.now_ns, "pid": thread.pid, "tid": thread.tid, "start": first * PAGE, "end": last * PAGE,
                "perms": page.perms, "inode": page.inode, "dev": 8 if page.inode else 0,
                "pgoff": page.pgoff if page.inode else first, "path": page.path or b"//anon",
            }
        )  # fmt: skip

    def _task(self, event: str, source: str, thread: Thread, **more: Any) -> None:
        self.rows["tasks"].append(
            {"ts_ns": self.now_ns, "event": event, "source": source, "pid": thread.pid, "tid": thread.tid, **more}
        )

    # -- processes --------------------------------------------------------------------------

    def execute(self, thread: Thread) -> None:
        """The process begins anew with one mapping and the numbers it has; its other threads end."""
        for other in [other for other in self.threads if other.pid == thread.pid and other is not thread]:
            self.exit(other)
        self._step(thread)
        thread.tid = thread.pid
        space = self.spaces[thread.pid] = Space(next(self._numbers))
        self._task("exec", "perf", thread)
        self._step()
        space.pages[0x300] = Page("r-xp", 90, 0, b"/bin/program")
        self._record(thread, 0x300, 0x301)
        self._step()
        self._task("exec", "bpf", thread, mm=space.number)
        thread.free_ns = self.now_ns
        self.settle(thread)

    def start(self) -> Thread:
        """A process of which the recording knows from its execution on."""
        pid = next(self._pids)
        thread = Thread(pid, pid)
        self.threads.append(thread)
        self.spaces[pid] = Space(0)
        self.execute(thread)
        return thread

    def fork(self, thread: Thread, flags: int = 0, early: int = 0, late: int = 0) -> Thread:
        """A new process, with a copy of the address space, or, with CLONE_VM, the same.

        The copy is made now, and told of later, in the call that was entered before.
        """
        enter = self._step(thread, early)
        pid = next(self._pids)
        told_ns = self.now_ns + late
        child = Thread(pid, pid, told_ns)
        thread.free_ns = told_ns + 1
        self.threads.append(child)
        space = self.spaces[thread.pid]
        if not flags & CLONE_VM:
            kept = {page: what for page, what in space.pages.items() if page not in space.dontfork}
            space = Space(next(self._numbers), kept, set(), space.top)
        self.spaces[pid] = space
        parent = {"parent_pid": thread.pid, "parent_tid": thread.tid, "ts_ns": told_ns}
        self._task("fork", "perf", child, **parent)
        told = {"event": "clone", "source": "bpf", "clone_flags": flags, "mm": space.number}
        told |= {"ts_ns": told_ns + 1, "ts_enter_ns": enter}
        self.rows["tasks"].append({**self.rows["tasks"][-1], **told})
        self.states.append((told_ns, space.number, pid, dict(space.pages)))
        return child

    def thread(self, thread: Thread) -> Thread:
        """Another thread of the process."""
        self._step(thread)
        child = Thread(thread.pid, next(self._pids), self.now_ns)
        self.threads.append(child)
        self._task("fork", "perf", child, parent_pid=thread.pid, parent_tid=thread.tid)
        return child

    def exit(self, thread: Thread) -> None:
        self._step(thread)
        self.threads.remove(thread)
        self._task("exit", "perf", thread, parent_pid=1, parent_tid=1)

    # -- calls ------------------------------------------------------------------------------

    def mmap(
        self, thread: Thread, first: int, count: int, page: Page, flags: int, early: int = 0, late: int = 0
    ) -> None:
        """`first` is where it comes to lie: given with MAP_FIXED, else chosen, so it must be free (else EEXIST)."""
        enter = self._step(thread, early)
        space = self.spaces[thread.pid]
        pages = range(first, first + count)
        args = {"addr": first * PAGE if flags & MAP_FIXED else 0, "size": count * PAGE, "flags": flags, "fd": -1}
        if not flags & MAP_FIXED and any(each in space.pages for each in pages):
            self._call(thread, enter, late, "mmap", -17, **args | {"flags": flags | MAP_NOREPLACE})
            return
        space.gone(pages)
        for n, each in enumerate(pages):
            space.pages[each] = page.after(n)
        self._record(thread, first, first + count)
        self._call(thread, enter, late, "mmap", first * PAGE, **args)
        self.settle(thread)

    def fail(self, thread: Thread, first: int, count: int, hole: bool) -> None:
        """A MAP_FIXED mmap that the file's own handler refuses, with or without leaving a hole."""
        enter = self._step(thread)
        if hole:
            self.spaces[thread.pid].gone(range(first, first + count))
        self._call(
            thread, enter, 0, "mmap", -19, addr=first * PAGE, size=count * PAGE, flags=MAP_FIXED | MAP_PRIVATE, fd=3
        )
        self.settle(thread)

    def munmap(self, thread: Thread, first: int, count: int, early: int = 0, late: int = 0) -> None:
        enter = self._step(thread, early)
        self.spaces[thread.pid].gone(range(first, first + count))
        # the kernel rounds up
        self._call(thread, enter, late, "munmap", 0, addr=first * PAGE, size=count * PAGE - 5)
        self.settle(thread)

    def mprotect(self, thread: Thread, first: int, count: int, perms: str, early: int = 0, late: int = 0) -> None:
        """Stops at a hole, with what is before it changed."""
        enter = self._step(thread, early)
        space = self.spaces[thread.pid]
        at, ret = first, 0
        while at < first + count:
            if at not in space.pages:
                ret = -12
                break
            last = min(space.run(at, at + 1)[1], first + count)
            changed = False
            for each in range(at, last):
                old = space.pages[each]
                new = Page(perms[:3] + old.perms[3], old.inode, old.pgoff, old.path)
                changed |= new != old
                space.pages[each] = new
            if changed:
                self._record(thread, at, last)
                self.now_ns += 1
            at = last
        self._call(thread, enter, late, "mprotect", ret, addr=first * PAGE, size=count * PAGE, prot=0)
        self.settle(thread)

    def remap(self, thread: Thread, first: int, count: int, pgoff: int) -> None:
        enter = self._step(thread)
        space = self.spaces[thread.pid]
        pages = [space.pages.get(each) for each in range(first, first + count)]
        args = {"addr": first * PAGE, "size": count * PAGE, "pgoff": pgoff}
        kinds = {(page.perms, page.inode) if page else None for page in pages}
        if len(kinds) != 1 or not pages[0] or pages[0].perms[3] != "s":
            self._call(thread, enter, 0, "remap_file_pages", -22, **args)
            return
        for n in range(count):
            space.pages[first + n] = Page(pages[0].perms, pages[0].inode, pgoff + n, pages[0].path)
        space.dontfork.difference_update(range(first, first + count))
        self._record(thread, first, first + count)
        self._call(thread, enter, 0, "remap_file_pages", 0, **args)
        self.settle(thread)

    def mremap(
        self, thread: Thread, first: int, old: int, new: int, to: int, flags: int, early: int = 0, late: int = 0
    ) -> None:
        """`to` is where it comes to lie, if it moves: given with MREMAP_FIXED, else chosen."""
        enter = self._step(thread, early)
        space = self.spaces[thread.pid]
        source, target = range(first, first + old), range(to, to + new)
        args = {"addr": first * PAGE, "size": old * PAGE, "new_size": new * PAGE, "flags": flags, "new_addr": to * PAGE}
        one = first in space.pages and space.run(first, first + 1)[1] >= first + max(old, 1)
        grows = new > old and not any(each in space.pages for each in range(first + old, first + new))
        several = flags & FIXED and old == new and not flags & DONTUNMAP and first in space.pages
        overlap = first < to + new and to < first + max(old, 1)
        shared = first in space.pages and space.pages[first].perms[3] == "s"
        if not (one or several) or new < 1 or (not old and not shared):
            self._call(thread, enter, late, "mremap", -14, **args | {"flags": flags & ~FIXED})
            return
        if not flags & (FIXED | DONTUNMAP) and old and (new <= old or (grows and one)):
            page = space.pages[first]
            space.gone(range(first + new, first + old))
            space.pages |= {first + n: page.after(n) for n in range(old, new)}
            if first in space.dontfork:
                space.dontfork |= set(range(first + old, first + new))
            ret = first
        elif (
            overlap
            or not flags & MAYMOVE
            or (flags & DONTUNMAP and old != new)
            or (not flags & FIXED and any(each in space.pages for each in target))
        ):
            self._call(thread, enter, late, "mremap", -22, **args | {"flags": flags & ~FIXED})
            return
        else:
            moved = {n: space.pages[first + n] for n in range(old) if first + n in space.pages}
            marked = {n for n in range(old) if first + n in space.dontfork}
            if not (several and not one):
                moved = {n: space.pages[first].after(n) for n in range(new)}
                marked = set(range(new)) if first in space.dontfork else set()
            if not flags & DONTUNMAP:
                space.gone(source)
            for n, page in moved.items():
                space.gone([to + n])
                space.pages[to + n] = page
            space.dontfork |= {to + n for n in marked}
            ret = to
        self._call(thread, enter, late, "mremap", ret * PAGE, **args)
        self.settle(thread)

    def brk(self, thread: Thread, top: int, late: int = 0) -> None:
        """Grows only into free pages; else, and for a break below the heap, it returns the old one."""
        enter = self._step(thread)
        space = self.spaces[thread.pid]
        asked = top
        if top < HEAP or any(page in space.pages for page in range(space.top, top)):
            top = space.top
        new = range(space.top, top)
        space.gone(range(top, space.top))
        space.pages |= {page: Page("rw-p") for page in new}
        space.top = top
        if new:
            self._record(thread, new[0], new[-1] + 1)
        self._call(thread, enter, late, "brk", top * PAGE, addr=asked * PAGE)
        self.settle(thread)

    def shmat(self, thread: Thread, first: int, count: int, segment: int) -> None:
        enter = self._step(thread)
        space = self.spaces[thread.pid]
        if any(page in space.pages for page in range(first, first + count)):
            self._call(thread, enter, 0, "shmat", -22, addr=first * PAGE)
            return
        page = Page("rw-s", segment, 0, b"/SYSV00000000 (deleted)")
        space.pages |= {first + n: page.after(n) for n in range(count)}
        self._record(thread, first, first + count)
        self._call(thread, enter, 0, "shmat", first * PAGE, addr=0)
        self.settle(thread)

    def shmdt(self, thread: Thread, first: int, count: int, segment: int) -> None:
        """Takes what still stands where shmat put it; nothing left of it is EINVAL."""
        enter = self._step(thread)
        space = self.spaces[thread.pid]
        there = [
            first + n for n in range(count)
            if (page := space.pages.get(first + n)) and (page.inode, page.pgoff) == (segment, n)
        ]  # fmt: skip
        self._call(thread, enter, 0, "shmdt", 0 if there else -22, addr=first * PAGE)
        space.gone(there)
        self.settle(thread)

    def advise(self, thread: Thread, first: int, count: int, dont: bool) -> None:
        enter = self._step(thread)
        space = self.spaces[thread.pid]
        pages = [page for page in range(first, first + count) if page in space.pages]
        (space.dontfork.update if dont else space.dontfork.difference_update)(pages)
        ret = 0 if len(pages) == count else -12
        self._call(thread, enter, 0, "madvise", ret, addr=first * PAGE, size=count * PAGE, op=10 if dont else 11)

    def fault(self, thread: Thread, page: int) -> None:
        """A page fault below a MAP_GROWSDOWN mapping, here any private anonymous one, makes it grow by a page."""
        self._step(thread)
        space = self.spaces[thread.pid]
        if page in space.pages or space.pages.get(page + 1) != Page("rw-p"):
            return
        space.pages[page] = Page("rw-p")
        self._record(thread, page, page + 1)
        self.rows["vmas"][-1]["flags"] = 0x100
        thread.free_ns = self.now_ns
        self.settle(thread)

    # -- the recorder -----------------------------------------------------------------------

    def lose(self, thread: Thread, duration_ns: int) -> None:
        """From now on records are lost for so long: `forget` takes them away."""
        self._step(thread)
        self.rows["losses"].append(
            {
                "source": "sideband", "cpu": 0, "from_ns": self.now_ns, "to_ns": self.now_ns + duration_ns,
                "cause": "ring full",
            }
        )  # fmt: skip

    def forget(self) -> None:
        """Take away what was lost: every record of a time between the two ends of a loss."""
        gaps = [(loss["from_ns"], loss["to_ns"]) for loss in self.rows["losses"]]
        for table, time in (("syscalls", "ts_exit_ns"), ("vmas", "ts_ns"), ("tasks", "ts_ns")):
            self.rows[table] = [
                row for row in self.rows[table] if not any(since <= row[time] <= until for since, until in gaps)
            ]

    def read(self, thread: Thread, reason: str) -> None:
        """The maps are read at one instant, somewhere within the time the reading takes."""
        begin = self._step()
        self.now_ns += 3
        number = next(self._numbers)
        space = self.spaces[thread.pid]
        for first, last in space.vmas():
            page = space.pages[first]
            self.rows["maps"].append(
                {
                    "reading": number, "reason": reason, "ts_begin_ns": begin, "ts_end_ns": self.now_ns + 2,
                    "pid": thread.pid, "start": first * PAGE, "end": last * PAGE, "perms": page.perms,
                    "offset_bytes": page.pgoff * PAGE, "dev": 8 if page.inode else 0, "inode": page.inode,
                    "path": page.path,
                }
            )  # fmt: skip
        self.now_ns += 2
        self.settle(thread)
