"""The file system of a guest: Python, the packages, BCC, a shell and this repository, copied from the running one.

It is an initramfs, so the guest needs no driver: nothing but the kernel's image has to be fetched, the guest starts in
seconds, and it has no way to write to the machine it runs on.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from packaging.requirements import Requirement

__all__ = ["write"]

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("maptrail", "pytest")  # and what they need
PROGRAMS = (
    "sh", "cat", "cp", "date", "dd", "ls", "mkdir", "mount", "umount", "setpriv", "sh", "sleep", "timeout", "true",
    "uname", "unshare",
)  # fmt: skip
_UNUSED = re.compile(  # what would only take memory
    r"/(tests?|idlelib|tkinter|ensurepip|lib2to3|turtledemo|site-packages|config-3[^/]*|include)/"
    r"|/lib(arrow_(flight|s3|substrait|gcs|azure)|gandiva)|\.(a|pyi|h|hpp|lib|opt-\d\.pyc)$"
)
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
exec </dev/null >/dev/ttyS0 2>&1
echo example >/proc/sys/kernel/hostname
export PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 PYTHONPATH={repository} PYTHONDONTWRITEBYTECODE=1
export MAPTRAIL_REQUIRE_KERNEL=1 MAPTRAIL_GUEST=/tmp/out
cd {repository}
mkdir /tmp/out
sh /job
echo $? >/tmp/out/status
{python} tests/vm/deliver.py /tmp/out /dev/ttyS1
echo o >/proc/sysrq-trigger
sleep 60
"""


def write(target: Path, job: str) -> None:
    """Write an initramfs that runs `job`, a shell script, in the repository, and hands /tmp/out over when it ends."""
    partial = target.with_suffix(f".{os.getpid()}")
    with open(partial, "wb") as file:
        archive = _Archive(file)
        for link in ("bin", "sbin", "lib", "lib32", "lib64"):
            archive.link(f"/{link}", f"usr/{link}")
        for folder in ("proc", "sys", "dev", "tmp", "root", "usr/bin", "usr/sbin", "usr/lib", "usr/lib32", "usr/lib64"):
            archive.folder(f"/{folder}")
        for path in _files():
            archive.add(path)
        archive.text("/init", INIT.format(repository=REPOSITORY, python=sys.executable), 0o755)
        archive.text("/job", job)
        archive.end()
    partial.rename(target)


class _Archive:
    """cpio in its "newc" form: Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seen: set[str] = set()

    def add(self, path: str) -> None:
        """A file or link under its own name, with the folders above it, and what a link leads to."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path in self._seen:
            return
        self.folder(os.path.dirname(path))
        state = os.lstat(path)
        if os.path.islink(path):
            self.link(path, os.readlink(path))
            if os.path.isfile(path):
                self.add(os.path.join(os.path.dirname(path), os.readlink(path)))
        else:
            self._entry(path, Path(path).read_bytes(), state.st_mode, int(state.st_mtime))

    def folder(self, path: str) -> None:
        if path != "/" and path not in self._seen:
            self.folder(os.path.dirname(path))
            self._entry(path, b"", 0o40755)

    def link(self, path: str, to: str) -> None:
        self._entry(path, to.encode(), 0o120777)

    def text(self, path: str, text: str, mode: int = 0o644) -> None:
        self._entry(path, text.encode(), 0o100000 | mode)

    def _entry(self, path: str, data: bytes, mode: int, mtime: int = 0) -> None:
        self._seen.add(path)
        name = path.lstrip("/").encode() + b"\0"
        numbers = (len(self._seen), mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name
        self._file.write(head.ljust(-(-len(head) // 4) * 4, b"\0"))
        self._file.write(data.ljust(-(-len(data) // 4) * 4, b"\0"))

    def end(self) -> None:
        self._entry("TRAILER!!!", b"", 0)


def _files() -> Iterator[str]:
    own = [
        *_tree(REPOSITORY, ("recorder", "analysis", "bpf", "tests", ".cache/workloads")),
        REPOSITORY / "pyproject.toml",
    ]
    python = [*_standard_library(), *_packages(), *_environment()]
    bcc = [str(path) for path in Path("/usr/lib/python3/dist-packages/bcc").rglob("*") if path.is_file()]
    programs = [found for name in PROGRAMS if (found := shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin"))]
    files = [str(path) for path in (*own, *python, *bcc, *programs)]
    files += [path for path in ("/etc/ld.so.cache", "/etc/os-release", "/usr/lib/os-release") if os.path.exists(path)]
    yield from files
    libraries = [path for path in files if re.search(r"\.so[.\d]*$", path)]
    binaries = [
        *programs,
        os.path.realpath(sys.executable),
        *libraries,
        *_shared("libbcc.so.0", "libbpf.so.1", "libbpf.so.0"),
    ]
    yield from _needed(binaries)
    yield from _needed(str(path) for path in _tree(REPOSITORY, (".cache/workloads",)))


def _tree(base: Path, folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in (base / folder).rglob("*") if path.is_file())


def _standard_library() -> Iterator[str]:
    for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*"):
        if path.is_file() and not _UNUSED.search(str(path)):
            yield str(path)


def _packages() -> Iterator[str]:
    todo, done = [Requirement(name) for name in PACKAGES], set()
    while todo:
        wanted = todo.pop()
        if wanted.name in done or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        done.add(wanted.name)
        distribution = importlib.metadata.distribution(wanted.name)
        todo += [Requirement(text) for text in distribution.requires or ()]
        for file in distribution.files or ():
            path = os.path.normpath(str(distribution.locate_file(file)))
            if os.path.isfile(path) and not _UNUSED.search(path.partition("site-packages")[2]):
                yield path


def _environment() -> Iterator[str]:
    """The interpreter, and what makes it know its virtual environment."""
    path = sys.executable
    while True:
        yield path
        if not os.path.islink(path):
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    config = Path(sys.prefix) / "pyvenv.cfg"
    if config.exists():
        yield str(config)


def _shared(*names: str) -> list[str]:
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return [found[1] for name in names if (found := re.search(rf"{re.escape(name)} \(libc6,x86-64\) => (\S+)", cache))]


def _needed(binaries: Iterable[str]) -> Iterator[str]:
    """The binaries and every library they are linked with."""
    binaries = list(binaries)
    yield from binaries
    if binaries:
        listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
        yield from set(re.findall(r"(?:=> |^\t)(/\S+)", listed, re.MULTILINE))
