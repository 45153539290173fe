"""Kernels to boot: Debian's own images, fetched once into a cache folder outside the repository.

The cloud flavours: the same source and nearly the same configuration in a third of the bytes.
"""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import os
import re
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

__all__ = ["KERNELS", "KernelError", "fetch"]

KERNELS = {
    "5.10": ("bullseye", r"linux-image-5\.10\.0-\d+-cloud-amd64"),
    "6.1": ("bookworm", r"linux-image-6\.1\.0-\d+-cloud-amd64"),
    "6.12": ("trixie", r"linux-image-6\.12\.\d+\+deb13-cloud-amd64"),
    # Debian put the image into a package of its own in 7.x
    "7.2": ("sid", r"linux-binary-7\.[\d.]+\+deb14-cloud-amd64"),
}
"""Short name → Debian suite, and the package with the image."""


class KernelError(RuntimeError):
    """A kernel that cannot be had; the message says which and why."""


def fetch(name: str) -> Path:
    """The vmlinuz of a kernel, from the cache if it is there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maptrail" / "kernels"
    image = cache / f"vmlinuz-{name}"
    if image.exists():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    suite, package = KERNELS[name]
    mirror = _mirror()
    try:
        listed = lzma.decompress(_get(f"{mirror}/dists/{suite}/main/binary-amd64/Packages.xz")).decode()
        found = [
            dict(re.findall(r"^(\w+): (.*)$", paragraph, re.MULTILINE))
            for paragraph in listed.split("\n\n")
            if re.match(rf"Package: {package}$", paragraph, re.MULTILINE)
        ]
        if not found:
            raise KernelError(f"kernel {name} cannot be had: {suite} of {mirror} has no package {package}")
        newest = max(found, key=lambda fields: [int(number) for number in re.findall(r"\d+", fields["Version"])])
        package_file = _get(f"{mirror}/{newest['Filename']}")
    except (urllib.error.URLError, OSError) as error:
        raise KernelError(f"kernel {name} cannot be had from {mirror}: {error}") from error
    if hashlib.sha256(package_file).hexdigest() != newest["SHA256"]:
        raise KernelError(f"kernel {name} cannot be had: {newest['Filename']} is not what its list says")
    partial = image.with_suffix(f".{os.getpid()}")
    partial.write_bytes(_vmlinuz(package_file))
    partial.rename(image)
    return image


@functools.cache
def _mirror() -> str:
    """The mirror that apt is told to use for Debian, else Debian's own."""
    for file in sorted(Path("/etc/apt").glob("sources.list*")):
        for source in [file] if file.is_file() else sorted(file.iterdir()):
            if found := re.search(
                r"^(?:URIs:|deb(?: \[.*?\])?) *(https?://\S+/debian)/?(?:\s|$)", source.read_text(), re.M
            ):
                return found[1]
    return "http://deb.debian.org/debian"


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        data: bytes = answer.read()
        return data


def _vmlinuz(package_file: bytes) -> bytes:
    tar = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", "-"], input=package_file, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).name.startswith("vmlinuz"):
                file = archive.extractfile(member)
                assert file
                return file.read()
    raise KernelError("the package has no vmlinuz")
