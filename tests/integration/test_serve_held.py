"""`airgap serve` of bundles that leave blobs to their receiver, asked by real clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import ExitCode
from airgap.oci.digest import Digest
from tests.support import builders
from tests.support.bundles import BundleBuilder, differential
from tests.support.command_line import airgap
from tests.support.served import served
from tests.support.wire import Wire

LAYER = builders.layer(300_000, seed=7)
SHARED = LAYER.descriptor.digest


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """A base of one image, and an update that needs its layer and leaves it."""
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER,), seed=1), "example.com/team/app:1.0")
    base = bundle.build()
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER, 2000), seed=2), "example.com/team/app:1.1")
    bundle.add(builders.image(layers=(LAYER,), seed=3), "example.com/tool:1")
    update = differential(bundle.build(), [SHARED])
    found = (tmp_path / "base.tar", tmp_path / "update.tar")
    for path, made in zip(found, (base, update), strict=True):
        path.write_bytes(made.data)
    return found


def test_an_update_alone_is_not_served(paths):
    """Exit 23, with what is missing and what to do, before anything listens."""
    done = airgap("serve", "--listen", "127.0.0.1:0", paths[1])
    assert done.code == ExitCode.INCOMPLETE
    assert "leaves 1 blob" in done.err
    assert "example.com/team/app:1.1" in done.err
    assert "beside the bundles that hold them" in done.err


def test_base_and_update_are_served_together(paths):
    """Everything that any image needs can be pulled from its own repository."""
    with served(*paths) as server, Wire(server.host) as wire:
        for name, tags in (("team/app", ["1.0", "1.1"]), ("tool", ["1"])):
            assert wire.ask("GET", f"/v2/{name}/tags/list", status=200).json["tags"] == tags
            for tag in tags:
                manifest = wire.ask("GET", f"/v2/{name}/manifests/{tag}", status=200).json
                for blob in [manifest["config"], *manifest["layers"]]:
                    answer = wire.ask("GET", f"/v2/{name}/blobs/{blob['digest']}", status=200)
                    assert str(Digest.of(answer.body)) == blob["digest"]
        path = f"/v2/tool/blobs/{SHARED}"
        part = wire.ask("GET", path, headers={"Range": "bytes=1000-1999"}, status=206)
        assert part.body == LAYER.data[1000:2000]


def test_they_are_served_over_a_data_folder(paths, tmp_path):
    """A push into it that needs the blob of the base takes it from there."""
    with served("--data", tmp_path / "data", *paths) as server, Wire(server.host) as wire:
        manifest = wire.ask("GET", "/v2/tool/manifests/1", status=200)
        wire.ask(
            "PUT",
            "/v2/tool/manifests/mine",
            manifest.body,
            headers={"Content-Type": manifest.headers["Content-Type"]},
            status=201,
        )
        assert wire.ask("GET", f"/v2/tool/blobs/{SHARED}", status=200).body == LAYER.data
