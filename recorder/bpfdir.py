"""Where the BPF C files are.

In a checkout they lie in `bpf/` beside this package; a wheel carries them inside it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["bpf_dir"]


def bpf_dir() -> Path:
    """The folder of the BPF C files and of `headers/`, the stub kernel headers."""
    package = Path(__file__).resolve().parent
    installed = package / "bpf"
    return installed if installed.is_dir() else package.parent / "bpf"
