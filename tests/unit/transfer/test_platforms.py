"""Which entries of an index travel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.oci.platform import Platform
from airgap.transfer.platforms import choose_entries, covers
from tests.support import builders
from tests.support.builders import AMD64, ARM64, ARMV7


def chosen(content, *wanted):
    choice = choose_entries(content.document, [Platform.parse(text) for text in wanted])
    return [e.digest for e in choice.travelling], [e.digest for e in choice.left_out]


def test_without_a_choice_everything_travels_in_its_order():
    """No platform asked for means all of them, attestations included."""
    multi = builders.multi_platform([AMD64, ARM64, ARMV7])
    travelling, left_out = chosen(multi)
    assert travelling == [entry.digest for entry in multi.document.manifests]
    assert left_out == []


def test_an_attestation_goes_with_what_it_attests():
    """The attestation of a chosen entry travels, that of another one stays."""
    amd64 = builders.image()
    arm64 = builders.image(platform=ARM64, seed=1)
    of_amd64, of_arm64 = builders.attestation(amd64), builders.attestation(arm64)
    multi = builders.index([amd64, arm64, of_amd64, of_arm64])
    travelling, left_out = chosen(multi, "linux/amd64")
    assert travelling == [amd64.digest, of_amd64.digest]
    assert left_out == [arm64.digest, of_arm64.digest]


def test_an_attestation_of_something_else_travels():
    """What attests nothing that this index lists cannot be judged, and is kept."""
    amd64, elsewhere = builders.image(), builders.image(seed=9)
    stray = builders.attestation(elsewhere)
    assert chosen(builders.index([amd64, stray]), "linux/amd64")[0] == [amd64.digest, stray.digest]


def test_an_entry_without_a_platform_travels():
    """An index or an artifact beside the images is no platform's and goes with all."""
    inner = builders.index([builders.image(seed=1)])
    chart = builders.chart()
    multi = builders.index([builders.image(platform=ARM64), inner, chart])
    assert chosen(multi, "linux/amd64")[0] == [inner.digest, chart.digest]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["linux/arm"], ["v6", "v7"]),
        (["linux/arm/v7"], ["v7"]),
        (["linux/arm/7"], ["v7"]),
        (["linux/arm/v6", "linux/arm/v7"], ["v6", "v7"]),
        (["linux/arm64"], ["v8"]),
        (["linux/arm64/v8"], ["v8"]),
        (["linux/aarch64"], ["v8"]),
        (["windows/arm"], []),
    ],
)
def test_a_platform_without_a_variant_takes_every_variant(wanted, expected):
    """Variants narrow down; arm64 is v8 and 7 is v7, as engines have it."""
    made = {
        variant: builders.image(platform=Platform("linux", architecture, variant), seed=number)
        for number, (architecture, variant) in enumerate(
            [("arm", "v6"), ("arm", "v7"), ("arm64", "v8")]
        )
    }
    travelling, _ = chosen(builders.index(made.values()), *wanted)
    assert travelling == [made[variant].digest for variant in expected]


def test_one_image_for_two_platforms_may_travel_for_one():
    """A digest that stands in an index twice travels for the platform that was asked for."""
    v6 = builders.image(platform=Platform("linux", "arm", "v6"))
    v7 = replace(v6, platform=ARMV7)
    assert chosen(builders.index([v6, v7]), "linux/arm/v7") == ([v6.digest], [v6.digest])


def test_an_attestation_with_nonsense_for_a_digest_travels():
    """An annotation that is no digest names no entry, and nothing breaks."""
    stray = replace(
        builders.attestation(builders.image()),
        entry_annotations={"vnd.docker.reference.digest": ":::"},
    )
    assert chosen(builders.index([stray]), "linux/amd64")[0] == [stray.digest]


def test_covering_looks_at_all_platforms_that_are_there():
    """A wanted platform is covered when one of those that are there is it."""
    assert covers(Platform.parse("linux/arm64"), [AMD64, ARM64])
    assert not covers(Platform.parse("linux/s390x"), [AMD64, ARM64])
