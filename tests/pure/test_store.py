"""The store keeps the capture's contract on disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from recorder import store as store_module
from recorder.store import Store, StoreError
from tests.support.stored import ids, numbered, read_capture, rows

HEADER = {"maptrail": "0.1.0", "mode": "host", "command": ["a\udcff\n"]}


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "capture"


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


def locked(folder: Path) -> bool:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_a_new_capture_is_private_locked_and_readable_at_once(capture: Path) -> None:
    store = Store(capture, HEADER)
    manifest, tables = read_capture(capture)
    assert (manifest["format"], manifest["state"], manifest["failure"]) == (1, "recording", None)
    assert manifest["command"] == HEADER["command"]
    assert not any(tables.values())
    assert stat.S_IMODE(capture.stat().st_mode) == 0o700
    assert locked(capture)
    store.close("complete", ended_ns=7)
    assert not locked(capture)
    assert names(capture) == {"manifest.json"}
    last, _ = read_capture(capture)
    assert last == manifest | {"updated_ns": last["updated_ns"], "state": "complete", "ended_ns": 7}


def test_rows_count_when_the_manifest_lists_them(capture: Path) -> None:
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 23))
    assert ids(capture) == []
    store.commit(drained_to_ns=23)
    assert ids(capture) == list(range(23))
    store.append("syscalls", numbered(23, 0))
    store.append("syscalls", numbered(23, 6))
    store.commit()
    store.commit()
    assert ids(capture) == list(range(29))
    assert read_capture(capture)[0]["drained_to_ns"] == 23
    assert names(capture / "syscalls") == {"000001.parquet", "000002.parquet"}
    assert store.stored_bytes == sum(file.stat().st_size for file in (capture / "syscalls").iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in (capture / "syscalls").iterdir())
    store.close("complete")


def test_close_acknowledges_and_a_second_close_does_nothing(capture: Path) -> None:
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 5))
    store.close("failed", failure="why")
    store.close("complete")
    manifest, _ = read_capture(capture)
    assert (manifest["state"], manifest["failure"]) == ("failed", "why")
    assert ids(capture) == list(range(5))


def test_rows_of_another_shape_are_refused(capture: Path) -> None:
    store = Store(capture, HEADER)
    with pytest.raises(ValueError, match="ts_enter_ns"):
        store.append("syscalls", pa.table({"ts_ns": [1]}))
    store.commit()
    assert ids(capture) == []
    store.close("complete")


def fails(capture: Path, *, overwrite: bool = False) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store(capture, HEADER, overwrite=overwrite)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(".")
    assert caught.value.hint
    return caught.value


def test_a_missing_parent_is_named(capture: Path) -> None:
    error = fails(capture / "a b" / "c")
    assert str(error) == f"no such directory: {capture / 'a b'}"
    assert error.hint == f"make it first: mkdir -p '{capture / 'a b'}'"
    assert error.errno == errno.ENOENT


def test_a_file_is_not_a_directory(capture: Path) -> None:
    capture.write_text("mine")
    assert str(fails(capture, overwrite=True)) == f"not a directory: {capture}"
    assert str(fails(capture / "x")) == f"not a directory: {capture / 'x'}"
    assert capture.read_text() == "mine"


def test_an_empty_directory_is_taken_as_it_is(capture: Path) -> None:
    capture.mkdir(mode=0o755)
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 1))
    store.close("complete")
    assert stat.S_IMODE(capture.stat().st_mode) == 0o755
    assert stat.S_IMODE((capture / "syscalls").stat().st_mode) == 0o700


def test_an_existing_capture_is_kept_unless_told(capture: Path) -> None:
    old = Store(capture, HEADER)
    old.append("syscalls", numbered(0, 31))
    old.append("vmas", rows("vmas", ts_ns=[1]))
    old.close("complete")
    error = fails(capture)
    assert str(error) == f"output directory already exists: {capture}"
    assert "--overwrite" in error.hint
    assert ids(capture) == list(range(31))

    (capture / "notes.txt").write_text("mine")
    new = Store(capture, HEADER, overwrite=True)
    assert ids(capture) == []
    assert names(capture) == {"manifest.json", "manifest.json.tmp", "notes.txt"}
    new.append("syscalls", numbered(50, 2))
    new.close("complete")
    assert ids(capture) == [50, 51]


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"format": 1}', '{"maptrail": "1"}', "\udcff"])
def test_overwrite_never_deletes_what_is_not_a_capture(capture: Path, manifest: str | None) -> None:
    (capture / "syscalls").mkdir(parents=True)
    (capture / "syscalls" / "000001.parquet").write_text("mine")
    (capture / "manifest.json.tmp").write_text("mine")
    if manifest is not None:
        (capture / "manifest.json").write_text(manifest, errors="surrogateescape")
    assert str(fails(capture, overwrite=True)) == f"not a capture, so it is not overwritten: {capture}"
    assert (capture / "syscalls" / "000001.parquet").read_text() == "mine"
    assert (capture / "manifest.json.tmp").read_text() == "mine"


def test_overwrite_does_not_follow_links_out_of_the_capture(capture: Path, tmp_path: Path) -> None:
    Store(capture, HEADER).close("complete")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "000001.parquet").write_text("mine")
    (capture / "syscalls").symlink_to(elsewhere)
    store = Store(capture, HEADER, overwrite=True)
    with pytest.raises(StoreError, match="not a directory"):
        store.append("syscalls", numbered(0, 1))
    store.close("failed")
    assert (elsewhere / "000001.parquet").read_text() == "mine"


def test_a_capture_being_recorded_is_never_overwritten(capture: Path) -> None:
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 3))
    for overwrite in (False, True):
        assert str(fails(capture, overwrite=overwrite)) == f"another recording is writing there: {capture}"
    assert "manifest.json.tmp" in names(capture)
    store.close("complete")
    assert ids(capture) == [0, 1, 2]


def test_renaming_the_capture_while_recording_does_no_harm(capture: Path) -> None:
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 3))
    store.commit()
    moved = capture.rename(capture.with_name("moved"))
    store.append("syscalls", numbered(3, 4))
    store.append("vmas", rows("vmas", ts_ns=[1]))
    store.close("complete")
    assert ids(moved) == list(range(7))
    assert not capture.exists()


def test_removing_the_capture_while_recording_is_an_error_each_time(capture: Path) -> None:
    store = Store(capture, HEADER)
    store.append("syscalls", numbered(0, 3))
    store.commit()
    shutil.rmtree(capture)
    capture.mkdir()
    for action in (
        lambda: store.append("syscalls", numbered(3, 3)),
        lambda: store.append("vmas", rows("vmas", ts_ns=[1])),
        store.commit,
        store.compact,
        lambda: store.close("failed"),
    ):
        if action == store.compact:
            action()  # nothing reads back, so nothing is merged
            continue
        with pytest.raises(StoreError, match="capture directory is gone") as caught:
            action()
        assert caught.value.errno == errno.ENOENT
    assert names(capture) == set()


def test_tidy_keeps_the_files_few_and_every_row_once(capture: Path) -> None:
    store = Store(capture, HEADER)
    row = 0
    most = merges = 0
    for batch in range(293):
        store.append("syscalls", numbered(row, 1 + batch % 5))
        row += 1 + batch % 5
        store.commit()
        merges += store.tidy()
        most = max(most, len(json.loads((capture / "manifest.json").read_bytes())["files"]))
        if batch % 97 == 0:
            assert ids(capture) == list(range(row))
    assert merges == 4  # of 65 files each
    assert most <= 65 + merges
    manifest, _ = read_capture(capture)
    assert names(capture / "syscalls") == {Path(entry["path"]).name for entry in manifest["files"]}
    times = [entry["from_ns"] for entry in manifest["files"]]
    assert times == sorted(times)
    assert ids(capture) == list(range(row))
    store.close("complete")


def test_tidy_merges_merged_files_only_with_their_like(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SMALL_FILES", 3)
    store = Store(capture, HEADER)
    for batch in range(64):
        store.append("syscalls", numbered(batch, 1))
        store.commit()
        while store.tidy():
            pass
    assert [entry["rows"] for entry in read_capture(capture)[0]["files"]] == [64]
    assert ids(capture) == list(range(64))
    store.close("complete")


def test_tidy_does_not_touch_what_is_not_acknowledged(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SMALL_FILES", 1)
    store = Store(capture, HEADER)
    for first in (0, 1):
        store.append("syscalls", numbered(first, 1))
    store.commit(drained_to_ns=2)
    store.append("syscalls", numbered(2, 1))
    assert store.tidy()
    assert not store.tidy()
    assert ids(capture) == [0, 1]
    store.close("complete")
    assert ids(capture) == [0, 1, 2]


def test_compact_sorts_by_process_and_time_in_bounded_files(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FINAL_ROWS", 100)
    store = Store(capture, HEADER)
    for first in range(0, 430, 43):
        store.append("syscalls", numbered(first, 43))
        store.append("losses", rows("losses", from_ns=[first, 0], to_ns=[first, first]))
    store.commit()
    progress: list[float] = []
    store.compact(progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert ids(capture) == list(range(430))
    manifest, tables = read_capture(capture)
    assert [part.num_rows for part in tables["syscalls"]] == [86] * 5
    starts = [entry["from_ns"] for entry in manifest["files"] if entry["table"] == "syscalls"]
    assert starts == [0, 86, 172, 258, 344]
    for part in tables["syscalls"]:
        keys = list(zip(part["pid"].to_pylist(), part["ts_enter_ns"].to_pylist(), strict=True))
        assert keys == sorted(keys)
    (losses,) = tables["losses"]
    assert losses["from_ns"].to_pylist() == [0] * 11 + list(range(43, 430, 43))
    assert losses["to_ns"].to_pylist()[:11] == [0, *range(0, 430, 43)]  # equal times keep their order
    before = manifest["files"]
    store.compact()
    assert read_capture(capture)[0]["files"] == before  # nothing is left to do
    store.close("complete")


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_batch_is_left_for_the_reader_to_judge(capture: Path, damage: str) -> None:
    store = Store(capture, HEADER)
    for first in range(70):
        store.append("syscalls", numbered(first, 1))
    store.append("vmas", rows("vmas", ts_ns=[5]))
    store.append("vmas", rows("vmas", ts_ns=[4]))
    store.commit()
    file = capture / "syscalls" / "000003.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.unlink()
    if damage == "flip":
        file.write_bytes(data)
    before = json.loads((capture / "manifest.json").read_bytes())["files"][:-2]
    assert store.tidy()
    assert not store.tidy()
    store.compact()
    store.close("complete")
    after = json.loads((capture / "manifest.json").read_bytes())["files"]
    assert after[:-1] == before
    assert (after[-1]["table"], after[-1]["rows"]) == ("vmas", 2)


def test_an_interrupted_compaction_loses_nothing(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FINAL_ROWS", 10)
    store = Store(capture, HEADER)
    for first in range(40):
        store.append("syscalls", numbered(first, 1))
    store.commit()

    def interrupt(done: float) -> None:
        if done > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.compact(interrupt)
    assert ids(capture) == list(range(40))
    assert len(read_capture(capture)[0]["files"]) == 22
    store.close("complete")
    assert ids(capture) == list(range(40))
