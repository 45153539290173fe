"""Record the captures in data/ again, all or some: `python -m tests.workloads.bundle [NAME…]`, as root.

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
    recordings = {
        "demo": lambda: demo("demo", 64), "demo-i386": lambda: demo("demo-i386", 32), "lossy": lossy,
        "checked": checked, "sigbus": sigbus, "maplimit": maplimit,
    }  # fmt: skip
    for name in sys.argv[1:] or recordings:
        recordings[name]()
    shutil.rmtree(FOLDER)


def start(name: str, program: Path, *arguments: str, options: list[str]) -> subprocess.Popen[bytes]:
    """`record run` of a program under its plain name, into data/NAME."""
    local = FOLDER / program.name
    shutil.copy(program, local)
    return recorded(name, f"./{local.name}", *arguments, options=options)


def recorded(name: str, *command: str, options: list[str]) -> subprocess.Popen[bytes]:
    shutil.rmtree(DATA / name, ignore_errors=True)
    return subprocess.Popen([RECORD, "run", "-o", DATA / name, *options, "--", *command])


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


def sigbus() -> None:
    """A service reads a file that it has mapped; a job writes the file anew and so cuts it first."""
    shutil.copy(build("service"), FOLDER / "service")
    (FOLDER / "cache.dat").write_bytes(bytes(64 << 10))
    scripts = {
        "refresh": "exec >cache.dat\nsleep 0.1\nhead -c 65536 /dev/zero\n",
        "start": "./service cache.dat >ready &\nuntil [ -s ready ]; do sleep 0.01; done\nsleep 0.2\n./refresh\nwait\n",
    }
    for script, text in scripts.items():
        (FOLDER / script).write_text(f"#!/bin/sh\n{text}")
        (FOLDER / script).chmod(0o755)
    assert recorded("sigbus", "./start", options=["--stacks", "--checkpoint-every", "100ms"]).wait() == 0


def maplimit() -> None:
    """A process keeps mapping a file until the kernel refuses: vm.max_map_count of them, 65530 by default."""
    (FOLDER / "index.dat").write_bytes(bytes(4096))
    assert start("maplimit", build("mapleak"), "index.dat", options=["--stacks"]).wait() == 1


if __name__ == "__main__":
    main()
