"""Run the real `record` and read what it wrote, with pyarrow alone.

The tests of the recorder do not go through `analysis`: what they compare with is the workload's
own log, or the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.schema import TABLES, arrow_schema

__all__ = ["RECORD", "Capture", "record_host", "record_run", "wait_until_recording"]

RECORD = (sys.executable, "-m", "recorder.cli")
_SLOWER = 10 if "MAPTRAIL_GUEST" in os.environ else 1  # a guest of tests/vm is emulated


@dataclass(frozen=True)
class Capture:
    """A capture as its manifest lists it."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.path / "manifest.json").read_text())
        return manifest

    def table(self, name: str) -> pa.Table:
        """All acknowledged rows of a table, dictionaries unfolded."""
        files = [self.path / f["path"] for f in self.manifest["files"] if f["table"] == name]
        tables = [pq.read_table(file) for file in files] or [arrow_schema(TABLES[name]).empty_table()]
        plain = pa.schema(
            [
                pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
                for f in arrow_schema(TABLES[name])
            ]
        )
        unfolded = (table.cast(pa.schema([plain.field(column) for column in table.column_names])) for table in tables)
        rows = pa.concat_tables([*unfolded, plain.empty_table()], promote_options="default")
        return rows.select(plain.names).sort_by(TABLES[name].time)

    def rows(self, name: str, **equal: Any) -> list[dict[str, Any]]:
        """Rows of a table whose columns equal the given values, in order of time."""
        table = self.table(name)
        for column, value in equal.items():
            table = table.filter(pc.equal(table[column], pa.scalar(value, table[column].type)))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows


def record_run(
    path: Path, command: Sequence[str | Path | bytes], *options: str, check: bool = True, **kwargs: Any
) -> tuple[Capture, subprocess.CompletedProcess[bytes]]:
    """`record run -o PATH OPTIONS -- COMMAND` to its end."""
    done = subprocess.run(
        [*RECORD, "run", "-o", path, *options, "--", *command], capture_output=True, timeout=300 * _SLOWER, **kwargs
    )
    if check:
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    return Capture(path), done


def wait_until_recording(path: Path, recorder: subprocess.Popen[bytes], timeout_s: float = 30) -> None:
    """Return once the capture at `path` has acknowledged its first batch, that is, events flow."""
    ends = time.monotonic() + timeout_s * _SLOWER
    while time.monotonic() < ends:
        with contextlib.suppress(OSError, ValueError):
            if json.loads((path / "manifest.json").read_text()).get("drained_to_ns"):
                return
        if recorder.poll() is not None:
            raise AssertionError(f"the recorder ended early: {recorder.communicate()[1].decode(errors='replace')}")
        time.sleep(0.02)
    raise AssertionError("the recorder did not begin")


@contextlib.contextmanager
def record_host(path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`record host` around a block; ended with SIGTERM, in good order."""
    recorder = subprocess.Popen([*RECORD, "host", "-o", path, *options], stderr=subprocess.PIPE)
    try:
        wait_until_recording(path, recorder)
        yield recorder
        recorder.terminate()
        _, errors = recorder.communicate(timeout=120 * _SLOWER)
        assert recorder.returncode == 0, errors.decode(errors="replace")
    finally:
        if recorder.poll() is None:
            recorder.kill()
            recorder.wait()
