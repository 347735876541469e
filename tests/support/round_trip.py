"""A transfer there and back by real commands: two registries, two people, and what is carried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compat import software
from tests.compat.software import Done, Program
from tests.support import builders
from tests.support.builders import Content
from tests.support.transfers import open_client

KEPT = builders.layer(300_000, 1)
"""What all releases have."""
TEAM = ("team/app", "team/tool")


def releases() -> dict[str, dict[str, Content]]:
    """Three releases of two images; each has something that the one before it brought."""
    first, second, third = (builders.layer(80_000, seed) for seed in (2, 3, 4))
    layers = {"1.0": (KEPT, first), "1.1": (KEPT, first, second), "1.2": (KEPT, second, third)}
    return {
        tag: {
            name: builders.image(layers=chosen, seed=seed * 10 + int(tag[2]))
            for seed, name in enumerate(TEAM)
        }
        for tag, chosen in layers.items()
    }


def new_bytes(content: Content, *before: Content) -> int:
    """The bytes of a content's blobs that none of the others has."""
    known = {digest for other in before for digest in other.all_blobs()}
    return sum(
        blob.descriptor.size for digest, blob in content.all_blobs().items() if digest not in known
    )


@dataclass
class Person:
    """Somebody on one side: a home of their own, a registry, and a key pair.

    Attributes:
        airgap: The command line, in their home.
        registry: The registry that they reach.
    """

    airgap: Program
    registry: str

    @classmethod
    def settle(cls, home: Path, registry: str) -> Person:
        """Give somebody a home and a key."""
        home.mkdir()
        person = cls(software.airgap(home), registry)
        person.run("key", "generate", "-o", home / "own.key", "--no-passphrase")
        return person

    @property
    def home(self) -> Path:
        """Where they keep things."""
        return self.airgap.home

    def run(self, *arguments: object, code: int = 0) -> Done:
        """Run a command."""
        return self.airgap.run(*arguments, code=code)

    def holdings(self) -> str:
        """The digest of all that their registry holds."""
        file = self.home / "now.inventory"
        file.unlink(missing_ok=True)
        done = self.run("export", "inventory", "--from", self.registry, "-o", file, "--json")
        return str(done.result["content_digest"])


@dataclass
class RoundTrip:
    """Two people who only carry files to each other.

    Attributes:
        outside: Who can reach the source registry.
        inside: Who can reach the other one.
        carried: The folder that goes to and fro.
        contents: The releases that are outside.
    """

    outside: Person
    inside: Person
    carried: Path
    contents: dict[str, dict[str, Content]]

    @classmethod
    def begin(cls, folder: Path, outside: str, inside: str) -> RoundTrip:
        """Push the releases outside, and let the two exchange their public keys."""
        people = (
            Person.settle(folder / "outside-home", outside),
            Person.settle(folder / "inside-home", inside),
        )
        carried = folder / "carried"
        carried.mkdir()
        made = cls(*people, carried, releases())
        with open_client() as client:
            for tag, images in made.contents.items():
                for name, content in images.items():
                    repository = client.repository(outside, name, origin="destination")
                    builders.push(repository, content, tag=tag)
        for person, name in zip(people, ("release.pub", "inside.pub"), strict=True):
            (carried / name).write_bytes((person.home / "own.pub").read_bytes())
        return made

    def export(self, tag: str, name: str, *flags: object) -> Path:
        """Export a release, signed; gives the bundle."""
        bundle = self.carried / name
        images = [f"{self.outside.registry}/{image}:{tag}" for image in TEAM]
        sign = ("--sign", self.outside.home / "own.key")
        self.outside.run("export", "images", *images, "-o", bundle, *sign, *flags)
        return bundle

    def bring(self, bundle: Path, *flags: object, code: int = 0) -> Any:
        """Import a bundle that must be signed, with a signed receipt; gives the result."""
        receipt = bundle.with_suffix(".receipt")
        receipt.unlink(missing_ok=True)
        done = self.inside.run(
            *("import", "bundle", bundle, "--to", self.inside.registry),
            *("--trust", self.carried / "release.pub"),
            *("--receipt", receipt, "--sign", self.inside.home / "own.key", "--json", *flags),
            code=code,
        )
        return done.result

    def inventory(self, name: str, *flags: object) -> Path:
        """Write down, signed, what is inside."""
        file = self.carried / name
        sign = ("--sign", self.inside.home / "own.key")
        place = ("--from", self.inside.registry)
        self.inside.run("export", "inventory", *place, "-o", file, *sign, *flags)
        return file

    def check_receipt(self, bundle: Path) -> None:
        """Prove outside, from the receipt alone, that a bundle arrived."""
        self.outside.run(
            *("verify", "receipt", bundle.with_suffix(".receipt"), "--bundle", bundle),
            *("--trust", self.carried / "inside.pub"),
        )

    def assert_arrived(self, tag: str) -> None:
        """A release is inside with the same digests, and every blob in its repository."""
        with open_client() as client:
            for name, content in self.contents[tag].items():
                repository = client.repository(self.inside.registry, name, origin="destination")
                found = repository.resolve(tag)
                assert found is not None
                assert found.digest == content.digest
                assert repository.manifest(str(content.digest)).raw == content.raw
                assert all(repository.has_blob(b.descriptor) for b in content.all_blobs().values())


