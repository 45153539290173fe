"""Writes files and folders whole: what is there stays until the new is complete, and half of one is never left.

What is written tells as much as the capture does, so it is for its owner only.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import UsageError

__all__ = ["check_output", "replacing"]


def check_output(path: Path, overwrite: bool, holds: Collection[str] = ()) -> None:
    """Raise UsageError where a file or folder cannot be made: before anything is read for it.

    With `overwrite` a file may be there, or, where a folder is to be made, one in which there is nothing but files that
    `holds` names. Anything else is not ours to delete.
    """
    path = Path(os.path.abspath(path))
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UsageError(f"no such folder: {path.parent}", "make it first, or give another with -o") from None
        return
    except OSError as error:  # such as a name too long
        raise _unwritable(path, error) from None
    if not overwrite:
        raise UsageError(f"it is there already: {path}", "give another with -o, or --overwrite to replace it")
    if not _replaceable(path, mode, holds):
        what = "what no export wrote is in it" if holds and stat.S_ISDIR(mode) else "it is no file"
        raise UsageError(f"it is not replaced, {what}: {path}", "give another with -o")


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror or error}", "give another with -o")


def _replaceable(path: Path, mode: int, holds: Collection[str]) -> bool:
    if not stat.S_ISDIR(mode):
        return stat.S_ISREG(mode)  # and no link: /dev/stdout is one
    return bool(holds) and all(
        entry.name in holds and entry.is_file(follow_symlinks=False) for entry in os.scandir(path)
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what is there when the block ends takes the place of `path`, and nothing if it fails.

    Raises UsageError where it cannot be written.
    """
    place = Path(os.path.abspath(path))
    part = place.with_name(f".{os.getpid()}.tmp{place.suffix}")
    before = os.umask(0o077)
    try:
        yield part
        if part.is_dir():
            _remove(place)
        part.replace(place)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        os.umask(before)
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
