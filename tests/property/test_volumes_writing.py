"""However often writing volumes is broken off, whatever was planned before, the end is the same."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.writer import BundleWriter
from airgap.errors import UnavailableError
from airgap.run import Run
from tests.support.volume_sets import fill, plan
from tests.support.writing import BIG, broken_off, bundle_of, hurried, put, write_volumes

LAYERS = [BIG[:size] for size in (20_000, 9000, 3000, 1)]
limits = st.integers(2000, 18_000)
attempts = st.lists(
    st.tuples(
        limits,
        st.sets(st.integers(0, 3), min_size=1),
        st.integers(0, 4),
        st.none() | st.integers(0, 20_000),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(attempts, limits)
def test_the_last_run_makes_the_bytes_of_a_fresh_one(
    tries: list[tuple[int, set[int], int, int | None]], limit: int
) -> None:
    """After runs of other sizes with other blobs, each ended after some blobs and within one."""
    last = bundle_of(LAYERS)
    wanted = fill(last, plan(last, limit)).data
    with (
        tempfile.TemporaryDirectory() as name,
        patch.object(os, "fdatasync", lambda _: None),
        patch.object(os, "fsync", lambda _: None),
    ):
        target = Path(name) / "release.tar"
        for before, chosen, whole, at in tries:
            made = bundle_of([LAYERS[number] for number in sorted(chosen)])
            if plan(made, before).count == 1:
                continue
            with BundleWriter.open(
                target, overwrite=False, is_split=True, run=Run(), clock=hurried()
            ) as writer:
                writer.begin(plan(made, before))
                put(writer, made.layout, made.contents, limit=whole)
                missing = [d for d in made.contents if not writer.has_blob(made.descriptor(d))]
                if missing and at is not None:
                    descriptor = made.descriptor(missing[0])
                    with pytest.raises(UnavailableError), writer.ingest(descriptor) as ingest:
                        ingest.receive(broken_off(made.contents[missing[0]], at))
                        raise UnavailableError("its end came first")
        fetched = write_volumes(target, last, plan(last, limit))
        # once more where the beginning of a cut blob turns out to have been cut otherwise
        assert fetched <= 2 * sum(map(len, last.contents.values()))
        assert [path.read_bytes() for path in sorted(Path(name).iterdir())] == list(wanted)