def run_round_trip(trip: RoundTrip) -> None:
    """Carry three releases, of which the second is lost on its way and never missed for long.

    The third builds on the second, so it is refused without a byte sent; an inventory of what is
    inside by then recovers everything.
    """
    first = trip.export("1.0", "first.tar")
    trip.bring(first)
    trip.check_receipt(first)
    trust = ("--trust", trip.carried / "inside.pub")

    lost = trip.export("1.1", "lost.tar", "--against", first.with_suffix(".receipt"), *trust)
    third = trip.export("1.2", "third.tar", "--against", first, "--against", lost)
    lost.rename(trip.outside.home / "lost.tar")
    before = trip.inside.holdings()
    refused = trip.bring(third, code=23)
    assert refused["code"] == "missing-base"
    assert "--missing-for" in refused["hint"]
    assert trip.inside.holdings() == before

    held = trip.inventory("inside.inventory")
    update = trip.export("1.2", "update.tar", "--against", held, *trust)
    missing = sum(
        new_bytes(content, *trip.contents["1.0"].values())
        for content in trip.contents["1.2"].values()
    )
    shared = builders.layer(80_000, 3).descriptor.size + builders.layer(80_000, 4).descriptor.size
    assert update.stat().st_size < missing - shared + 30_000  # both images share the two layers
    trip.bring(update)
    trip.check_receipt(update)
    trip.assert_arrived("1.0")
    trip.assert_arrived("1.2")
    after = trip.inside.holdings()
    assert {image["outcome"] for image in trip.bring(update)["images"]} == {"present"}
    assert trip.inside.holdings() == after
    _check_logs(trip, first, update)


def run_exact_recovery(trip: RoundTrip) -> None:
    """Carry exactly what a refused bundle lacks, then that bundle again."""
    first = trip.export("1.0", "first.tar")
    trip.bring(first)
    lost = trip.export("1.1", "lost.tar", "--against", first)
    third = trip.export("1.2", "third.tar", "--against", first, "--against", lost)
    trip.bring(third, code=23)
    need = trip.inventory("need.inventory", "--missing-for", third)
    exact = trip.carried / "need.tar"
    sign = ("--sign", trip.outside.home / "own.key")
    trip.outside.run("export", "images", "--exactly", need, "-o", exact, *sign)
    layer = builders.layer(80_000, 3).descriptor.size
    assert layer <= exact.stat().st_size < layer + 30_000
    assert {image["outcome"] for image in trip.bring(exact)["images"]} == {"waiting"}
    trip.bring(third)
    trip.assert_arrived("1.2")


def _check_logs(trip: RoundTrip, *bundles: Path) -> None:
    receipts = [flag for b in bundles for flag in ("--receipt", b.with_suffix(".receipt"))]
    trip.inside.run("log", "verify", *receipts)
    trip.outside.run("log", "verify")
    entries = trip.inside.run("log", "export").lines
    assert sum('"event":"import"' in line for line in entries) == 4
