"""`analyze maps`: events in, lines of /proc/PID/maps out."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.commands.maps import maps
from analysis.errors import UsageError
from analysis.maps import line
from analysis.options import Format
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze, analyze_rows

FILE, ANON = (8 << 20) | 17, b"//anon"
MAP_ANON_FIXED = 50  # MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS


class Scene:
    """What a recorder would have told; times count from the start of the recording, in ns."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("syscalls", "vmas", "tasks", "maps", "losses")
        }
        segment = {"type": 1, "flags": 5, "offset": 0, "vaddr": 0, "filesz": 4096, "memsz": 4096, "align": 4096}
        self.rows["images"] = [{"dev": FILE, "inode": inode, "segments": [segment]} for inode in (90, 91)]

    def executed(self, pid: int, at: int, base: int = 0x300000) -> None:
        """One page of a program, a stack and a vdso; the break is asked for."""
        mm = pid * 1000 + at
        self.task("exec", pid, at, source="perf")
        self.vma(pid, at + 1, base, 1, "r-xp", inode=90, path=b"/bin/program")
        self.vma(pid, at + 2, 0x7FFD2D7F9000, 33, "rw-p", path=b"[stack]")
        self.vma(pid, at + 3, 0x7F206275E000, 2, "r-xp", path=b"[vdso]", pgoff=0)
        self.task("exec", pid, at + 4, source="bpf", mm=mm)
        self.call(pid, "brk", at + 5, ret=base + 0x100000, addr=0)

    def task(self, event: str, pid: int, at: int, **more: Any) -> None:
        row = {"event": event, "pid": pid, "tid": pid, "ts_ns": START_NS + at, "source": "perf"}
        self.rows["tasks"].append({**row, **more})

    def vma(self, pid: int, at: int, start: int, pages: int, perms: str, path: bytes = ANON, **more: Any) -> None:
        """An MMAP2 record."""
        row = {
            "pid": pid, "tid": pid, "ts_ns": START_NS + at, "start": start, "end": start + pages * 4096,
            "perms": perms, "path": path, "pgoff": 0 if "inode" in more else start >> 12,
            "dev": FILE if more.get("inode") else 0,
        }  # fmt: skip
        self.rows["vmas"].append({**row, **more})

    def call(self, pid: int, syscall: str, at: int, ret: int = 0, **more: Any) -> None:
        row = {
            "pid": pid, "tid": pid, "ts_enter_ns": START_NS + at - 2, "ts_exit_ns": START_NS + at + 2,
            "syscall": syscall, "abi": "x86_64", "ret": ret, "errno": -ret if ret < 0 else 0,
        }  # fmt: skip
        self.rows["syscalls"].append({**row, **more})

    def mmap(
        self,
        pid: int,
        at: int,
        start: int,
        pages: int,
        perms: str = "rw-p",
        whole: tuple[int, int] | None = None,
        **more: Any,
    ) -> None:
        """A mapping made; `whole` is the VMA that came of it, if it merged: first byte and pages."""
        self.call(pid, "mmap", at, ret=start, addr=start, size=pages * 4096, flags=MAP_ANON_FIXED)
        self.vma(pid, at, *(whole or (start, pages)), perms, **more)

    def reading(self, number: int, pid: int, at: int, reason: str, lines: str) -> None:
        """/proc/PID/maps as it was read."""
        for text in lines.strip().splitlines():
            area, perms, offset, dev, inode, *path = text.split(maxsplit=5)
            start, end = (int(each, 16) for each in area.split("-"))
            major, minor = (int(each, 16) for each in dev.split(":"))
            self.rows["maps"].append(
                {
                    "reading": number, "reason": reason, "pid": pid, "ts_begin_ns": START_NS + at,
                    "ts_end_ns": START_NS + at + 3, "start": start, "end": end, "perms": perms,
                    "offset_bytes": int(offset, 16), "dev": major << 20 | minor, "inode": int(inode),
                    "path": path[0].encode() if path else b"",
                }
            )  # fmt: skip

    def build(self, directory: Path, **manifest: Any) -> Path:
        return build_capture(directory, self.rows, **{"ended_ns": START_NS + 10_000, **manifest})


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.executed(7, 100)
    return scene


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Answer:
    """What `analyze maps` printed: lines of standard output, without those every process here has, and the rest."""

    def __init__(self, out: str, err: str) -> None:
        self.text, self.err = out, err
        self.lines = [each for each in out.splitlines() if not each.endswith(("/bin/program", "[stack]", "[vdso]"))]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Ask of process 7 in a scene."""

    def ask(scene: Scene, at: int | None = None, pid: int = 7, diff: int | None = None, **options: Any) -> Answer:
        capture = tmp_path / "capture"
        if not capture.exists():
            scene.build(capture)
        times = [None if time is None else f"+{time}ns" for time in (at, diff)]
        capsys.readouterr()
        maps([capture], pid, *times, **options)
        return Answer(*capsys.readouterr())

    return ask


def anonymous(start: int, pages: int, perms: str = "rw-p", name: str = "") -> str:
    text = f"{start:08x}-{start + pages * 4096:08x} {perms} 00000000 00:00 0 "
    return f"{text:73}{name}" if name else text


def of_file(start: int, pages: int, offset: int, perms: str, inode: int, path: str) -> str:
    return f"{f'{start:08x}-{start + pages * 4096:08x} {perms} {offset:08x} 08:11 {inode} ':73}{path}"


# -- the format -----------------------------------------------------------------------------


_BEFORE_PATH = "00400000-00401000 r--p 00000000 08:11 5                                  "


def row(text: bytes, **changes: Any) -> dict[str, Any]:
    found = {"start": 0x400000, "end": 0x401000, "perms": "r--p", "offset_bytes": 0, "dev": FILE, "inode": 5}
    return {**found, "path_bytes": text, **changes}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # lines of a kernel, byte for byte
        (
            row(b"/bin/cat", start=0x56388026E000, end=0x56388026F000, offset_bytes=0x2000, dev=0xFE << 20, inode=2601),
            "56388026e000-56388026f000 r--p 00002000 fe:00 2601                       /bin/cat",
        ),
        (
            row(b"", start=0x7F20624E6000, end=0x7F2062508000, perms="rw-p", dev=0, inode=0),
            "7f20624e6000-7f2062508000 rw-p 00000000 00:00 0 ",
        ),
        (
            row(b"[vsyscall]", start=0xFFFFFFFFFF600000, end=0xFFFFFFFFFF601000, perms="--xp", dev=0, inode=0),
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
        ),
        (row(b"/a"), _BEFORE_PATH + "/a"),
        (
            row(b"/a", offset_bytes=0x123456789000, dev=0x123 << 20 | 0x4567),
            "00400000-00401000 r--p 123456789000 123:4567 5                           /a",
        ),
        # what is longer than the room has one space more, as seq_pad does
        (
            row(b"/a", start=0xFFFFFFFFFF600000, end=0xFFFFFFFFFF601000, offset_bytes=1 << 60, inode=10**19),
            "ffffffffff600000-ffffffffff601000 r--p 1000000000000000 08:11 10000000000000000000  /a",
        ),
        (row(b"/a\nb"), _BEFORE_PATH + r"/a\012b"),
        (row(b"/\x1b[m\xff\n"), _BEFORE_PATH + r"/\x1b[m\xff\012"),
        (row("/\u202eé".encode()), _BEFORE_PATH + r"/\u202eé"),
        (row(b"", perms=None, dev=None, inode=None, offset_bytes=None), "00400000-00401000 ???? 00000000 00:00 0 "),
    ],
)  # fmt: skip
def test_a_line_is_the_kernels(given: dict[str, Any], expected: str) -> None:
    assert line(given) == expected


# -- what is mapped -------------------------------------------------------------------------


def test_a_process_is_printed_as_the_kernel_would(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x400000, 2, "r--s", inode=5, path=b"/tmp/a (deleted)", pgoff=3)
    scene.mmap(7, 210, 0x500000, 3)
    answer = ask(scene, 300)
    assert answer.text.splitlines() == [
        "00300000-00301000 r-xp 00000000 08:11 90                                 /bin/program",
        "00400000-00402000 r--s 00003000 08:11 5                                  /tmp/a (deleted)",
        "00500000-00503000 rw-p 00000000 00:00 0 ",
        "7f206275e000-7f2062760000 r-xp 00000000 00:00 0                          [vdso]",
        "7ffd2d7f9000-7ffd2d81a000 rw-p 00000000 00:00 0                          [stack]",
    ]
    assert answer.err.startswith("certain: 5 mappings of process 7 at +0.0000003s\n\nhint: what changed until then: ")
    assert ask(scene, 205).lines == [of_file(0x400000, 2, 0x3000, "r--s", 5, "/tmp/a (deleted)")]


def test_hostile_paths_are_inert(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x400000, 1, "r--s", inode=5, path=b"/\x1b[2J\n\xe2\x80\xae")
    scene.mmap(7, 210, 0x500000, 1, "r--s", inode=6, path=b"/\xff\n\x1b")
    answer = ask(scene, 300)
    assert answer.lines == [
        of_file(0x400000, 1, 0, "r--s", 5, r"/\x1b[2J\012\u202e"),
        of_file(0x500000, 1, 0, "r--s", 6, r"/\xff\012\x1b"),
    ]
    assert "\x1b" not in answer.text + answer.err


def test_the_heap_is_what_lies_below_the_break(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 150, 0x3FF000, 1)  # next to it, and not it: something makes them two
    scene.call(7, "brk", 200, ret=0x403000, addr=0x403000)
    scene.vma(7, 200, 0x400000, 3, "rw-p")
    scene.call(7, "mprotect", 210, addr=0x401000, size=4096)
    scene.vma(7, 210, 0x401000, 1, "r--p", path=b"[heap]")
    scene.call(7, "brk", 220, ret=0x400000, addr=0x400000)
    assert ask(scene, 190).lines == [anonymous(0x3FF000, 1)]
    assert ask(scene, 205).lines == [anonymous(0x3FF000, 1), anonymous(0x400000, 3, name="[heap]")]
    assert ask(scene, 215).lines == [
        anonymous(0x3FF000, 1), anonymous(0x400000, 1, name="[heap]"), anonymous(0x401000, 1, "r--p", "[heap]"),
        anonymous(0x402000, 1, name="[heap]"),
    ]  # fmt: skip
    assert ask(scene, 230).lines == [anonymous(0x3FF000, 1)]


def test_the_stack_is_what_holds_the_first_stack_pointer(scene: Scene, ask: Any) -> None:
    low = 0x7FFD2D7F9000
    scene.call(7, "mprotect", 200, addr=low, size=4096)
    scene.vma(7, 200, low, 1, "r--p")
    assert ask(scene, 300).text.splitlines()[-2:] == [
        anonymous(low, 1, "r--p"),
        anonymous(low + 4096, 32, name="[stack]"),
    ]


# -- where one VMA ends and the next begins -------------------------------------------------


def test_neighbours_are_one_line_when_a_record_covers_both(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 3)
    scene.mmap(7, 210, 0x503000, 2)
    scene.mmap(7, 220, 0x505000, 2, whole=(0x503000, 4))
    scene.mmap(7, 230, 0x4FF000, 1, whole=(0x4FF000, 4))
    answer = ask(scene, 300)
    assert answer.lines == [anonymous(0x4FF000, 4), anonymous(0x503000, 4)]
    assert answer.err.startswith("certain: 5 ")
    assert ask(scene, 215).lines == [anonymous(0x500000, 3), anonymous(0x503000, 2)]


def test_the_last_record_decides(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 8)
    scene.call(7, "mprotect", 210, addr=0x502000, size=0x2000)
    scene.vma(7, 210, 0x502000, 2, "r--p")
    scene.call(7, "mprotect", 220, addr=0x502000, size=0x2000)
    scene.vma(7, 220, 0x500000, 4, "rw-p")  # merged below, and for some reason not above
    assert ask(scene, 205).lines == [anonymous(0x500000, 8)]
    assert ask(scene, 215).lines == [anonymous(0x500000, 2), anonymous(0x502000, 2, "r--p"), anonymous(0x504000, 4)]
    assert ask(scene, 225).lines == [anonymous(0x500000, 4), anonymous(0x504000, 4)]


def test_a_heap_that_grew_often_is_one_line(scene: Scene, ask: Any) -> None:
    for n in range(1, 30):
        scene.call(7, "brk", 200 + 10 * n, ret=0x400000 + n * 4096, addr=0x400000 + n * 4096)
        scene.vma(7, 200 + 10 * n, 0x400000, n, "rw-p")
    for n in range(1, 24):  # and an area that grew downwards
        scene.mmap(7, 600 + 10 * n, 0x600000 - n * 4096, 1, whole=(0x600000 - n * 4096, n))
    assert ask(scene, 900).lines == [anonymous(0x400000, 29, name="[heap]"), anonymous(0x600000 - 23 * 4096, 23)]


def test_files_that_continue_are_apart_where_the_kernel_said_so(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x400000, 4, "r--p", inode=5, path=b"/lib")
    scene.mmap(7, 210, 0x404000, 2, "r--p", inode=5, path=b"/lib", pgoff=4)  # by another open file
    scene.mmap(7, 220, 0x406000, 2, "r--p", inode=5, path=b"/lib", pgoff=6, whole=(0x404000, 4))
    scene.rows["vmas"][-1]["pgoff"] = 4
    assert ask(scene, 300).lines == [
        of_file(0x400000, 4, 0, "r--p", 5, "/lib"),
        of_file(0x404000, 4, 0x4000, "r--p", 5, "/lib"),
    ]


def test_a_reading_shows_boundaries(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 8)
    text = "00500000-00503000 rw-p 00000000 00:00 0 \n00503000-00508000 rw-p 00000000 00:00 0"
    scene.reading(1, 7, 300, "resync: test", text)
    scene.mmap(7, 400, 0x502000, 2, whole=(0x500000, 8))
    assert ask(scene, 250).lines == [anonymous(0x500000, 8)]
    assert ask(scene, 350).lines == [anonymous(0x500000, 3), anonymous(0x503000, 5)]
    assert ask(scene, 450).lines == [anonymous(0x500000, 8)]


def test_judges_are_not_asked(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 8)
    text = "00500000-00503000 rw-p 00000000 00:00 0 [anon:x]\n00503000-00508000 rw-p 00000000 00:00 0"
    scene.reading(1, 7, 300, "checkpoint", text)
    assert ask(scene, 350).lines == [anonymous(0x500000, 8)]


def test_a_mapping_that_grows_in_its_place_stays_one(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 4)
    scene.call(7, "mremap", 210, ret=0x500000, addr=0x500000, size=0x4000, new_size=0x9000, flags=0, new_addr=0)
    scene.call(7, "munmap", 400, addr=0x506000, size=0x1000)
    answer = ask(scene, 300)
    assert answer.lines == [anonymous(0x500000, 9)]
    assert answer.err.startswith("certain")


def test_what_moves_beside_its_like_is_possible_but_for_shared_memory_without_a_name(scene: Scene, ask: Any) -> None:
    """A file opened twice is two to the kernel; shared memory without a name has a file of its own."""
    zero = {"inode": 6, "path": b"/dev/zero (deleted)"}
    scene.mmap(7, 200, 0x500000, 4)
    scene.mmap(7, 210, 0x600000, 2)
    scene.mmap(7, 220, 0x700000, 4, "r--s", inode=5, path=b"/f")
    scene.mmap(7, 230, 0x800000, 2, "r--s", inode=5, path=b"/f", pgoff=4)
    scene.mmap(7, 232, 0x900000, 4, "rw-s", **zero)
    scene.mmap(7, 234, 0xA00000, 2, "rw-s", **zero, pgoff=4)
    for at, old, new in ((240, 0x600000, 0x504000), (250, 0x800000, 0x704000), (260, 0xA00000, 0x904000)):
        scene.call(7, "mremap", at, ret=new, addr=old, size=0x2000, new_size=0x2000, flags=1, new_addr=0)
    answer = ask(scene, 300)
    assert answer.lines == [
        anonymous(0x500000, 4), anonymous(0x504000, 2), of_file(0x700000, 6, 0, "r--s", 5, "/f"),
        of_file(0x900000, 6, 0, "rw-s", 6, "/dev/zero (deleted)"),
    ]  # fmt: skip
    assert answer.err.splitlines()[:3] == [
        "possible: 3 of 7 mappings of process 7 at +0.0000003s",
        "  whether moved memory is one mapping with its neighbour is not known: 00500000-00504000, 00504000-00506000",
        "  whether what was moved is of the same open file as its neighbour is not known: 00700000-00706000",
    ]
    assert ask(scene, 245).err.startswith("possible: 2 of 9")


def test_advice_parts_a_mapping_and_joins_it_again(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 8)
    scene.call(7, "madvise", 210, addr=0x502000, size=0x2000, op=16)  # MADV_DONTDUMP
    scene.call(7, "madvise", 220, addr=0x502000, size=0x2000, op=17)  # MADV_DODUMP
    scene.call(7, "madvise", 230, addr=0x500000, size=0x8000, op=4)  # MADV_DONTNEED parts nothing
    assert ask(scene, 205).lines == [anonymous(0x500000, 8)]
    parted = ask(scene, 215)
    assert parted.lines == [anonymous(0x500000, 2), anonymous(0x502000, 2), anonymous(0x504000, 4)]
    assert parted.err.startswith("certain")
    assert ask(scene, 300).lines == [anonymous(0x500000, 8)]


def test_a_memory_policy_joins_what_it_parted(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 4)
    scene.call(7, "mbind", 210, addr=0x500000, size=0x4000, op=1)
    scene.mmap(7, 220, 0x4FC000, 4)  # has none yet: apart
    scene.call(7, "mbind", 230, addr=0x4FC000, size=0x4000, op=1)
    assert ask(scene, 225).lines == [anonymous(0x4FC000, 4), anonymous(0x500000, 4)]
    answer = ask(scene, 300)
    assert answer.lines == [anonymous(0x4FC000, 8)]
    assert "whether neighbours became one mapping is not known: 004fc000-00504000" in answer.err


def test_names_of_anonymous_memory_are_those_that_were_read(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 8)
    text = "00500000-00508000 rw-p 00000000 00:00 0 [anon:a name]"
    scene.reading(1, 7, 300, "resync: test", text)
    scene.call(7, "prctl", 400, op=0x53564D41, subop=0, addr=0x500000, size=0x8000, ptr=0x1234)
    scene.call(7, "prctl", 500, op=0x53564D41, subop=0, addr=0x500000, size=0x8000, ptr=0)
    assert ask(scene, 250).lines == [anonymous(0x500000, 8)]
    assert ask(scene, 350).lines == [anonymous(0x500000, 8, name="[anon:a name]")]
    named = ask(scene, 450)
    assert named.lines == [anonymous(0x500000, 8)]
    assert "the name that prctl(PR_SET_VMA) gave it is not recorded: 00500000-00508000" in named.err


# -- processes ------------------------------------------------------------------------------


def test_a_forked_child_begins_as_its_parent_and_goes_its_own_way(scene: Scene, ask: Any) -> None:
    scene.call(7, "brk", 200, ret=0x403000, addr=0x403000)
    scene.vma(7, 200, 0x400000, 3, "rw-p")
    scene.mmap(7, 210, 0x500000, 2)
    scene.mmap(7, 220, 0x502000, 2)
    scene.mmap(7, 230, 0x600000, 2)
    scene.mmap(7, 240, 0x602000, 2, whole=(0x600000, 4))
    scene.task("fork", 8, 300, parent_pid=7, parent_tid=7)
    scene.task("clone", 8, 301, source="bpf", parent_pid=7, parent_tid=7, clone_flags=0, mm=9)
    scene.mmap(7, 310, 0x504000, 1, whole=(0x500000, 5))  # the parent's become one
    scene.mmap(8, 320, 0x604000, 1, whole=(0x600000, 5))
    scene.task("exit", 8, 400)
    begun = [
        anonymous(0x400000, 3, name="[heap]"), anonymous(0x500000, 2), anonymous(0x502000, 2), anonymous(0x600000, 4),
    ]  # fmt: skip
    assert ask(scene, 315, pid=8).lines == begun
    assert ask(scene, None, pid=8).lines == [*begun[:3], anonymous(0x600000, 5)]
    assert ask(scene, 305).lines == begun
    assert ask(scene, 350).lines == [begun[0], anonymous(0x500000, 5), anonymous(0x600000, 4)]


def test_an_exec_begins_anew(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 2)
    scene.executed(7, 300, base=0x340000)
    assert ask(scene, 299).lines == [anonymous(0x500000, 2)]
    after = ask(scene, 400)
    assert after.lines == []
    assert after.text.startswith("00340000-00341000 r-xp ")


def test_a_vfork_child_has_its_parents_address_space(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 2)
    scene.task("fork", 8, 300, parent_pid=7, parent_tid=7)
    scene.task("clone", 8, 301, source="bpf", parent_pid=7, parent_tid=7, clone_flags=0x4100)
    scene.mmap(8, 310, 0x600000, 1)
    scene.task("exit", 8, 400)
    for pid in (7, 8):
        assert ask(scene, 350, pid=pid).lines == [anonymous(0x500000, 2), anonymous(0x600000, 1)]
    assert ask(scene, 350, pid=8).err.startswith("certain: 5 mappings of process 8 ")


_VSYSCALL = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]"


def test_vsyscall_is_there_if_any_reading_shows_it(scene: Scene, ask: Any) -> None:
    scene.task("exec", 9, 150)  # a 32-bit process: all of it lies low
    scene.vma(9, 151, 0x8048000, 1, "r-xp", inode=91, path=b"/bin/program")
    scene.task("exec", 9, 152, source="bpf", mm=5)
    scene.reading(1, 4, 300, "final", _VSYSCALL)
    assert ask(scene, 160).lines == [_VSYSCALL]
    assert ask(scene, 160, pid=9).text.splitlines() == [
        "08048000-08049000 r-xp 00000000 08:11 91                                 /bin/program"
    ]


def test_without_such_a_reading_vsyscall_is_not_made_up(scene: Scene, ask: Any) -> None:
    assert ask(scene, 160).lines == []


# -- certainty ------------------------------------------------------------------------------


def test_what_was_there_before_the_recording_is_only_possible(scene: Scene, ask: Any) -> None:
    scene.task("alive", 11, 0, source="proc")
    scene.mmap(11, 200, 0x500000, 2)
    scene.reading(
        1, 11, 300, "baseline", "00400000-00402000 rw-p 00000000 00:00 0\n00500000-00502000 rw-p 00000000 00:00 0"
    )
    before = ask(scene, 250, pid=11)
    assert before.lines == [anonymous(0x500000, 2)]
    assert before.err.splitlines()[:2] == [
        "possible: 1 of 1 mapping of process 11 at +0.00000025s",
        "  what was mapped before the recording is not known: 00500000-00502000",
    ]
    empty = ask(scene, 150, pid=11)
    assert (empty.text, empty.err.splitlines()[:2]) == (
        "",
        [
            "nothing is known of process 11 at +0.00000015s, it can have had any mappings",
            "  what was mapped before the recording is not known: everywhere",
        ],
    )
    assert re.fullmatch(
        r"hint: the first that is known of it: analyze maps \S+ --pid 11 --at \+0.0000002s", empty.err.splitlines()[-1]
    )
    assert ask(scene, 350, pid=11).err.startswith("certain: 2 mappings")


def test_a_question_about_nobody_says_where_the_processes_are_listed(tmp_path: Path) -> None:
    done = analyze("maps", build_capture(tmp_path / "capture", {}), status=2)
    assert "whose address space is not said" in done.stderr and "`analyze summary`" in done.stderr


def test_a_doubt_where_nothing_is_mapped_is_said(scene: Scene, ask: Any) -> None:
    scene.call(7, "mmap", 200, ret=-19, addr=0x500000, size=0x2000, flags=MAP_ANON_FIXED)
    answer = ask(scene, 300)
    assert answer.lines == []
    assert answer.err.splitlines()[:2] == [
        "possible: 0 of 3 mappings of process 7 at +0.0000003s",
        "  a failed mmap(MAP_FIXED) can leave a hole: 00500000-00502000",
    ]


def test_many_doubtful_ranges_are_counted(scene: Scene, ask: Any) -> None:
    for n in range(7):
        scene.mmap(7, 200 + n * 10, 0x500000 + n * 0x10000, 1)
    times = {"from_ns": START_NS + 500, "to_ns": START_NS + 510}
    scene.rows["losses"].append({"source": "sideband", "cause": "ring full", "count": 3, **times})
    answer = ask(scene, 600)
    assert answer.err.splitlines()[:2] == [
        "possible: 10 of 10 mappings of process 7 at +0.0000006s",
        "  3 records of sideband were lost (ring full): 10 ranges",
    ]
    assert ask(scene, 400).err.startswith("certain: 10")


# -- what changed ---------------------------------------------------------------------------


def changing(scene: Scene) -> None:
    scene.mmap(7, 200, 0x400000, 2)
    scene.mmap(7, 210, 0x500000, 2, "r--s", inode=5, path=b"/f")
    scene.call(7, "munmap", 310, addr=0x400000, size=0x2000)
    scene.mmap(7, 320, 0x3F0000, 1)
    scene.mmap(7, 330, 0x500000, 2, "r-xs", inode=5, path=b"/f")


def test_a_diff_shows_what_is_gone_and_what_is_new(scene: Scene, ask: Any) -> None:
    changing(scene)
    answer = ask(scene, 300, diff=400)
    assert answer.text.splitlines() == [
        f"+{anonymous(0x3F0000, 1)}",
        f"-{anonymous(0x400000, 2)}",
        f"-{of_file(0x500000, 2, 0, 'r--s', 5, '/f')}",
        f"+{of_file(0x500000, 2, 0, 'r-xs', 5, '/f')}",
    ]
    assert answer.err.splitlines()[:3] == [
        "2 gone, 2 new, 3 unchanged",
        "certain: 5 mappings of process 7 at +0.0000003s",
        "certain: 5 mappings of process 7 at +0.0000004s",
    ]
    hint = answer.err.splitlines()[-1].removeprefix("hint: who did it: analyze ")
    assert {(row["start"], row["cause"], row["end_cause"]) for row in analyze_rows(*shlex.split(hint))} == {
        (0x3F0000, "mmap", None), (0x400000, "mmap", "munmap"), (0x500000, "mmap", "mmap"), (0x500000, "mmap", None)
    }  # fmt: skip


def test_a_diff_is_coloured_on_a_terminal_only(scene: Scene, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changing(scene)
    assert "\x1b" not in ask(scene, 300, diff=400).text
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    text = ask(scene, 300, diff=400).text
    assert f"\x1b[32m+{anonymous(0x3F0000, 1)}\x1b[0m\n\x1b[31m-{anonymous(0x400000, 2)}\x1b[0m\n" in text


def test_a_diff_for_machines_says_which_side(scene: Scene, ask: Any) -> None:
    changing(scene)
    rows = json.loads(ask(scene, 300, diff=400, format=Format.JSON).text)
    assert [(each["change"], each["start"], each["perms"]) for each in rows] == [
        ("new", 0x3F0000, "rw-p"), ("gone", 0x400000, "rw-p"), ("gone", 0x500000, "r--s"), ("new", 0x500000, "r-xs"),
    ]  # fmt: skip


# -- for machines ---------------------------------------------------------------------------


def test_machines_get_raw_values_and_who_made_each_mapping(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x400000, 2, "r--s", inode=5, generation=3, path=b"/f\xff", pgoff=3)
    found = json.loads(ask(scene, 300, format=Format.JSON).text)
    [mapping] = [each for each in found if each["start"] == 0x400000]
    assert mapping == {
        "capture": "capture", "space": mapping["space"], "start": 0x400000, "end": 0x402000, "perms": "r--s",
        "offset_bytes": 0x3000, "dev": FILE, "inode": 5, "generation": 3, "path": "/f\\xFF", "path_bytes": "2f66ff",
        "certainty": "certain", "reason": None, "from_ns": START_NS + 200, "cause": "mmap", "cause_table": "vmas",
        "cause_ns": START_NS + 200, "cause_tid": 7, "call_ns": START_NS + 198, "rectangles": 1, "pid": 7,
    }  # fmt: skip


def test_the_youngest_part_of_a_mapping_says_who_made_it(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 2)
    scene.vma(7, 210, 0x500000, 3, "rw-p", flags=256)  # grew by a fault: no call asked for it
    found = json.loads(ask(scene, 300, format=Format.JSON).text)
    [mapping] = [each for each in found if each["start"] == 0x500000]
    assert [mapping[name] for name in ("end", "cause", "cause_ns", "call_ns", "rectangles")] == [
        0x503000, "stack growth", START_NS + 210, None, 2,
    ]  # fmt: skip


def test_csv_parquet_and_arrow_have_the_same_rows(
    scene: Scene, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    scene.mmap(7, 200, 0x400000, 2, "r--s", inode=5, path=b"/f\xff")
    capture = scene.build(tmp_path / "capture")

    def out(format: Format) -> bytes:
        capsysbinary.readouterr()
        maps([capture], 7, "+300ns", format=format)
        return capsysbinary.readouterr().out

    table = pq.read_table(io.BytesIO(out(Format.PARQUET)))
    assert table["path_bytes"].to_pylist() == [b"/bin/program", b"/f\xff", b"[vdso]", b"[stack]"]
    assert table["end"].type == pa.uint64()
    assert pa.ipc.open_stream(out(Format.ARROW)).read_all().equals(table)
    header, *rows = out(Format.CSV).decode().split("\r\n")
    assert header.split(",") == table.column_names
    assert len(rows) == 5 and rows[1].split(",")[2:5] == [str(0x400000), str(0x402000), "r--s"]


# -- what cannot be answered ----------------------------------------------------------------


def refused(arguments: tuple[Any, ...]) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        maps(*arguments)
    return str(caught.value), caught.value.hint


def test_what_cannot_be_answered_is_said_with_a_hint(scene: Scene, tmp_path: Path) -> None:
    scene.task("fork", 7, 150, tid=70, parent_pid=7, parent_tid=7)
    scene.task("fork", 8, 300, parent_pid=7, parent_tid=7)
    scene.task("exit", 8, 400)
    scene.task("fork", 8, 500, parent_pid=7, parent_tid=7)
    scene.task("exit", 8, 600)
    capture = [scene.build(tmp_path / "capture")]
    assert refused((capture, 12, "+1ns")) == (
        "nothing was recorded of process: 12",
        f'list them with: analyze sql {capture[0]} -q "FROM processes"',
    )
    assert refused((capture, 70, "+160ns")) == ("70 is a thread, of process: 7", "use --pid 7")
    assert refused((capture, 8, "+450ns")) == (
        "process 8 did not live at +450ns",
        "it lived from +0.0000003s to +0.000000399s, +0.0000005s to +0.000000599s",
    )
    for at in ("-1ns", "+1s"):
        assert refused((capture, 7, at)) == (
            f"outside the time that was recorded: {at}",
            f"{capture[0]} covers +0s to +0.00001s, that is {START_NS}ns to {START_NS + 10_000}ns",
        )
    assert refused((capture, 7, "soon"))[0] == "not a time: soon"
    assert refused((capture, 7, None, "+1ns")) == ("--diff needs the time to compare with", "give it with --at")
    other = scene.build(tmp_path / "other", page_size=16384)
    assert "pages of 4096 bytes" in refused(([other], 7, "+200ns"))[0]


def test_of_several_captures_the_one_with_the_process_answers(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = scene.build(tmp_path / "first")
    other = Scene()
    other.executed(8, 100, base=0x350000)
    second = other.build(tmp_path / "second", host="elsewhere")
    maps([first, second], 8, "+300ns")
    assert capsys.readouterr().out.startswith("00350000-00351000 ")
    third = scene.build(tmp_path / "third", host="elsewhere")
    assert refused(([first, third], 7, "+300ns")) == (
        "process 7 is in several captures: first (testhost), third (elsewhere)",
        "give the one you mean",
    )


def test_without_a_time_it_is_the_last_instant(scene: Scene, ask: Any) -> None:
    scene.mmap(7, 200, 0x500000, 2)
    assert ask(scene).err.startswith("certain: 4 mappings of process 7 at +0.00001s")
    scene.task("exit", 7, 300)
