"""The views `frame_places` and `frames`, and the text of stacks: what was mapped under each frame at that time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.stacks import Stack, stack_text
from tests.support.captures import build_capture
from tests.support.oracle import MAP_ANONYMOUS, MAP_PRIVATE, PAGE, Kernel, Page, Thread

FILES = {91: b"lib", 92: b"x", 93: b"y"}
LIB, OTHER, DOUBLE = (Page("r-xp", inode, 2, b"/usr/lib/%s.so" % name) for inode, name in FILES.items())
JIT = Page("r-xp")
AT = 0x450  # page of the library, which begins there with page 2 of its file: at virtual address 0x12000
MOST = 2**64 - 1


def segment(**more: int) -> dict[str, int]:
    code = {"type": 1, "flags": 5, "offset": 0x2000, "vaddr": 0x12000, "filesz": 0x4000, "memsz": 0x4000, "align": PAGE}
    return {**code, **more}


def image(inode: int, *segments: dict[str, int], **more: Any) -> dict[str, Any]:
    return {"dev": 8, "inode": inode, "build_id": b"\1", "segments": segments or [segment()], **more}


def symbol(address: int, size: int, name: bytes, **more: Any) -> dict[str, Any]:
    place = {
        "dev": 8,
        "inode": 91,
        "address": address,
        "size_bytes": size,
        "name": name,
        "source": "file",
        "framed": 1,
        "level_bytes": 0,
    }
    return {**place, **more}


IMAGES = [
    image(91),
    image(92, segment(flags=4), segment(filesz=MOST, vaddr=MOST), segment(type=2)),
    # two builds under one number, and the mapping does not tell which
    image(93, generation=5), image(93, generation=6, build_id=b"\2"),
]  # fmt: skip
SYMBOLS = [
    symbol(0x13000, 0x20, b"leak"),
    symbol(0x13000, 0x800, b"outer"),
    symbol(0x13008, 0x10, b"within\x1b[2J"),
    symbol(0x13F00, MOST, b"endless", framed=0),
    symbol(0x12000, MOST, b"of another file", inode=92),
    symbol(0x12000, 0x4000, b"of one build", inode=93, generation=5),
    symbol(0x900 * PAGE, 0x30, b"compiled", dev=0, inode=0, pid=100, source="perf map"),
    symbol(0x900 * PAGE, 0x30, b"of another process", dev=0, inode=0, pid=99, source="perf map"),
]
STACKS = {
    1: [AT * PAGE + 0x1010, AT * PAGE + 0x1020, AT * PAGE + 0x1020 + 1, AT * PAGE + 0x2000, 0x300 * PAGE + 7, 0x9990],
    2: [AT * PAGE + 0x1000, AT * PAGE + 0x1000],
    3: [0x900 * PAGE + 4, 0x901 * PAGE],
    4: [0x500 * PAGE + 0x30],
    5: [0x600 * PAGE + 0x10],
    6: [AT * PAGE + 0x1010, AT * PAGE + 0x1020, 0x9990, AT * PAGE + 0x2000],
    7: [AT * PAGE + 0x1010, 0x9990, AT * PAGE + 0x1020, AT * PAGE + 0x1020],
    **{key: [AT * PAGE + 0x1000, AT * PAGE + 0x1020, AT * PAGE + 0x1020] for key in (8, 9, 10)},
}
RECOVERED = {6: 1, 7: 2, 8: 1, 9: 1, 10: 1}
WALKED = "frame pointers lead to it, and a function before it may keep none"


class Scene:
    """A process with a library whose place another takes, and its child, which never had the first. `calls` are the
    process, the stack and the time of each."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.calls: dict[str, tuple[int, int, int]] = {}
        kernel, parent = self.kernel, self.kernel.start()
        self.map(parent, AT, 4, LIB)
        self.map(parent, 0x900, 1, JIT)
        self.map(parent, 0x600, 4, DOUBLE)
        self.map(parent, 0x500, 4, LIB)
        self.call(parent, "first", 1)
        self.call(parent, "second", 2)
        self.call(parent, "compiled", 3)
        self.call(parent, "two builds", 5)
        self.call(parent, "recovered", 6)
        self.call(parent, "recovered where no code is", 7)
        self.call(parent, "on top", 8)
        self.call(parent, "not joined", 9)
        self.call(parent, "not on top", 10)
        child = kernel.fork(parent)
        kernel.execute(child)
        self.map(child, AT, 4, OTHER)
        self.call(child, "child", 2)
        kernel.mprotect(parent, AT, 4, "rw-")
        self.call(parent, "not executable", 2)
        kernel.mprotect(parent, AT, 4, "r-x")
        self.call(parent, "again", 2)
        kernel.munmap(parent, AT, 4)
        self.call(parent, "unmapped", 2)
        self.map(parent, AT, 4, OTHER)
        self.call(parent, "replaced", 2)
        kernel.lose(parent, 100)
        kernel.now_ns += 200
        self.call(parent, "after a loss", 4)
        kernel.rows["images"] += [*IMAGES, {**IMAGES[0], "ts_ns": kernel.now_ns}]

    def map(self, thread: Thread, first: int, count: int, page: Page) -> None:
        self.kernel.mmap(thread, first, count, page, MAP_PRIVATE | (0 if page.inode else MAP_ANONYMOUS))

    def call(self, thread: Thread, name: str, stack_id: int) -> None:
        """A call that changes nothing, with a stack."""
        self.kernel.advise(thread, 0x100, 1, dont=False)
        row = self.kernel.rows["syscalls"][-1]
        row["stack_id"] = stack_id
        self.calls[name] = (thread.pid, stack_id, row["ts_enter_ns"])


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def engine(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # a flight recorder stores stacks and images again in each segment
    stacks = [
        {
            "stack_id": key,
            "frames": frames,
            "recovered": RECOVERED.get(key),
            "on_top": int(key != 10),
            "joined": int(key != 9),
        }
        for key, frames in STACKS.items()
    ] * 2
    tables = {**scene.kernel.rows, "symbols": SYMBOLS, "stacks": stacks}
    path = build_capture(tmp_path_factory.mktemp("here") / "capture", tables)
    with Engine(open_captures([path])) as engine:
        yield engine


@pytest.fixture(scope="module")
def texts(scene: Scene, engine: Engine) -> dict[str, tuple[list[str], str | None]]:
    """The lines of each call's stack, and why they are only possible."""
    stacks = {}
    for name, (pid, stack_id, ts_ns) in scene.calls.items():
        lives = f"(SELECT space, unnest(users) AS life FROM spaces) WHERE life.pid = {pid} AND life.from_ns <= {ts_ns}"
        [row] = engine.query(f"SELECT arg_max(space, life.from_ns) AS space FROM {lives}").dicts()
        stacks[name] = Stack("capture", row["space"], stack_id, ts_ns)
    found = stack_text(engine, [*stacks.values(), Stack("capture", 1, 77, 0)])
    assert found.keys() == set(stacks.values())
    return {name: (found[stack].lines, found[stack].reason) for name, stack in stacks.items()}


Texts = dict[str, tuple[list[str], str | None]]


def test_a_frame_is_the_innermost_function_around_the_call(texts: Texts) -> None:
    assert texts["first"] == (
        [
            "within\\x1b[2J+0x8 (lib.so)",
            "leak+0x20 (lib.so)",  # behind its last byte, so the call was its last
            "outer+0x21 (lib.so)",
            "endless+0x100 (lib.so)",
            "program+0x7 (possible)",  # endless keeps no frame pointer
            "0x9990",
        ],
        WALKED,
    )


def test_the_innermost_frame_is_where_the_thread_was(texts: Texts) -> None:
    assert texts["second"] == (["leak+0x0 (lib.so)", "lib.so+0x3000"], None)


def test_one_stack_is_another_s_in_another_address_space(texts: Texts) -> None:
    assert texts["child"] == (["x.so+0x3000", "x.so+0x3000 (possible)"], WALKED)  # a function whose code is not known


def test_the_library_is_the_one_of_that_time(texts: Texts) -> None:
    assert texts["again"] == texts["second"]
    assert texts["unmapped"] == ([f"{AT * PAGE + 0x1000:#x}"] * 2, None)
    assert texts["replaced"] == texts["child"]


def test_code_that_is_made_writable_for_a_moment_is_the_same(texts: Texts) -> None:
    assert texts["not executable"] == texts["second"]


def test_what_is_only_possibly_mapped_is_only_possibly_the_function(texts: Texts) -> None:
    lines, reason = texts["after a loss"]
    assert lines == ["lib.so+0x2030 (possible)"]
    assert reason and "lost" in reason


def test_compiled_code_is_possible_and_its_own_process_s(texts: Texts) -> None:
    lines, reason = texts["compiled"]
    assert lines == ["compiled+0x4 (possible)", f"{0x901 * PAGE:#x}"]
    assert reason == "the function is the one that was there at the end"


def test_a_caller_that_frame_pointers_do_not_lead_to_is_possible(texts: Texts) -> None:
    within, leak, endless = "within\\x1b[2J+0x8 (lib.so)", "leak+0x20 (lib.so)", "endless+0x100 (lib.so)"
    reason = "found on the stack, since frame pointers do not lead to it"
    assert texts["recovered"] == ([within, f"{leak} (possible)", "0x9990", f"{endless} (possible)"], reason)
    # the beginning of a function has not moved the top of the stack, so its return address is there
    assert texts["on top"] == (["leak+0x0 (lib.so)", leak, leak], None)
    # what lies between the caller and the frame that the register led to was not looked through
    assert texts["not joined"] == (["leak+0x0 (lib.so)", leak, f"{leak} (possible)"], WALKED)
    assert texts["not on top"] == (["leak+0x0 (lib.so)", *[f"{leak} (possible)"] * 2], reason)
    assert texts["recovered where no code is"] == ([within, "0x9990", *[f"{leak} (possible)"] * 2], reason)


def test_of_two_builds_under_one_number_none_is_believed(texts: Texts) -> None:
    assert texts["two builds"] == (["y.so+0x2010"], None)


def test_the_view_has_every_place_once(scene: Scene, engine: Engine) -> None:
    rows = engine.query("FROM frames WHERE stack_id = 2 AND depth = 1 ORDER BY space, from_ns").dicts()
    times = {name: ts_ns for name, (_, _, ts_ns) in scene.calls.items()}
    [first, unmapped, replaced, child] = rows
    assert [row["function"] for row in rows] == ["leak", None, None, None]
    assert first["from_ns"] == times["second"]
    assert times["again"] < first["to_ns"] == unmapped["from_ns"] <= times["unmapped"]
    assert times["unmapped"] < unmapped["to_ns"] == replaced["from_ns"] <= times["replaced"]
    assert (replaced["to_ns"], child["to_ns"]) == (None, None)
    assert (first["offset_bytes"], first["virtual_address"], first["build_id"]) == (0x3000, 0x13000, b"\1")
    assert (first["path"], first["function_offset"], first["certainty"]) == ("/usr/lib/lib.so", 0, "certain")
    assert (unmapped["path"], unmapped["certainty"], unmapped["reason"]) == (None, "possible", "no code is known there")
    uses = engine.query("SELECT events, first_ns, last_ns FROM stack_uses WHERE stack_id = 2 ORDER BY space").dicts()
    assert [tuple(row.values()) for row in uses] == [
        (5, times["second"], times["replaced"]), (1, times["child"], times["child"]),
    ]  # fmt: skip
