"""Commands in a mount namespace of their own, where something has been taken away."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

__all__ = ["UNPRIVILEGED", "privately"]

UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")


def privately(setup: str, command: Sequence[str | Path]) -> list[str | Path]:
    """The command line that runs `command` after the shell commands `setup`, whose mounts nobody else sees."""
    words = shlex.join([str(word) for word in command])
    return ["unshare", "--mount", "sh", "-ec", f"{setup}\nexec {words}"]
