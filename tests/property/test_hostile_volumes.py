"""Volumes that lie: about pieces, about where blobs lie, and about how many volumes there are."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.layout import PLACEMENT_FILE
from airgap.bundle.reader import open_bundle
from airgap.errors import AirgapError, BundleFormatError
from tests.support.bundles import change_field, dumps, flip, pack, unpack
from tests.support.volume_sets import split
from tests.support.writing import BIG, bundle_of

MADE = split(bundle_of([BIG, b"small" * 200]), 11_000)
"""Five volumes; one layer is cut into all of them."""

PIECE = next(
    number
    for number, extent in enumerate(MADE.layouts[1].placement.extents)
    if extent.start is not None
)
CUT_BLOB = [digest for digest, _ in MADE.made.catalog.blobs].index(MADE.cut[0])
NUMBERS = st.integers(-2, 12_000) | st.sampled_from([2**31, 2**53, 2**60, 10**30])
VALUES = NUMBERS | st.none() | st.text(max_size=5) | st.just([]) | st.just([1, 1])


def with_placement(number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A volume, counted from 0, with another placement in a tar that is right."""
    parts = unpack(MADE.data[number])
    parts[PLACEMENT_FILE] = change(parts[PLACEMENT_FILE])
    return pack(parts.items())


def lie(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The second volume with something else in its placement."""

    def changed(raw: bytes) -> bytes:
        value = json.loads(raw)
        change(value)
        assert dumps(value) != raw
        return dumps(value)

    return with_placement(1, changed)


def refused(folder: Path, data: bytes) -> AirgapError:
    """The error with which the set does not open when this is its second volume."""
    paths = MADE.write(folder, [MADE.data[0], data, *MADE.data[2:]])
    with pytest.raises(AirgapError) as alone:
        open_bundle([paths[1]], must_be_whole=False)
    with pytest.raises(AirgapError):
        open_bundle(paths)
    assert "\n" not in alone.value.message
    assert alone.value.hint
    return alone.value


def test_a_volume_that_is_packed_again_unchanged_is_the_same() -> None:
    """So that it is the lie for which the others here are refused."""
    assert all(with_placement(n, lambda raw: raw) == data for n, data in enumerate(MADE.data))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda v: v["blobs"][PIECE].update(start=2**60), id="start behind the blob"),
        pytest.param(lambda v: v["blobs"][PIECE].update(length=2**59), id="piece without end"),
        pytest.param(lambda v: v["blobs"][PIECE].update(length=0), id="empty piece"),
        pytest.param(lambda v: v["blobs"][PIECE].pop("start"), id="piece called whole"),
        pytest.param(lambda v: v["blobs"].append(v["blobs"][PIECE]), id="piece over itself"),
        pytest.param(lambda v: v["blobs"].pop(PIECE), id="piece left out"),
        pytest.param(lambda v: v["homes"].__setitem__(CUT_BLOB, [1, 1]), id="home elsewhere"),
        pytest.param(lambda v: v["homes"].__setitem__(CUT_BLOB, [5, 1]), id="home backwards"),
        pytest.param(lambda v: v["homes"].__setitem__(CUT_BLOB, [0, 9]), id="home out of range"),
        pytest.param(lambda v: v["homes"].pop(), id="homes too few"),
        pytest.param(lambda v: v["homes"].extend([[1, 1]] * 50_000), id="homes too many"),
        pytest.param(lambda v: v.update(volumes=10**15), id="too many volumes"),
        pytest.param(lambda v: v.update(volume=6), id="volume behind the last"),
        pytest.param(lambda v: v.update(volume=0), id="volume before the first"),
        pytest.param(lambda v: v.update(volume=3), id="another volume"),
        pytest.param(lambda v: v.update(seal=2**60), id="seal behind the file"),
    ],
)
def test_a_placement_that_lies_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Alone and among the other volumes, whatever it is that does not fit."""
    assert isinstance(refused(tmp_path, lie(change)), BundleFormatError)


def test_a_volume_of_very_many_takes_no_memory(tmp_path: Path) -> None:
    """The highest number of volumes is allowed, and nothing is made for each of them."""
    data = lie(lambda value: value.update(volumes=99_999))
    tracemalloc.start()
    try:
        refused(tmp_path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1000), VALUES)
def test_a_placement_with_any_value_anywhere_is_refused(number: int, value: object) -> None:
    """Unless it is the value that stood there."""
    data = with_placement(1, lambda raw: change_field(raw, number, value))
    if data != MADE.data[1]:
        with tempfile.TemporaryDirectory() as folder:
            refused(Path(folder), data)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_flipped_bit_gives_wrong_content(data: st.DataObject) -> None:
    """In any volume, it is refused, or found by the digest, or lies where no blob does."""
    which = data.draw(st.integers(0, len(MADE.data) - 1))
    offset = data.draw(st.integers(0, len(MADE.data[which]) - 1))
    changed = list(MADE.data)
    changed[which] = flip(changed[which], offset, data.draw(st.integers(0, 7)))
    is_in_blob = any(e.offset <= offset < e.end for e in MADE.layouts[which].blobs)
    with tempfile.TemporaryDirectory() as folder:
        MADE.write(Path(folder), changed)
        try:
            with open_bundle(Path(folder)) as reader:
                found = {digest: reader.read_blob(digest) for digest in MADE.made.contents}
        except AirgapError:
            return
        assert not is_in_blob
        assert found == MADE.made.contents
