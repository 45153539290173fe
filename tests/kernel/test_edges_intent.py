"""What the kernel made of calls that asked for something else, against what the program sees of itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.commands import analyze_rows
from tests.support.recordings import record_run

PROGRAM = """
import ctypes, json
libc = ctypes.CDLL(None)
libc.mmap.restype = libc.mmap64.restype = ctypes.c_void_p
PAGE, RW, PRIVATE = 4096, 3, 0x22
mmap = lambda at, prot: libc.mmap(ctypes.c_void_p(at), ctypes.c_size_t(PAGE), prot, PRIVATE, -1, ctypes.c_long(0))
perms = lambda at: next(line.split()[1] for line in open("/proc/self/maps") if line.startswith("%x-" % at) or
    int(line.split("-")[0], 16) <= at < int(line.split()[0].split("-")[1], 16))
plain = mmap(0, RW)
plain_perms = perms(plain)
taken = mmap(plain, RW)
libc.personality(0x0400000)
given = mmap(0, RW)
print(json.dumps({"plain": plain_perms, "perms": perms(given), "given": given, "hint": plain, "taken": taken}))
"""


def test_what_was_asked_and_what_was_used(tmp_path: Path) -> None:
    capture, done = record_run(tmp_path / "capture", [sys.executable, "-c", PROGRAM])
    saw = json.loads(done.stdout)
    assert (saw["plain"], saw["perms"]) == ("rw-p", "rwxp")
    assert saw["taken"] != saw["hint"]
    rows = {
        row["facts"]["what"]: row
        for row in analyze_rows("edges", capture.path, "--kind", "intent_effect", "--severity", "info", "--expected")
    }
    assert rows["protection"]["start"] == saw["given"]
    facts = rows["protection"]["facts"]
    assert (facts["asked"], facts["used"], facts["told_by"]) == ("rw-", "rwxp", "records")
    assert (rows["protection"]["severity"], rows["protection"]["expected"]) == ("medium", None)
    assert int(rows["address"]["facts"]["calls"]) >= 1
    assert rows["address"]["expected"]
