"""Captures are checked before they are read: what is damaged is left out, and said."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.capture import Capture, open_captures
from analysis.engine import Engine
from analysis.errors import CaptureError, ExitCode
from recorder.schema import TABLES, arrow_schema
from tests.support.captures import SECOND, START_NS, build_capture, edit_manifest, file_entry

_BATCHES = 5
_ROWS = 3  # in each


def _capture(directory: Path, **manifest: Any) -> Path:
    batches = [
        [{"pid": 7, "tid": 7, "ts_ns": START_NS + number * SECOND, "comm": b"a"} for _ in range(_ROWS)]
        for number in range(_BATCHES)
    ]
    return build_capture(directory / "capture", {"faults": batches}, **manifest)


def _open(path: Path) -> Capture:
    return open_captures([path])[0]


def _replace(path: Path, table: pa.Table, **options: Any) -> None:
    """Put a table in the place of the second batch, with a manifest that is true of size, rows and hash."""
    file = path / "faults" / "000002.parquet"
    pq.write_table(table, file, **{"compression": "zstd", **options})
    files = json.loads((path / "manifest.json").read_text())["files"]
    files[1] = file_entry(path, file, table.num_rows, START_NS + SECOND, START_NS + SECOND)
    edit_manifest(path, files=files)


def _second(path: Path) -> pa.Table:
    return pq.read_table(path / "faults" / "000002.parquet")


def _entry_edited(capture: Path, **changes: Any) -> None:
    files = json.loads((capture / "manifest.json").read_text())["files"]
    files[1] |= changes
    edit_manifest(capture, files=files)


def _flip(path: Path) -> None:
    file = path / "faults" / "000002.parquet"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)


def _link(path: Path) -> None:
    file = path / "faults" / "000002.parquet"
    file.rename(path / "elsewhere.parquet")
    file.symlink_to(path / "elsewhere.parquet")


def _fifo(path: Path) -> None:
    (path / "faults" / "000002.parquet").unlink()
    os.mkfifo(path / "faults" / "000002.parquet")


def _bomb(path: Path) -> None:
    """Three million rows of one value in a few kilobytes."""
    values = {field.name: pa.repeat(pa.scalar(None, field.type), 3_000_000) for field in arrow_schema(TABLES["faults"])}
    for name in ("pid", "ts_ns", "address", "ip", "mm", "cgroup_id"):
        values[name] = pa.repeat(pa.scalar(0, arrow_schema(TABLES["faults"]).field(name).type), 3_000_000)
    _replace(path, pa.table(values), row_group_size=3_000_000)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit flipped": (_flip, "sha256 differs"),
    "cut short": (lambda path: os.truncate(path / "faults/000002.parquet", 100), "size differs"),
    "gone": (lambda path: (path / "faults/000002.parquet").unlink(), "missing"),
    "a symbolic link": (_link, "symbolic links"),
    "a fifo": (_fifo, "not a regular file"),
    "a path out of the capture": (
        lambda path: _entry_edited(path, path="faults/../../secret.parquet"),
        "not a path of this table",
    ),
    "an absolute path": (lambda path: _entry_edited(path, path="/etc/passwd"), "not a path of this table"),
    "a path with a pattern": (lambda path: _entry_edited(path, path="faults/*.parquet"), "not a path of this table"),
    "of another table": (lambda path: _entry_edited(path, table="tasks"), "not a path of this table"),
    "rows miscounted": (lambda path: _entry_edited(path, rows=4), "row count differs: 3 instead of 4"),
    "another codec": (lambda path: _replace(path, _second(path), compression="brotli"), "codec is BROTLI"),
    "no compression": (lambda path: _replace(path, _second(path), compression="none"), "codec is UNCOMPRESSED"),
    "a column gone": (
        lambda path: _replace(path, _second(path).drop_columns(["address"])),
        "column is missing: address",
    ),
    "a column of another type": (
        lambda path: _replace(path, _second(path).set_column(0, "ts_ns", pa.array(["a"] * _ROWS))),
        "column ts_ns is string, not uint64",
    ),
    "a column twice": (
        lambda path: _replace(path, _second(path).append_column("pid", pa.array([1] * _ROWS, pa.uint32()))),
        "column is there twice: pid",
    ),
    "made to expand": (_bomb, "would expand"),
}


@pytest.mark.parametrize(("harm", "why"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_batch_is_left_out_and_said(tmp_path: Path, harm: Callable[[Path], object], why: str) -> None:
    path = _capture(tmp_path)
    harm(path)
    capture = _open(path)
    assert [file.entry.path for file in capture.files] == [f"faults/{number:06}.parquet" for number in (1, 3, 4, 5)]
    assert why in capture.damaged[0].why
    line = capture.completeness()[1]
    assert line.startswith("4 of 5 batches read; missing: ")
    assert line.endswith("covers +1.000s to +1.000s")
    with Engine([capture]) as engine:
        assert engine.query("SELECT count(*) AS n FROM faults").dicts() == [{"n": 4 * _ROWS}]


def test_a_file_that_is_no_parquet_is_left_out(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    file = path / "faults" / "000002.parquet"
    file.write_bytes(b"not Parquet at all")
    files = json.loads((path / "manifest.json").read_text())["files"]
    files[1] = file_entry(path, file, _ROWS, 0, 0)
    edit_manifest(path, files=files)
    assert len(_open(path).damaged) == 1


def test_a_table_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    (path / "faults").rename(tmp_path / "faults")
    (path / "faults").symlink_to(tmp_path / "faults")
    assert len(_open(path).damaged) == _BATCHES


def test_a_batch_listed_twice_is_not_counted_twice(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit_manifest(path, files=[*files, files[1]])
    with Engine([_open(path)]) as engine:
        assert engine.query("SELECT count(*) AS n FROM faults").dicts() == [{"n": 4 * _ROWS}]


def test_an_optional_column_may_be_missing_and_an_unknown_one_is_ignored(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    newer = _second(path).drop_columns(["stack_id"]).append_column("colour", pa.array(["red"] * _ROWS))
    _replace(path, newer)
    capture = _open(path)
    assert not capture.damaged
    with Engine([capture]) as engine:
        rows = engine.query("SELECT * FROM faults").table()
    assert rows.num_rows == _BATCHES * _ROWS
    assert "colour" not in rows.column_names
    assert rows["stack_id"].null_count == _BATCHES * _ROWS


def test_a_complete_capture_has_nothing_to_say(tmp_path: Path) -> None:
    capture = _open(_capture(tmp_path))
    assert (capture.state, capture.completeness(), capture.missing_from_ns) == ("complete", ["complete"], None)


def test_a_killed_recording_says_how_much_may_be_missing(tmp_path: Path) -> None:
    ends = {"updated_ns": START_NS + 5 * SECOND, "drained_to_ns": START_NS + 4_200_000_000, "ended_ns": None}
    capture = _open(_capture(tmp_path, state="recording", **ends))
    assert capture.state == "killed"
    assert capture.missing_from_ns == START_NS + 4_200_000_000
    assert "events after +4.200s may be missing (0.8 s, and up to about a second more)" in capture.completeness()[0]


def test_a_growing_recording_is_told_from_a_killed_one_by_its_lock(tmp_path: Path) -> None:
    path = _capture(tmp_path, state="recording", ended_ns=None)
    (path / "faults" / "000009.parquet").write_bytes(b"just written")
    recorder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(recorder, fcntl.LOCK_EX)
        capture = _open(path)
    finally:
        os.close(recorder)
    assert capture.state == "growing"
    assert capture.completeness() == [
        "still recording: events up to +4.000s are in the files",
        "1 files too new for the manifest are left out: faults/000009.parquet",
    ]


def test_a_failed_recording_says_why(tmp_path: Path) -> None:
    capture = _open(_capture(tmp_path, state="failed", failure="no space left on device"))
    assert capture.completeness()[0].startswith("failed: no space left on device; events after")


def test_files_the_manifest_does_not_list_are_ignored_and_said(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    (path / "faults" / "000009.parquet.tmp").write_bytes(b"half")
    capture = _open(path)
    assert capture.ignored == ("faults/000009.parquet.tmp",)
    assert capture.completeness()[1] == "1 files not listed in the manifest are ignored: faults/000009.parquet.tmp"


def test_tables_of_a_newer_recorder_are_left_alone(tmp_path: Path) -> None:
    path = _capture(tmp_path)
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit_manifest(path, files=[*files, {"table": "moods", "path": "moods/000001.parquet"}])
    assert len(_open(path).files) == _BATCHES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "the capture has format 2"),
        ({"format": "\x1b"}, "format '\\\\x1b'"),
        ({"state": "sleeping"}, "state is 'sleeping'"),
        ({"clock": None}, "clock is missing"),
        ({"started_ns": "1"}, "started_ns is no count"),
        ({"updated_ns": -1}, "updated_ns is no count"),
        ({"files": {}}, None),
        ({"files": [1]}, "a listed file is no object"),
        ({"files": [{"table": "faults", "path": 1}]}, "path is no text"),
        ({"totals": []}, None),
        ({"totals": {"faults": {"attempted": True}}}, "attempted is no count"),
        ({"command": "x"}, "command is no list"),
    ],
)
def test_a_manifest_is_not_trusted_to_have_the_right_types(
    tmp_path: Path, change: dict[str, Any], message: str | None
) -> None:
    path = _capture(tmp_path, **change)
    if message is None:
        _open(path)  # empty is empty
    else:
        with pytest.raises(CaptureError, match=message):
            _open(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_unreadable(tmp_path: Path, text: bytes) -> None:
    path = _capture(tmp_path)
    (path / "manifest.json").write_bytes(text)
    with pytest.raises(CaptureError, match="the manifest is not") as error:
        _open(path)
    assert error.value.code == ExitCode.UNREADABLE


def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (("gone", "no such capture"), ("file", "not a capture"), (".", "it has no manifest.json")):
        with pytest.raises(CaptureError, match=message):
            _open(tmp_path / name)
