"""A SQLite database that is mapped, and grows and shrinks without end; the argument is a seed."""

from __future__ import annotations

import random
import sqlite3
import sys

__all__ = ["main"]


def main(seed: int) -> None:
    """Insert, delete and vacuum, over two connections that both map the file."""
    chance = random.Random(seed)
    connections = [sqlite3.connect("grown.db", isolation_level=None) for _ in range(2)]
    for each in connections:
        each.execute("PRAGMA mmap_size = 1073741824")
        each.execute("PRAGMA journal_mode = WAL")
        each.execute("PRAGMA busy_timeout = 10000")
    connections[0].execute("CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v BLOB)")
    while True:
        for each in connections:
            rows = [(chance.randbytes(4000),) for _ in range(chance.randrange(1, 400))]
            each.execute("BEGIN IMMEDIATE")
            each.executemany("INSERT INTO t (v) VALUES (?)", rows)
            each.execute("COMMIT")
            each.execute("SELECT sum(length(v)) FROM t").fetchone()
        if chance.random() < 0.1:
            connections[0].execute("DELETE FROM t WHERE k % 3 <> 0")
            connections[0].execute("VACUUM")
            connections[0].execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    main(int(sys.argv[1]))
