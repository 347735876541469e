"""The base guard and receipts with the CNCF registry: one that checks what manifests name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.registries import CncfRegistry
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.differentials import pack_against
from tests.support.transfers import bring, pack_into

pytestmark = pytest.mark.compat

BASE = builders.layer(40_000, seed=1)
OS = builders.image(layers=(BASE,), seed=1)
APP = builders.image(layers=(BASE, 2000), seed=2)


@pytest.fixture(name="inside")
def inside_registry(tmp_path: Path) -> Iterator[CncfRegistry]:
    """A registry that nothing is in."""
    with CncfRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture(name="folder")
def bundle_folder(tmp_path: Path) -> Path:
    """Where bundles are made."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    return folder


def test_a_base_is_missed_then_mounted_and_proven(
    inside: CncfRegistry, folder: Path, tmp_path: Path
) -> None:
    """Nothing is written without the base; what is mounted then passes the receipt's check."""
    update = pack_against(folder, {"app:1": APP}, {"team/os": [BASE]})
    receipt = tmp_path / "app.receipt"
    command = ("import", "bundle", update, "--to", inside.host, "--receipt", receipt)
    done = airgap(*command)
    assert done.code == 23, done.err
    assert [path for path in (inside.folder / "data").rglob("*") if path.is_file()] == []
    bring(pack_into(folder, {"base:1": OS}), f"{inside.host}/mirror")
    assert airgap(*command).code == 23
    done = airgap(*command, "--mount-from", "mirror/base")
    assert done.code == 0, done.err
    assert re.search(r"\b1 mounted\b", done.out)
    checked = airgap("verify", "receipt", receipt, "--bundle", update, "--registry", inside.host)
    assert checked.code == 0, checked.out + checked.err
