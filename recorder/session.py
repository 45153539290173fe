"""One recording: probes on, drain until it ends, probes off, nothing left behind unsaid."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recorder import procfs
from recorder.btf import Btf, cflags
from recorder.flight import TRIGGERS, Flight, Incident, Watch, segment_over
from recorder.followup import FollowUp
from recorder.hooks import Chosen
from recorder.launch import FORWARDED, Child
from recorder.naming import LIMIT_S, Naming
from recorder.observer import PATIENCE_S, Observer
from recorder.perfring import PerfRings
from recorder.plan import Probe, chosen_hooks, private_tracefs
from recorder.probes import SOURCES, ProbeError, Probes, RingSizes
from recorder.resync import Resync
from recorder.ring import Columns
from recorder.store import Store, StoreError
from recorder.window import INCIDENTS, Frozen, Window
from recorder.writer import COLUMN_ROWS, Batch, Loss, Writer

__all__ = ["Options", "Outcome", "Progress", "Recording"]

HAND_OVER_S = 1.0  # what a crash may cost
_BUSY_S, _IDLE_S = 0.05, 0.1  # the default ring holds half a second of the worst rates
_NAMING_S = 1.0  # how long the writer may stop to name the frames of an incident
_LAST_READING_S = 1.0  # how long an incident waits for the last reading of its victim
_LOST = "records were lost"
_ELF32 = 1

_CAUSES = {
    "threads": "the table of threads was full",
    "stacks": "the table of stacks was full, or two stacks fell into one slot",
}


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    mode: Literal["run", "attach", "host"]
    output: Path
    command: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    duration_s: float | None = None
    stacks: bool = False
    ring_bytes: int = 64 << 20
    memory_bytes: int = 512 << 20
    overwrite: bool = False
    checkpoint_every_s: float | None = None
    freeze: bool = False
    flight: Flight | None = None
    hooks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Progress:
    """Where the recording stands; for the status line. `window_s`: what is kept, None if that is everything."""

    elapsed_s: float
    records: int
    lost: int
    stored_bytes: int
    trouble: str
    window_s: float | None = None
    incidents: int = 0


@dataclass
class Outcome:
    """How it ended."""

    exit_code: int = 0
    exec_error: OSError | None = None
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    losses: dict[tuple[str, str], int] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    naming: Naming | None = None
    naming_cpu_s: float = 0.0
    compaction_cpu_s: float = 0.0
    max_rss_bytes: int = 0
    stored_bytes: int = 0
    trouble: str = ""
    window_s: float | None = None
    incidents: int = 0


class Recording:
    """Set up with everything that can fail for the user's reasons, then `run` once.

    `plan` is what the machine was found to give, for the manifest; `child` the held command of
    `run`. `on_progress` is called a few times a second, `on_warning` for what the user should know
    at once, `on_ending` with what is done after the recording, and which part of it.
    """

    def __init__(
        self,
        options: Options,
        plan: list[Probe],
        child: Child | None,
        on_progress: Callable[[Progress], None],
        on_warning: Callable[[str], None],
        on_ending: Callable[[str, float], None],
        on_incident: Callable[[Incident, Frozen], None] = lambda _incident, _frozen: None,
    ) -> None:
        self.options = options
        self._child = child
        self._on_progress = on_progress
        self._on_warning = on_warning
        self._on_ending = on_ending
        self._on_incident = on_incident
        self._started_ns = time.monotonic_ns()
        hooks = self._hooks(plan)
        self._probes = Probes(
            cflags(Btf()),
            private_tracefs(),
            RingSizes(calls=options.ring_bytes, hooks=options.ring_bytes // 4 if hooks else 1),
            targets_only=options.mode != "host",
            stacks=options.stacks,
            wake=bool(options.flight and options.flight.triggers),
            hooks=hooks,
        )
        self._targets = [child.pid] if child else list(options.pids)
        self._perf = self._open_sideband()
        self._probes.attach()
        for probe in self._probes.outcome:
            if probe.name.startswith(("kprobe:", "kretprobe:")) and not probe.on:
                on_warning(f"{probe.name} could not be had, answers will be less certain: {probe.why}")
        # last, so that whatever fails before it leaves nothing on the disk
        try:
            self._check_triggers()
            self._store, self._window = self._open_store(plan)
        except BaseException:
            self._probes.close()  # else the end of this process takes seconds
            raise
        self._observer = Observer(freeze=options.freeze)
        self._resync = Resync(self._live_targets)
        self._follow_up = FollowUp(self._observer, self._probes, self._resync)
        self._watch = Watch(options.flight) if options.flight else None
        self._writer = Writer(
            self._store,
            memory_bytes=options.memory_bytes,
            exclude_pid=os.getpid(),
            on_tables=self._follow_up,
            facts=self._facts,
            on_loss=self._on_loss,
        )
        self._batch = Batch()
        self._handed_over = time.monotonic()
        self._sideband_records = 0
        self._drained = dict.fromkeys(self._probes.rings, 0)
        self._segment, self._segment_ns = 0, self._started_ns  # the newest, and when it began
        self._due_ns: int | None = None  # since when it is to end
        self._ripe_ns: int | None = None  # when the last reading of an incident was there
        self._asked_by: int | None = None  # process that sent SIGUSR1: freeze now
        self._said_short = self._said_full = False
        self._looked_ns = 0  # when the rings were last looked at
        self._stopped_ns: int | None = None  # when recording ended
        self._warned_at = 0.0
        self._lost_untold = 0
        self._stop = threading.Event()
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._cpu_before_s = self._cpu_recording_s = self._naming_cpu_s = 0.0

    # -- setting up -------------------------------------------------------------------------

    def _check_triggers(self) -> None:
        flight = self.options.flight
        off = [probe for probe in self._probes.outcome if probe.name == "raw:signal_generate" and not probe.on]
        if off and flight and any(TRIGGERS[name].ring == "faults" for name in flight.triggers):
            raise ProbeError(f"faults cannot be a trigger here: {off[0].why}", "run: record doctor")

    def _open_store(self, plan: list[Probe]) -> tuple[Store, Window | None]:
        options = self.options
        if options.flight is None:
            return Store(options.output, self._header(plan), overwrite=options.overwrite), None
        window = Window(options.output, self._header(plan), options.flight, overwrite=options.overwrite)
        return window, window

    def _hooks(self, plan: list[Probe]) -> list[Chosen]:
        """The functions to hook: those asked for, of those that this kernel has."""
        on = {probe.fact for probe in plan if probe.state == "on"}
        asked = self.options.hooks
        return [each for each in chosen_hooks() if each.hook.name in asked and f"hook {each.hook.name}" in on]

    def _header(self, plan: list[Probe]) -> dict[str, Any]:
        monotonic_ns, realtime_ns = _clocks()
        options = self.options
        return {
            "maptrail": version("maptrail"),
            "mode": options.mode,
            "command": list(options.command),
            "targets": self._targets,
            "options": {
                "duration_s": options.duration_s,
                "stacks": options.stacks,
                "ring_bytes": options.ring_bytes,
                "memory_bytes": options.memory_bytes,
                "checkpoint_every_s": options.checkpoint_every_s,
                "freeze": options.freeze,
                "hooks": sorted(options.hooks),
            },
            **procfs.machine_facts(),
            "recorder_pid": os.getpid(),
            "clock": {"monotonic_ns": monotonic_ns, "realtime_ns": realtime_ns},
            "started_ns": self._started_ns,
            "probe_plan": [probe.as_dict() for probe in plan],
        }

    def _open_sideband(self) -> PerfRings:
        # a side-band ring is one a CPU, the BPF ring one for all: together they stay in proportion
        per_cpu = max(1 << 20, min(self.options.ring_bytes, (256 << 20) // os.cpu_count()))  # type: ignore[operator]
        if self.options.mode == "host":
            return PerfRings.open_host(per_cpu)
        return PerfRings.open_tasks(self._targets, per_cpu)

    # -- the recording ----------------------------------------------------------------------

    def run(self) -> Outcome:
        """Record until the command ends, the targets are gone, time is up or a signal says so."""
        self._observer.start()
        self._writer.start()
        signals = threading.Thread(target=self._take_signals, name="signals", daemon=True)
        signals.start()
        for pid in self._targets:
            self._probes.add_target(pid)
        self._started_ns = self._segment_ns = time.monotonic_ns()
        self._probes.start()
        self._begin()
        self._cpu_before_s = time.process_time()
        if self._child:
            self._child.release()
        outcome = Outcome()
        try:
            self._loop()
            self._end_readings()
        finally:
            outcome.wall_s = (time.monotonic_ns() - self._started_ns) / 1e9
            self._stopped_ns = time.monotonic_ns()
            self._probes.stop()
            self._perf.disable()
            time.sleep(0.001)  # a program that is running still makes its record
            self._finish(outcome)
        if self._child:
            outcome.exit_code, outcome.exec_error = self._child.wait()
        return outcome

    def _begin(self) -> None:
        """What is there already: tasks, maps, and whether 32-bit calls are to be expected."""
        pids = self._live_targets()
        self._batch.add_table("tasks", procfs.alive_tasks(pids))
        if self._child:  # its maps begin with its exec
            if _is_elf32(self.options.command[0]):
                self._probes.attach_i386()
            return
        self._observer.read_maps(pids, "baseline")
        if procfs.any_32bit_process(pids):
            self._probes.attach_i386()

    def _loop(self) -> None:
        poll = select.epoll()
        poll.register(self._stop_fd, select.EPOLLIN)
        # edge-triggered: only a forced wake-up (a 32-bit image) counts, not that records are there
        poll.register(self._probes.rings["tasks"].fd, select.EPOLLIN | select.EPOLLET)
        # what can be a trigger; once, and again after a while: a storm of faults must not have us do nothing but wake
        triggers = {self._probes.rings[name].fd for name in self._watch.rings} if self._watch else set()
        once = select.EPOLLIN | select.EPOLLET | select.EPOLLONESHOT
        for fd in triggers:
            poll.register(fd, once)
        woken = 0.0
        watched = {self._child.fd} if self._child else {fd for pid in self.options.pids for fd in _pidfds(pid)}
        if self.options.pids and not watched:
            self._stop.set()
        for fd in watched:
            poll.register(fd, select.EPOLLIN)
        ends = None if self.options.duration_s is None else time.monotonic() + self.options.duration_s
        every = self.options.checkpoint_every_s
        checkpoint = None if every is None else time.monotonic() + every
        told = 0.0
        busy = True
        while not self._stop.is_set():
            timeout = _BUSY_S if busy else _IDLE_S
            if ends is not None:
                timeout = max(0.0, min(timeout, ends - time.monotonic()))
            for fd, _ in poll.poll(timeout):
                if fd in triggers:
                    woken = time.monotonic()
                if fd in watched:
                    poll.unregister(fd)
                    watched.discard(fd)
                    if not watched:
                        self._stop.set()
            busy = self._drain()
            now = time.monotonic()
            if woken and now - woken >= _BUSY_S:
                woken = 0.0
                for fd in triggers:
                    poll.modify(fd, once)
            if self._window and self._watch:
                self._fly(self._window, self._watch)
            if ends is not None and now >= ends:
                self._stop.set()
            if every is not None and checkpoint is not None and now >= checkpoint:
                # a round of readings that takes longer than the interval delays the next
                if self._observer.idle:
                    self._observer.read_maps(self._live_targets(), "checkpoint")
                checkpoint = now + every
            if now - told >= 0.5:
                told = now
                self._on_progress(self._progress())
        poll.close()

    def _take_signals(self) -> None:
        while True:
            info = signal.sigwaitinfo(FORWARDED)
            if info.si_signo == signal.SIGUSR1 and self._watch and not self._child:
                self._asked_by = info.si_pid
            elif not self._child:
                self._stop.set()
                os.eventfd_write(self._stop_fd, 1)
            elif info.si_code != _SI_KERNEL:  # a terminal's Ctrl-C reaches the command by itself
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._child.fd, info.si_signo)

    # -- draining ---------------------------------------------------------------------------

    def _drain(self) -> bool:
        """Take what the rings hold; True if it was much, so that the next look should come soon."""
        before_ns = time.monotonic_ns()
        taken_before = sum(self._drained.values())
        # faults first: a process that is dying can still be read for some microseconds
        for name, ring in reversed(self._probes.rings.items()):
            while True:
                if name not in self._batch.rings:
                    self._batch.rings[name] = self._writer.pool.get(name)
                columns = self._batch.rings[name]
                before = len(columns)
                count = ring.drain(columns)
                self._drained[name] += count
                if self._watch and count and name in self._watch.rings:
                    victims = self._watch.look(name, columns, slice(before, len(columns)), before_ns)
                    self._observer.read_maps(sorted(victims), "trigger", urgent=True)
                if name == "tasks" and count:
                    self._look_for_i386(columns)
                if columns.free:
                    break
                self._hand_over()
        for chunk in self._perf.drain():
            self._batch.sideband.append(chunk)
            self._sideband_records += chunk.records
            if self._sideband_records >= COLUMN_ROWS:
                self._hand_over()
        for name, rows in self._observer.collect():
            self._batch.add_table(name, rows)
        self._look_for_losses()
        if (due := self._resync.due()) is not None:
            self._observer.read_maps(*due)
        # what was stamped just before this look may have come to the ring just after it: the look before is what counts
        self._batch.drained_to_ns = min(self._looked_ns, self._stopped_ns or self._looked_ns)
        self._looked_ns = before_ns
        if time.monotonic() - self._handed_over >= HAND_OVER_S:
            self._hand_over()
        return sum(self._drained.values()) != taken_before

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, Batch(drained_to_ns=self._batch.drained_to_ns)
        self._handed_over = time.monotonic()
        self._sideband_records = 0
        self._writer.submit(batch)

    def _look_for_i386(self, tasks: Columns) -> None:
        if self._probes.i386_attached:
            return
        [first] = np.nonzero(tasks["elf_class"] == _ELF32)
        if len(first):
            self._probes.attach_i386()
            since = int(tasks["ts_ns"][first[0]])
            now, cause = time.monotonic_ns(), "32-bit calls made before their probes were on"
            self._batch.losses += [Loss(source, -1, since, now, None, cause) for source in ("calls", "files")]
            self._resync.doubt(tasks["pid"][first].tolist(), "the first 32-bit image", lost=False)

    def _look_for_losses(self) -> None:
        counters = self._probes.counters
        lost = counters["lost"]
        fresh = np.argwhere(lost != counters["acknowledged"])
        if not len(fresh):
            return
        for source, cpu in fresh.tolist():
            total = int(lost[source, cpu])
            slot = counters[source, cpu]
            name = SOURCES[source]
            loss = Loss(
                name, cpu, int(slot["first_lost_ns"]), int(slot["last_lost_ns"]),
                total - int(slot["acknowledged"]), _CAUSES.get(name, "the ring was full"),
            )  # fmt: skip
            counters["acknowledged"][source, cpu] = total
            self._batch.losses.append(loss)
        self._resync.doubt(self._probes.losers(), _LOST)

    # -- the flight recorder ----------------------------------------------------------------

    def _fly(self, window: Window, watch: Watch) -> None:
        """After each look at the rings: whether an incident is to be frozen, and whether a segment is to end."""
        now = time.monotonic_ns()
        if self._asked_by is not None:
            watch.ask(self._asked_by, now)
            self._asked_by = None
        if watch.open and now >= watch.open.until_ns:
            # what those readings are held against must be drained too, so one more look
            if self._ripe_ns is None:
                self._ripe_ns = now + round(_LAST_READING_S * 1e9)
                self._observer.read_maps(sorted(watch.open.victims), "trigger", urgent=True)
            elif self._batch.drained_to_ns > self._ripe_ns:
                self._freeze(window, watch)
            elif self._observer.idle:
                self._ripe_ns = min(self._ripe_ns, now)
        # the writer may not have come to the newest segment yet
        size_bytes = window.segment_bytes if window.segment == self._segment else 0
        if segment_over(now - self._segment_ns, size_bytes, self._keep_ns, window.limit_bytes):
            self._due_ns = self._due_ns or now
            # readings of the segment before come first, but a file system that does not answer is not waited for
            if self._observer.idle or now - self._due_ns > PATIENCE_S * 1e9:
                self._begin_segment(window)
        if window.shortened and not self._said_short:
            covers = f"the window is shorter than --keep, now {window.covers_s:.1f} s"
            self._on_warning(f"{covers}: more does not fit under --max-disk")
        self._said_short = window.shortened

    @property
    def _keep_ns(self) -> int:
        return round(self.options.flight.keep_s * 1e9) if self.options.flight else 0

    def _begin_segment(self, window: Window) -> None:
        """From here on the capture can be understood without what was recorded before."""
        self._hand_over()
        self._segment += 1
        self._due_ns = None
        begins_ns = self._segment_ns = time.monotonic_ns()
        monotonic_ns, realtime_ns = _clocks()

        def first() -> None:
            window.begin_segment(begins_ns, clock={"monotonic_ns": monotonic_ns, "realtime_ns": realtime_ns})
            self._follow_up.begin_segment(window.segment, window.oldest)

        self._batch.first = first
        pids = self._live_targets()
        self._observer.forget_images()
        self._observer.read_tasks(pids)
        self._observer.read_maps(pids, "baseline")

    def _freeze(self, window: Window, watch: Watch) -> None:
        """Have the writer freeze the open incident once all until now is stored."""
        incident = watch.close(time.monotonic_ns())
        self._ripe_ns = None
        if incident is not None:
            self._batch.then = lambda: self._freeze_now(window, incident)
            self._hand_over()

    def _freeze_now(self, window: Window, incident: Incident) -> None:
        if self.options.stacks:
            try:
                self._store_names(Naming(self._store, _NAMING_S))
            except Exception as error:  # the incident is worth more than its names
                self._on_warning(f"the frames of an incident could not be named: {error}")
        try:
            frozen = window.freeze(incident)
        except StoreError as error:
            self._on_warning(f"an incident could not be kept: {error}")
            return
        if frozen:
            self._on_incident(incident, frozen)
        elif not self._said_full:
            self._said_full = True
            self._on_warning(
                f"no room for another incident under --max-disk, they are only counted from now on; "
                f"to make room, move some away from {self.options.output / INCIDENTS}"
            )

    # -- doubt and its cure -----------------------------------------------------------------

    def _on_loss(self, loss: Loss, pids: list[int] | None) -> None:
        self._lost_untold += loss.count or 0
        if loss.source in ("sideband", "writer"):
            self._resync.doubt(pids, _LOST)
        now = time.monotonic()
        if self._lost_untold and now - self._warned_at > 5.0:
            self._on_warning(f"lost {self._lost_untold:,} records: {loss.cause}")
            self._warned_at = now
            self._lost_untold = 0

    def _live_targets(self) -> list[int]:
        mine = os.getpid()
        found = procfs.pids() if self.options.mode == "host" else self._probes.targets()
        return [pid for pid in found if pid != mine]

    def _end_readings(self) -> None:
        """The maps of what is still alive, while the probes still watch."""
        self._observer.read_maps(self._live_targets(), "final")
        ends = time.monotonic() + 2 * PATIENCE_S
        while not self._observer.idle and time.monotonic() < ends:
            time.sleep(0.01)
            self._drain()

    # -- ending -----------------------------------------------------------------------------

    def _finish(self, outcome: Outcome) -> None:
        while self._drain():
            pass
        assert self._stopped_ns is not None
        self._batch.drained_to_ns = self._stopped_ns  # nothing was recorded since, whatever is still to be done
        for loss in self._perf.final_losses():
            self._batch.losses.append(Loss(*loss))
        self._account()
        if self._window and self._watch:
            self._freeze(self._window, self._watch)
        self._hand_over()
        self._writer.catch_up()  # the last rows may name images to be read
        self._observer.finish()
        for name, rows in self._observer.collect():
            self._batch.add_table(name, rows)
        self._hand_over()
        trouble = ""
        try:
            self._writer.finish()
            self._cpu_recording_s = self._cpu_s()
            if self.options.stacks:
                outcome.naming = self._name_frames()
            self._store.compact(lambda part: self._on_ending("compacting", part))
        except Exception as error:
            trouble = str(error)
        trouble = trouble or self._writer.trouble
        facts = self._facts()
        try:
            self._store.close(
                "failed" if trouble else "complete",
                failure=trouble or None, ended_ns=self._stopped_ns, **facts,
            )  # fmt: skip
        except Exception as error:
            trouble = trouble or str(error)
        outcome.trouble = trouble
        outcome.totals = facts["totals"]
        outcome.losses = dict(self._writer.totals.causes)
        outcome.cpu_s = facts["recorder"]["cpu_s"]
        outcome.naming_cpu_s = facts["recorder"]["naming_cpu_s"]
        outcome.compaction_cpu_s = facts["recorder"]["compaction_cpu_s"]
        outcome.max_rss_bytes = facts["recorder"]["max_rss_bytes"]
        outcome.stored_bytes = self._store.stored_bytes
        if self._window:
            outcome.window_s, outcome.incidents = self._window_s(), self._window.incidents
            outcome.totals = self._window.totals
        self._perf.close()
        self._probes.close()

    def _name_frames(self) -> Naming:
        naming = Naming(self._store)
        self._store_names(naming, lambda part: self._on_ending("naming the frames of stacks", part))
        self._naming_cpu_s = self._cpu_s() - self._cpu_recording_s
        if naming.stopped:
            self._on_warning(
                f"frames were named for {LIMIT_S:.0f} s and not to the end; `analyze --symbols` can add names later"
            )
        return naming

    def _store_names(self, naming: Naming, progress: Callable[[float], None] = lambda _: None) -> None:
        naming.run(progress)
        self._store.append("symbols", naming.rows)
        stored = self._writer.totals.stored
        stored["symbols"] = stored.get("symbols", 0) + naming.rows.num_rows
        self._store.commit(**self._facts())

    def _account(self) -> None:
        """Compare what the programs attempted with what was drained and lost; a difference is a loss."""
        counters = self._probes.counters
        for name, drained in self._drained.items():
            row = counters[SOURCES.index(name)]
            missing = int(row["attempted"].sum()) - int(row["lost"].sum()) - drained
            if missing:
                now = time.monotonic_ns()
                self._batch.losses.append(Loss(name, -1, self._started_ns, now, missing, "unaccounted for"))

    def _facts(self) -> dict[str, Any]:
        totals = self._writer.totals
        counters = self._probes.counters
        tables = {}
        for name in sorted(
            {"syscalls", "vmas", "tasks", "files", "faults", "hooks", *totals.stored, *totals.lost} - {"losses"}
        ):
            stored, lost = totals.stored.get(name, 0), totals.lost.get(name, 0)
            tables[name] = {"attempted": stored + lost, "stored": stored, "lost": lost}
        # for the tables that have one source, the kernel side's own count
        for ring, table in (("calls", "syscalls"), ("files", "files"), ("faults", "faults"), ("hooks", "hooks")):
            attempted = int(counters["attempted"][SOURCES.index(ring)].sum())
            if ring == "calls":
                attempted += int(counters["attempted"][SOURCES.index("threads")].sum())
            tables[table]["attempted"] = attempted
        flight = {"flight": {"held_back": self._watch.held_back}} if self._watch else {}
        return {
            "started_ns": self._started_ns,
            **flight,
            "totals": tables,
            "losses": [
                {"source": source, "cause": cause, "count": count}
                for (source, cause), count in sorted(totals.causes.items())
            ],
            "probes": [vars(attached) for attached in self._probes.outcome],
            "missed_readings": self._observer.missed_readings,
            "recorder": {
                "cpu_s": self._cpu_recording_s or self._cpu_s(),
                "naming_cpu_s": round(self._naming_cpu_s, 3),
                "compaction_cpu_s": round(self._cpu_s() - self._cpu_recording_s - self._naming_cpu_s, 3)
                if self._cpu_recording_s
                else 0.0,
                "max_rss_bytes": _peak_bytes(),
                "wall_s": round((time.monotonic_ns() - self._started_ns) / 1e9, 3),
            },
        }

    def _cpu_s(self) -> float:
        return round(time.process_time() - self._cpu_before_s, 3)

    def _progress(self) -> Progress:
        return Progress(
            (time.monotonic_ns() - self._started_ns) / 1e9,
            sum(self._drained.values()),
            sum(self._writer.totals.causes.values()),
            self._window.disk_bytes if self._window else self._store.stored_bytes,
            self._writer.trouble,
            self._window_s(),
            self._window.incidents if self._window else 0,
        )

    def _window_s(self) -> float | None:
        ends_ns = self._stopped_ns or time.monotonic_ns()
        return (ends_ns - self._window.from_ns) / 1e9 if self._window else None


_SI_KERNEL = 0x80


def _pidfds(pid: int) -> list[int]:
    """A pidfd of the process, none if it has ended."""
    try:
        return [os.pidfd_open(pid)]
    except ProcessLookupError:
        return []


def _peak_bytes() -> int:
    """The most memory of this process. Not ru_maxrss, which begins with that of who started it (fs/exec.c)."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def _clocks() -> tuple[int, int]:
    """CLOCK_MONOTONIC and CLOCK_REALTIME of one instant: the closest of a few tries."""
    best = (1 << 62, 0, 0)
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        best = min(best, (after - before, (before + after) // 2, wall))
    return best[1], best[2]


def _is_elf32(program: str) -> bool:
    try:
        with open(shutil.which(program) or program, "rb") as file:
            return file.read(5) == b"\x7fELF\x01"
    except OSError:
        return False
