"""What holds for reading the volumes of every bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.reader import open_bundle
from tests.support.volume_sets import split
from tests.support.writing import BIG, bundle_of

lengths = st.lists(st.integers(0, 6000), min_size=1, max_size=5, unique=True)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(700, 9000), st.randoms(use_true_random=False), st.data())
def test_any_bundle_in_any_volumes_reads_back_from_any_offset(
    sizes: list[int], limit: int, random: object, data: st.DataObject
) -> None:
    """In any order, whatever is cut."""
    made = split(bundle_of([BIG[:size] for size in sizes]), limit)
    with tempfile.TemporaryDirectory() as folder:
        paths = made.write(Path(folder))
        random.shuffle(paths)  # type: ignore[attr-defined]
        with open_bundle(paths) as reader:
            for digest, content in made.made.contents.items():
                offset = data.draw(st.integers(0, len(content)))
                with reader.open(made.made.descriptor(digest), offset=offset) as chunks:
                    assert b"".join(chunks) == content[offset:]
                assert reader.length(digest) == len(content)


@settings(deadline=None, max_examples=40)
@given(lengths, st.integers(700, 9000), st.data())
def test_what_is_whole_without_some_volumes_is_what_does_not_lie_in_them(
    sizes: list[int], limit: int, data: st.DataObject
) -> None:
    """A blob is there exactly if no piece of it is missing."""
    made = split(bundle_of([BIG[:size] for size in sizes]), limit)
    kept = data.draw(st.sets(st.integers(0, len(made.data) - 1), min_size=1))
    with tempfile.TemporaryDirectory() as folder:
        made.write(Path(folder), [d if n in kept else None for n, d in enumerate(made.data)])
        with open_bundle(Path(folder), must_be_whole=False) as reader:
            for digest in made.made.contents:
                homes = {index for index, _ in made.holders(digest)}
                is_here = reader.has_blob(made.made.descriptor(digest))
                assert is_here == (homes <= kept)
