"""Exports to several media, which folders with a size stand for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airgap.content import posix
from airgap.errors import IncompleteBundleError
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import MediumWanted
from airgap.transfer import spread
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.export import ExportOptions
from airgap.transfer.spread import Spreading, spread_images
from airgap.transfer.spread_outcome import SpreadResult
from tests.support import builders
from tests.support.command_line import Outcome, airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.parity import contents
from tests.support.transfers import export, open_client

VOLUME = 1 << 20
MEDIUM = 2_300_000
CONTENTS = {
    "app": builders.image(layers=(2_500_000, 300_000)),
    "tool": builders.image(layers=(700_000, 200_000), seed=1),
    "base": builders.image(layers=(900_000,), seed=2),
}


@contextmanager
def connected_side() -> Iterator[EmbeddedRegistry]:
    """The registry that images come from."""
    with EmbeddedRegistry() as registry:
        for name, content in CONTENTS.items():
            builders.push(registry.repository(name), content, tag="1")
        yield registry


def undisturbed(source: EmbeddedRegistry, folder: Path) -> dict[str, bytes]:
    """What an export in volumes writes to one large medium."""
    names = [f"{source.host}/{name}:1" for name in CONTENTS]
    export(names, folder / "r.tar", volume_size=VOLUME)
    return contents(folder)


def make_site(
    source: EmbeddedRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """A mount point with media of a size, and a shelf for those that are full."""
    usb = folder / "usb"
    usb.mkdir()
    made = SimpleNamespace(
        source=source, usb=usb, shelf=[], state=folder / "state", size=MEDIUM, folder=folder
    )

    def free(place: Path) -> int:
        if place != usb:
            return posix.free_bytes(place)
        return max(0, made.size - sum(path.stat().st_size for path in place.iterdir()))

    monkeypatch.setattr(spread, "free_bytes", free)
    return made


def change(site: SimpleNamespace) -> None:
    """Put what is on the medium on the shelf, and an empty one in."""
    place = site.folder / f"medium{len(site.shelf)}"
    shutil.copytree(site.usb, place)
    site.shelf.append(place)
    for path in site.usb.iterdir():
        path.unlink()


def changing(site: SimpleNamespace) -> Callable[[MediumWanted], bool]:
    """A prompt that changes the medium."""

    def ask(_: MediumWanted) -> bool:
        change(site)
        return True

    return ask


def spread_out(
    site: SimpleNamespace,
    *,
    ask: Callable[[MediumWanted], bool] | None = None,
    run: Run | None = None,
    client: Holdings | None = None,
    **options: Any,
) -> SpreadResult:
    """Run the export once, as the command does."""
    references = [Reference.parse(f"{site.source.host}/{name}:1") for name in CONTENTS]
    made = ExportOptions(volume_size=VOLUME, **options)
    with nullcontext(client) if client is not None else open_client() as used:
        return spread_images(
            references,
            site.usb / "r.tar",
            client=used,
            spreading=Spreading(site.state, ask),
            options=made,
            run=run,
        )


def by_command(site: SimpleNamespace, script: str, *options: object) -> Outcome:
    """Run the export by the command, with what a shell does between the media."""
    path = site.folder / "next.sh"
    path.write_text(script)
    names = [f"{site.source.host}/{name}:1" for name in CONTENTS]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread"]
    arguments += ["--volume-size", "1MiB", "--state", site.state, "--next-command", f"sh {path}"]
    return airgap(*arguments, *options)


def volumes_of(site: SimpleNamespace) -> dict[str, bytes]:
    """The volumes on all media, those on the shelf first."""
    found = {}
    for place in [*site.shelf, site.usb]:
        found.update({k: v for k, v in contents(place).items() if k.endswith(".tar")})
    return found


def to_the_end(site: SimpleNamespace, **options: Any) -> None:
    """Change media and run the command again until all is written."""
    for _ in range(20):
        try:
            spread_out(site, **options)
        except IncompleteBundleError:
            change(site)
        else:
            return
    raise AssertionError("it never ends")


def assert_all_written(site: SimpleNamespace, clean: dict[str, bytes]) -> None:
    """The media hold the volumes of an undisturbed export, and nothing else is left."""
    assert volumes_of(site) == clean
    assert not [path for path in site.state.rglob("*") if path.is_file()], "no state is left"
    assert not [path for path in site.usb.iterdir() if "partial" in path.name]
