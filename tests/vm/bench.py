"""What hooks cost, as a ratio, on a kernel that has them: `python -m tests.vm.bench`, as root.

In a guest whose clock counts instructions: emulation makes times worthless, and so does a busy machine. The workload
(tests/workloads/hammer.c) maps, protects and unmaps a page as fast as it can.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.support.workloads import build
from tests.vm.guest import boot
from tests.vm.image import write
from tests.vm.kernels import fetch

JOB = """
for hooks in off auto; do
    {python} -m recorder.cli run --hooks $hooks -o /tmp/$hooks -- {hammer} 30000 mix >/tmp/out/$hooks
done
{hammer} 30000 mix >/tmp/out/none
"""


def main() -> None:
    job = JOB.format(python=sys.executable, hammer=build("hammer"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write(place / "initramfs", job)
        boot(fetch("6.1"), place / "initramfs", place, timeout_s=1500, counted=True)
        cost = {name: _ns(place / name) for name in ("none", "off", "auto")}
    print(f"--hooks off   {cost['off'] / cost['none']:.2f} times the instructions of an untraced call")
    print(
        f"--hooks auto  {cost['auto'] / cost['none']:.2f}, {cost['auto'] / cost['off']:.2f} times those of --hooks off"
    )


def _ns(report: Path) -> float:
    """ns of a call, the mean over the kinds."""
    calls = re.findall(r"^\w+ calls (\d+) failed \d+ ns_per_call ([\d.]+)", report.read_text(), re.MULTILINE)
    return sum(int(count) * float(ns) for count, ns in calls) / sum(int(count) for count, _ in calls)


if __name__ == "__main__":
    main()
