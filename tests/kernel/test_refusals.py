"""What cannot be recorded is refused with a sentence and a hint, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.namespaces import UNPRIVILEGED, privately
from tests.support.recordings import RECORD, Capture, record_run
from tests.support.stored import read_capture

pytestmark = pytest.mark.usefixtures("short_recordings")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach and write to; pytest's own is for root alone."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


def refused(command: list[str | Path], status: int, cwd: Path) -> tuple[str, str]:
    """Message and hint of a recording that must not begin; nothing new may be in `cwd` after it."""
    before = sorted(cwd.rglob("*"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    message, blank, hint, *rest = done.stderr.splitlines()
    assert message.startswith("record: ")
    assert not message.endswith(".")
    assert blank == ""
    assert hint.startswith("hint: ")
    assert not rest, done.stderr
    assert sorted(cwd.rglob("*")) == before
    return message, hint


RUN, HOST = [*RECORD, "run", "-o", "capture", "--", "touch", "ran"], [*RECORD, "host", "-o", "capture"]
EITHER = pytest.mark.parametrize(("command", "status"), [(RUN, 125), (HOST, 4)], ids=["run", "host"])


@EITHER
def test_without_privilege(open_folder: Path, command: list[str], status: int) -> None:
    message, hint = refused([*UNPRIVILEGED, *command], status, open_folder)
    assert "root" in message
    assert "root" in hint


@EITHER
def test_without_btf(tmp_path: Path, command: list[str], status: int) -> None:
    (tmp_path / "empty").mkdir()
    setup = "mount --bind empty /sys/kernel/btf"
    message, hint = refused(privately(setup, command), status, tmp_path)
    assert "BTF" in message
    assert "CONFIG_DEBUG_INFO_BTF" in hint


@EITHER
def test_without_tracefs(tmp_path: Path, command: list[str], status: int) -> None:
    """No place to mount it on."""
    (tmp_path / "empty").mkdir()
    setup = (
        "umount -l /sys/kernel/tracing 2>/dev/null || true\n"
        "mount -t tmpfs none empty\nmkdir empty/btf\ncp /sys/kernel/btf/vmlinux empty/btf/\n"
        "mount --bind empty /sys/kernel"
    )
    message, hint = refused(privately(setup, command), status, tmp_path)
    assert "tracefs cannot be mounted at /sys/kernel/tracing: No such file or directory" in message
    assert "mount" in hint


@EITHER
def test_without_bcc(tmp_path: Path, command: list[str], status: int) -> None:
    (tmp_path / "empty").mkdir()
    setup = "for bcc in /usr/lib/python3*/*-packages/bcc; do mount --bind empty $bcc; done"
    message, hint = refused(privately(setup, command), status, tmp_path)
    assert "the Python package bcc" in message
    assert "python3-bpfcc" in hint


def test_a_directory_that_has_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "diary").write_text("mine")
    for command, status in ((RUN, 125), (HOST, 1)):
        message, hint = refused([*command], status, tmp_path)
        assert message == "record: output directory already exists: capture"
        assert "--output" in hint
    message, hint = refused([*RECORD, "host", "--overwrite", "-o", "capture"], 1, tmp_path)
    assert message == "record: not a capture, so it is not overwritten: capture"
    assert (tmp_path / "capture" / "diary").read_text() == "mine"


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "capture").write_text("a file")
    message, _ = refused([*HOST], 1, tmp_path)
    assert message == "record: not a directory: capture"


def test_a_parent_that_is_missing(tmp_path: Path) -> None:
    message, hint = refused([*RECORD, "run", "-o", "no/such/capture", "--", "touch", "ran"], 125, tmp_path)
    assert message == "record: no such directory: no/such"
    assert hint == "hint: make it first: mkdir -p no/such"


def test_a_file_system_that_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    setup = "mount --bind disk disk && mount -o remount,ro,bind disk"
    command = [*RECORD, "run", "-o", "disk/capture", "--", "touch", "ran"]
    message, hint = refused(privately(setup, command), 125, tmp_path)
    assert message == "record: file system is read-only: disk/capture"
    assert "--output" in hint


def test_a_directory_that_another_recorder_writes(tmp_path: Path) -> None:
    first = subprocess.Popen([*RECORD, "host", "-o", tmp_path / "capture"], stderr=subprocess.PIPE)
    try:
        while not (tmp_path / "capture" / "manifest.json").exists():
            assert first.poll() is None
        command = [*RECORD, "host", "--overwrite", "-o", tmp_path / "capture"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert done.stderr.startswith("record: another recording is writing there: ")
    finally:
        first.terminate()
        first.communicate(timeout=60)
    assert Capture(tmp_path / "capture").manifest["state"] == "complete"


def test_overwrite_replaces_a_capture_whole(tmp_path: Path) -> None:
    first, _ = record_run(tmp_path / "capture", ["true"])
    kept = first.manifest["started_ns"]
    shutil.copy(tmp_path / "capture/manifest.json", tmp_path / "capture/notes")  # not the recorder's own
    second, done = record_run(tmp_path / "capture", ["false"], "--overwrite", check=False)
    assert done.returncode == 1
    manifest, _ = read_capture(tmp_path / "capture")
    assert manifest["started_ns"] > kept
    assert manifest["command"] == ["false"]
    listed = {file["path"] for file in manifest["files"]}
    found = {str(path.relative_to(second.path)) for path in second.path.rglob("*") if path.is_file()}
    assert found == listed | {"manifest.json", "notes"}


@pytest.mark.parametrize(
    "options",
    [
        ["--ring-size", "much"],
        ["--ring-size", "-1"],
        ["--duration", "soon"],
        ["--duration", "0"],
        ["--memory", "1.5.2"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_bad_options_are_wrong_use(tmp_path: Path, options: list[str]) -> None:
    command = [*RECORD, "host", "-o", tmp_path / "capture", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert options[0] in done.stderr
    assert not (tmp_path / "capture").exists()


def test_the_manifest_tells_the_plan(tmp_path: Path) -> None:
    """What doctor would have said goes with the capture."""
    capture, _ = record_run(tmp_path / "capture", ["true"])
    report = json.loads(subprocess.run([*RECORD, "doctor", "--format", "json"], capture_output=True).stdout)
    assert [probe["fact"] for probe in capture.manifest["probe_plan"]] == [probe["fact"] for probe in report["plan"]]


def test_hooks_that_this_kernel_does_not_have_are_told(tmp_path: Path) -> None:
    """update_mmap_zero_pfn is in no kernel; do_nothing is no hook at all."""
    capture, done = record_run(tmp_path / "capture", ["true"], "--hooks", "update_mmap_zero_pfn")
    assert b"record: warning: hook zero_pfn is not to be had here: this kernel has none: no symbol" in done.stderr
    assert capture.manifest["options"]["hooks"] == ["zero_pfn"]
    assert not capture.rows("hooks")
    unknown = subprocess.run([*RECORD, "run", "--hooks", "do_nothing", "true"], capture_output=True, text=True)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("record: no such hook: do_nothing\n\nhint: auto, off, or some of: mmap, ")
