"""The page about updates does what it says, from the first inventory to the lock file."""

from __future__ import annotations

import pytest

from tests.support import builders
from tests.support.howto import Operator
from tests.support.transfers import assert_holds, bring, catalog_of, export

SHARED = builders.layer(900_000, seed=1)
RELEASES = {
    f"1.{number}": {
        "team/app": builders.image(
            layers=(SHARED, builders.layer(200_000, seed=10 + number)), seed=number
        ),
        "team/tool": builders.image(
            layers=tuple(builders.layer(30_000, seed=20 + part) for part in range(number + 1)),
            seed=50 + number,
        ),
    }
    for number in range(4)
}


@pytest.fixture
def operator(outside, inside, tmp_path):
    """Somebody with lists of four releases, the first of which is inside already."""
    for tag, contents in RELEASES.items():
        for name, content in contents.items():
            builders.push(outside.repository(name), content, tag=tag)
    names = {"registry.internal:5000": inside.host}
    made = Operator(tmp_path / "operator", names)
    for tag, contents in RELEASES.items():
        lines = "".join(f"{outside.host}/{name}:{tag}\n" for name in contents)
        (made.work / f"release-{tag}.txt").write_text(lines)
    first = tmp_path / "first.tar"
    export([f"{outside.host}/{name}:1.0" for name in RELEASES["1.0"]], first)
    bring(first, inside.host)
    return made


def test_the_page_for_updates_holds(operator, inside, outside):
    """Updates are small, a lost one is made up for in two ways, and a lock keeps the digests."""

    def nothing_of_it_is_inside(person, block):
        for name in RELEASES["1.3"]:
            assert inside.repository(name).resolve("1.3") is None

    said = operator.follow("updates", {"--missing-for third.tar": nothing_of_it_is_inside})
    bundles = {path.name: catalog_of(path) for path in operator.work.glob("*.tar")}
    shared = SHARED.descriptor.digest
    for name in ("update.tar", "second.tar", "third.tar", "need.tar", "again.tar"):
        assert shared not in dict(bundles[name].blobs), name
        assert bundles[name].held
    assert {base.kind for base in bundles["second.tar"].bases} == {"inventory", "receipt"}
    assert {base.kind for base in bundles["third.tar"].bases} == {"inventory", "bundle"}
    [need] = bundles["need.tar"].bases
    assert (need.kind, need.id) == ("need", bundles["third.tar"].id)
    for tag in ("1.0", "1.1", "1.2", "1.3"):
        for name, content in RELEASES[tag].items():
            assert_holds(inside, name, content, tag)
    assert bundles["copy.tar"].raw == bundles["again.tar"].raw
    assert bundles["locked.tar"].raw == bundles["whole.tar"].raw
    lock = (operator.work / "images.lock").read_text()
    for name, content in RELEASES["1.3"].items():
        assert f'name = "{outside.host}/{name}:1.3"\ndigest = "{content.digest}"' in lock
    assert "left to the receiver by inventory" in said
    assert "0 tags moved" in said
