"""What `pip install` brings, and that the analysis half stands alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("recorder", "analysis")


def imported() -> set[str]:
    """Top-level names of the modules that the packages import, at any depth of their code."""
    names: set[str] = set()
    for source in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_what_is_declared_is_what_is_imported() -> None:
    declared, review = (
        {re.split(r"[<>=~! ;\[]", line)[0].replace("-", "_") for line in lines}
        for lines in (PROJECT["dependencies"], PROJECT["optional-dependencies"]["review"])
    )
    strangers = imported() - set(sys.stdlib_module_names) - set(PACKAGES)
    assert declared == strangers - {"rich"} - review  # rich comes with typer


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
    (path,) = folder.glob("maptrail-*.whl")
    return path


def test_wheel_holds_every_file_that_is_used_at_run_time(wheel: Path) -> None:
    wanted = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "analysis").rglob("*.sql")}
    report = (ROOT / "analysis" / "report").rglob("*")
    wanted |= {str(path.relative_to(ROOT)) for path in report if path.suffix in (".html", ".css", ".js")}
    wanted.add("analysis/report/d3/LICENSE")
    wanted |= {f"recorder/{path.relative_to(ROOT)}" for path in (ROOT / "bpf").rglob("*.[ch]")}
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.endswith(".c") for name in wanted)
    assert any(name.endswith("report.js") for name in wanted)
    stored = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert stored >= wanted
    assert {name.partition("/")[0] for name in stored} == set(PACKAGES)


@pytest.fixture(scope="session")
def laptop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("laptop") / "venv"
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    return folder / "bin"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_analyze_needs_neither_bcc_nor_the_recorder_s_bcc_half(laptop: Path) -> None:
    shown = run(laptop / "analyze", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "summary" in shown.stdout

    program = (
        "import sys, analysis.cli; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('bcc', 'recorder')))"
    )
    loaded = run(laptop / "python", "-c", program)
    assert loaded.returncode == 0, loaded.stderr
    assert not {"bcc", "recorder.bccpath", "recorder.probes"} & set(loaded.stdout.split())


def test_installed_record_finds_its_bpf_files(laptop: Path) -> None:
    program = "from recorder.bpfdir import bpf_dir; print(bpf_dir())"
    folder = Path(run(laptop / "python", "-c", program).stdout.strip())
    assert folder.is_relative_to(laptop.parent)
    assert (folder / "wire.h").read_bytes() == (ROOT / "bpf" / "wire.h").read_bytes()


def test_no_package_is_installed_that_nothing_asks_for(laptop: Path) -> None:
    """Each installed distribution is maptrail, pip, or required by another one."""
    program = (
        "import re, importlib.metadata as m\n"
        "name = lambda text: re.sub('[-_.]+', '-', re.match('[A-Za-z0-9._-]+', text)[0]).lower()\n"
        "for d in m.distributions():\n"
        "    print(name(d.name), *{name(r) for r in d.requires or () if 'extra ==' not in r})"
    )
    lines = [line.split() for line in run(laptop / "python", "-c", program).stdout.splitlines()]
    needs = {name: set(rest) for name, *rest in lines}
    reached, todo = set[str](), {"maptrail"}
    while todo:
        reached |= todo
        todo = {need for name in todo for need in needs.get(name, ())} - reached
    assert set(needs) - reached <= {"pip", "setuptools"}  # what venv itself puts there
