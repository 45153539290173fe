"""Hostile names are recorded byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.support.recordings import record_run
from tests.support.workloads import build


def test_names_survive_whatever_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    capture, done = record_run(tmp_path / "capture", [build("hostile"), folder])
    said = [line.split() for line in done.stdout.decode().splitlines()]
    bytes_of = {kind: [bytes.fromhex(text) for what, text in said if what == kind] for kind, _ in said}
    assert len(bytes_of["mapped"]) >= 10

    mapped = {row["path"] for row in capture.rows("vmas")}
    for path in bytes_of["mapped"]:
        assert path in mapped, path
    [comm] = bytes_of["comm"]
    assert comm in {row["comm"] for row in capture.rows("syscalls")}
    assert comm in {row["comm"] for row in capture.rows("tasks", event="rename")}
    for path in bytes_of["executed"]:
        executed = {row["path"] for row in capture.rows("tasks", event="exec", source="bpf")}
        assert any(path == other or path.endswith(other) for other in executed if other), path
