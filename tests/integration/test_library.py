"""What the command line does can be done from Python, with names of `airgap` alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import airgap
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry


@pytest.mark.parametrize("name", sorted(airgap.__all__))
def test_every_public_name_is_there_and_is_explained(name: str) -> None:
    """Each name is loaded when it is used, listed by `dir`, and has words of its own."""
    assert name in dir(airgap)
    assert isinstance(getattr(airgap, name), str) or getattr(airgap, name).__doc__


def test_other_names_are_not_there() -> None:
    """A misspelt name is the error that Python users expect."""
    with pytest.raises(AttributeError, match="export_image'"):
        airgap.export_image  # noqa: B018 - the access is what is tested


def test_images_travel_as_the_documentation_shows(tmp_path: Path) -> None:
    """Export, look, check and import, with nothing but defaults; also through streams."""
    path = tmp_path / "release.tar"
    image = builders.image()
    with EmbeddedRegistry() as source:
        builders.push(source.repository("team/app"), image, tag="1.4")
        reference = airgap.Reference.parse(f"{source.host}/team/app:1.4")
        stream = io.BytesIO()
        with airgap.Client() as client:
            plan = airgap.plan_export([reference], path, client=client)
            assert not path.exists()
            result = airgap.export_images([reference], path, client=client)
            airgap.export_images([reference], stream, client=client)
    assert stream.getvalue() == path.read_bytes()
    with airgap.open_bundle(path) as bundle:
        assert bundle.id == plan.bundle_id == result.plan.bundle_id
        assert [found.reference for found in bundle.catalog.images] == [reference]
    assert airgap.check_bundle(path, run=airgap.Run()).findings == ()
    for given in (path, io.BytesIO(stream.getvalue())):
        with EmbeddedRegistry() as target, airgap.Client() as client:
            to = airgap.Destination.parse(f"{target.host}/mirror")
            airgap.import_bundle(given, to, client=client)
            assert target.repository("mirror/team/app").manifest("1.4").raw == image.raw


def test_failures_are_errors_of_airgap(tmp_path: Path) -> None:
    """One class covers everything that a caller may have to expect."""
    with pytest.raises(airgap.AirgapError) as caught:
        airgap.open_bundle(tmp_path / "none.tar")
    assert caught.value.exit_code == 10
