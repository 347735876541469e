"""Indexes some of whose platforms were left out."""

from __future__ import annotations

import pytest

from airgap.cli.render import import_lines
from airgap.errors import (
    AirgapError,
    ConflictError,
    ExitCode,
)
from airgap.oci.platform import Platform
from airgap.server.settings import RegistrySettings
from airgap.transfer.destination import Destination
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import assert_holds, bring, sent

UNAUTHORIZED = Status(403, body=b'{"errors":[{"code":"DENIED","message":"no"}]}')


def sparse_pack(pack, *platforms):
    multi = builders.multi_platform([AMD64, ARM64, builders.ARMV7], attested=False)
    return multi, pack({"app:1": multi}, platforms=tuple(map(Platform.parse, platforms)))


@pytest.mark.parametrize("sparse", ["index", "fail"])
def test_a_registry_that_takes_a_sparse_index_gets_it(pack, inside, sparse):
    """The index is pushed as it is wherever that is possible."""
    multi, path = sparse_pack(pack, "linux/amd64")
    bring(path, inside.host, sparse=sparse)
    assert_holds(inside, "app", multi, "1", without=multi.children[1:])


def test_one_image_may_be_wanted_instead_of_the_index(pack, inside):
    """With `image` the index is not even tried."""
    multi, path = sparse_pack(pack, "linux/arm64")
    result = bring(path, inside.host, sparse="image")
    assert [(i.outcome, i.digest) for i in result.images] == [
        ("image-only", multi.children[1].digest)
    ]
    assert inside.repository("app").resolve("1").digest == multi.children[1].digest
    assert inside.repository("app").resolve(str(multi.digest)) is None
    assert len(result.notes) == 1


def test_an_index_under_the_tag_is_not_the_one_image(pack, inside):
    """Where an earlier import put the index, wanting the image instead would move the tag."""
    multi, path = sparse_pack(pack, "linux/amd64")
    bring(path, inside.host)
    with pytest.raises(ConflictError):
        bring(path, inside.host, sparse="image")
    assert inside.repository("app").resolve("1").digest == multi.digest
    bring(path, inside.host, sparse="image", on_existing_tag="overwrite")
    assert inside.repository("app").resolve("1").digest == multi.children[0].digest


def test_attestations_come_with_the_one_image(pack, inside):
    """What an index lists for the one platform is there, though the index is not."""
    multi = builders.multi_platform([AMD64, ARM64])
    path = pack({"app:1": multi}, platforms=(Platform.parse("linux/amd64"),))
    result = bring(path, inside.host, sparse="image")
    assert [i.outcome for i in result.images] == ["image-only"]
    assert "--sparse image" in result.notes[0]
    attestation = multi.children[2]
    assert_holds(inside, "app", attestation)


def test_an_import_says_what_the_bundle_leaves_out(pack, inside):
    """What an image names and the bundle lacks is listed, as far as the image is asked for."""
    multi = builders.multi_platform([AMD64, ARM64], attested=False)
    path = pack(
        {"app:1": multi, "b:1": builders.image()}, platforms=(Platform.parse("linux/amd64"),)
    )
    left_out = multi.children[1].digest
    result = bring(path, inside.host)
    assert [o.descriptor.digest for o in result.omitted] == [left_out]
    assert any(str(left_out) in line or "linux/arm64" in line for line in said(result))
    assert bring(path, inside.host, only=("**/b",)).omitted == ()


def said(result):
    return list(import_lines(result, to=Destination("host"), is_dry=False))


class TestRefused:
    """A registry that wants every manifest of an index."""

    @pytest.fixture
    def inside(self):
        with EmbeddedRegistry(settings=RegistrySettings(sparse_indexes=False)) as registry:
            yield registry

    def test_a_whole_index_is_no_matter(self, pack, inside):
        """Nothing is missing, so nothing is refused."""
        multi = builders.multi_platform()
        bring(pack({"app:1": multi}), inside.host, sparse="fail")
        assert_holds(inside, "app", multi, "1")

    @pytest.mark.parametrize("sparse", ["index", "image"])
    def test_the_one_image_is_pushed_under_the_tag(self, pack, inside, sparse):
        """The name works inside, and the result says what it stands for; again with nothing
        sent the second time.
        """
        multi, path = sparse_pack(pack, "linux/arm64")
        for _ in range(2):
            inside.clear()
            result = bring(path, inside.host, sparse=sparse)
            assert [i.outcome for i in result.images] == ["image-only"]
            assert inside.repository("app").resolve("1").digest == multi.children[1].digest
        taken = [line for line in sent(inside) if inside.count("PUT", status=201)]
        assert taken == []

    def test_several_platforms_cannot_be_one_image(self, pack, inside):
        """The import fails with the hint to export differently, and sets no tag."""
        for sparse in ("index", "image"):
            _, path = sparse_pack(pack, "linux/arm64", "linux/amd64")
            with pytest.raises(AirgapError) as raised:
                bring(path, inside.host, sparse=sparse)
            assert raised.value.exit_code == ExitCode.PROTOCOL
            assert "--platform" in (raised.value.hint or "")
            assert inside.repository("app").resolve("1") is None

    def test_it_may_be_a_failure(self, pack, inside):
        """With `fail` nothing stands in for the index."""
        _, path = sparse_pack(pack, "linux/arm64")
        with pytest.raises(AirgapError, match="without the platforms") as raised:
            bring(path, inside.host, sparse="fail")
        assert raised.value.exit_code == ExitCode.PROTOCOL
        assert inside.repository("app").resolve("1") is None
