"""What other tools are told to do for the same work. Each takes part only if it is installed.

All write folders, in their own best way to share layers between images, and none of them syncs.
Where a tool copies one image at a time, it is called once per image, as its users do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.registries import find

Lines = list[list[str]]
Images = Sequence[str]
"""`repository:tag`, without a registry."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool.

    Attributes:
        name: The program.
        version: Arguments that make it print its version.
        fetch: Commands that copy images of a registry into a folder: host, images, folder.
        keep: The same, into folders that `send` can read, where that differs from `fetch`.
        send: Commands that copy what `keep` left into a registry: folder, host, images.
    """

    name: str
    version: tuple[str, ...]
    fetch: Callable[[str, Images, Path], Lines]
    keep: Callable[[str, Images, Path], Lines]
    send: Callable[[Path, str, Images], Lines]


def version_of(program: str, arguments: Sequence[str]) -> str:
    """The number in what a program says about itself."""
    done = subprocess.run(
        [find(program) or program, *arguments], capture_output=True, text=True, check=False
    )
    found = re.search(r"\d+\.\d+\.\d+(?:[-+.]\w+)*", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _flat(image: str) -> str:
    """A name for an image that a layout's tag or a folder can have."""
    return image.replace("/", "-").replace(":", "-")


def _crane_fetch(host: str, images: Images, folder: Path) -> Lines:
    names = [f"{host}/{image}" for image in images]
    return [["crane", "pull", "--insecure", "--format=oci", *names, str(folder)]]


def _crane_keep(host: str, images: Images, folder: Path) -> Lines:
    # crane pushes a layout as one thing: each image needs its own.
    return [
        ["crane", "pull", "--insecure", "--format=oci", f"{host}/{i}", str(folder / _flat(i))]
        for i in images
    ]


def _crane_send(folder: Path, host: str, images: Images) -> Lines:
    return [["crane", "push", "--insecure", str(folder / _flat(i)), f"{host}/{i}"] for i in images]


def _oras_fetch(host: str, images: Images, folder: Path) -> Lines:
    fixed = ["oras", "copy", "--no-tty", "--concurrency", "4", "--from-plain-http"]
    return [
        [*fixed, "--to-oci-layout", f"{host}/{image}", f"{folder}:{_flat(image)}"]
        for image in images
    ]


def _oras_send(folder: Path, host: str, images: Images) -> Lines:
    fixed = ["oras", "copy", "--no-tty", "--concurrency", "4", "--to-plain-http"]
    return [
        [*fixed, "--from-oci-layout", f"{folder}:{_flat(image)}", f"{host}/{image}"]
        for image in images
    ]


def _regctl(host: str) -> list[str]:
    return ["regctl", "--host", f"reg={host},tls=disabled", "image", "copy"]


def _regctl_fetch(host: str, images: Images, folder: Path) -> Lines:
    return [[*_regctl(host), f"{host}/{i}", f"ocidir://{folder}:{_flat(i)}"] for i in images]


def _regctl_send(folder: Path, host: str, images: Images) -> Lines:
    return [[*_regctl(host), f"ocidir://{folder}:{_flat(i)}", f"{host}/{i}"] for i in images]


_SKOPEO = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all"]


def _skopeo_fetch(host: str, images: Images, folder: Path) -> Lines:
    return [
        [*_SKOPEO, "--src-tls-verify=false", f"docker://{host}/{i}", f"oci:{folder}:{_flat(i)}"]
        for i in images
    ]


def _skopeo_send(folder: Path, host: str, images: Images) -> Lines:
    return [
        [*_SKOPEO, "--dest-tls-verify=false", f"oci:{folder}:{_flat(i)}", f"docker://{host}/{i}"]
        for i in images
    ]


_ALL = (
    Peer("crane", ("version",), _crane_fetch, _crane_keep, _crane_send),
    Peer("oras", ("version",), _oras_fetch, _oras_fetch, _oras_send),
    Peer("regctl", ("version",), _regctl_fetch, _regctl_fetch, _regctl_send),
    Peer("skopeo", ("--version",), _skopeo_fetch, _skopeo_fetch, _skopeo_send),
)


def installed(names: Sequence[str] | None = None) -> list[Peer]:
    """The tools that are there; only those of the given names if any are given."""
    return [p for p in _ALL if find(p.name) and (names is None or p.name in names)]
