"""Values of settings: what is read from text and TOML, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.cli import values
from airgap.errors import SettingsError


def refused(read, value) -> str:
    with pytest.raises(SettingsError) as caught:
        read(value, "--it")
    assert caught.value.message.startswith("--it")
    return caught.value.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90.0),
        (" 1.5 s ", 1.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("168h", 604_800.0),
        (3, 3.0),
        (0.5, 0.5),
    ],
)
def test_times_are_seconds_minutes_or_hours(value, seconds):
    """A number alone is seconds; a week is the longest."""
    assert values.as_seconds(value, "--it") == seconds


@pytest.mark.parametrize(
    "value",
    ["", "0", 0, -1, "-1", "1d", "169h", 604_801, True, float("nan"), float("inf"), [], None],
)
def test_what_is_no_time_is_refused(value):
    """Nothing that would wait for ever, or not at all."""
    assert "a time above 0" in refused(values.as_seconds, value)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("1k", 1000),
        ("2 MB", 2 * 10**6),
        ("3G", 3 * 10**9),
        ("4T", 4 * 10**12),
    ],
)
def test_sizes_are_counted_in_thousands(value, size):
    """As disks and media are sold."""
    assert values.as_size(value, "--it") == size


@pytest.mark.parametrize("value", ["", "-1", "1.5G", "1GiB", "k", 5, True, None])
def test_what_is_no_size_is_refused(value):
    """Only whole numbers with one letter behind them."""
    assert "must be a size" in refused(values.as_size, value)


@pytest.mark.parametrize(("value", "number"), [("1", 1), (" 256 ", 256), (8, 8)])
def test_jobs_are_counted(value, number):
    """From text and from TOML."""
    assert values.as_jobs(value, "--it") == number


@pytest.mark.parametrize("value", ["0", "257", 0, 257, -1, True, 1.0, "1.0", "", None, "9" * 20])
def test_what_is_no_number_of_jobs_is_refused(value):
    """Neither none nor more than a machine could do; truth is no number."""
    assert "from 1 to 256" in refused(values.as_jobs, value)


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), ("on", True), (" NO ", False), ("0", False)]
)
def test_flags_are_read(value, flag):
    """Yes and no in the words that people use."""
    assert values.as_flag(value, "--it") is flag


@pytest.mark.parametrize("value", [1, 0, "maybe", "", None])
def test_what_is_no_flag_is_refused(value):
    """A number in TOML is no flag."""
    assert "true or false" in refused(values.as_flag, value)


@pytest.mark.parametrize("value", ["", "a\0b", 5, None, ["a"]])
def test_what_is_no_path_is_refused(value):
    """No system takes an empty name, or one with a NUL in it."""
    assert "path of a file" in refused(values.as_path, value)


def test_a_home_folder_is_found(monkeypatch):
    """`~` stands for it, and one of nobody is refused."""
    monkeypatch.setenv("HOME", "/srv/me")
    assert values.as_path("~/ca.pem", "--it") == Path("/srv/me/ca.pem")
    assert "home folder" in refused(values.as_path, "~nobody-of-this-name/ca.pem")


@pytest.mark.parametrize("value", ["a,,b", "http://a", "a/b", 5, ["a", 5], "-a"])
def test_what_are_no_hosts_is_refused(value):
    """Hosts with ports, separated by commas; no urls and no paths."""
    refused(values.as_hosts, value)


def test_hosts_are_a_list_or_text():
    """Each counts once, with or without white space."""
    assert values.as_hosts("a, b:5000,a", "--it") == values.as_hosts(["b:5000", "a"], "--it")
