"""Disks that fill and disks that turn read-only, for real: small file systems, mounted where nobody else sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# each runs with a file system of 1 MiB of its own as the working directory
FULL = """
capture = Path("capture")
store = Store(capture, {"maptrail": "0.1.0"})
kept = row = 0
store.append("syscalls", noise(row, 400)); row += 400
store.commit()
while True:
    try:
        store.append("syscalls", noise(row, 400))
    except StoreError as error:
        assert error.errno == errno.ENOSPC, error
        assert str(error) == "no space left for the capture: capture", error
        assert error.hint
        break
    row += 400
with open("filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
# not a block is left: earlier batches are whole, and the manifest can still tell of the loss
assert [entry for entry in os.listdir("capture/syscalls") if not entry.endswith(".parquet")] == []
assert ids(capture) == list(range(400))
store.commit(losses=[{"source": "writer", "cause": "no space left", "count": 400}])
assert ids(capture) == list(range(row))
assert read_capture(capture)[0]["losses"][0]["count"] == 400
try:
    store.compact()
    raise SystemExit("compaction fitted into a full disk")
except StoreError as error:
    assert error.errno == errno.ENOSPC, error
assert ids(capture) == list(range(row))
# space comes back
os.unlink("filler")
os.unlink("ballast")
store.append("syscalls", noise(row, 400)); row += 400
store.compact()
store.close("complete")
assert ids(capture) == list(range(row))
assert read_capture(capture)[0]["state"] == "complete"
assert sorted(os.listdir("capture")) == ["manifest.json", "syscalls"]
"""

FULL_FROM_THE_START = """
with open("filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
try:
    Store(Path("capture"), {"maptrail": "0.1.0"})
    raise SystemExit("a capture fitted onto a full disk")
except StoreError as error:
    assert error.errno == errno.ENOSPC, error
assert not os.path.exists("capture")
"""

READ_ONLY = """
capture = Path("capture").absolute()
store = Store(capture, {"maptrail": "0.1.0"})
store.append("syscalls", numbered(0, 7))
store.commit()
remount("ro")
for action in (lambda: store.append("syscalls", numbered(7, 7)), store.commit):
    try:
        action()
        raise SystemExit("written to a read-only file system")
    except StoreError as error:
        assert error.errno == errno.EROFS, error
        assert str(error) == f"file system is read-only: {capture}", error
assert ids(capture) == list(range(7))
try:
    Store(capture.with_name("other"), {"maptrail": "0.1.0"})
    raise SystemExit("a capture was made on a read-only file system")
except StoreError as error:
    assert error.errno == errno.EROFS, error
remount("rw")
store.append("syscalls", numbered(7, 4))
store.close("complete")
assert ids(capture) == list(range(11))
"""

NOT_PERMITTED = """
store = Store(Path("capture"), {"maptrail": "0.1.0"})
store.append("syscalls", numbered(0, 7))
store.commit()
os.chown("capture/syscalls", 65534, 65534)
os.chown("capture", 65534, 65534)
os.seteuid(65534)
os.chmod("capture", 0o500)
os.chmod("capture/syscalls", 0o500)
losses = rows("losses", from_ns=[1])
for action in (lambda: store.append("syscalls", numbered(7, 7)), lambda: store.append("losses", losses),
               lambda: Store(Path("other"), {"maptrail": "0.1.0"})):
    try:
        action()
        raise SystemExit("written without permission")
    except StoreError as error:
        assert error.errno == errno.EACCES, error
        assert str(error).startswith("not permitted to write the capture: "), error
os.seteuid(0)
assert ids(Path("capture")) == list(range(7))
"""

PROLOGUE = """
import errno, os, subprocess, sys
from pathlib import Path
import numpy as np
from recorder.store import Store, StoreError
from tests.support.stored import ids, numbered, read_capture, rows

def noise(first, count):  # rows that do not compress
    return rows(
        "syscalls", ts_enter_ns=range(first, first + count), ptr=np.random.default_rng(first).integers(0, 2**63, count)
    )

def remount(mode):
    subprocess.run(["mount", "-o", f"remount,{mode}", os.getcwd()], check=True)

Path("ballast").write_bytes(bytes(300_000))
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(FULL, id="full"),
        pytest.param(FULL_FROM_THE_START, id="full-from-the-start"),
        pytest.param(READ_ONLY, id="read-only"),
        pytest.param(NOT_PERMITTED, id="not-permitted"),
    ],
)
def test_a_disk_that_cannot_be_written_is_an_error_and_costs_nothing_stored(program: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROLOGUE + program)
    mount = f'mount -t tmpfs -o size=1m,mode=0755 none "$1" && cd "$1" && exec "{sys.executable}" "$2"'
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", str(tmp_path / "disk"), str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
