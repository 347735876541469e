"""`inspect bundle` and `verify bundle` of bundles that leave blobs out, or are signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.finding import Finding
from airgap.cli import verify_bundle
from airgap.errors import ExitCode
from tests.format import version1_update
from tests.support.bundles import SIGNATURES, differential, make_bundle, signed
from tests.support.command_line import airgap
from tests.support.volume_sets import fill, plan

WHOLE = make_bundle(layer_size=3000)
SHARED = max(WHOLE.contents, key=lambda digest: len(WHOLE.contents[digest]))
UPDATE = differential(WHOLE, [SHARED])
KEY = "sha256:06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"


def test_inspect_tells_what_is_left_and_who_signed() -> None:
    """The bases with what each is for, and the keys, of which it says that it checked nothing."""
    done = airgap("inspect", "bundle", version1_update.PATH)
    assert done.code == 0
    lines = done.out.splitlines()
    assert "left to the receiver: 2 blobs (98 B)" in lines
    assert any("by the inventory of registry.internal:5000" in line for line in lines)
    assert lines[lines.index("signatures (not checked here):") + 1] == f"  key {KEY}"
    assert "2 blobs (98 B) left to the receiver" in done.out.partition("\n\n")[2]


def test_inspect_tells_what_was_compared_where_nothing_is_left(tmp_path: Path) -> None:
    """The bases have a line of their own above them, also below signatures."""
    bare = signed(differential(WHOLE, []), SIGNATURES).write(tmp_path)
    lines = airgap("inspect", "bundle", bare).out.splitlines()
    above = lines[next(i for i, line in enumerate(lines) if "  nothing by the " in line) - 1]
    assert above == "left to the receiver: nothing"


def test_inspect_gives_the_same_as_json() -> None:
    """Numbers and ids, for whoever plans with them."""
    result = airgap("inspect", "bundle", version1_update.PATH, "--json").lines[-1]
    assert (result["is_signed"], result["signatures"]) == (True, [KEY])
    summary = result["summary"]
    assert (summary["held_blobs"], summary["held_size"]) == (2, 98)
    assert sorted(base["kind"] for base in summary["bases"]) == ["bundle", "inventory"]


def test_inspect_of_a_whole_bundle_says_nothing_of_this(tmp_path: Path) -> None:
    """No lines where there is nothing to say."""
    done = airgap("inspect", "bundle", WHOLE.write(tmp_path))
    assert done.code == 0
    assert "receiver" not in done.out
    assert "not checked here" not in done.out


def test_inspect_passes_over_signatures_that_it_cannot_read(tmp_path: Path) -> None:
    """What is signed can be looked at all the same; a check with keys says what is wrong."""
    done = airgap("inspect", "bundle", signed(WHOLE, SIGNATURES).write(tmp_path))
    assert done.code == 0
    assert "none that names a key" in done.out


def test_verify_of_an_update_is_whole_and_says_what_it_leaves(tmp_path: Path) -> None:
    """Exit 0, with how much the receiver must have."""
    path = UPDATE.write(tmp_path)
    done = airgap("verify", "bundle", path)
    assert done.code == 0
    assert f"{path}: whole" in done.out
    assert "left to the receiver: 1 blob (3.2 kB)" in done.out
    result = airgap("verify", "bundle", path, "--json").lines[-1]
    assert (result["held_blobs"], result["held_size"]) == (1, len(WHOLE.contents[SHARED]))
    assert result["notes"][0].startswith("1 blob")


def test_verify_names_the_volume_that_lost_its_signatures(tmp_path: Path) -> None:
    """Exit 21: the content is whole, and one volume could not be shown to be signed alone."""
    made = signed(WHOLE)
    shares = plan(made, 1500)
    data = list(fill(made, shares).data)
    data[1] = fill(WHOLE, replace(shares, catalog=WHOLE.catalog)).data[1]
    fill(made, shares).write(tmp_path, data)
    done = airgap("verify", "bundle", tmp_path)
    assert done.code == ExitCode.SIGNATURE
    assert "signature: " in done.out
    assert "bundle.002.tar has no signatures, unlike the other volumes" in done.out
    assert "copy this volume again from where the bundle was signed" in done.err


@pytest.mark.parametrize("count", [1, 2])
def test_the_hint_of_wrong_signatures_is_that_of_the_finding(count: int) -> None:
    """Nothing is damaged, so nothing says that it should be copied again."""
    found = [Finding("signature", "nobody knows this key", "ask for the key")] * count
    report = verify_bundle.CheckReport("x.tar", None, None, 0, 0, 0, 0, tuple(found))
    error = verify_bundle._problems(report)
    assert (error.exit_code, error.hint) == (ExitCode.SIGNATURE, "ask for the key")
