"""A damaged or hostile bundle is refused by name when it is opened."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle import members
from airgap.bundle.catalog import MAX_SIZE, Catalog
from airgap.bundle.front import check_manifest_sizes
from airgap.errors import (
    BundleFormatError,
    DigestMismatchError,
    ExitCode,
    IncompleteBundleError,
    SizeMismatchError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from tests.support import bundles
from tests.support.bundles import make_bundle, member, pack, refusal, reheader, tiny_bundle, unpack

MADE = make_bundle()
FRONT_NAMES = ["oci-layout", "index.json", "manifest.json", "airgap/catalog.json"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../escape", "leads out of the folder"),
        ("blobs/../../escape", "leads out of the folder"),
        ("/etc/passwd", "is an absolute path"),
        ("..\\escape", "path of another system"),
        ("C:evil", "path of another system"),
        ("bell\a", "cannot be printed"),
        ("blobs/sha256/" + "0" * 64, "in the wrong place"),
        ("index.json", "stands twice"),
        ("airgap/extra.json", "not a member of a bundle"),
        ("x" * 150, "not a member of a bundle"),
    ],
)
@pytest.mark.parametrize("position", [4, 5, 7])
def test_members_that_do_not_belong_are_refused_by_name(
    tmp_path: Path, name: str, words: str, position: int
) -> None:
    """An unsafe, a second or an unknown member never passes, wherever it stands in the front."""
    parts = list(unpack(MADE.data).items())
    error = refusal(tmp_path, pack([*parts[:position], (name, b"?"), *parts[position:]]))
    assert error.exit_code == 22
    assert words in error.message


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (b"1", "a hard link"),
        (b"2", "a symbolic link"),
        (b"3", "a device"),
        (b"4", "a device"),
        (b"5", "a folder"),
        (b"6", "a named pipe"),
        (b"7", "not the one that airgap writes"),
        (b"g", "not the one that airgap writes"),
    ],
)
@pytest.mark.parametrize("name", ["airgap/placement.json"])
def test_members_that_are_no_plain_files_are_refused(
    tmp_path: Path, kind: bytes, words: str, name: str
) -> None:
    """Links, devices and whatever else a tar can hold are refused by what they are."""
    parts = unpack(MADE.data)
    index = list(parts).index(name)
    front = pack(list(parts.items())[:index])[: -len(members.END)]
    error = refusal(tmp_path, front + member(name, parts[name], kind=kind) + bytes(2048))
    assert error.exit_code == 22
    assert words in error.message


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (100, b"0000777\0"),
        (108, b"0001750\0"),
        (136, b"14371573647\0"),
        (265, b"root"),
        (345, b"p"),
    ],
    ids=["mode", "owner", "time", "user", "prefix"],
)
def test_a_header_has_one_form(tmp_path: Path, offset: int, value: bytes) -> None:
    """Another mode, owner, time, user or prefix is not what airgap writes."""
    start = MADE.layout.placement.extents[0].offset - members.BLOCK
    block = reheader(MADE.data[start : start + members.BLOCK], {offset: value})
    error = refusal(tmp_path, bundles.replace(MADE.data, start, block))
    assert error.exit_code == 22


def test_a_pax_name_that_leads_out_is_seen(tmp_path: Path) -> None:
    """A name in a pax header is judged like one in a plain header."""
    parts = list(unpack(MADE.data).items())
    error = refusal(tmp_path, pack([*parts[:5], ("../" + "x" * 120, b"?"), *parts[5:]]))
    assert "leads out of the folder" in error.message


def with_catalog(change: Callable[[dict], None]) -> bytes:
    parts = unpack(MADE.data)
    value = json.loads(parts["airgap/catalog.json"])
    change(value)
    parts["airgap/catalog.json"] = canonical_bytes(value)
    return pack(parts.items())


def test_a_newer_format_is_refused_as_such(tmp_path: Path) -> None:
    """It says which version it is, and the hint says what to do."""
    error = refusal(tmp_path, with_catalog(lambda value: value.update(formatVersion=7)))
    assert error.exit_code == 22
    assert "format version 7" in error.message
    assert "newer" in error.hint


@pytest.mark.parametrize(
    ("requires", "shown"), [(["deltas"], "deltas"), (["a\nb"], r"a\nb"), (True, "True"), ({}, "{}")]
)
def test_an_unknown_requirement_is_refused_by_name(
    tmp_path: Path, requires: object, shown: str
) -> None:
    """What a reader must know and does not is named, whatever form it has."""
    error = refusal(tmp_path, with_catalog(lambda value: value.update(requires=requires)))
    assert error.exit_code == 22
    assert shown in error.message


def test_a_changed_catalog_does_not_match_its_placement(tmp_path: Path) -> None:
    """A catalog of another id is not taken for the bundle's own."""

    def rename(value: dict) -> None:
        value["images"][0]["name"] = "example.com/evil:1"

    error = refusal(tmp_path, with_catalog(rename))
    assert error.exit_code == 22
    assert "belongs to the bundle" in error.message


@pytest.mark.parametrize("name", ["oci-layout", "index.json", "manifest.json"])
def test_what_other_engines_read_must_be_made_from_the_catalog(tmp_path: Path, name: str) -> None:
    """An altered index.json shows docker something else than airgap: it is refused."""
    parts = unpack(MADE.data)
    parts[name] = parts[name].replace(b"team", b"evil").replace(b"1.0.0", b"6.6.6")
    error = refusal(tmp_path, pack(parts.items()))
    assert error.exit_code == 22
    assert name in error.message


