"""Size changes are recorded with the file, the sizes and the arguments that fstat saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.recordings import Capture, record_run
from tests.support.workloads import build

FIELDS = ["operation", "flags", "offset", "length", "dev", "inode", "before", "after"]
FIELDS += ["ret", "errno", "tid", "from", "to"]


def read_log(path: Path) -> list[dict[str, Any]]:
    calls = []
    for line in path.read_text().splitlines()[1:]:
        name, flags, *rest = line.split()
        calls.append(dict(zip(FIELDS, [name, int(flags, 16), *map(int, rest)], strict=True)))
    return calls


@pytest.mark.parametrize("bits", [64, 32])
def test_size_changes_equal_what_fstat_saw(tmp_path: Path, bits: Literal[64, 32]) -> None:
    capture, _ = record_run(tmp_path / "capture", [build("files", bits), tmp_path / "log", tmp_path / "file"])
    compare_all(capture, read_log(tmp_path / "log"), tmp_path / "file", bits)


def compare_all(capture: Capture, log: list[dict[str, Any]], file: Path, bits: Literal[64, 32]) -> None:
    rows = [r for r in capture.rows("files", tid=log[0]["tid"]) if log[0]["from"] <= r["ts_enter_ns"] <= log[-1]["to"]]
    assert len(log) > 8
    for row, call in zip(rows, log, strict=True):
        operation = call["operation"].removesuffix("64")
        assert row["operation"] == operation
        assert row["abi"] == ("x86_64" if bits == 64 else "i386")
        assert (row["ret"], row["errno"]) == (call["ret"], call["errno"])
        assert call["from"] <= row["ts_enter_ns"] <= row["ts_exit_ns"] <= call["to"]
        if call["errno"]:
            continue
        assert (row["dev"], row["inode"]) == (call["dev"], call["inode"]), operation
        assert row["new_size_bytes"] == call["after"], operation
        if operation in ("ftruncate", "fallocate"):
            assert row["old_size_bytes"] == call["before"]
        # by path there is no descriptor: looked up afterwards, and said to be
        assert row["identity"] == ("path" if operation == "truncate" else "fd")
        if operation in ("ftruncate", "truncate"):
            assert row["length_bytes"] == call["length"]
        if operation == "fallocate":
            assert row["flags"] == call["flags"]
            assert (row["offset_bytes"], row["length_bytes"]) == (call["offset"], call["length"])
        if operation.startswith("open") or operation in ("creat", "truncate"):
            assert row["path_given"] == bytes(file)
        if operation.startswith("open"):
            # libc adds O_LARGEFILE for 32-bit programs
            assert row["flags"] & ~0o100000 == call["flags"] & ~0o100000


def test_an_open_without_o_trunc_is_no_size_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    capture, _ = record_run(tmp_path / "capture", ["cat", tmp_path / "file"])
    assert not [row for row in capture.rows("files") if row["path_given"] == bytes(tmp_path / "file")]
