"""A recorder as hasty as possible, to be killed: prints the rows it has promised to keep.

Usage: store_writer.py CAPTURE [--overwrite]
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from recorder import store
from recorder.store import Store
from tests.support.stored import numbered


def main() -> None:
    store.SMALL_FILES = 3  # merge, and so publish and unlink, all the time
    out = Store(Path(sys.argv[1]), {"maptrail": "test"}, overwrite="--overwrite" in sys.argv)
    row = 0
    for batch in count(1):
        size = 1 + batch % 13
        out.append("syscalls", numbered(row, size))
        row += size
        if batch % 3 == 0:
            out.commit(drained_to_ns=row)
            print(row, flush=True)
        out.tidy()
        if batch % 29 == 0:
            out.compact()


if __name__ == "__main__":
    main()
