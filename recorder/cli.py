"""The command `record`."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    name="record",
    help="Record what the kernel does to memory mappings. Runs as root on the machine in question; "
    "the capture is a directory of Parquet files for `analyze`, there or anywhere else.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_USAGE, EXIT_NOT_PERMITTED, EXIT_RUN_FAILED = 2, 4, 125


class _Failure(Exception):
    """Ends the program with one sentence, a hint and a status."""

    def __init__(self, message: str, hint: str = "", status: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([kmg]?)(i?b)?", text.strip().lower())
    if not found:
        raise typer.BadParameter(f"not a size: {text} (try 64M)")
    return int(found[1]) * _UNITS[found[2]]


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", text.strip().lower())
    if not found or float(found[1]) <= 0:
        raise typer.BadParameter(f"not a duration: {text} (try 30s or 5m)")
    return float(found[1]) * _SECONDS[found[2]]


def _running(incomplete: str) -> list[tuple[str, str]]:
    """What a shell offers for a PID. It may evaluate names, which are anybody's choice: only plain ones are shown."""
    found = []
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        with contextlib.suppress(OSError):  # it has ended
            comm = Path("/proc", pid, "comm").read_text(errors="replace").strip()
            found.append((pid, re.sub(r"[^\w ./+-]", "?", comm, flags=re.ASCII)))
    return [each for each in found if each[0].startswith(incomplete)]


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Directory of the capture. Default: maptrail-DATE-TIME here.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a capture that is there already.")]
Duration = Annotated[
    float | None, typer.Option(parser=_duration, metavar="TIME", help="Stop after this long, such as 30s or 5m.")
]
Stacks = Annotated[
    bool,
    typer.Option(
        "--stacks/--no-stacks",
        help="Record the user stack of each call; at the end its functions' names, where files have them.",
    ),
]
RingSize = Annotated[
    int,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="Kernel memory for calls not yet read; the side-band gets as much again for each CPU, 256M at most.",
    ),
]
Memory = Annotated[
    int, typer.Option(parser=_size, metavar="SIZE", help="The recorder's memory for events not yet on disk.")
]
CheckpointEvery = Annotated[
    float | None,
    typer.Option(
        parser=_duration,
        metavar="TIME",
        help="Read the maps of all recorded processes this often, to hold the rebuilt ones against.",
    ),
]
Freeze = Annotated[
    bool,
    typer.Option(
        "--freeze",
        help="Hold a process still (ptrace) while its maps are read: at checkpoints, and when they are read anyhow.",
    ),
]
Keep = Annotated[
    float | None,
    typer.Option(
        parser=_duration, metavar="TIME", help="Flight recorder: keep only the last so much on disk, such as 5m."
    ),
]
Trigger = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        autocompletion=lambda: ["sigbus", "sigsegv", "enomem"],
        help="With --keep: freeze what is kept below OUTPUT/incidents when one of these happens, and go on. "
        "sigbus, sigsegv: the kernel sent that signal; enomem: a recorded call other than madvise failed with it.",
    ),
]
After = Annotated[
    float | None,
    typer.Option(parser=_duration, metavar="TIME", help="With --trigger: record so long before freezing. Default: 1s."),
]
MaxDisk = Annotated[
    int | None,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="With --keep: never take more disk than this for all of OUTPUT, incidents included. Default: 1G.",
    ),
]
Hooks = Annotated[
    str,
    typer.Option(
        metavar="auto|off|NAME,...",
        help="Probes on kernel functions, which make more answers certain; `record doctor` names those of this kernel.",
    ),
]
RING_SIZE: Any = "64M"
MEMORY: Any = "512M"


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    output: Output = None,
    overwrite: Overwrite = False,
    duration: Duration = None,
    stacks: Stacks = False,
    ring_size: RingSize = RING_SIZE,
    memory: Memory = MEMORY,
    checkpoint_every: CheckpointEvery = None,
    freeze: Freeze = False,
    keep: Keep = None,
    trigger: Trigger = None,
    after: After = None,
    max_disk: MaxDisk = None,
    hooks: Hooks = "auto",
) -> None:
    """Run a command and record it and every process it makes.

    Input, output, signals and the exit status are the command's own. When recording fails before the command
    starts, the exit status is 125. With --duration the recording ends first and the command runs on to its end.
    """
    flight = keep, trigger, after, max_disk
    _record(
        "run", output, overwrite, duration, stacks, ring_size, memory, checkpoint_every, freeze, flight, hooks,
        command=tuple(command),
    )  # fmt: skip


