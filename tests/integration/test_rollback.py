"""Imports that would move a tag back, by the receiver's own log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.command_line import Outcome, airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import sent

OLD, NEW = builders.image(seed=1), builders.image(seed=2)


@pytest.fixture
def releases(pack) -> tuple[Path, Path]:
    """Two bundles: release 1.0 and 1.1 of one image, and another image that is in both."""
    other = builders.image(seed=3)
    return (
        pack({"app:1": OLD, "other:1": other}),
        pack({"app:1": NEW, "other:1": other}),
    )


def bring(bundle: Path, inside: EmbeddedRegistry, *options: object) -> Outcome:
    to = ("--to", inside.host, "--on-existing-tag", "overwrite")
    return airgap("import", "bundle", bundle, *to, *options)


def tagged(inside: EmbeddedRegistry):
    return inside.repository("app").resolve("1").digest


@pytest.fixture
def updated(releases, inside) -> EmbeddedRegistry:
    """A registry that got release 1.0, and then 1.1."""
    for bundle in releases:
        assert bring(bundle, inside).code == 0
    assert tagged(inside) == NEW.digest
    inside.clear()
    return inside


def test_an_update_is_no_rollback(releases, inside) -> None:
    """Forward goes without a word, also where no tag may go back."""
    for bundle in releases:
        done = bring(bundle, inside, "--no-rollback")
        assert (done.code, done.err) == (0, "")
    assert tagged(inside) == NEW.digest


def test_a_tag_that_goes_back_is_told(releases, updated) -> None:
    """A warning and a note name the tag and both images; the tag is moved all the same."""
    done = bring(releases[0], updated, "--json")
    assert done.code == 0
    [notice] = [line for line in done.lines if line["type"] == "notice"]
    assert (notice["level"], notice["code"]) == ("warning", "rollback")
    [note] = done.lines[-1]["notes"]
    assert note == notice["message"]
    assert f"{updated.host}/app:1 goes back from {NEW.digest.short}" in note
    assert OLD.digest.short in note
    assert tagged(updated) == OLD.digest


def test_a_dry_run_tells_that_a_tag_would_go_back(releases, updated) -> None:
    """Nothing is sent, and the note is there."""
    done = bring(releases[0], updated, "--dry-run")
    assert "note: " in done.out
    assert "goes back from" in done.out
    assert sent(updated) == []


def test_a_tag_may_not_go_back_where_that_is_refused(releases, updated) -> None:
    """Before anything is sent the import ends, and names the tag and what lets it."""
    done = bring(releases[0], updated, "--no-rollback")
    assert_refused(done, 40, "conflict", f"{updated.host}/app:1 goes back", "--allow-rollback")
    assert sent(updated) == []
    assert tagged(updated) == NEW.digest


def test_a_setting_refuses_and_a_flag_allows(releases, updated, monkeypatch) -> None:
    """Who refuses rollbacks for ever may still want one."""
    monkeypatch.setenv("AIRGAP_NO_ROLLBACK", "1")
    assert bring(releases[0], updated).code == 40
    assert bring(releases[0], updated, "--allow-rollback").code == 0
    assert tagged(updated) == OLD.digest


def test_the_other_images_go_on_where_that_is_wanted(releases, updated, pack) -> None:
    """With --keep-going the image whose tag would go back fails, and the rest is imported."""
    third = pack({"app:1": OLD, "third:1": builders.image(seed=4)})
    done = bring(third, updated, "--no-rollback", "--keep-going")
    assert done.code == 3
    assert "goes back" in done.out
    assert tagged(updated) == NEW.digest
    assert updated.repository("third").resolve("1") is not None


def test_a_tag_that_stays_does_not_go_back(releases, updated) -> None:
    """Where tags that name something else are left alone, there is nothing to refuse."""
    to = ("--to", updated.host, "--on-existing-tag", "skip")
    done = airgap("import", "bundle", releases[0], *to, "--no-rollback")
    assert (done.code, done.err) == (0, "")
    assert tagged(updated) == NEW.digest


def test_a_signature_that_moves_as_well_does_not_hide_that_its_image_goes_back(
    pack, inside
) -> None:
    """The tags of what refers to an image are none of its names."""
    bundles = []
    for number, content in ((1, OLD), (2, NEW), (3, OLD)):
        tag, _ = builders.cosign_signature(content.descriptor)
        signature = builders.manifest(
            builders.blob(b"{}"), [builders.layer(100, seed=number)], annotations={"n": str(number)}
        )
        bundles.append(pack({"app:1": content}, referrers=[("app", signature, tag)]))
    for bundle in bundles[:2]:
        assert bring(bundle, inside, "--no-rollback").code == 0
    inside.clear()
    done = bring(bundles[2], inside, "--no-rollback")
    assert_refused(done, 40, "conflict", f"{inside.host}/app:1 goes back", "--allow-rollback")
    assert sent(inside) == []


def test_the_same_bundle_again_is_no_rollback(releases, updated) -> None:
    """An import that changes nothing is harmless, however often it is done."""
    for _ in range(2):
        done = bring(releases[1], updated, "--no-rollback")
        assert (done.code, done.err) == (0, "")


def test_another_registry_knows_of_no_rollback(releases, updated) -> None:
    """What was imported here says nothing about a registry that has other names."""
    with EmbeddedRegistry() as other:
        builders.push(other.repository("app"), NEW, tag="1")
        assert bring(releases[0], other, "--no-rollback").code == 0


def test_an_image_that_was_not_imported_here_is_neither_older_nor_newer(releases, inside) -> None:
    """A tag that somebody else moved is judged by nobody."""
    assert bring(releases[0], inside).code == 0
    builders.push(inside.repository("app"), builders.image(seed=9), tag="1")
    assert bring(releases[0], inside, "--no-rollback").code == 0


def test_a_log_that_was_changed_lets_nothing_go_back(releases, updated) -> None:
    """Where no tag may go back, a log without its entries about that is refused as a whole."""
    log = Path(os.environ["XDG_STATE_HOME"]) / "airgap" / "custody.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-2] + lines[-1:]))
    done = bring(releases[0], updated, "--no-rollback")
    assert done.code == 20
    assert "airgap log verify" in done.err
    assert sent(updated) == []
    log.write_bytes(b'{"event":"import"}\n')
    done = bring(releases[0], updated)
    assert done.code == 0
    assert "whether tags go back is not known" in done.err
