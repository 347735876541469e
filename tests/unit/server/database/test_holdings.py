"""What repositories hold, read from the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import StorageError
from airgap.server.database import holdings as module
from airgap.server.datafolder import DataDepot
from tests.support import builders
from tests.support.builders import image, push
from tests.support.datafolders import opened

NAMES = ["a", "a/b", "b", "c"]


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[DataDepot]:
    depot = opened(tmp_path / "data")
    shared = builders.layer(300)
    for number, name in enumerate(NAMES):
        push(depot.repository(name), image(layers=(shared, 50), seed=number), tag="1")
    yield depot
    depot.close()


def told(depot: DataDepot, names: list[str]) -> tuple[list[object], list[object]]:
    with depot.holdings(names) as holdings:
        return sorted(holdings.tags), sorted(holdings.content)


@pytest.mark.parametrize("few", [0, 2, 500], ids=["looked through", "on the edge", "named"])
@pytest.mark.parametrize("names", [[], ["a"], ["a/b", "c"], ["b", "none", "a"], NAMES], ids=str)
def test_repositories_are_told_of_that_are_asked_for(
    depot: DataDepot, monkeypatch: pytest.MonkeyPatch, names: list[str], few: int
) -> None:
    """Whether the database is told their names or all rows are looked through."""
    whole = told(depot, NAMES)
    assert len(whole[1]) == 4 * len(NAMES)
    monkeypatch.setattr(module, "_FEW", few)
    tags, content = told(depot, names)
    assert tags == [row for row in whole[0] if row[0] in names]  # type: ignore[index]  # a tuple
    assert content == [row for row in whole[1] if row[2] in names]  # type: ignore[index]  # a tuple


def test_many_rows_come_in_parts(depot: DataDepot, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is lost between two parts."""
    whole = told(depot, NAMES)
    for size in (1, 3, 15, 16, 17):
        monkeypatch.setattr(module, "_ROWS", size)
        assert told(depot, NAMES) == whole


def test_it_is_one_moment(depot: DataDepot) -> None:
    """What is pushed or deleted while somebody reads is as it was."""
    before = told(depot, NAMES)
    with depot.holdings(NAMES) as holdings:
        tags = sorted(holdings.tags)
        content = iter(holdings.content)
        first = next(content)
        for name in NAMES:
            depot.repository(name).delete_tag("1")
            push(depot.repository(name), image(seed=80), tag="2")
            depot.repository(name).delete_manifest(image(seed=80).digest)
        assert (tags, sorted([first, *content])) == before
    assert told(depot, NAMES)[0] == []


def test_a_tag_of_what_is_gone_is_left_out(depot: DataDepot) -> None:
    """A manifest that was lost with its file leaves its tag behind, which names nothing."""
    statement = "DELETE FROM manifests WHERE repository = 'b'"
    depot.metadata.writer.run(lambda connection: connection.exec_driver_sql(statement))
    tags, _ = told(depot, NAMES)
    assert [row[0] for row in tags] == ["a", "a/b", "c"]  # type: ignore[index]  # a tuple


def test_a_database_that_fails_says_so(depot: DataDepot) -> None:
    """Where rows are asked for, its error is one of ours."""
    depot.metadata.writer.run(lambda connection: connection.exec_driver_sql("DROP TABLE edges"))
    with pytest.raises(StorageError), depot.holdings(NAMES) as holdings:
        list(holdings.content)
