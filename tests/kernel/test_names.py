"""Frames have the names of the functions that the program itself knows it was in, and never another file's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from analysis.capture import open_captures
from analysis.engine import Engine
from analysis.stacks import Stack, stack_text
from recorder.naming import Naming, read_perf_map
from recorder.store import Store
from tests.support.commands import analyze_rows
from tests.support.recordings import record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

SOURCE = Path(__file__).resolve().parents[1] / "workloads/named.c"
MARKS, PAGE = 0x100000000000, 4096
LIBRARIES = ("plain", "stripped", "packed", "replaced", "rewritten", "unbuilt", "touched")
"""With a symbol table; without; with one in .gnu_debugdata; exchanged for another file after it was used; written over
at once after it was used; without a build id; and without one, written over."""


def library(folder: Path, name: str, inner: str, *options: str) -> Path:
    """A library whose static function is called `inner`."""
    path = folder / f"lib{name}.so"
    command = ["gcc", "-O2", "-g", "-fno-omit-frame-pointer", "-shared", "-fPIC", f"-DINNER={inner}", *options]
    subprocess.run([*command, "-o", path, SOURCE], check=True)
    return path


class Frame(NamedTuple):
    function: str | None
    begins: int | None
    """Address in the process at which the function begins."""
    file: str
    certainty: str


class Named:
    """A recording of tests/workloads/named.c, whose process has executed another program since and ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        code = folder / "code"
        code.mkdir()
        none = "-Wl,--build-id=none"
        files = {name: library(code, name, f"{name}_inner", *([none] if name[0] in "ut" else [])) for name in LIBRARIES}
        other, over = library(folder, "other", "other_inner"), library(folder, "over", "over_inner")
        self.build_ids = {name: build_id(path) for name, path in files.items()}
        assert build_id(other) not in self.build_ids.values()
        self.debug = {name: folder / f"{name}.debug" for name in ("stripped", "packed", "replaced", "other")}
        for name, path in self.debug.items():
            subprocess.run(["objcopy", "--only-keep-debug", files.get(name, other), path], check=True)
        for name in ("stripped", "packed"):
            subprocess.run(["strip", "--strip-all", files[name]], check=True)
        pack(self.debug["packed"], files["packed"])
        # the headers of a file are read within a second or so after it was mapped, and one is exchanged after that
        writes = f"tee {files['touched']} {files['rewritten']} < {over} > /dev/null"
        after = f'"$@" && {writes} && sleep 2 && mv {other} {files["replaced"]}'
        command = ["sh", "-c", after, "sh", build("named"), *files.values()]
        self.capture, done = record_run(folder / "capture", command, "--stacks")
        self.said = done.stderr.decode()
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        names = [*LIBRARIES, "compiled"]
        self.known = {names[int(number) - 1]: [int(each, 16) for each in rest] for number, *rest in lines}
        calls = self.capture.rows("syscalls", syscall="mmap")
        self.calls = {
            names[(row["addr"] - MARKS) // PAGE - 1]: row for row in calls if row["addr"] >> 40 == MARKS >> 40
        }
        assert self.calls.keys() == self.known.keys() == set(names)
        self.engine = Engine(open_captures([self.capture.path]))

    def text(self, name: str, symbols: Path | None = None) -> list[str]:
        """The lines of a call's stack, as many as the program knows of."""
        [space] = self.engine.query(f"SELECT DISTINCT space FROM timeline WHERE start = {MARKS + PAGE}").dicts()
        call = self.calls[name]
        self.engine.symbols = symbols
        stack = Stack("capture", space["space"], call["stack_id"], call["ts_enter_ns"])
        [text] = stack_text(self.engine, [stack]).values()
        return text.lines[: len(self.known[name])]


def build_id(path: Path) -> bytes | None:
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Build ID: (\w+)", notes)
    return bytes.fromhex(found[1]) if found else None


def pack(debug: Path, stripped: Path) -> None:
    """Give a stripped library its symbol table back as Fedora does (gdb's manual, MiniDebugInfo)."""
    mini = debug.with_suffix(".mini")
    subprocess.run(["objcopy", "--strip-debug", "--remove-section=.comment", debug, mini], check=True)
    subprocess.run(["xz", mini], check=True)
    subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={mini}.xz", stripped], check=True)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    recording = Named(tmp_path_factory.mktemp("named"))
    yield recording
    recording.engine.close()
    for call in recording.calls.values():
        Path(f"/tmp/perf-{call['pid']}.map").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def frames(named: Named) -> dict[str, list[Frame]]:
    """The frames of each call, as many as the program knows of."""
    found = {}
    for name, call in named.calls.items():
        rows = named.engine.query(
            "SELECT function, address - function_offset AS begins, path, certainty FROM frames "
            f"WHERE stack_id = {call['stack_id']} ORDER BY depth LIMIT {len(named.known[name])}"
        ).dicts()
        found[name] = [Frame(r["function"], r["begins"], Path(r["path"]).name, r["certainty"]) for r in rows]
    return found


@pytest.mark.parametrize("name", ["plain", "packed", "unbuilt"])
def test_functions_are_those_that_the_program_knows(named: Named, frames: dict[str, list[Frame]], name: str) -> None:
    file = f"lib{name}.so"
    expected = [(f"{name}_inner", file), ("entry", file), ("caller", "named"), ("main", "named")]
    assert frames[name] == [
        Frame(function, begins, file, "certain")
        for (function, file), begins in zip(expected, named.known[name], strict=True)
    ]


def test_of_a_stripped_library_only_what_it_exports_is_named(named: Named, frames: dict[str, list[Frame]]) -> None:
    assert [frame.function for frame in frames["stripped"]] == [None, "entry", "caller", "main"]
    assert frames["stripped"][1].begins == named.known["stripped"][1]
    assert named.text("stripped")[0].startswith("libstripped.so+0x")


@pytest.mark.parametrize("name", ["replaced", "rewritten", "touched"])
def test_a_file_that_came_later_does_not_lend_its_names(frames: dict[str, list[Frame]], name: str) -> None:
    assert [frame.function for frame in frames[name]] == [None, None, "caller", "main"]
    assert frames[name][0].file.startswith(f"lib{name}.so")


def test_a_perf_map_is_that_of_the_process_s_user(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], user=65534) as process:
        path = Path(f"/tmp/perf-{process.pid}.map")
        try:
            path.write_text("1000 10 f\n")
            assert read_perf_map(process.pid, 0) is None
            os.chown(path, 65534, 65534)
            assert read_perf_map(process.pid, 0) == b"1000 10 f\n"
            path.rename(tmp_path / "map")
            path.symlink_to(tmp_path / "map")
            assert read_perf_map(process.pid, 0) is None
            path.unlink()
            os.mkfifo(path)
            assert read_perf_map(process.pid, 0) is None
            process.kill()
            process.wait()
            # nobody knows any more whose it was
            path.unlink()
            (tmp_path / "map").rename(path)
            assert read_perf_map(process.pid, 0) is None
            os.chown(path, 0, 0)
            assert read_perf_map(process.pid, time.monotonic_ns() - 1_000_000_000) == b"1000 10 f\n"
            assert read_perf_map(process.pid, time.monotonic_ns() + 1_000_000_000) is None
        finally:
            path.unlink(missing_ok=True)


