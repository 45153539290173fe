"""ELF headers of this machine's files, against readelf, and files found through their mappings."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.elf import FileMapping, ImageReader, Segment, read_image
from recorder.procfs import read_maps
from recorder.schema import TABLES, arrow_schema

TYPES = {"LOAD": 1, "INTERP": 3}
FLAGS = {"R": 4, "W": 2, "E": 1}


def readelf(file: Path) -> tuple[int, int, int, tuple[Segment, ...], bytes | None]:
    text = subprocess.run(["readelf", "-hlnW", file], capture_output=True, text=True, check=True).stdout
    elf_class = {"ELF32": 1, "ELF64": 2}[re.findall(r"Class: +(\w+)", text)[0]]
    elf_type = {"EXEC": 2, "DYN": 3}[re.findall(r"Type: +(\w+) \(", text)[0]]
    entry = int(re.findall(r"Entry point address: +(\w+)", text)[0], 16)
    hexes = " ".join([r"(0x\w+)"] * 5)
    segments = tuple(
        Segment(
            TYPES[name], sum(FLAGS[flag] for flag in flags if flag != " "),
            *(int(number, 16) for number in (offset, vaddr, filesz, memsz, align)),
        )
        for name, offset, vaddr, _, filesz, memsz, flags, align in re.findall(
            rf"^  (LOAD|INTERP) +{hexes} ([RWE ]{{3}}) (\w+)$", text, re.MULTILINE
        )
    )  # fmt: skip
    build_id = re.search(r"Build ID: (\w+)", text)
    return elf_class, elf_type, entry, segments, bytes.fromhex(build_id[1]) if build_id else None


@pytest.fixture(scope="module")
def program32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("elf") / "program32"
    command = ["gcc", "-m32", "-Wl,--build-id=0x0123456789abcdef", "-x", "c", "-o", file, "-"]
    subprocess.run(command, input=b"int main(void) { return 0; }", check=True)
    return file


def test_headers_are_what_readelf_prints(program32: Path) -> None:
    folders = [Path("/usr/bin"), Path("/usr/lib/x86_64-linux-gnu")]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    elfs = [file for file in files if re.match(rb"\x7fELF.{12}[\2\3]", file.read_bytes()[:18], re.DOTALL)]
    sample = [Path(sys.executable).resolve(), program32, *elfs[:: len(elfs) // 83]]
    assert len(sample) >= 83
    for file in sample:
        fd = os.open(file, os.O_RDONLY)
        try:
            image = read_image(fd)
        finally:
            os.close(fd)
        assert image is not None, file
        seen = (image.elf_class, image.elf_type, image.entry, image.segments, image.build_id)
        assert seen == readelf(file), file


def executable_files(pid: int) -> list[FileMapping]:
    table = read_maps(pid, 0, "baseline")
    assert table is not None
    return [
        FileMapping(pid, row["start"], row["end"], row["dev"], row["inode"], 0, row["path"])
        for row in table.to_pylist()
        if row["perms"][2] == "x" and row["inode"]
    ]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    sleep = shutil.which("sleep")
    assert sleep
    program = Path(shutil.copy(sleep, tmp_path / "sl eep\udcff"))
    with subprocess.Popen([program, "60"]) as process:
        while not any(row.path.endswith(b"libc.so.6") for row in executable_files(process.pid)):
            pass
        yield process, program
        process.kill()


def test_images_of_a_process_are_read_once(sleeper: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, program = sleeper
    mappings = executable_files(process.pid)
    reader = ImageReader()
    table = reader.read([*mappings, *mappings])
    assert table.schema.equals(arrow_schema(TABLES["images"]), check_metadata=True)
    assert sorted(table["inode"].to_pylist()) == sorted(row.inode for row in mappings)
    row = next(row for row in table.to_pylist() if row["path"] == os.fsencode(program))
    segments = tuple(Segment(**segment) for segment in row["segments"])
    assert (row["elf_class"], row["elf_type"], row["entry"], segments, row["build_id"]) == readelf(program)
    assert row["pid"] == process.pid
    assert reader.read(mappings).num_rows == 0


def test_a_deleted_and_replaced_file_is_read_through_its_mapping(
    sleeper: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, program = sleeper
    expected = readelf(program)
    program.unlink()
    shutil.copy("/bin/true", program)
    mapping = next(row for row in executable_files(process.pid) if b"sl eep" in row.path)
    assert mapping.path.endswith(b" (deleted)")
    (row,) = ImageReader().read([mapping]).to_pylist()
    assert row["build_id"] == expected[4]

    # by name alone, only the replacement is there
    elsewhere = mapping._replace(start=4096, end=8192, path=os.fsencode(program))
    (row,) = ImageReader().read([elsewhere]).to_pylist()
    assert row["build_id"] == expected[4]
    process.kill()
    process.wait()
    reader = ImageReader()
    assert reader.read([elsewhere]).num_rows == 0

    # and the attempt is repeated when the file is seen again
    living = program.stat()
    dev = os.major(living.st_dev) << 20 | os.minor(living.st_dev)
    again = elsewhere._replace(dev=dev, inode=living.st_ino)
    assert reader.read([again]).num_rows == 1


def test_a_recycled_inode_number_is_another_file(sleeper: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, program = sleeper
    with program.open("rb") as file:
        try:
            answer = fcntl.ioctl(file, 0x80087601, bytes(8))  # FS_IOC_GETVERSION
        except OSError:
            pytest.fail(f"the file system of the temporary folder does not tell generations: {program.parent}")
    generation = struct.unpack("<I4x", answer)[0]
    mapping = next(row for row in executable_files(process.pid) if row.path == os.fsencode(program))
    process.kill()
    process.wait()
    assert ImageReader().read([mapping._replace(generation=generation ^ 1)]).num_rows == 0
    assert ImageReader().read([mapping._replace(generation=generation)]).num_rows == 1


def test_what_is_no_elf_file_is_looked_at_once(tmp_path: Path) -> None:
    text, pipe = tmp_path / "text", tmp_path / "pipe"
    text.write_text("no image")
    os.mkfifo(pipe)
    reader = ImageReader()
    for file in (text, pipe, Path("/dev/null"), tmp_path):
        found = file.stat()
        dev = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
        mapping = FileMapping(os.getpid(), 4096, 8192, dev, found.st_ino, 0, os.fsencode(file))
        assert reader.read([mapping]).num_rows == 0
    odd = FileMapping(os.getpid(), 4096, 8192, 1, 1, 0, b"/with\0zero")
    assert reader.read([odd]).num_rows == 0