@app.command()
def attach(
    pids: Annotated[
        list[int],
        typer.Argument(metavar="PID...", help="Processes to record, with their children.", autocompletion=_running),
    ],
    output: Output = None,
    overwrite: Overwrite = False,
    duration: Duration = None,
    stacks: Stacks = False,
    ring_size: RingSize = RING_SIZE,
    memory: Memory = MEMORY,
    checkpoint_every: CheckpointEvery = None,
    freeze: Freeze = False,
    keep: Keep = None,
    trigger: Trigger = None,
    after: After = None,
    max_disk: MaxDisk = None,
    hooks: Hooks = "auto",
) -> None:
    """Record running processes, and what they fork from now on, until they end or you press Ctrl-C."""
    flight = keep, trigger, after, max_disk
    _record(
        "attach", output, overwrite, duration, stacks, ring_size, memory, checkpoint_every, freeze, flight, hooks,
        pids=tuple(pids),
    )  # fmt: skip


@app.command()
def host(
    output: Output = None,
    overwrite: Overwrite = False,
    duration: Duration = None,
    stacks: Stacks = False,
    ring_size: RingSize = RING_SIZE,
    memory: Memory = MEMORY,
    checkpoint_every: CheckpointEvery = None,
    freeze: Freeze = False,
    keep: Keep = None,
    trigger: Trigger = None,
    after: After = None,
    max_disk: MaxDisk = None,
    hooks: Hooks = "auto",
) -> None:
    """Record every process of the machine until you press Ctrl-C.

    As a flight recorder, with --keep 5m --trigger sigbus,sigsegv,enomem, it runs for as long as you like on a bounded
    disk, and keeps the minutes before each of these as a capture of their own. SIGUSR1 has it keep them now.
    """
    flight = keep, trigger, after, max_disk
    _record("host", output, overwrite, duration, stacks, ring_size, memory, checkpoint_every, freeze, flight, hooks)


@app.command()
def doctor(
    format: Annotated[str, typer.Option("--format", help="table or json")] = "table",
) -> None:
    """Say what this kernel gives, what is missing, and what to do about it.

    Exit status: 0 when recording works here, 1 when it does not.
    """
    from recorder import doctor as report

    raise typer.Exit(report.show(format))


def _record(
    mode: Any,
    output: Path | None,
    overwrite: bool,
    duration: float | None,
    stacks: bool,
    ring_size: int,
    memory: int,
    checkpoint_every: float | None,
    freeze: bool,
    flight: tuple[float | None, str | None, float | None, int | None],
    hooks: str,
    *,
    command: tuple[str, ...] = (),
    pids: tuple[int, ...] = (),
) -> None:
    from recorder.memory import keep_memory

    keep_memory()
    from recorder.hooks import HOOKS, UnknownHook, wanted
    from recorder.launch import Child, block_signals
    from recorder.plan import make_plan, problems
    from recorder.session import Options, Recording

    failed = EXIT_RUN_FAILED if mode == "run" else EXIT_NOT_PERMITTED
    _check_pids(pids)
    if freeze and checkpoint_every is None:
        when = "at the end and in case of doubt" if mode == "run" else "at the start, at the end and in case of doubt"
        _say(f"record: warning: --freeze without --checkpoint-every holds processes only {when}")
    recorder = _flight(*flight)
    try:
        asked = wanted(hooks)
    except UnknownHook as error:
        names = ", ".join(hook.name for hook in HOOKS)
        raise _Failure(f"no such hook: {error}", f"auto, off, or some of: {names}", EXIT_USAGE) from None
    output = output or Path(time.strftime("maptrail-%Y%m%d-%H%M%S"))
    plan = make_plan()
    fatal = problems(plan).fatal
    if fatal:
        raise _Failure(f"cannot record here: {fatal[0].why}", fatal[0].hint or "run: record doctor", failed)
    if hooks != "auto":
        for probe in plan:
            if probe.fact.removeprefix("hook ") in asked and probe.fact.startswith("hook ") and probe.state != "on":
                _say(f"record: warning: {probe.fact} is not to be had here: {probe.why}")
    program = _program(command[0]) if command else ""
    mask = block_signals()
    options = Options(
        mode, output, command, pids, duration, stacks, ring_size, memory, overwrite, checkpoint_every, freeze,
        recorder, asked,
    )  # fmt: skip
    child = Child(program, command, mask) if command else None
    status = _Status()
    try:
        with _failures_as(EXIT_RUN_FAILED if mode == "run" else 1):
            recording = Recording(options, plan, child, status.progress, status.warn, status.ending, status.incident)
            outcome = recording.run()
    except BaseException:
        if child:
            child.abandon()
        raise
    status.clear()
    if outcome.exec_error:
        raise _cannot_run(command[0], outcome.exec_error)
    _tell(options, outcome)
    if outcome.trouble and not outcome.exit_code:
        raise _Failure(
            f"the capture is not complete: {outcome.trouble}", f"see what it has: analyze summary {options.output}"
        )
    raise typer.Exit(outcome.exit_code)


