"""Windows of files: remapped, refused, out of order, seen twice, shared; and code that a program wrote. All for real.

The program says what it did, at which addresses and with which result; /proc/self/maps, which it prints, says how a
file lay. Real compilers run beside it: what they do is normal.
"""

from __future__ import annotations

import errno
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import analyze_rows
from tests.support.recordings import record_run
from tests.support.requirements import requires
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

PAGE = 4096
KINDS = ("remap_rejected", "nonlinear", "aliased_windows", "wx")
CLOSURE = "import ctypes; kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int); assert kind(lambda n: n + 1)(41) == 42"
COUNTING = "for (let i = 0, s = 0; i < 300000; i++) s += i * 2"


@dataclass(frozen=True)
class Deed:
    """A line of what the program said; numbers by name."""

    what: str
    name: str
    numbers: dict[str, int]
    words: dict[str, str]


@dataclass(frozen=True)
class Recorded:
    capture: Path
    folder: Path
    deeds: list[Deed]
    found: list[dict[str, Any]]

    def did(self, what: str) -> dict[str, Deed]:
        return {deed.name: deed for deed in self.deeds if deed.what == what}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.found if row["kind"] == kind]


_HEXADECIMAL = {"addr", "size", "prot", "pgoff", "flags", "start", "other"}


def _deeds(output: str) -> Iterator[Deed]:
    for line in output.splitlines():
        match = re.match(r"(rejected|accepted|permuted|aliased|shares|code) ([-\w]+) (.*)", line)
        if match:
            words = dict(word.split("=") for word in match[3].split())
            numbers = {
                key: int(value, 16 if key in _HEXADECIMAL else 10)
                for key, value in words.items()
                if key not in ("pages", "perms")
            }
            yield Deed(match[1], match[2], numbers, words)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "relocated.c").write_text("static int value = 53;\nint relocated(void) { return value; }\n")
    library = folder / "relocated.so"
    # 64-bit addresses in the code itself, which the loader must write
    command = ["gcc", "-shared", "-fno-pic", "-mcmodel=large", "-Wl,-z,notext", "-o", library, folder / "relocated.c"]
    subprocess.run(command, check=True, capture_output=True)
    files = folder / "files"
    files.mkdir()
    commands = [[build("edges_windows"), files, library], [sys.executable, "-c", CLOSURE]]
    commands += [["java", "-version"]] if shutil.which("java") else []
    commands += [["node", "-e", COUNTING]] if shutil.which("node") else []
    script = " && ".join(shlex.join(map(str, command)) for command in commands)
    capture, done = record_run(folder / "capture", ["/bin/sh", "-c", script])
    kinds = [option for kind in KINDS for option in ("--kind", kind)]
    found = analyze_rows("edges", capture.path, *kinds, "--expected")
    for row in found:
        row["facts"] = dict(row["facts"])
    return Recorded(capture.path, files, list(_deeds(done.stdout.decode())), found)


REASONS = {
    "prot": "prot", "size": "size", "wraps": "wraps", "pgoff-wraps": "pgoff wraps", "prot-first": "prot",
    "nothing": "nothing mapped", "private": "private", "anonymous": "private", "read-only": "read-only file",
    "hole": "hole", "past": "past the last", "other-file": "other file", "other-perms": "other flags",
    "locked": "other flags", "other-open": "other open", "file-before-hole": "other file",
    "beyond": "beyond the largest file", "sealed-in-part": "other flags", "sealed": "sealed",
    "future-write": "not permitted", "map-count": "map count",
}  # fmt: skip
UNSURE = {"other-open", "future-write", "map-count"}
"""No record tells which open file a VMA is of, which seals a memfd has, or of every VMA."""


def test_each_refusal_has_the_reason_that_the_kernel_had(recorded: Recorded) -> None:
    rejected = recorded.did("rejected")
    assert set(rejected) == set(REASONS)
    found = {}
    for row in recorded.of("remap_rejected"):
        facts = row["facts"]
        found[row["pid"], row["start"], int(facts["size_bytes"]), int(facts["prot"]), int(facts["pgoff_pages"])] = row
    assert len(found) == len(recorded.of("remap_rejected")) == len(rejected)  # and none that was accepted
    for name, deed in rejected.items():
        asked = deed.numbers
        row = found[asked["pid"], asked["addr"] & -PAGE, asked["size"], asked["prot"], asked["pgoff"]]
        assert (name, row["facts"]["reason"]) == (name, REASONS[name])
        assert name in UNSURE or row["certainty"] == "certain", row
        assert f"got {errno.errorcode[asked['errno']]}: " in row["sentence"]
        assert row["comm"] == "edges_windows"
    assert recorded.did("accepted").keys() >= {"beyond-eof", "neighbours", "odd"}


