"""With `--stacks` each call has the stack that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import analyze_rows
from tests.support.family import MARKS, PAGE, marked
from tests.support.recordings import Capture, record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

LARGE = 12345678
PATHS = {
    **dict.fromkeys(range(1, 18), ("inner", "middle", "outer", "entry")),
    **dict.fromkeys(range(18, 23), ("inner", "other", "entry")),
    23: ("inner", "entry"),
    **dict.fromkeys((24, 25, 26), ("munmap", "wrapper", "around", "entry")),
    27: ("astray", "other"),
    28: ("munmap", "strayed", "other"),
}
"""The functions of each numbered call, innermost first; see tests/workloads/stacks.c."""


class Stacked:
    def __init__(self, folder: Path) -> None:
        self.capture, done = record_run(folder / "capture", [build("stacks")], "--stacks")
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        self.spans = {name: range(int(start, 16), int(end, 16)) for name, start, end in lines}
        self.frames: dict[int, list[int]] = {row["stack_id"]: row["frames"] for row in self.capture.rows("stacks")}


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacked]:
    yield Stacked(tmp_path_factory.mktemp("stacks"))


def test_frames_are_the_functions_that_were_called(stacked: Stacked) -> None:
    rows = {row["number"]: row for row in marked(stacked.capture)}
    assert rows.keys() == PATHS.keys()
    for number, path in PATHS.items():
        frames = stacked.frames[rows[number]["stack_id"]]
        assert len(frames) >= len(path)
        for frame, function in zip(frames, path, strict=False):
            if function in stacked.spans:
                assert frame in stacked.spans[function], (number, function, hex(frame))
    assert len({tuple(stacked.spans[name]) for name in PATHS[1]}) == 4


def test_who_called_libc_is_there_and_said_to_be_found_on_the_stack(stacked: Stacked) -> None:
    """libc's functions keep no frame pointers, so the kernel's walk leaves out who called them."""
    capture, wrapper = stacked.capture, stacked.spans["wrapper"]
    recovered = {row["stack_id"]: row["recovered"] for row in capture.rows("stacks")}
    found = {}
    for table, name in (("syscalls", "syscall"), ("files", "operation")):
        for row in capture.rows(table):
            frames = stacked.frames.get(row["stack_id"], [])
            if len(frames) > 1 and frames[1] in wrapper:
                assert recovered[row["stack_id"]] >= 1
                # where libc itself uses the register, as in open, the walk goes astray after that
                if row[name] != "openat":
                    assert frames[2] in stacked.spans["around"] and frames[3] in stacked.spans["entry"]
                assert all(frame < 1 << 47 for frame in frames)
                found[row[name]] = frames
    assert found.keys() == {"mmap", "mprotect", "munmap", "mremap", "ftruncate", "openat"}
    assert all(recovered[row["stack_id"]] == 0 for row in marked(capture) if row["number"] <= 23)


def test_where_a_walk_can_have_gone_astray_is_only_possible(stacked: Stacked) -> None:
    """What a register holds that is no frame pointer can look like a frame."""
    rows = analyze_rows(
        "sql", stacked.capture.path, "-q",
        f"SELECT (addr - {MARKS}) // {PAGE} AS number, depth, function, certainty "
        f"FROM frames JOIN syscalls USING (stack_id) "
        f"WHERE addr BETWEEN {MARKS} AND {MARKS + 99 * PAGE} AND function IS NOT NULL ORDER BY ALL"
    )  # fmt: skip
    found: dict[int, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row["number"], []).append((row["function"], row["certainty"]))
    assert found[27] == [("astray", "certain"), ("other", "possible")]
    # that one was really called from strayed, which keeps no frame pointer
    assert found[28] == [("munmap", "certain"), ("strayed", "certain"), ("other", "possible")]
    walked = [(name, "certain") for name in ("inner", "middle", "outer", "main")]
    assert found[1][:4] == walked
    by_libc = [(name, "certain") for name in ("munmap", "wrapper", "around", "main")]
    assert found[24][:4] == found[25][:4] == found[26][:4] == by_libc


def test_who_called_malloc_is_there_though_nobody_between_keeps_frame_pointers(stacked: Stacked) -> None:
    found = [row for row in stacked.capture.rows("syscalls", syscall="mmap") if row["size"] >> 12 == LARGE // PAGE + 1]
    [stack] = stacked.capture.rows("stacks", stack_id=found[0]["stack_id"])
    names = [next((name for name, span in stacked.spans.items() if frame in span), "libc") for frame in stack["frames"]]
    below = names.index("bare")
    assert set(names[:below]) == {"libc"} and names[below : below + 3] == ["bare", "holder", "entry"]
    assert below <= stack["recovered"]


def test_who_called_the_libc_function_that_faulted_is_there(stacked: Stacked) -> None:
    [fault] = stacked.capture.rows("faults")
    innermost, *callers = stacked.frames[fault["stack_id"]]
    assert innermost == fault["ip"]
    for frame, function in zip(callers, ("filler", "around", "entry"), strict=False):
        assert frame in stacked.spans[function]


def test_equal_stacks_are_one_and_others_are_not(stacked: Stacked) -> None:
    used = {row["number"]: row["stack_id"] for row in marked(stacked.capture)}
    assert len({used[n] for n in range(1, 18)}) == len({used[n] for n in range(18, 23)}) == 1
    assert len(set(used.values())) == 8
    rows = stacked.capture.rows("stacks")
    assert len({row["stack_id"] for row in rows}) == len(rows)
    assert len({tuple(stacked.frames[stack_id]) for stack_id in used.values()}) == 8


def test_every_call_s_stack_is_there(stacked: Stacked) -> None:
    calls = stacked.capture.rows("syscalls")
    assert all(row["stack_id"] is not None for row in calls)
    good = [row for row in calls if row["stack_id"] >= 0]
    assert len(good) > len(calls) * 0.9
    assert {row["stack_id"] for row in good} <= stacked.frames.keys()
    assert all(stacked.frames[row["stack_id"]] for row in good)


def test_the_innermost_frame_lies_in_code(stacked: Stacked) -> None:
    """In what the program had mapped executable by then, and for a call by way of libc, in libc."""
    [call] = [
        row
        for row in stacked.capture.rows("syscalls", syscall="mprotect")
        if row["addr"] == stacked.spans["page"].start
    ]
    code = [row for row in stacked.capture.rows("vmas", pid=call["pid"]) if "x" in row["perms"]]
    [where] = {row["path"] for row in code if row["start"] <= stacked.frames[call["stack_id"]][0] < row["end"]}
    assert b"/libc" in where
    for row in stacked.capture.rows("syscalls", pid=call["pid"]):
        # before its exec the process was the recorder's fork, whose mappings are none of ours
        if row["stack_id"] >= 0 and row["ts_enter_ns"] > code[0]["ts_ns"]:
            frame = stacked.frames[row["stack_id"]][0]
            assert any(vma["start"] <= frame < vma["end"] and vma["ts_ns"] < row["ts_exit_ns"] for vma in code), row


def test_no_stack_was_lost(stacked: Stacked) -> None:
    assert stacked.capture.rows("losses") == []


def test_a_fault_has_its_stack(tmp_path: Path) -> None:
    capture, _ = record_run(tmp_path / "capture", [build("fault"), "sigsegv-maperr"], "--stacks")
    [fault] = capture.rows("faults")
    [stack] = capture.rows("stacks", stack_id=fault["stack_id"])
    assert stack["frames"][0] == fault["ip"]


def test_without_the_option_there_is_none(tmp_path: Path) -> None:
    capture, _ = record_run(tmp_path / "capture", [build("stacks")])
    capture = Capture(capture.path)
    assert capture.table("syscalls").num_rows > 20
    for name in ("syscalls", "files", "faults"):
        assert capture.table(name)["stack_id"].null_count == capture.table(name).num_rows, name
    assert capture.rows("stacks") == []
