"""A part of the recorder alone, without decoding or files: `python -m tests.bench.probes MODE`.

MODE is `calls` (a tracepoint a mapping call), `i386` (those, and the 32-bit probes), `raw` (raw_syscalls for all calls)
or `sideband` (perf's records, no BPF). Says `ready` once records are made, and drains them until standard input ends.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path

from recorder import probes
from recorder.btf import Btf, cflags
from recorder.decode import RECORDS
from recorder.perfring import PerfRings
from recorder.plan import private_tracefs
from recorder.ring import Columns
from recorder.syscalls import SYSCALLS

__all__ = ["MODES"]

MODES = ("calls", "i386", "raw", "sideband")


def main(mode: str) -> None:
    if mode == "sideband":
        with PerfRings.open_host(32 << 20) as rings:
            print("ready", flush=True)
            while not select.select([sys.stdin], [], [], 0.02)[0]:
                for _ in rings.drain():
                    pass
        return
    if mode == "raw":
        # an absolute path is taken as it is, wherever the other files are
        probes._FAMILIES = (*probes._FAMILIES, str(Path(__file__).with_name("raw_syscalls.c")))  # type: ignore[assignment]
    loaded = probes.Probes(cflags(Btf()), private_tracefs())
    if mode == "raw":
        loaded._raw("sys_exit", "raw_exit")
        loaded._raw("sys_enter", "raw_enter")
    else:
        for call in SYSCALLS:
            if call.family == "calls" and call.number >= 0:
                loaded._attach_syscall(call)
    if mode == "i386":
        loaded.attach_i386()
    ring, columns = loaded.rings["calls"], Columns(RECORDS["calls"], 1 << 16)
    loaded.start()
    print("ready", flush=True)
    ended = False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], 0.02)[0])
        while ring.drain(columns):
            columns.clear()


if __name__ == "__main__":
    main(sys.argv[1])
