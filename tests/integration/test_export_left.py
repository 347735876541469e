"""Bundles that left blobs to their receiver, as something to export from."""

from __future__ import annotations

import pytest

from airgap.transfer.bundle_source import Holdings
from tests.support import builders
from tests.support.known import inventory, known_by
from tests.support.transfers import assert_sound, catalog_of, export

SHARED = builders.layer(60_000, seed=1)
OLD = builders.image(layers=(SHARED, 1000), seed=1)
NEW = builders.image(layers=(SHARED, 40_000), seed=2)


@pytest.fixture
def app(outside):
    """The new release, by name."""
    builders.push(outside.repository("team/app"), OLD, tag="1.0")
    builders.push(outside.repository("team/app"), NEW, tag="1.1")
    return f"{outside.host}/team/app:1.1"


@pytest.fixture
def update(app, outside, tmp_path):
    """An update; the registry that it came from is not asked any more."""
    held = inventory({"team/app:1.0": OLD})
    export(app, tmp_path / "update.tar", known=known_by(held))
    return tmp_path / "update.tar"


def again(sources, output, *names):
    """Export out of them; all images where none are named."""
    with Holdings(sources) as holdings:
        chosen = names or [str(reference) for reference in holdings.references()]
        return export(chosen, output, client=holdings)


def test_what_an_update_left_stays_left(update, tmp_path):
    """A copy out of the update is the update, byte for byte: its base is carried over."""
    again([update], tmp_path / "copy.tar")
    assert (tmp_path / "copy.tar").read_bytes() == update.read_bytes()


def test_an_update_and_its_base_make_the_whole(update, app, tmp_path):
    """Where another source has what was left, it travels, and no base is named any more."""
    export(app.replace("1.1", "1.0"), tmp_path / "old.tar")
    export(app, tmp_path / "whole.tar")
    again([update, tmp_path / "old.tar"], tmp_path / "merged.tar", app)
    assert (tmp_path / "merged.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()


def test_updates_of_several_receivers_can_be_merged(update, outside, app, tmp_path):
    """Each base is carried over for what it left."""
    other = builders.image(layers=(70_000,), seed=7)
    builders.push(outside.repository("team/tool"), other, tag="1")
    second = inventory({"team/tool:1": other}, place="other.internal")
    tool = f"{outside.host}/team/tool:1"
    export(tool, tmp_path / "tool.tar", known=known_by(second))
    again([update, tmp_path / "tool.tar"], tmp_path / "both.tar", app, tool)
    catalog = catalog_of(tmp_path / "both.tar")
    assert {base.place for base in catalog.bases} == {"other.internal", "registry.internal:5000"}
    assert len(catalog.held) == 3
    assert_sound(tmp_path / "both.tar")


def test_a_base_is_not_carried_over_for_images_that_need_nothing_of_it(app, outside, tmp_path):
    """What is taken out of an update and is whole in it is what it was without the update."""
    builders.push(outside.repository("team/tool"), builders.image(layers=(500,), seed=8), tag="1")
    tool = f"{outside.host}/team/tool:1"
    held = inventory({"team/app:1.0": OLD})
    export([app, tool], tmp_path / "two.tar", known=known_by(held))
    export(tool, tmp_path / "whole.tar")
    again([tmp_path / "two.tar"], tmp_path / "one.tar", tool)
    assert catalog_of(tmp_path / "two.tar").bases
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()


def test_what_is_left_can_be_left_on_another_word(update, app, tmp_path):
    """An export out of an update may be planned against more."""
    held = inventory({"team/app": NEW}, place="other.internal")
    with Holdings([update]) as holdings:
        export([app], tmp_path / "less.tar", client=holdings, known=known_by(held))
    catalog = catalog_of(tmp_path / "less.tar")
    assert catalog.blobs == ()
    assert "other.internal" in {base.place for base in catalog.bases}
    assert len(catalog.held) == len(NEW.blobs)
