"""No byte of a volume can change without being found where it is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.check import check_bundle
from airgap.run import Run
from tests.support import bundles
from tests.support.bundles import make_bundle
from tests.support.volume_sets import split

MADE = make_bundle(layer_size=3000)
SETS = [split(MADE, limit) for limit in (900, 1500, 4000)]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_changed_bit_of_any_volume_is_found_in_that_file_around_that_byte(
    data: st.DataObject,
) -> None:
    """And nothing is said of the other files."""
    volumes = data.draw(st.sampled_from(SETS))
    index = data.draw(st.integers(0, len(volumes.data) - 1))
    offset = data.draw(st.integers(0, len(volumes.data[index]) - 1))
    bit = data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        paths = volumes.write(Path(folder))
        paths[index].write_bytes(bundles.flip(volumes.data[index], offset, bit))
        report = check_bundle(Path(folder), run=Run(), jobs=1)
    assert {finding.path for finding in report.findings} == {str(paths[index])}
    assert any(
        f.offset is not None and f.offset <= offset < f.offset + (f.length or 1)
        for f in report.findings
    )


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_overwritten_bytes_are_found(data: st.DataObject) -> None:
    """A run of other bytes anywhere in a volume gives a finding in that file, and no crash."""
    volumes = data.draw(st.sampled_from(SETS))
    index = data.draw(st.integers(0, len(volumes.data) - 1))
    content = volumes.data[index]
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 20_000))
    new = data.draw(st.sampled_from([b"\0", b"\xff", b"{", b"7"])) * length
    damaged = (content[:start] + new + content[start + length :])[: len(content)]
    with tempfile.TemporaryDirectory() as folder:
        paths = volumes.write(Path(folder))
        paths[index].write_bytes(damaged)
        report = check_bundle(Path(folder), run=Run(), jobs=1)
    wrong = {f.path for f in report.findings if f.kind != "missing-volume"}
    assert wrong <= {str(paths[index])}
    assert bool(wrong) == (damaged != content)
