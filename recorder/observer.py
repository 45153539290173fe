"""What is read from /proc beside the event stream: maps and images, on a thread of its own.

A reading takes as long as the process's maps are long, and must not hold up draining. Results
are handed to the drain loop as Arrow tables and take the events' way from there.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterable
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from recorder.elf import FileMapping, ImageReader
from recorder.freeze import frozen
from recorder.procfs import alive_tasks, maps_table, pid_exists, read_text

__all__ = ["Observer"]


PATIENCE_S = 5.0
_AT_ONCE = 16  # readings parsed together; what is urgent waits for them


class Observer(threading.Thread):
    """Reads the maps of processes and the headers of images, in the order asked for.

    The images named by a reading of maps are read after what was asked for before it. With `freeze`, processes stand
    still while their maps are read.
    """

    def __init__(self, *, freeze: bool = False) -> None:
        super().__init__(name="observer", daemon=True)
        self._freeze = freeze
        # (0 what cannot wait or 1 the rest, a number that keeps the order, what to do; None: end)
        self._requests: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._results: queue.SimpleQueue[tuple[str, pa.Table]] = queue.SimpleQueue()
        self._readings = itertools.count(1)
        self._images = ImageReader()
        self.missed_readings = 0

    def read_maps(self, pids: Iterable[int], reason: str, *, urgent: bool = False) -> None:
        """Read the maps of processes; `urgent`: before anything else that was asked for."""
        pids = list(pids)
        for first in range(0, len(pids), _AT_ONCE):
            self._ask(partial(self._maps, pids[first : first + _AT_ONCE], reason), urgent=urgent)

    def read_images(self, mappings: list[FileMapping]) -> None:
        if mappings:
            self._ask(partial(self._images_of, mappings))

    def read_tasks(self, pids: Iterable[int]) -> None:
        self._ask(lambda: self._results.put(("tasks", alive_tasks(pids))))

    def forget_images(self) -> None:
        """Images asked for from now on are read even if they were before."""
        self._ask(self._images.forget)

    def _ask(self, what: Callable[[], None] | None, *, urgent: bool = False) -> None:
        self._requests.put((0 if urgent else 1, next(self._numbers), what))

    @property
    def idle(self) -> bool:
        """Whether everything asked for is done and collected."""
        return not self._requests.unfinished_tasks and self._results.empty()

    def collect(self) -> Iterable[tuple[str, pa.Table]]:
        """Tables ready since the last call, with the name of the capture's table."""
        while not self._results.empty():
            yield self._results.get()

    def finish(self) -> None:
        """End the thread. A file system that does not answer (FUSE, NFS) must not keep the recording from ending."""
        self._ask(None)
        self.join(PATIENCE_S)

    def run(self) -> None:
        while (do := self._requests.get()[2]) is not None:
            do()
            self._requests.task_done()

    def _images_of(self, mappings: list[FileMapping]) -> None:
        images = self._images.read(mappings)
        if images.num_rows:
            self._results.put(("images", images))

    def _maps(self, pids: list[int], reason: str) -> None:
        found = []
        # a number can be a thread's of another process by now, which is not to be stopped
        for pid in filter(pid_exists, pids):
            with frozen(pid) if self._freeze else contextlib.nullcontext(), contextlib.suppress(PermissionError):
                found.append(read_text(pid, next(self._readings), reason))
        readings = [reading for reading in found if reading is not None]
        self.missed_readings += len(pids) - len(readings)
        if readings:
            maps = maps_table(readings)
            self._results.put(("maps", maps))
            self.read_images(executables(maps))


def executables(maps: pa.Table) -> list[FileMapping]:
    """The files that rows of table `maps` show mapped executable, each once."""
    code = maps.filter(pc.and_(pc.match_substring(maps["perms"].cast(pa.string()), "x"), pc.greater(maps["inode"], 0)))
    rows = code.select(["pid", "start", "end", "dev", "inode", "path"]).to_pylist()
    files = {(row["dev"], row["inode"]): row for row in rows}
    return [FileMapping(**row, generation=0) for row in files.values()]
