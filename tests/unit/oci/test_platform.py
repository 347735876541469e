"""Platforms: what users ask for and what an index says."""

from __future__ import annotations

import pytest

from airgap.errors import InvalidContentError, SettingsError
from airgap.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("Linux/AMD64", Platform("linux", "amd64")),
        (" linux/arm64/v8 ", Platform("linux", "arm64", "v8")),
        ("linux/arm/7", Platform("linux", "arm", "v7")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("wasip1/wasm", Platform("wasip1", "wasm")),
    ],
)
def test_platforms_are_read_as_users_write_them(text: str, platform: Platform):
    """Case, common other names of architectures, and variants without the v are understood."""
    assert Platform.parse(text) == platform


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd64/", "li nux/amd64", "*/*"]
)
def test_what_is_no_platform_is_refused_with_an_example(text: str):
    """Nonsense is refused, and the hint shows the form."""
    with pytest.raises(SettingsError) as caught:
        Platform.parse(text)
    assert "os/arch" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("entry", "wanted", "matches"),
    [
        ({"os": "linux", "architecture": "amd64"}, "linux/amd64", True),
        ({"os": "linux", "architecture": "amd64"}, "linux/amd64/v1", True),
        ({"os": "linux", "architecture": "amd64", "variant": "v3"}, "linux/amd64", True),
        ({"os": "linux", "architecture": "amd64", "variant": "v3"}, "linux/amd64/v1", False),
        ({"os": "linux", "architecture": "arm64"}, "linux/arm64/v8", True),
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64", True),
        ({"os": "linux", "architecture": "arm64", "variant": "v9"}, "linux/arm64/v8", False),
        ({"os": "linux", "architecture": "arm"}, "linux/arm/v7", True),
        ({"os": "linux", "architecture": "arm", "variant": "7"}, "linux/arm/v7", True),
        ({"os": "linux", "architecture": "arm", "variant": "v6"}, "linux/arm/v7", False),
        ({"os": "linux", "architecture": "arm", "variant": "v6"}, "linux/arm", True),
        ({"os": "linux", "architecture": "x86_64"}, "linux/amd64", True),
        ({"os": "windows", "architecture": "amd64"}, "linux/amd64", False),
        ({"os": "linux", "architecture": "arm64"}, "linux/arm", False),
        ({"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}, "windows/amd64", True),
        ({"os": "unknown", "architecture": "unknown"}, "linux/amd64", False),
        ({}, "linux/amd64", False),
    ],
)
def test_an_entry_matches_what_was_asked_for(entry: dict, wanted: str, matches: bool):
    """Without a variant all of them match, and default variants are the same as none."""
    platform = Platform.from_json(entry)
    assert platform is not None
    assert platform.matches(Platform.parse(wanted)) is matches


def test_a_wanted_platform_made_by_hand_may_use_another_name():
    """Other names of an architecture are understood on both sides."""
    assert Platform("linux", "amd64").matches(Platform("linux", "x86_64"))


def test_attestations_are_on_no_platform():
    """Entries for unknown/unknown or without fields name no place to run on."""
    assert Platform("linux", "amd64").is_known
    assert not Platform("unknown", "unknown").is_known
    assert not Platform("", "").is_known
    assert not Platform("linux", "unknown").is_known
    assert not Platform("unknown", "amd64").is_known


def test_a_platform_reads_back_what_it_wrote():
    """The written form holds all fields, leaves out empty ones, and reads back the same."""
    platform = Platform("windows", "amd64", "v1", "10.0.20348.1")
    assert Platform.from_json(platform.to_json()) == platform
    assert Platform("linux", "386").to_json() == {"architecture": "386", "os": "linux"}
    assert Platform.from_json(None) is None


@pytest.mark.parametrize(
    "value", ["linux/amd64", ["linux"], {"os": 1}, {"os": "linux\x1b[2J"}, {"os": ["linux"]}]
)
def test_a_hostile_platform_is_refused(value: object):
    """Wrong types and control characters, which a terminal would obey, are refused."""
    with pytest.raises(InvalidContentError):
        Platform.from_json(value)


def test_people_read_all_fields():
    """The text for people has the variant and the version where they are."""
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"
    assert str(Platform("windows", "amd64", os_version="10.0")) == "windows/amd64 (10.0)"
