"""Executes notebooks and keeps their outputs: `python -m notebooks.execute [PATH…]`. `make test` compares instead."""

from __future__ import annotations

import asyncio
import sys
import warnings
from pathlib import Path

import nbformat
from nbclient import NotebookClient

__all__ = ["FOLDER", "NOTEBOOKS", "executed"]

FOLDER = Path(__file__).resolve().parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook after every cell has run, without what differs from run to run. Raises where a cell does."""
    notebook = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():  # of the event loop's, which are no concern of the notebook
        warnings.simplefilter("ignore")
        asyncio.set_event_loop_policy(None)
        client = NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}, record_timing=False
        )
        client.execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def main() -> None:
    """Execute those named, else all, and write them."""
    for path in map(Path, sys.argv[1:] or NOTEBOOKS):
        nbformat.write(executed(path), path)


if __name__ == "__main__":
    main()
