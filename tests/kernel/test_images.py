"""Executed files and the libraries they load are described as readelf and stat describe them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.recordings import RECORD, Capture, record_run
from tests.support.workloads import build

pytestmark = pytest.mark.usefixtures("short_recordings")

KINDS = {"LOAD": 1, "INTERP": 3}
LETTERS = {"R": 4, "W": 2, "E": 1}


def readelf(path: Path) -> dict[str, Any]:
    """Class, type, entry, build id and segments of a file by readelf's word."""
    text = subprocess.run(["readelf", "-hlnW", path], capture_output=True, text=True, check=True).stdout
    segments = []
    line_of_segment = r"^\s+(LOAD|INTERP)\s+(\w+) (\w+) \w+\s+(\w+) (\w+) ([RWE ]{3})\s+(\w+)$"
    for kind, offset, vaddr, filesz, memsz, flags, align in re.findall(line_of_segment, text, re.MULTILINE):
        numbers = {"offset": offset, "vaddr": vaddr, "filesz": filesz, "memsz": memsz, "align": align}
        segment = {"type": KINDS[kind], "flags": sum(LETTERS.get(letter, 0) for letter in flags)}
        segments.append(segment | {name: int(digits, 16) for name, digits in numbers.items()})
    [elf_class] = re.findall(r"Class:\s+ELF(\d+)", text)
    [elf_type] = re.findall(r"Type:\s+(EXEC|DYN)", text)
    [entry] = re.findall(r"Entry point address:\s+0x(\w+)", text)
    [build_id] = re.findall(r"Build ID: (\w+)", text)
    return {
        "elf_class": {"32": 1, "64": 2}[elf_class], "elf_type": {"EXEC": 2, "DYN": 3}[elf_type],
        "entry": int(entry, 16), "build_id": bytes.fromhex(build_id), "segments": segments,
    }  # fmt: skip


def libraries(program: Path) -> set[Path]:
    """What the loader says that it loads, itself included."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return {Path(path).resolve() for path in re.findall(r"(/\S+)", listed)}


@pytest.mark.parametrize("bits", [64, 32])
def test_images_are_what_readelf_and_stat_say(tmp_path: Path, bits: Literal[64, 32]) -> None:
    program = build("fault", bits)
    capture, _ = record_run(tmp_path / "capture", [program, "sigsegv-maperr"])
    rows = {Path(os.fsdecode(row["path"])): row for row in capture.rows("images")}
    files = {program.resolve()} | libraries(program)
    assert len(files) >= 3
    assert files <= rows.keys()
    for path in files:
        row, found = rows[path], os.stat(path)
        assert (row["dev"], row["inode"]) == (os.major(found.st_dev) << 20 | os.minor(found.st_dev), found.st_ino)
        told = readelf(path)
        assert len(told["segments"]) >= 3
        assert {name: row[name] for name in told} == told, path
    assert len(rows) == len(capture.rows("images")), "each file once"


def test_a_file_that_is_replaced_is_another_image(tmp_path: Path) -> None:
    """By one of the same name, while it runs; both are told, each by its own inode."""
    first, second = Path("/usr/bin/sleep"), build("hammer")
    script = 'cp "$1" run; ./run 3 & sleep .2; cp "$2" new; mv new run; ./run 1 other; wait'
    capture, _ = record_run(tmp_path / "capture", ["sh", "-ec", script, "sh", first, second], cwd=tmp_path)
    rows = {row["build_id"]: row for row in capture.rows("images") if row["path"].startswith(bytes(tmp_path / "run"))}
    assert rows.keys() == {readelf(path)["build_id"] for path in (first, second)}
    assert len({row["inode"] for row in rows.values()}) == 2


def test_images_of_processes_that_ran_before_are_read(tmp_path: Path) -> None:
    """Attached to, a process maps nothing new, and yet what it executes must be told."""
    program = build("ticks")
    with subprocess.Popen([program, "60"], stdout=subprocess.DEVNULL) as worker:
        command = [*RECORD, "attach", "-o", tmp_path / "capture", "--duration", "1", str(worker.pid)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        finally:
            worker.kill()
    rows = Capture(tmp_path / "capture").rows("images")
    assert {Path(os.fsdecode(row["path"])) for row in rows} == {program.resolve()} | libraries(program)
    assert len(rows) == len({row["inode"] for row in rows})
    for row in rows:
        told = readelf(Path(os.fsdecode(row["path"])))
        assert {name: row[name] for name in told} == told
