"""What tests of several media start from: a registry, its volumes undisturbed, and a medium."""

from __future__ import annotations

import pytest

from tests.support.spreading import connected_side, make_site, undisturbed


@pytest.fixture(scope="module")
def source():
    """The registry on the connected side."""
    with connected_side() as registry:
        yield registry


@pytest.fixture(scope="module")
def clean(source, tmp_path_factory):
    """What an undisturbed export writes."""
    return undisturbed(source, tmp_path_factory.mktemp("clean"))


@pytest.fixture
def site(source, tmp_path, monkeypatch):
    """A mount point for media."""
    return make_site(source, tmp_path, monkeypatch)
