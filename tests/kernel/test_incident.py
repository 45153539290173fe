"""The incident that README.md tells, once more: what it prints is what the commands print."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.commands import analyze
from tests.support.recordings import record_host
from tests.support.workloads import build

README = Path(__file__).parents[2] / "README.md"


def _shape(text: str) -> list[str]:
    """The words of what a command printed, with numbers and the name of the folder left out, and without stacks."""
    lines = [line for line in text.splitlines() if not re.match(" {25}(at [^0]|   )", line)]
    words = re.sub(r"\S*/cache\.dat", "FILE", " ".join(" ".join(lines).split()))
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?( us| ms)?", "N", words).split()


def _printed(readme: str, command: str) -> str:
    block = re.search(rf"^\$ analyze {command}[^\n]*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block
    return block[1]


def test_a_service_dies_and_the_culprit_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cache.dat"
    file.write_bytes(bytes(64 << 10))
    with record_host(tmp_path / "incident", "--stacks"):
        service = subprocess.Popen([build("service"), file], stdout=subprocess.PIPE)
        assert service.stdout is not None
        service.stdout.readline()
        shell = subprocess.Popen(["sh", "-c", f": > {file}"])
        shell.wait()
        assert service.wait() == -7
        service.stdout.close()
    readme = README.read_text().partition("## An incident")[2]
    listed = analyze("why", tmp_path / "incident", "--pid", service.pid)
    assert f"service (pid {service.pid}) was killed by SIGBUS" in listed.stdout
    assert f"sh (pid {shell.pid}) had cut" in " ".join(listed.stdout.split())
    assert _shape(listed.stdout) == _shape(_printed(readme, "why incident"))
    hint = re.search(r"hint: .*: analyze why \S+ (.*)", listed.stderr)
    assert hint
    told = analyze("why", tmp_path / "incident", *hint[1].split())
    assert _shape(told.stdout) == _shape(_printed(readme, "why incident --pid"))
