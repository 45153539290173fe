"""Boot a kernel in QEMU, emulated, with a job (tests.vm.image) to do, and bring back what that left in /tmp/out."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

__all__ = ["GuestError", "boot"]

MEMORY_MB = 3072
_PATCHED = "Oops: int3"  # a breakpoint stands where the kernel patches its code, and was reached after it was gone


class GuestError(RuntimeError):
    """The guest did not end as it should; the message has the end of its console."""


def boot(kernel: Path, initramfs: Path, output: Path, timeout_s: float = 600, *, counted: bool = False) -> None:
    """Run the job of an initramfs (image.write) on a kernel, a vmlinuz, and fill the folder `output`.

    A guest of several CPUs that QEMU let run into code while it was being patched is booted once more.
    With `counted` its clock counts instructions, of one CPU, so that times do not depend on the machine it runs on.
    GuestError if the job does not end with 0.
    """
    console, line = output / "console", output / "line"
    multi = ("-accel", "tcg,thread=multi", "-smp", "2")
    cpus = ("-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off") if counted else multi
    command = [
        "qemu-system-x86_64", *cpus, "-cpu", "Nehalem", "-m", str(MEMORY_MB),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-serial", f"file:{console}", "-serial", f"file:{line}",
        "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr",
    ]  # fmt: skip
    for again in (False, True):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
            with tarfile.open(line) as archive:
                archive.extractall(output, filter="data")
            break
        except subprocess.TimeoutExpired:
            raise GuestError(f"nothing came within {timeout_s:.0f} s\n{_end(console)}") from None
        except subprocess.CalledProcessError as error:
            raise GuestError(f"QEMU failed: {error.stderr.decode(errors='replace')}") from None
        except tarfile.TarError as error:
            if again or _PATCHED not in console.read_text(errors="replace"):
                raise GuestError(f"nothing was handed over: {error}\n{_end(console)}") from None
    if (status := (output / "status").read_text().strip()) != "0":
        raise GuestError(f"the job ended with {status}\n{_end(console)}")
    line.unlink()


def _end(console: Path) -> str:
    text = console.read_text(errors="replace") if console.exists() else ""
    return text[-4000:]
