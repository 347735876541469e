"""Sizes of volumes are read as people write them, and media are as large as they are sold."""

from __future__ import annotations

import pytest

from airgap.bundle.media_sizes import parse_volume_size
from airgap.errors import ExitCode, SettingsError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1_048_576),
        ("1MiB", 1_048_576),
        ("4GiB", 4_294_967_296),
        ("2TiB", 2_199_023_255_552),
        ("2048KiB", 2_097_152),
        ("500MB", 500_000_000),
        ("500M", 500_000_000),
        ("500 mb", 500_000_000),
        ("2GB", 2_000_000_000),
        ("1TB", 1_000_000_000_000),
        ("3000kB", 3_000_000),
        ("2000000B", 2_000_000),
        (" 8gib ", 8_589_934_592),
        ("9007199254740992", 9_007_199_254_740_992),
    ],
)
def test_a_size_is_read_as_it_is_written(text, size):
    """MB are millions of bytes and MiB are 2^20, in upper or lower case, with or without a B."""
    assert parse_volume_size(text) == size


@pytest.mark.parametrize("text", ["fat32", "FAT32"])
def test_fat32_is_the_largest_file_that_it_takes(text):
    """A file on FAT32 ends one byte before 4 GiB."""
    assert parse_volume_size(text) == 4_294_967_295


@pytest.mark.parametrize(
    ("name", "smallest_sold"),
    [
        ("cd", 736_819_200),
        ("dvd", 4_700_372_992),
        ("dvd-dl", 8_543_666_176),
        ("bd", 24_220_008_448),
        ("bd-dl", 48_440_016_896),
    ],
)
def test_a_volume_for_a_disc_leaves_room_for_its_file_system(name, smallest_sold):
    """It has 8 MiB less than the smallest disc of that name holds."""
    assert parse_volume_size(name) == smallest_sold - 8 * 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "", "MB", "-5MB", "1.5GiB", "4GiBs", "4 GB GB", "0x100000", "1e9", "usb", "dvd-", "500PB",
        "5iB", "\uff11MiB", "99999999999999999", "1 048 576", "1,048,576", "dvd\x1b[31m",
    ],
)  # fmt: skip
def test_what_is_no_size_is_refused_with_the_names_of_media(text):
    """Exit 2, one printable line, and a hint that lists what can be written."""
    with pytest.raises(SettingsError, match="is not the size of a volume") as raised:
        parse_volume_size(text)
    assert raised.value.exit_code == ExitCode.USAGE
    assert raised.value.message.isprintable()
    assert "fat32, cd, dvd, dvd-dl, bd, bd-dl" in raised.value.hint


@pytest.mark.parametrize("text", ["0", "1", "1048575", "1023KiB", "1MB"])
def test_less_than_a_mebibyte_is_too_small(text):
    """It is said how much it is, and what the least is."""
    with pytest.raises(SettingsError, match="too small") as raised:
        parse_volume_size(text)
    assert "1 MiB" in raised.value.hint


@pytest.mark.parametrize("text", ["9007199254740993", "9999999999TiB"])
def test_more_than_can_be_counted_is_too_large(text):
    """What no document can count exactly is refused."""
    with pytest.raises(SettingsError, match="too large"):
        parse_volume_size(text)
