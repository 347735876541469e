"""However a bundle is damaged or forged, only airgap's own errors come out, and none is missed."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle import members
from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.finding import CheckReport
from airgap.bundle.layout import CATALOG_FILE, PLACEMENT_FILE
from airgap.bundle.placement import Placement, Seal
from airgap.bundle.reader import open_bundle
from airgap.errors import AirgapError, BundleFormatError
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.support import bundles
from tests.support.bundles import make_bundle, pull, tiny_bundle

TINY = tiny_bundle()
MADE = make_bundle(layer_size=50)
EVERY_BYTE = os.environ.get("HYPOTHESIS_PROFILE") == "long"
RUN = Run()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def write(folder: Path, data: bytes) -> Path:
    path = folder / "bundle.tar"
    path.write_bytes(data)
    return path


def read(path: Path) -> dict[Digest, bytes]:
    """Take a bundle from a file as an import does."""
    with open_bundle(path) as reader:
        return {digest: reader.read_blob(digest) for digest, _ in reader.catalog.blobs}


def check(path: Path) -> CheckReport:
    report = check_bundle(path, run=RUN, jobs=1)
    assert list(path.parent.iterdir()) == [path], "a check writes nothing"
    return report


def offsets() -> list[int]:
    """Some bytes of every block, always the same ones; all of them in the long profile."""
    size = len(TINY.data)
    if EVERY_BYTE:
        return list(range(size))
    choice = random.Random(20)
    return sorted(
        at
        for block in range(0, size, members.BLOCK)
        for at in choice.sample(range(block, min(block + members.BLOCK, size)), 24)
    )


def test_every_flipped_bit_is_found(folder: Path) -> None:
    """No byte of the file is without a check: headers, padding, documents, content, seal, end."""
    choice = random.Random(7)
    for offset in offsets():
        path = write(folder, bundles.flip(TINY.data, offset, choice.randrange(8)))
        assert check(path).findings, f"byte {offset}"


def test_no_flipped_bit_passes_through_a_pipe() -> None:
    """An import from a pipe refuses every one of them before it is done."""
    choice = random.Random(8)
    for offset in offsets():
        data = bundles.flip(TINY.data, offset, choice.randrange(8))
        with pytest.raises(AirgapError):
            pull(data)


def test_every_cut_is_found(folder: Path) -> None:
    """A file cut anywhere is never called whole, and never read to its end."""
    choice = random.Random(9)
    for size in [*choice.sample(range(len(TINY.data)), 150), len(TINY.data) - 1]:
        path = write(folder, TINY.data[:size])
        assert check(path).exit_code in (22, 23)
        with pytest.raises(AirgapError):
            read(path)
        with pytest.raises(AirgapError):
            pull(TINY.data[:size])


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A bundle after some steps of damage or forgery."""
    data = MADE.data
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        block = at // members.BLOCK * members.BLOCK
        end = min(len(data), block + members.BLOCK * draw(st.integers(1, 6)))
        step = draw(st.sampled_from(["flip", "cut", "insert", "drop", "repeat", "zero", "header"]))
        match step:
            case "flip" if at < len(data):
                data = bundles.flip(data, at, draw(st.integers(0, 7)))
            case "cut":
                data = data[:at]
            case "insert":
                new = draw(st.binary(max_size=40))
                where = block if draw(st.booleans()) else at
                data = (
                    data[:where] + new.ljust(draw(st.sampled_from([0, 512])), b"\0") + data[where:]
                )
            case "drop":
                data = data[:block] + data[end:]
            case "repeat":
                data = data[:end] + data[block:end] + data[end:]
            case "zero":
                data = data[:block] + bytes(end - block) + data[end:]
            case "header" if block + members.BLOCK <= len(data):
                field = draw(st.sampled_from([0, 100, 124, 136, 156, 157, 257, 345]))
                new = draw(st.binary(min_size=1, max_size=12) | st.just(b"00000001000\0"))
                changed = bundles.reheader(data[block : block + members.BLOCK], {field: new})
                data = data[:block] + changed[: members.BLOCK] + data[block + members.BLOCK :]
    return data


@given(data=mutations())
def test_a_mutated_bundle_gives_its_own_errors_and_is_never_called_whole(
    folder: Path, data: bytes
) -> None:
    """Where a byte differs, the check finds it, a pipe refuses it, and no content is wrong."""
    path = write(folder, data)
    report = check(path)
    if data == MADE.data:
        assert report.findings == ()
        assert pull(data) == MADE.contents
        return
    assert report.findings
    assert report.exit_code in (20, 22, 23)
    with pytest.raises(AirgapError):
        pull(data)
    try:
        found = read(path)
    except AirgapError:
        return
    assert found == MADE.contents, "what a file gives is right, even where a header is not"


@given(data=st.binary(max_size=3000))
def test_bytes_of_any_kind_are_no_bundle(folder: Path, data: bytes) -> None:
    """They are refused, and nothing else happens."""
    path = write(folder, data)
    assert check(path).findings
    with pytest.raises(AirgapError):
        read(path)
    with pytest.raises(AirgapError):
        pull(data)


@given(value=JSON, name=st.sampled_from([CATALOG_FILE, PLACEMENT_FILE]))
def test_documents_of_any_form_are_refused(folder: Path, value: object, name: str) -> None:
    """A catalog or placement that is any JSON, in a tar that is right, is refused by name."""
    parts = bundles.unpack(TINY.data)
    parts[name] = bundles.dumps(value)
    data = bundles.pack(parts.items())
    path = write(folder, data)
    assert check(path).exit_code == 22
    with pytest.raises(BundleFormatError):
        read(path)
    with pytest.raises(BundleFormatError):
        pull(data)


@given(data=st.data())
def test_fields_of_any_value_are_refused(folder: Path, data: st.DataObject) -> None:
    """Any value anywhere in a catalog, placement or seal gives a format error or a document."""
    parse, raw = data.draw(
        st.sampled_from(
            [
                (Catalog.parse, MADE.catalog.raw),
                (Placement.parse, MADE.layout.placement.to_bytes()),
                (Seal.parse, MADE.layout.seal.to_bytes()),
            ]
        )
    )
    changed = bundles.change_field(raw, data.draw(st.integers(0, 1000)), data.draw(JSON))
    try:
        parse(changed)
    except BundleFormatError:
        return
    assert parse is not Seal.parse or changed == raw


def test_a_header_that_promises_much_takes_no_memory(folder: Path) -> None:
    """A catalog of 200 MiB that is not there is not made room for."""
    parts = list(bundles.unpack(TINY.data).items())
    front = bundles.pack(parts[:3])[: -len(members.END)]
    data = front + members.header(CATALOG_FILE, 200 * 1024 * 1024) + b"{" * 2000
    path = write(folder, data)
    tracemalloc.start()
    try:
        assert check(path).findings
        with pytest.raises(AirgapError):
            read(path)
        with pytest.raises(AirgapError):
            pull(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