def test_a_placement_that_is_not_the_planned_one_is_refused(tmp_path: Path) -> None:
    """Offsets are where the catalog puts them."""
    parts = unpack(MADE.data)
    value = json.loads(parts["airgap/placement.json"])
    value["blobs"][-1]["offset"] += 512
    parts["airgap/placement.json"] = canonical_bytes(value)
    assert "placement" in refusal(tmp_path, pack(parts.items())).message


def test_one_of_several_volumes_is_refused_as_such(tmp_path: Path) -> None:
    """A volume says which one it is."""
    parts = unpack(MADE.data)
    value = json.loads(parts["airgap/placement.json"])
    value.update(volume=2, volumes=3)
    parts["airgap/placement.json"] = canonical_bytes(value)
    assert "does not say where every blob lies" in refusal(tmp_path, pack(parts.items())).message


@pytest.mark.parametrize("field", ["parts", "encoding"])
def test_an_encoding_of_the_future_is_refused_by_name(tmp_path: Path, field: str) -> None:
    """A placement with parts or encodings needs a newer airgap."""
    parts = unpack(MADE.data)
    value = json.loads(parts["airgap/placement.json"])
    value["blobs"][-1][field] = []
    parts["airgap/placement.json"] = canonical_bytes(value)
    assert field in refusal(tmp_path, pack(parts.items())).message


@pytest.mark.parametrize("name", FRONT_NAMES)
def test_a_document_that_claims_a_huge_size_is_refused(tmp_path: Path, name: str) -> None:
    """The size in a header is judged before a byte of the content is read."""
    parts = unpack(MADE.data)
    index = list(parts).index(name)
    front = pack(list(parts.items())[:index])[: -len(members.END)]
    error = refusal(tmp_path, front + members.header(name, MAX_SIZE + 1) + bytes(5000))
    assert error.exit_code == 22
    assert "are refused" in error.message


def test_a_placement_longer_than_its_catalog_allows_is_refused(tmp_path: Path) -> None:
    """No more is read than the catalog can ask for."""
    parts = unpack(MADE.data)
    limit = 2 * len(parts["airgap/catalog.json"]) + members.BLOCK
    parts["airgap/placement.json"] = bytes(limit + 1)
    assert "are refused" in refusal(tmp_path, pack(parts.items())).message


def test_json_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    """Depth is limited before the parser sees it."""
    parts = unpack(MADE.data)
    parts["airgap/catalog.json"] = b'{"a":' * 100_000
    assert "nested" in refusal(tmp_path, pack(parts.items())).message


def test_a_manifest_over_the_limit_is_refused(tmp_path: Path) -> None:
    """A manifest of more than 4 MiB is refused by what the catalog says of it."""

    def grow(value: dict) -> None:
        value["manifests"][0]["size"] = 4 * 1024 * 1024 + 1

    parts = unpack(with_catalog(grow))
    placement = json.loads(parts["airgap/placement.json"])
    placement["bundle"] = str(Digest.of(parts["airgap/catalog.json"]))
    parts["airgap/placement.json"] = canonical_bytes(placement)
    assert "4194304 are refused" in refusal(tmp_path, pack(parts.items())).message


def test_manifests_that_are_too_large_together_are_refused() -> None:
    """Many manifests of allowed size do not fill the memory either."""
    large = [
        Descriptor(mediatype.OCI_MANIFEST, Digest.of(bytes([n])), 4 * 1024 * 1024)
        for n in range(65)
    ]
    catalog = Catalog.build(images=[], referrers=[], manifests=large, blobs=[], omitted=[])
    with pytest.raises(BundleFormatError, match="together"):
        check_manifest_sizes(catalog)


def test_a_manifest_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    """It is hashed before it is parsed: exit 20."""
    offset = MADE.layout.placement.extents[0].offset
    error = refusal(tmp_path, bundles.flip(MADE.data, offset))
    assert isinstance(error, DigestMismatchError)


@pytest.mark.parametrize("media_type", [mediatype.DOCKER_MANIFEST, mediatype.OCTET_STREAM])
def test_a_manifest_of_another_type_than_the_catalog_says_is_refused(
    tmp_path: Path, media_type: str
) -> None:
    """The catalog and the document agree on what it is, also where the catalog is vague."""
    made = tiny_bundle()
    document = next(iter(made.documents.values()))
    lying = replace(document, descriptor=replace(document.descriptor, media_type=media_type))
    wrong = bundles.assemble(
        {lying.descriptor.digest: lying},
        made.contents,
        images=made.catalog.images,
    )
    assert refusal(tmp_path, wrong.data).exit_code == 22


def test_a_layer_that_is_not_there_and_not_listed_is_missed(tmp_path: Path) -> None:
    """A bundle that silently left something out does not open."""
    made = tiny_bundle()
    kept = dict(list(made.contents.items())[:-1])
    error = refusal(
        tmp_path, bundles.assemble(made.documents, kept, images=made.catalog.images).data
    )
    assert isinstance(error, IncompleteBundleError)
    assert error.missing == (str(list(made.contents)[-1]),)


def test_a_size_that_does_not_fit_the_manifest_is_refused(tmp_path: Path) -> None:
    """Catalog and manifest must agree on the size of a blob: exit 20."""
    made = tiny_bundle()
    digest, content = list(made.contents.items())[-1]
    longer = made.contents | {digest: content + b"more"}
    error = refusal(
        tmp_path, bundles.assemble(made.documents, longer, images=made.catalog.images).data
    )
    assert isinstance(error, SizeMismatchError)
    assert error.exit_code == ExitCode.INTEGRITY


def test_a_damaged_seal_is_refused(tmp_path: Path) -> None:
    """A seal with a flipped bit is not a seal."""
    for offset in (3, 600, 700):
        data = bundles.flip(MADE.data, MADE.layout.placement.seal + offset)
        assert refusal(tmp_path, data).exit_code == 22
