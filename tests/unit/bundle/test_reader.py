"""A bundle is read by its front, and its content at the offsets of its placement."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airgap.bundle.reader import MAX_CONFIG_SIZE, open_bundle
from airgap.content.store import CHUNK_SIZE, Source
from airgap.errors import (
    BundleFormatError,
    ContentNotFoundError,
    DigestMismatchError,
    IncompleteBundleError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from tests.support import bundles
from tests.support.bundles import assemble, make_bundle, tiny_bundle


def test_a_bundle_gives_back_what_was_put_in(tmp_path: Path) -> None:
    """Catalog, manifests, blobs, id and size are those of the bundle."""
    made = make_bundle()
    with open_bundle(made.write(tmp_path)) as reader:
        assert reader.catalog == made.catalog
        assert reader.id == made.catalog.id
        assert reader.size == len(made.data)
        assert reader.volumes[1].layout == made.layout
        assert {d: doc.raw for d, doc in reader.documents.items()} == {
            d: doc.raw for d, doc in made.documents.items()
        }
        for digest, content in made.contents.items():
            assert reader.read_blob(digest) == content


@pytest.mark.parametrize("offset", [0, 1, 500, 699, 700])
def test_a_blob_is_read_from_an_offset(tmp_path: Path, offset: int) -> None:
    """What comes is exactly the bytes from the offset on."""
    content = bytes(range(250)) * 2 + bytes(200)
    made = tiny_bundle(layers=(content,))
    digest = Digest.of(content)
    with open_bundle(made.write(tmp_path)) as reader:
        source: Source = reader
        with source.open(made.descriptor(digest), offset=offset) as chunks:
            assert b"".join(chunks) == content[offset:]


def test_chunks_are_bounded(tmp_path: Path) -> None:
    """A large blob comes in chunks of at most a mebibyte."""
    content = bytes(2 * CHUNK_SIZE + 5)
    made = tiny_bundle(layers=(content,))
    with open_bundle(made.write(tmp_path)) as reader:
        with reader.open(made.descriptor(Digest.of(content))) as chunks:
            sizes = [len(chunk) for chunk in chunks]
    assert sizes == [CHUNK_SIZE, CHUNK_SIZE, 5]


def test_threads_read_the_same_file_together(tmp_path: Path) -> None:
    """Blobs read at the same time are each right."""
    made = make_bundle(layer_size=50_000)
    with open_bundle(made.write(tmp_path)) as reader, ThreadPoolExecutor(8) as pool:
        wanted = list(made.contents) * 8
        assert list(pool.map(reader.read_blob, wanted)) == [made.contents[d] for d in wanted]


def test_names_and_digests_resolve(tmp_path: Path) -> None:
    """A full name and a digest find the manifest; anything else finds none."""
    made = make_bundle()
    image = made.catalog.images[1]
    with open_bundle(made.write(tmp_path)) as reader:
        by_name = reader.resolve(image.reference.tagged)
        assert by_name == reader.resolve(str(image.digest))
        assert by_name == made.documents[image.digest].descriptor
        assert reader.manifest(image.reference.tagged).raw == made.documents[image.digest].raw
        assert reader.resolve("latest") is None
        assert reader.resolve(str(Digest.of(b"else"))) is None
        with pytest.raises(ContentNotFoundError):
            reader.manifest("latest")


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """A blob that the bundle does not hold is not found, and not empty."""
    absent = Descriptor.of(b"absent", mediatype.OCTET_STREAM)
    made = tiny_bundle()
    with open_bundle(made.write(tmp_path)) as reader:
        assert not reader.has_blob(absent)
        assert all(reader.has_blob(made.descriptor(digest)) for digest in made.contents)
        assert reader.parts(absent.digest) == ()
        assert reader.read_config(absent.digest) is None
        with pytest.raises(ContentNotFoundError):
            reader.read_blob(absent.digest)
        with pytest.raises(ContentNotFoundError), reader.open(absent):
            pass


def test_a_large_blob_is_not_read_into_memory(tmp_path: Path) -> None:
    """Only what may be a config is read at once."""
    content = bytes(MAX_CONFIG_SIZE + 1)
    made = tiny_bundle(layers=(content,))
    with open_bundle(made.write(tmp_path)) as reader:
        assert reader.read_config(Digest.of(content)) is None
        with pytest.raises(BundleFormatError, match="not read into memory"):
            reader.read_blob(Digest.of(content))


def test_a_small_blob_is_verified(tmp_path: Path) -> None:
    """A config with a flipped bit is not handed out."""
    made = tiny_bundle()
    extent = made.layout.blobs[0]
    with open_bundle(made.write(tmp_path, bundles.flip(made.data, extent.offset))) as reader:
        with pytest.raises(DigestMismatchError) as caught:
            reader.read_blob(extent.digest)
    assert caught.value.origin == "bundle"


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """A blob never ends early without an error."""
    made = tiny_bundle(layers=(bytes(3000),))
    path = made.write(tmp_path)
    extent = made.layout.blobs[-1]
    with open_bundle(path) as reader:
        with path.open("r+b") as file:
            file.truncate(extent.offset + 100)
        with reader.open(made.descriptor(extent.digest)) as chunks:
            with pytest.raises(IncompleteBundleError, match="2900 bytes"):
                list(chunks)


def test_a_hundred_gigabytes_open_by_their_front(tmp_path: Path) -> None:
    """Only the front and the seal are read: a huge file opens, and its blob is found."""
    small = tiny_bundle()
    document = next(iter(small.documents.values()))
    size = 100 * 1000**3
    huge = Descriptor(mediatype.OCI_LAYER, Digest.of(b"nobody hashes this"), size)
    value = document.raw.replace(
        str(document.layers[0].digest).encode(), str(huge.digest).encode()
    ).replace(b'"size": 7', b'"size": %d' % size)
    manifest = bundles.parse(value)
    config = document.config.digest
    made = assemble(
        {manifest.descriptor.digest: manifest},
        {config: small.contents[config]},
        images=[bundles.named("example.com/huge:1", manifest)],
        absent=[(huge.digest, size)],
    )
    path = tmp_path / "huge.tar"
    with path.open("wb") as file:
        file.write(made.layout.front)
        for offset, frame in made.layout.frames():
            file.seek(offset)
            file.write(frame)
    with open_bundle(path) as reader:
        assert reader.size > size
        assert reader.length(huge.digest) == size
        with reader.open(huge, offset=size - 10) as chunks:
            assert b"".join(chunks) == bytes(10)


def test_content_by_sha512_is_read(tmp_path: Path) -> None:
    """Long names, which take a pax header, are no obstacle."""
    made = tiny_bundle(algorithm="sha512")
    assert any(digest.algorithm == "sha512" for digest in made.documents)
    with open_bundle(made.write(tmp_path)) as reader:
        for digest, content in made.contents.items():
            assert reader.read_blob(digest) == content


def test_an_empty_bundle_is_a_bundle(tmp_path: Path) -> None:
    """A catalog without images opens."""
    made = assemble({}, {}, images=[])
    with open_bundle(made.write(tmp_path)) as reader:
        assert reader.catalog.images == ()