def _flight(keep: float | None, trigger: str | None, after: float | None, max_disk: int | None) -> Any:
    """The options of the flight recorder, checked; None without --keep."""
    from recorder.flight import LEAST_DISK_BYTES, TRIGGERS, Flight  # numpy: to be imported after keep_memory

    if keep is None:
        for name, given in (("--trigger", trigger), ("--max-disk", max_disk)):
            if given is not None:
                raise _Failure(f"{name} needs --keep", "say how much is to be kept, such as: --keep 5m", EXIT_USAGE)
    if after is not None and trigger is None:
        raise _Failure("--after needs --trigger", "say what is waited for, such as: --trigger sigbus", EXIT_USAGE)
    if keep is None:
        return None
    if keep < 1:
        raise _Failure(f"too short a time to keep: {keep:g} s", "keep 1s or more", EXIT_USAGE)
    names = [] if trigger is None else [name.strip().lower() for name in trigger.split(",")]
    for name in names:
        if name not in TRIGGERS:
            raise _Failure(f"no such trigger: {name}", f"known are: {', '.join(TRIGGERS)}", EXIT_USAGE)
    max_disk = 1 << 30 if max_disk is None else max_disk
    if max_disk < LEAST_DISK_BYTES:
        raise _Failure(
            f"too small for --max-disk: {_bytes(max_disk)}", f"the least is {LEAST_DISK_BYTES >> 20}M", EXIT_USAGE
        )
    return Flight(keep, tuple(dict.fromkeys(names)), after or 1.0, max_disk)


def _program(name: str) -> str:
    from recorder.launch import find_program

    try:
        return find_program(name)
    except OSError as error:
        raise _cannot_run(name, error) from None


def _cannot_run(name: str, error: OSError) -> _Failure:
    from recorder.launch import NOT_EXECUTABLE, NOT_FOUND

    if error.filename and isinstance(error, FileNotFoundError):
        return _Failure(f"command not found: {name}", "give its path, or the PATH it is in", NOT_FOUND)
    hint = "a script needs a first line such as #!/bin/sh, and the permission to be executed"
    return _Failure(f"command cannot be executed ({error.strerror}): {name}", hint, NOT_EXECUTABLE)


_LIST = "ps -e lists the running processes"


def _check_pids(pids: tuple[int, ...]) -> None:
    from recorder.procfs import pid_exists

    for pid in pids:
        if pid == os.getpid():
            raise _Failure(f"the recorder does not record itself: {pid}", _LIST, EXIT_USAGE)
        if pid <= 0 or not Path(f"/proc/{pid}").exists():
            raise _Failure(f"no such process: {pid}", _LIST, EXIT_USAGE)
        if not pid_exists(pid):
            hint = f"give the process it is a thread of: {_process_of(pid)}"
            raise _Failure(f"this is a thread, not a process: {pid}", hint, EXIT_USAGE)
        try:
            mappings = Path(f"/proc/{pid}/maps").read_bytes()
        except PermissionError:
            message = f"not permitted to look at process: {pid}"
            raise _Failure(message, "run as root, in its pid namespace", EXIT_NOT_PERMITTED) from None
        except OSError:
            mappings = b""
        if not mappings:
            raise _Failure(f"this process has no memory, it has ended or is the kernel's: {pid}", _LIST, EXIT_USAGE)