@pytest.mark.parametrize(
    ("name", "page"), [("hole", 2), ("past", 3), ("other-file", 5), ("other-perms", 3), ("locked", 3)]
)
def test_the_page_that_does_not_fit_is_named(recorded: Recorded, name: str, page: int) -> None:
    start = recorded.did("rejected")[name].numbers["addr"]
    [row] = [row for row in recorded.of("remap_rejected") if row["start"] == start]
    assert int(row["facts"]["at"], 16) == start + page * PAGE


def _pages(order: str) -> list[int]:
    """The file's pages in the order of addresses, of `0-1→4-5 2→0`."""
    pages = []
    for window in order.split():
        _, _, there = window.partition("→")
        first, _, last = there.partition("-")
        pages += range(int(first), int(last or first) + 1)
    return pages


def test_a_file_out_of_order_lies_as_the_kernel_shows_it(recorded: Recorded) -> None:
    permuted = recorded.did("permuted")
    found = [row for row in recorded.of("nonlinear") if row["path"].endswith("/permuted")]
    assert len(found) == len(permuted) - 1
    of_place: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(found, key=lambda row: row["ts_ns"]):
        of_place.setdefault(row["start"], []).append(row)
    for name, turn in (("pages", 0), ("windows", 0), ("once-more", 1)):
        deed = permuted[name]
        row = of_place[deed.numbers["start"]][turn]
        assert _pages(row["facts"]["order"]) == [int(page) for page in deed.words["pages"].split(",")], name
        assert int(row["facts"]["windows"]) == deed.numbers["vmas"]
        assert int(row["facts"]["more_vmas"]) == deed.numbers["vmas"] - 1
        assert (row["expected"], row["certainty"], row["severity"]) == (None, "certain", "low")
        assert row["end"] - row["start"] == len(deed.words["pages"].split(",")) * PAGE
    calls = {name: int(of_place[permuted[name].numbers["start"]][0]["facts"]["calls"]) for name in ("pages", "windows")}
    assert calls == {"pages": 5, "windows": 3}


def test_order_restored_is_normal_and_never_disturbed_is_nothing(recorded: Recorded) -> None:
    start = recorded.did("permuted")["restored"].numbers["start"]
    [row] = [row for row in recorded.of("nonlinear") if row["start"] == start]
    assert row["expected"].startswith("the order of the file was restored after ")
    assert (row["facts"]["windows"], row["facts"]["more_vmas"], row["facts"]["calls"]) == ("7", "6", "14")
    start = recorded.did("permuted")["never-out-of-order"].numbers["start"]
    assert not [row for row in recorded.of("nonlinear") if row["start"] <= start < row["end"]]


def _aliases(recorded: Recorded, *shapes: str) -> list[dict[str, Any]]:
    return [row for row in recorded.of("aliased_windows") if row["facts"]["shape"] in shapes]


def test_pages_seen_twice_in_a_process(recorded: Recorded) -> None:
    found = {row["start"]: row for row in _aliases(recorded, "same process", "ring") if not row["expected"]}
    for name, shape, severity in (("overlap", "same process", "low"), ("ring", "ring", "info")):
        deed = recorded.did("aliased")[name].numbers
        [(start, other, row)] = [
            (start, other, found[start])
            for start, other in ((deed["start"], deed["other"]), (deed["other"], deed["start"]))
            if start in found
        ]
        assert int(row["facts"]["other_start"], 16) == other
        assert (row["end"] - start, int(row["facts"]["bytes"])) == (deed["size"], deed["size"])
        assert (row["facts"]["shape"], row["severity"], row["certainty"]) == (shape, severity, "certain")
        assert row["pid"] == row["other_pid"] == deed["pid"]


@pytest.mark.parametrize("file", ["apart", "in-turn", "private", "only-read"])
def test_what_is_not_seen_twice(recorded: Recorded, file: str) -> None:
    """Apart in the file, apart in time, private beside shared, only read."""
    assert not [row for row in _aliases(recorded, "same process", "ring") if row["path"] == str(recorded.folder / file)]


@pytest.mark.parametrize(
    ("name", "path", "perms"),
    [("memfd", "/memfd:passed", "rw-s"), ("shm", "/dev/shm/edges_windows", "r--s"), ("sysv", "/SYSV", "rw-s")],
)
def test_memory_shared_by_two_processes(recorded: Recorded, name: str, path: str, perms: str) -> None:
    mine, theirs = [deed for deed in recorded.deeds if (deed.what, deed.name) == ("shares", name)]
    rows = [row for row in _aliases(recorded, "processes") if row["path"].startswith(path) and not row["expected"]]
    [row] = rows
    assert (row["other_pid"], row["pid"]) == (mine.numbers["pid"], theirs.numbers["pid"])
    assert (row["start"], int(row["facts"]["other_start"], 16)) == (theirs.numbers["start"], mine.numbers["start"])
    assert int(row["facts"]["bytes"]) == theirs.numbers["size"]
    assert (row["facts"]["perms"], row["facts"]["other_perms"]) == (perms, "rw-s")
    assert (row["severity"], row["certainty"]) == ("info", "certain")


