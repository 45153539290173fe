"""Other kernels, booted in QEMU: the tests of inside/ and those of doctor run there, and a program is held
against the kernel's own maps.

`make test-vm`; MAPTRAIL_KERNELS=6.1,7.2 chooses. One boot a kernel; some minutes, since it is emulated.
MAPTRAIL_KEEP=data records the captures in data/linux-* again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.capture import open_captures
from analysis.checks import compare
from analysis.engine import Engine
from tests.fidelity.__main__ import Verdict
from tests.support.requirements import requires
from tests.support.undecided import CASES, answers
from tests.support.workloads import build
from tests.vm.guest import boot
from tests.vm.image import write
from tests.vm.kernels import KERNELS, KernelError, fetch

pytestmark = pytest.mark.vm
CHOSEN = os.environ.get("MAPTRAIL_KERNELS", ",".join(KERNELS)).split(",")
INSIDE = [
    "tests/vm/inside",
    "tests/kernel/test_doctor.py::test_recording_works_where_these_tests_run",
    "tests/kernel/test_doctor.py::test_each_call_agrees_with_tracefs",
    "tests/kernel/test_doctor.py::test_each_raw_tracepoint_agrees_with_tracefs",
    "tests/kernel/test_doctor.py::test_hooks_agree_with_kallsyms",
    "tests/kernel/test_counts.py::test_calls_equal_the_workload_s_own_log[32]",
    "tests/kernel/test_stacks.py::test_who_called_libc_is_there_and_said_to_be_found_on_the_stack",
]
FIDELITY = "everycause-alone-64"
JOB = """
uname -r >/tmp/out/release
{python} -m pytest -q --tb=short --durations=9 -p no:cacheprovider --junitxml /tmp/out/tests.xml {tests}
{python} -c '
import json; from pathlib import Path
from tests.fidelity.recording import record; from tests.fidelity.workloads import WORKLOADS
_, held = record(WORKLOADS["{fidelity}"], Path("/tmp/fidelity"), 23, 15)
Path("/tmp/out/held").write_text(json.dumps(held))
' && cp -r /tmp/fidelity/capture /tmp/out/fidelity
mkdir /tmp/undecided
{python} -m recorder.cli run --hooks off -o /tmp/out/unhooked -- {undecided} /tmp/undecided >/tmp/out/unhooked.told
mount -t securityfs securityfs /sys/kernel/security
echo confidentiality >/sys/kernel/security/lockdown # for good
{python} -m recorder.cli doctor --format json >/tmp/out/locked.json
{python} -m recorder.cli run -o /tmp/locked true 2>/tmp/out/locked
echo $? >>/tmp/out/locked
"""


@pytest.fixture(scope="module")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    requires(shutil.which("qemu-system-x86_64"), "QEMU is not installed: sh .ci/setup qemu")
    build("hooks")
    build("files")
    build("stacks")
    undecided = build("undecided")
    for name in ("counts", "everycause"):  # there is no compiler in the guest
        build(name)
        build(name, 32)
    image = tmp_path_factory.mktemp("image") / "initramfs"
    write(image, JOB.format(python=sys.executable, tests=" ".join(INSIDE), fidelity=FIDELITY, undecided=undecided))
    yield image
    image.unlink()  # it is large


@pytest.fixture(scope="module", params=CHOSEN)
def guest(request: pytest.FixtureRequest, initramfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a guest with this kernel left. One boot for all that is asked of it."""
    try:
        kernel = fetch(request.param)
    except KernelError as error:
        requires(False, str(error))
        raise
    output = tmp_path_factory.mktemp(request.param)
    boot(kernel, initramfs, output, timeout_s=1500)
    assert (output / "release").read_text().startswith(request.param + ".")
    if keep := os.environ.get("MAPTRAIL_KEEP"):
        kept = Path(keep) / f"linux-{request.param}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(output / "capture", kept)
    return output


def test_every_test_passed_inside(guest: Path) -> None:
    cases = list(xml.etree.ElementTree.parse(guest / "tests.xml").iter("testcase"))
    told = (guest / "console").read_text(errors="replace")
    assert [case.get("name") for case in cases if len(case)] == [], told[-8000:]
    assert len(cases) >= 16


def test_the_rebuilt_maps_are_the_kernel_s(guest: Path) -> None:
    """Page by page, for a program that changes its address space in every way, as in tests/kernel/test_fidelity.py."""
    with Engine(open_captures([guest / "fidelity"])) as engine:
        outcome = compare(engine)
    verdict = Verdict(FIDELITY, guest / "fidelity", json.loads((guest / "held").read_text()), outcome)
    assert not [row for row in outcome.differences if row["doubt"] is None]
    assert not outcome.count("wrong")
    assert not verdict.unjudged and verdict.held


def test_what_is_possible_without_hooks_is_certain_with_them(guest: Path) -> None:
    """The same program, recorded without and with them: it is the hooks that decide."""
    unhooked = answers(guest / "unhooked", (guest / "unhooked.told").read_text())
    hooked = answers(guest / "capture", (guest / "undecided.told").read_text())
    for case in CASES:
        assert unhooked[case]["possible"] and not unhooked[case]["wrong"], (case, unhooked[case])
        assert set(hooked[case]) == {"certain"}, (case, hooked[case])


def test_a_kernel_in_lockdown_is_told(guest: Path) -> None:
    report = json.loads((guest / "locked.json").read_text())
    plan = {probe["fact"]: probe for probe in report["plan"]}
    assert plan["lockdown"]["why"] == "confidentiality: BPF may not read the kernel"
    assert report["recording"] is False
    assert "BPF programs that read the kernel" in [probe["fact"] for probe in report["fatal"]]
    *message, status = (guest / "locked").read_text().splitlines()
    assert status == "125"
    assert message[0].startswith("record: cannot record here: ")
    assert any(line.startswith("hint: ") for line in message)