def _process_of(tid: int) -> str:
    """The id of the process that a thread belongs to."""
    found = re.search(r"^Tgid:\t(\d+)$", Path(f"/proc/{tid}/status").read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else "see ps -eL"


@contextlib.contextmanager
def _failures_as(status: int) -> Iterator[None]:
    """Errors that carry a hint end the program with their sentence, not a traceback."""
    try:
        yield
    except _Failure:
        raise
    except Exception as error:
        if not hasattr(error, "hint"):
            raise
        raise _Failure(str(error), error.hint, getattr(error, "status", status)) from error


class _Status:
    """One line on a terminal, kept up to date; nothing when the output is not one."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False
        self._last = (0.0, 0)

    def progress(self, now: Any) -> None:
        if not self._live:
            return
        then, records = self._last
        rate = (now.records - records) / max(now.elapsed_s - then, 1e-6)
        self._last = (now.elapsed_s, now.records)
        parts = [f"recording {now.elapsed_s:6.1f} s", f"{rate:9,.0f} calls/s", f"{_bytes(now.stored_bytes):>9} on disk"]
        if now.window_s is not None:
            parts.append(f"window {_seconds(now.window_s)}, {now.incidents} incident{'s' * (now.incidents != 1)}")
        if now.lost:
            parts.append(f"{now.lost:,} lost")
        if now.trouble:
            parts.append(now.trouble)
        self._line("   ".join(parts))

    def ending(self, what: str, fraction: float) -> None:
        if self._live:
            self._line(f"{what} {fraction:4.0%}")

    def warn(self, text: str) -> None:
        self._tell(f"warning: {text}")

    def incident(self, incident: Any, frozen: Any) -> None:
        first = incident.first
        more = f" and {incident.more} more" if incident.more else ""
        who = f"in process {first.pid} ({first.comm})" if first.table else f"by process {first.pid}"
        # it tells what fired first, and then who else died meanwhile
        ask = "why" if first.table else "summary"
        self._tell(
            f"{first.trigger} {who}{more}: the last "
            f"{_seconds((frozen.to_ns - frozen.from_ns) / 1e9)} are kept in {frozen.directory} "
            f"({_bytes(frozen.size_bytes)})",
            f"next: analyze {ask} {shlex.quote(str(frozen.directory))}",
        )

    def _tell(self, *lines: str) -> None:
        """Whole lines, which also a journal takes."""
        text = "".join(f"record: {_shown(line)}\n" for line in lines)
        self._write(f"{_ERASE if self._shown else ''}{text}")
        self._shown = False

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80  # 0: a terminal that does not know
            self._write(f"{_ERASE}{_shown(text)[: max(width - 1, 1)]}")
            self._shown = True

    def _write(self, text: str) -> None:
        """Never waits: a terminal stopped with Ctrl-S, or gone, must not stop the recording."""
        with contextlib.suppress(OSError):
            if select.select([], [sys.stderr], [], 0)[1]:
                sys.stderr.write(text)
                sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            self._write(_ERASE)
            self._shown = False


_ERASE = "\r\x1b[K"


def _say(text: str) -> None:
    """Print on standard error, if there is anyone to read it: the standard output is the command's."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _tell(options: Any, outcome: Any) -> None:
    """What was recorded and what to type next."""
    stored = sum(t["stored"] for t in outcome.totals.values())
    pids = ", ".join(map(str, options.pids))
    command = " ".join(options.command)
    command = command if len(command) <= 60 else f"{command[:57]}..."
    what = {"run": command, "attach": f"process {pids}", "host": "this host"}[options.mode]
    # a small recording is mostly the fixed part of its files
    per_row = f", {outcome.stored_bytes / stored:.1f} bytes each" if stored > 10_000 else ""
    lines = [
        f"recorded {outcome.wall_s:.2f} s of {_shown(what)} into {_shown(str(options.output))}",
        f"  stored {stored:,} rows, {_bytes(outcome.stored_bytes)}{per_row}",
    ]
    for (source, cause), count in sorted(outcome.losses.items()):
        lines.append(f"  LOST {count:,} ({source}): {cause}" if count else f"  gap of unknown size ({source}): {cause}")
    if not outcome.losses:
        lines.append("  nothing lost")
    if outcome.naming:
        functions, files, nameless = outcome.naming.rows.num_rows, outcome.naming.files, outcome.naming.nameless
        without = f"; {nameless} more gave no names" if nameless else ""
        lines.append(f"  stacks pass through {functions:,} functions of {files} files{without}")
    if outcome.window_s is not None:
        expired = sum(t["expired"] for t in outcome.totals.values())
        lines.append(f"  kept the last {_seconds(outcome.window_s)}; {expired:,} older rows expired")
        lines.append(f"  {outcome.incidents} incidents in {_shown(str(options.output / 'incidents'))}")
    cpu = f"{outcome.cpu_s:.2f} s of CPU, {outcome.compaction_cpu_s:.2f} s more to compact"
    cpu += f", {outcome.naming_cpu_s:.2f} s to name frames" if outcome.naming else ""
    lines.append(f"  recorder used {cpu}, and {_bytes(outcome.max_rss_bytes)} of memory")
    lines.append(f"next: analyze summary {_shown(str(options.output))}")
    _say("\n".join(lines))


def _seconds(count: float) -> str:
    if count < 60:
        return f"{count:.1f} s"
    return f"{count // 60:.0f} min {count % 60:.0f} s"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _shown(text: str) -> str:
    """Text fit for a terminal: whatever is not printable stands as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _fail(failure: _Failure) -> NoReturn:
    hint = f"\n\nhint: {_shown(failure.hint)}" if failure.hint else ""
    _say(f"record: {_shown(str(failure))}{hint}")
    sys.exit(failure.status)


def main() -> None:
    if sys.stderr is None:  # closed by the caller; print would use the command's output instead
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        app()
    except _Failure as failure:
        _fail(failure)


if __name__ == "__main__":
    main()
