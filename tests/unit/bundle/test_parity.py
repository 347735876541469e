"""How much parity is made, and what it is good for."""

from __future__ import annotations

import pytest

from airgap.bundle.parity import (
    MAX_DATA_BLOCKS,
    MAX_RECOVERY_FILES,
    ParityRequest,
    plan_parity,
    protection_text,
)
from airgap.errors import SettingsError

TEN = ParityRequest(percent=10)
ONE = ParityRequest(volumes=1)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("1%", ParityRequest(percent=1)),
        ("10%", TEN),
        ("100%", ParityRequest(percent=100)),
        ("1volume", ONE),
        ("2volumes", ParityRequest(volumes=2)),
    ],
)
def test_an_amount_is_read_and_written(text, request_):
    """Percents and volumes are read, and written as they were given."""
    assert ParityRequest.parse(text) == request_
    assert str(request_) == text


@pytest.mark.parametrize("text", ["", "0%", "101%", "10", "0volumes", "-1volume", "1.5%", "volume"])
def test_other_amounts_are_refused(text):
    """What is no amount is a wrong setting."""
    with pytest.raises(SettingsError):
        ParityRequest.parse(text)


def blocks(sizes, plan):
    """How many blocks files have."""
    return sorted((-(-size // plan.block_size) for size in sizes), reverse=True)


@pytest.mark.parametrize(
    "sizes",
    [
        [1],
        [1 << 20] * 3,
        [100_000_000] * 4 + [7],
        [4_294_967_295] * 12 + [1_000_000],
        [1 << 20] * 5000,
        [50_000_000_000] * 2 + [0],
        [3] * 10_000,
    ],
)
@pytest.mark.parametrize("request_", [TEN, ONE, ParityRequest(percent=100)])
def test_a_plan_keeps_the_limits_of_the_format(sizes, request_):
    """Blocks are counted by file, are multiples of four, and are no more than the format has."""
    plan = plan_parity(sizes, request_)
    counts = blocks(sizes, plan)
    assert plan.block_size % 4 == 0
    assert plan.data_blocks == sum(counts) <= MAX_DATA_BLOCKS
    assert 1 <= plan.recovery_blocks <= MAX_DATA_BLOCKS
    assert 1 <= plan.recovery_files <= min(MAX_RECOVERY_FILES, plan.recovery_blocks)
    assert plan.size > plan.recovery_blocks * plan.block_size


def test_parity_for_volumes_covers_the_largest():
    """Two volumes of parity replace the two that have the most blocks."""
    sizes = [50_000_000, 90_000_000, 10_000_000, 90_000_001]
    plan = plan_parity(sizes, ParityRequest(volumes=2))
    assert plan.recovery_blocks == sum(blocks(sizes, plan)[:2])
    assert plan.whole_volumes == 2


def test_ten_percent_of_many_volumes_is_told_in_blocks_and_volumes():
    """What parity protects is said in words."""
    few = plan_parity([100_000_000] * 4, TEN)
    assert few.recovery_blocks in (200, 201)
    assert protection_text(few) == f"{few.recovery_blocks} damaged blocks, no whole volume"
    many = plan_parity([100_000_000] * 20, TEN)
    assert protection_text(many).endswith(" damaged blocks, 2 whole volumes")


def test_parity_files_are_no_larger_than_volumes():
    """Where a volume fits, a file of its parity fits, too."""
    plan = plan_parity([100_000_000] * 4, ONE)
    assert plan.recovery_files == 2
    with pytest.raises(SettingsError, match="does not fit"):
        plan_parity([50_000_000_000] * 3, ParityRequest(percent=100), max_file=4_000_000_000)


@pytest.mark.parametrize("sizes", [[], [0, 0], [1] * 20_000])
def test_what_parity_cannot_protect_is_refused(sizes):
    """No bytes, or too many files, are a wrong setting."""
    with pytest.raises(SettingsError):
        plan_parity(sizes, TEN)


def test_more_volumes_than_there_are_is_refused():
    """Parity for three volumes of two makes no sense."""
    with pytest.raises(SettingsError, match="3 volumes"):
        plan_parity([10_000, 10_000], ParityRequest(volumes=3))
