"""Import BCC, which the distribution installs, from a virtual environment of any Python.

BCC's Python half is pure Python over libbcc.so.0. Distributions put it into their own Python's
folder, which a virtual environment does not see. Only the package `bcc` is taken from there:
with the folder on `sys.path`, its other packages could stand in for the environment's.

`python -m recorder.bccpath` prints nothing when BCC imports, else the command that installs it.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

__all__ = ["BccMissing", "import_bcc", "install_command"]

_FOLDERS = (
    "usr/lib/python3/dist-packages",  # Debian, Ubuntu: one folder for every Python 3
    "usr/lib/python3.*/site-packages",  # Fedora, Arch, SUSE, Alpine
    "usr/lib64/python3.*/site-packages",
    "usr/local/lib/python3*/*-packages",  # built from source
)

# by the names of os-release's ID and ID_LIKE
_INSTALL = {
    "debian": "apt-get install -y python3-bpfcc",
    "ubuntu": "apt-get install -y python3-bpfcc",
    "fedora": "dnf install -y python3-bcc",
    "rhel": "dnf install -y python3-bcc",
    "arch": "pacman -S --noconfirm python-bcc",
    "suse": "zypper --non-interactive install python3-bcc",
    "opensuse": "zypper --non-interactive install python3-bcc",
    "alpine": "apk add py3-bcc",
}


class BccMissing(ImportError):
    """BCC cannot be imported; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, name="bcc")
        self.hint = hint


def install_command() -> str | None:
    """The command that installs BCC on this distribution, None if the distribution is not known."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((_INSTALL[name] for name in names if name in _INSTALL), None)


def import_bcc() -> Any:
    """The module `bcc`; BccMissing if there is none that works."""
    if "bcc" in sys.modules:
        return sys.modules["bcc"]
    command = install_command()
    hint = f"run: {command}" if command else "install BCC's Python package, see https://github.com/iovisor/bcc"
    problem = "the Python package bcc is not installed"
    for folders in (None, *([str(folder)] for pattern in _FOLDERS for folder in sorted(Path("/").glob(pattern)))):
        spec = PathFinder.find_spec("bcc", folders)  # None: sys.path
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules["bcc"] = module
        try:
            with warnings.catch_warnings():
                # BCC 0.26 writes regular expressions as plain strings, which Python 3.12 and later warn of
                warnings.simplefilter("ignore", SyntaxWarning)
                spec.loader.exec_module(module)
            module.BPF  # noqa: B018 - a stranger of that name on sys.path has none
        except (ImportError, OSError, AttributeError) as error:  # OSError: ctypes does not find libbcc.so.0
            for name in [name for name in sys.modules if name.partition(".")[0] == "bcc"]:
                del sys.modules[name]
            problem = f"the Python package bcc does not work: {error}"
        else:
            return module
    raise BccMissing(problem, hint)


if __name__ == "__main__":
    try:
        import_bcc()
    except BccMissing as error:
        print(install_command() or "")
        sys.exit(str(error))
