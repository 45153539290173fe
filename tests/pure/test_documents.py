"""README.md and docs/: what they show is what happens, and what is made of the code is as the code is."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import analysis.cli
import recorder.cli
from docs.generate import pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "dictionary.md")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS_ROOT = {
    "analyze why incident": "tests/kernel/test_incident.py",
    "record run -o demo": "tests/kernel/test_documents.py",
}
"""Sessions on captures that are not bundled, and the test that has them."""


def sessions() -> Iterator[tuple[str, str, str]]:
    """Every command that is shown with its output: page, command, output."""
    for page in PAGES:
        for kind, block in BLOCK.findall(page.read_text()):
            if kind:
                continue
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                lines = part.split("\n")
                count = next(n for n in range(1, len(lines)) if closed("\n".join(lines[:n])))
                yield page.name, "\n".join(lines[:count]), "\n".join(lines[count:])


def closed(command: str) -> bool:
    """Whether every quotation mark of a command has its other one."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


SHOWN = [each for each in sessions() if not each[1].startswith(tuple(NEEDS_ROOT))]


def matches(shown: str, printed: str) -> bool:
    """Whether a line `...` can stand for what is printed more."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.$\n?", shown, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*".join(parts), printed) is not None


def test_there_are_sessions_and_dots_match_whole_lines() -> None:
    assert len(SHOWN) > 15
    assert matches("a\n...\nd\n", "a\nb\nc\nd\n")
    assert matches("a\n...\n", "a\nb\n")
    assert not matches("a\n...\nd\n", "a\nbd\n")
    assert not matches("a\nd\n", "a\nb\nd\n")


@pytest.mark.parametrize(
    ("page", "command", "shown"), SHOWN, ids=[f"{page}: {command[:60]}" for page, command, _ in SHOWN]
)
def test_what_is_shown_is_what_is_printed(page: str, command: str, shown: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    told = re.sub(r"^\n?hint:.*\n", "", done.stderr, flags=re.MULTILINE)  # hints are left out
    printed = re.sub(r" +$", "", done.stdout + told, flags=re.MULTILINE).rstrip("\n") + "\n"
    assert done.returncode == 0, done.stderr
    # of a command whose messages are not shown either, the output alone
    alone = re.sub(r" +$", "", done.stdout, flags=re.MULTILINE).rstrip("\n") + "\n"
    wanted = shown.rstrip("\n") + "\n"
    assert matches(wanted, printed) or matches(wanted, alone), f"{page} shows\n{shown}\nprinted was\n{printed}"


def test_sessions_that_need_root_have_a_test() -> None:
    for command, file in NEEDS_ROOT.items():
        assert any(command in page.read_text() for page in PAGES)
        assert (ROOT / file).exists()


def test_python_that_is_shown_runs() -> None:
    [program, *_] = [
        block for kind, block in BLOCK.findall((ROOT / "docs" / "python.md").read_text()) if kind == "python"
    ]
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "service (pid 1672) was killed by SIGBUS" in done.stdout
    assert "certain: 24 mappings" in done.stdout


def options() -> dict[str, set[str]]:
    """Every command with the options that it has."""
    found = {}
    for program, app in (("analyze", analysis.cli.app), ("record", recorder.cli.app)):
        group: Any = typer.main.get_command(app)
        for name, command in group.commands.items():
            names = [each for option in command.params for each in (*option.opts, *option.secondary_opts)]
            found[f"{program} {name}"] = {each for each in names if each.startswith("-")} | {"--help"}
    return found


def test_commands_and_options_that_are_named_are_there() -> None:
    known = options()
    seen = 0
    for page in PAGES:
        text = page.read_text()
        quoted = [code for line in re.findall(r"`([^`\n]+)`", text) for code in [line]]
        for line in [*quoted, *(line for _, block in BLOCK.findall(text) for line in block.splitlines())]:
            match = re.match(r"(?:\$ )?((?:record|analyze) [a-z]+)\b(.*)", line)
            if match is None or match[1].startswith("record: "):
                continue
            seen += 1
            assert match[1] in known, f"{page.name}: {line}"
            for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", match[2].partition(" -- ")[0]):
                assert option in known[match[1]], f"{page.name}: {line}"
    assert seen > 40


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_pages_that_are_made_of_the_code_are_as_the_code_is() -> None:
    made = pages()
    stored = {path: path.read_text() for path in (ROOT / "docs" / "commands").glob("*.md")}
    stored[ROOT / "docs" / "dictionary.md"] = (ROOT / "docs" / "dictionary.md").read_text()
    assert stored == made, "make docs"
    index = (ROOT / "docs" / "README.md").read_text()
    assert all(f"commands/{path.name}" in index for path in made if path.parent.name == "commands")


def test_every_method_of_the_python_interface_is_described() -> None:
    from analysis.trail import Trail

    text = (ROOT / "docs" / "python.md").read_text()
    for name, method in inspect.getmembers(Trail):
        if not name.startswith("_") and inspect.isfunction(method):
            assert method.__doc__, name
            assert f"`{name}`" in text or name in ("close", "maps_text"), name
