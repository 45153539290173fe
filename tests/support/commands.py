"""Runs `analyze` as a user does, or, where only its rows matter, in this process, which is quicker."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.cli import app

__all__ = ["analyze", "analyze_rows", "analyze_table"]

_ROOT = Path(__file__).resolve().parents[2]


def analyze(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """`analyze ARGUMENTS`, which must end with this status."""
    done = _run(arguments)
    text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert text.returncode == status, text.stderr
    return text


def analyze_rows(*arguments: object) -> list[dict[str, Any]]:
    """What `analyze ARGUMENTS` prints as json, without a process of its own."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        app([*map(str, arguments), "--format", "json"], standalone_mode=False)
    rows: list[dict[str, Any]] = json.loads(printed.getvalue())
    return rows


def analyze_table(*arguments: object, format: str) -> pa.Table:
    """What `analyze ARGUMENTS` prints as parquet or arrow."""
    done = _run((*arguments, "--format", format))
    assert done.returncode == 0, done.stderr
    source = pa.BufferReader(done.stdout)
    return pq.read_table(source) if format == "parquet" else pa.ipc.open_stream(source).read_all()


def _run(arguments: tuple[object, ...]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", "from analysis.cli import main; main()", *map(str, arguments)],
        capture_output=True, timeout=120, check=False,
        # Textual, driven in this process, leaves LINES behind
        env={**os.environ, "PYTHONPATH": str(_ROOT), "COLUMNS": "200", "LINES": ""},
    )  # fmt: skip