def test_what_a_fork_hands_on_is_normal(recorded: Recorded) -> None:
    mine, theirs = [deed for deed in recorded.deeds if (deed.what, deed.name) == ("shares", "inherited")]
    rows = [row for row in _aliases(recorded, "processes") if row["path"] == "/dev/zero (deleted)"]
    [row] = [row for row in rows if row["pid"] == theirs.numbers["pid"]]
    assert (row["other_pid"], row["start"], row["expected"]) == (
        mine.numbers["pid"], theirs.numbers["start"], "inherited by a fork",
    )  # fmt: skip


def test_apart_in_the_file_or_private_or_only_read_is_not_shared(recorded: Recorded) -> None:
    for file in ("alone", "only-read"):
        rows = [row for row in _aliases(recorded, "processes") if row["path"] == str(recorded.folder / file)]
        assert all(row["expected"] for row in rows), rows
    assert not [row for row in recorded.of("aliased_windows") if row["path"].endswith(("/only-read", ".so", ".cache"))]


def test_the_picture_of_shared_memory(recorded: Recorded) -> None:
    rows = analyze_rows("shared", recorded.capture)
    for name, kind in (("memfd", "memfd"), ("shm", "shm"), ("sysv", "sysv"), ("inherited", "anonymous")):
        ends = [deed for deed in recorded.deeds if (deed.what, deed.name) == ("shares", name)]
        for deed in ends:
            pid, start = deed.numbers["pid"], deed.numbers["start"]
            [row] = [row for row in rows if (row["pid"], row["start"]) == (pid, start)]
            assert (row["kind"], row["perms"], row["size_bytes"]) == (kind, deed.words["perms"], deed.numbers["size"])
            assert row["shared_bytes"] == ends[1].numbers["size"] or name == "memfd"
            assert row["others"] >= 1
    # there is somebody at each end, at the instant at which the second came
    first, second = [deed.numbers["pid"] for deed in recorded.deeds if (deed.what, deed.name) == ("shares", "sysv")]
    [came] = [row["from_ns"] for row in rows if row["pid"] == second and row["kind"] == "sysv"]
    then = analyze_rows("shared", recorded.capture, "--at", f"{came}ns", "--pid", second)
    assert {row["pid"] for row in then if row["kind"] == "sysv"} == {first, second}
    before = analyze_rows("shared", recorded.capture, "--at", f"{came - 1}ns", "--file", "/SYSV")
    assert second not in {row["pid"] for row in before if row["cause"] != "fork"}


def _code(recorded: Recorded, pid: int, start: int) -> list[dict[str, Any]]:
    return [row for row in recorded.of("wx") if row["pid"] == pid and row["start"] <= start < row["end"]]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("written", "executable after writable"),
        ("rwx", "writable and executable"),
        ("toggled", "executable after writable"),
        ("hidden-between", "executable after writable"),
        ("dual", "two mappings"),
        ("stack", "executable stack"),
        ("relocated", "text relocations"),
    ],
)
def test_code_that_a_program_wrote_and_ran(recorded: Recorded, name: str, how: str) -> None:
    deed = recorded.did("code")[name].numbers
    assert deed["returned"]
    [row] = _code(recorded, deed["pid"], deed["start"])
    assert (row["facts"]["how"], row["expected"], row["certainty"]) == (how, None, "certain")
    assert (row["start"], row["end"]) == (deed["start"], deed["start"] + deed["size"])
    assert int(row["facts"]["turns"]) == deed["turns"]
    assert row["severity"] == ("low" if name == "relocated" else "medium")


def test_what_was_never_writable_and_executable_is_not_told_of(recorded: Recorded) -> None:
    for name in ("not-file", "not-data", "not-again", "not-the-same"):
        deed = recorded.did("code")[name].numbers
        assert not _code(recorded, deed["pid"], deed["start"]), name


def test_the_java_machine_compiles_code(recorded: Recorded) -> None:
    requires(shutil.which("java"), "there is no java to record")
    [row] = [row for row in recorded.of("wx") if row["comm"] == "java"]
    assert row["expected"] == "HotSpot's code cache"
    assert int(row["facts"]["ranges"]) > 1


def test_nothing_is_shown_of_everyday_programs(recorded: Recorded) -> None:
    """A JVM, CPython with a closure of libffi, and Node where there is one."""
    mine = {deed.numbers["pid"] for deed in recorded.deeds}
    shown = [row for row in recorded.found if not row["expected"] and row["severity"] in ("high", "medium")]
    assert {row["kind"] for row in shown} == {"remap_rejected", "wx"}
    assert {row["pid"] for row in shown} <= mine