def test_naming_ends_when_its_time_is_up(named: Named, tmp_path: Path) -> None:
    """What was stored is read again: with time, it gives the same names once more."""
    store = Store(tmp_path / "copy", {})
    for table in ("stacks", "vmas", "images"):
        for file in (named.capture.path / table).iterdir():
            store.append(table, pq.read_table(file))
    store.commit()
    again = Naming(store)
    again.run(lambda _: None)
    assert {row["name"] for row in again.rows.to_pylist()} >= {b"plain_inner", b"packed_inner", b"entry", b"main"}
    assert (again.stopped, again.files > 3) == (False, True)
    late = Naming(store, limit_s=0.0)
    late.run(lambda _: None)
    assert (late.stopped, late.rows.num_rows) == (True, 0)
    store.close("complete")


def test_code_that_a_program_makes_is_possibly_what_its_perf_map_says(
    named: Named, frames: dict[str, list[Frame]]
) -> None:
    begins = named.known["compiled"]
    assert frames["compiled"] == [
        Frame("py::made \x1b[2J", begins[0], "", "possible"),
        # whether such code keeps a frame pointer is not known
        Frame("caller", begins[1], "named", "possible"),
        Frame("main", begins[2], "named", "possible"),
    ]
    assert named.text("compiled")[0].startswith("py::made \\x1b[2J+0x")


def test_only_functions_of_stacks_are_kept(named: Named) -> None:
    rows = named.capture.rows("symbols")
    assert {row["name"] for row in rows} >= {b"plain_inner", b"packed_inner", b"unbuilt_inner", b"entry", b"main"}
    assert b"inner_address" not in {row["name"] for row in rows}
    assert len({(row["inode"], row["address"], row["name"]) for row in rows}) == len(rows) < 100
    assert f"{len(rows)} functions of" in named.said
    assert named.capture.manifest["totals"]["symbols"]["stored"] == len(rows)


def place(debug: Path, folder: Path, build_id: bytes | None) -> None:
    """Put a debug file where debuggers look for that of a build."""
    assert build_id
    path = folder / ".build-id" / build_id.hex()[:2] / f"{build_id.hex()[2:]}.debug"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(debug, path)


@pytest.mark.parametrize("name", ["stripped", "replaced"])
def test_symbols_are_found_later_by_build_id(named: Named, tmp_path: Path, name: str) -> None:
    usual, anywhere = tmp_path / "usual", tmp_path / "any"
    place(named.debug[name], usual, named.build_ids[name])
    (anywhere / "some/where").mkdir(parents=True)
    shutil.copy(named.debug[name], anywhere / "some/where/else")
    for folder in (usual, anywhere):
        lines = named.text(name, folder)
        functions = [line.partition("+0x")[0] for line in lines]
        assert functions == [f"{name}_inner", "entry", "caller", "main"]
        assert lines[0].endswith(f"(lib{name}.so)")


def test_symbols_of_another_build_are_not_used(
    named: Named, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_id = named.build_ids["stripped"]
    place(named.debug["other"], tmp_path, build_id)
    assert build_id
    assert named.text("stripped", tmp_path) == named.text("stripped")
    assert f"libstripped.so ({build_id.hex()})" in capsys.readouterr().err


def test_commands_take_symbols(named: Named, tmp_path: Path) -> None:
    place(named.debug["stripped"], tmp_path, named.build_ids["stripped"])
    rows = analyze_rows("diff", named.capture.path, "--by", "stack", "--class", "AIFI", "--symbols", tmp_path)
    [row] = [row for row in rows if row["stack"].startswith("stripped_inner+0x")]
    assert (row["mappings"], row["size_bytes"]) == (1, PAGE)
    assert " (libstripped.so) < entry+0x" in row["stack"]
