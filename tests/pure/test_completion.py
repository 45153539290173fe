"""Completion by Tab, in bash itself."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import completion
from tests.support.captures import START_NS, build_capture
from tests.support.terminal import on_terminal

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
EVIL = "$(touch made)`touch made`;touch made"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with captures, and names that a shell must never see."""
    shutil.copytree(ROOT / "data" / "demo", tmp_path / "captures" / "demo")
    shutil.copytree(ROOT / "data" / "demo", tmp_path / "captures" / EVIL)
    (tmp_path / "captures" / "notes").mkdir()
    vma = {"tid": 7, "start": 4096, "end": 8192, "perms": "r--s", "inode": 3, "ts_ns": START_NS}
    paths = ["/srv/a b", "/srv/plain.dat", f"/srv/{EVIL}", "/srv/*", "/srv/\x1b[31m"]
    build_capture(
        tmp_path / "captures" / "evil",
        {
            "vmas": [{**vma, "pid": 7, "path": path.encode()} for path in paths],
            "tasks": [{"pid": 7, "tid": 7, "event": "exec", "comm": b"`touch made`", "ts_ns": START_NS}],
        },
    )
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def offered(place: Path, *lines: str) -> list[list[str]]:
    """What bash would offer for the last word of each line (a line that ends in a space has an empty one)."""
    program = lines[0].split()[0]
    script = [f'eval "$({program} --show-completion)"']
    for line in lines:
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        script += [
            f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}",
            f'_{program}_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}" ----',
        ]
    command = ["bash", "--norc", "-c", "\n".join(script)]
    done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=True)
    return [[word for word in part.split("\n") if word] for part in done.stdout.split("----\n")[:-1]]


def test_captures_processes_and_files_are_offered_and_nothing_that_a_shell_would_run(place: Path) -> None:
    commands, captures, none, pids, later, files, kinds, evil_files, evil_pids = offered(
        place,
        "analyze ma",
        "analyze maps captures/",
        "analyze maps captures/notes/",
        "analyze maps captures/demo --pid ",
        "analyze edges captures/demo --file /tmp --pid 1857",
        "analyze timeline captures/demo --file /tmp/example/files/",
        "analyze schema remap",
        "analyze timeline captures/evil --file ",
        "analyze why captures/evil --pid ",
    )
    assert commands == ["maps"]
    assert captures == ["captures/demo", "captures/evil"]
    assert none == []  # bash then completes file names
    assert pids == later == ["18572", "18579"]
    assert files == ["/tmp/example/files/pages.dat", "/tmp/example/files/shrunk.dat"]
    assert kinds == ["remap_file_pages"]
    assert evil_files == ["/srv/plain.dat"]
    assert evil_pids == ["7"]
    assert not list(place.rglob("made"))


def test_the_home_of_nobody_offers_nothing() -> None:
    assert completion.capture("~no-such-user/") == []


def test_zsh_is_told_nothing_that_it_would_run(place: Path) -> None:
    """Its script evaluates what it is given, descriptions too."""
    asked = {"_ANALYZE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "analyze why captures/evil --pid "}
    done = subprocess.run(
        [BIN / "analyze"], cwd=place, env=environment() | asked, capture_output=True, text=True, check=True
    )
    assert "7" in done.stdout
    assert "?touch made?" in done.stdout


def test_record_offers_what_runs() -> None:
    pids, triggers, options = offered(
        ROOT, f"record attach {os.getpid()}", "record host --trigger sig", "record run --ov"
    )
    assert str(os.getpid()) in pids
    assert triggers == ["sigbus", "sigsegv"]
    assert options == ["--overwrite"]


def test_tab_completes_on_a_terminal(place: Path) -> None:
    setting = f"export PATH={BIN}:$PATH PYTHONPATH={ROOT} PS1=; cd {shlex.quote(str(place))}; "
    with on_terminal(["bash", "--norc", "--noprofile", "-i"]) as terminal:
        terminal.type((setting + 'eval "$(analyze --show-completion)"; echo re""ady\n').encode())
        terminal.read(60, until=b"ready")
        terminal.type(b"echo analyze; analyze maps captures/d\t")
        assert b"captures/demo " in terminal.read(60, until=b"captures/demo ")
        terminal.type(b"--pid 18579 --at +6.5\x01: \n")  # the line becomes one that does nothing
        terminal.type(b"exit\n")
        terminal.end()
