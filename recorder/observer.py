"""What is read from /proc beside the event stream: maps and images, on a thread of its own.

A reading takes as long as the process's maps are long, and must not hold up draining. Results
are handed to the drain loop as Arrow tables and take the events' way from there.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterable

import pyarrow as pa

from recorder.elf import FileMapping, ImageReader
from recorder.freeze import frozen
from recorder.procfs import read_maps

__all__ = ["Observer"]


PATIENCE_S = 5.0


class Observer(threading.Thread):
    """Reads the maps of processes and the headers of images, in the order asked for.

    With `freeze`, processes stand still while their maps are read.
    """

    def __init__(self, *, freeze: bool = False) -> None:
        super().__init__(name="observer", daemon=True)
        self._freeze = freeze
        self._requests: queue.SimpleQueue[tuple[int, str] | list[FileMapping] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[str, pa.Table]] = queue.SimpleQueue()
        self._readings = itertools.count(1)
        self._images = ImageReader()
        self._asked = 0
        self._done = 0
        self.missed_readings = 0

    def read_maps(self, pids: Iterable[int], reason: str) -> None:
        for pid in pids:
            self._ask((pid, reason))

    def read_images(self, mappings: list[FileMapping]) -> None:
        if mappings:
            self._ask(mappings)

    def _ask(self, request: tuple[int, str] | list[FileMapping]) -> None:
        self._asked += 1
        self._requests.put(request)

    @property
    def idle(self) -> bool:
        """Whether everything asked for is done and collected."""
        return self._done == self._asked and self._results.empty()

    def collect(self) -> Iterable[tuple[str, pa.Table]]:
        """Tables ready since the last call, with the name of the capture's table."""
        while not self._results.empty():
            yield self._results.get()

    def finish(self) -> None:
        """End the thread. A file system that does not answer (FUSE, NFS) must not keep the recording from ending."""
        self._requests.put(None)
        self.join(PATIENCE_S)

    def run(self) -> None:
        while (request := self._requests.get()) is not None:
            if isinstance(request, tuple):
                pid, reason = request
                with frozen(pid) if self._freeze else contextlib.nullcontext():
                    try:
                        rows = read_maps(pid, next(self._readings), reason)
                    except PermissionError:
                        rows = None
                name = "maps"
                if rows is None:
                    self.missed_readings += 1
            else:
                rows = self._images.read(request)
                name = "images"
            if rows is not None and rows.num_rows:
                self._results.put((name, rows))
            self._done += 1
