"""What tests of writing bundles start from: a place for one, and one to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bundles import MadeBundle
from tests.support.writing import BIG, bundle_of


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the bundle goes, in a folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "release.tar"


@pytest.fixture
def made() -> MadeBundle:
    """A bundle with one layer that comes in many chunks."""
    return bundle_of([BIG, b"small", b""])
