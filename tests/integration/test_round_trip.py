"""Transfers there and back between two registries of airgap's own, each a real process."""

from __future__ import annotations

import pytest

from tests.support.round_trip import RoundTrip, run_exact_recovery, run_round_trip
from tests.support.served import served


@pytest.fixture
def trip(tmp_path):
    """Two people with a registry each, and three releases outside."""
    with (
        served("--data", tmp_path / "outside") as outside,
        served("--data", tmp_path / "inside") as inside,
    ):
        yield RoundTrip.begin(tmp_path, outside.host, inside.host)


def test_a_lost_bundle_is_recovered_by_a_fresh_inventory(trip):
    """Nothing is sent that cannot be completed, and what arrived is proven each time."""
    run_round_trip(trip)


def test_exactly_what_is_missing_can_be_fetched(trip):
    """A need brings the one layer that was lost, and the refused bundle goes on from there."""
    run_exact_recovery(trip)
