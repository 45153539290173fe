"""Record the captures in data/ again: `python -m tests.workloads.bundle`, as root.

They are recordings of small programs of this project, run from a neutral folder on a host called "example".
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.workloads import build

DATA = Path(__file__).resolve().parents[2] / "data"
FOLDER = Path("/tmp/example")
RECORD = Path(sys.executable).with_name("record")
CLONE_NEWUTS = 0x4000000


def main() -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUTS):
        sys.exit("cannot make a host name of our own: run as root")
    socket.sethostname("example")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    os.chdir(FOLDER)
    demo("demo", 64)
    demo("demo-i386", 32)
    lossy()
    checked()
    shutil.rmtree(FOLDER)


def start(name: str, program: Path, *arguments: str, options: list[str]) -> subprocess.Popen[bytes]:
    """`record run` of a program under its plain name, into data/NAME."""
    local = FOLDER / program.name
    shutil.copy(program, local)
    shutil.rmtree(DATA / name, ignore_errors=True)
    return subprocess.Popen([RECORD, "run", "-o", DATA / name, *options, "--", f"./{local.name}", *arguments])


def demo(name: str, bits: int) -> None:
    files = FOLDER / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    assert start(name, build("demo", 64 if bits == 64 else 32), str(files), options=["--stacks"]).wait() == 0


def lossy() -> None:
    """A ring of a few hundred calls, and a recorder that stands still for a moment."""
    arguments = ["30000", "mix", "--rate", "20000"]
    recorder = start("lossy", build("hammer"), *arguments, options=["--ring-size", "128k"])
    while not (DATA / "lossy" / "manifest.json").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    recorder.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    recorder.send_signal(signal.SIGCONT)
    assert recorder.wait() == 0


def checked() -> None:
    """Two threads, held still from time to time while their maps are read."""
    options = ["--checkpoint-every", "100ms", "--freeze"]
    assert start("checked", build("hammer"), "3001", "mix", "2", "--rate", "3000", options=options).wait() == 0


if __name__ == "__main__":
    main()
