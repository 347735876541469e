"""What a run of the benchmarks works with, and where its images come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpus, product
from benchmarks.measure import Bench, Command
from benchmarks.peers import Peer
from benchmarks.registries import Registry


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that the parts need.

    Attributes:
        bench: Runs the commands.
        work: A folder for content and results, on the disk that is measured.
        program: How airgap is called.
        peers: Who else takes part.
        rounds: How often each contestant runs.
        jobs: Parallel transfers of airgap, and threads of the floor.
        megabytes: The size of the own corpus.
        tiny: How many tiny images.
        seed: Decides the content.
        sizes: Gigabytes at which memory is measured.
        registry: A registry that is there already; None: an own one.
        images: What of it is exported; None: the own corpus, pushed there if it is missing.
        say: Tells how far it is.
    """

    bench: Bench
    work: Path
    program: Command
    peers: Sequence[Peer]
    rounds: int
    jobs: int
    megabytes: int
    tiny: int
    seed: int
    sizes: Sequence[float]
    registry: str | None
    images: Sequence[str] | None
    say: Callable[[str], None]

    @contextmanager
    def large_source(self) -> Iterator[Source]:
        """A registry that holds the corpus."""
        own = corpus.large(self.megabytes)
        names = self.images or [image.name for image in own]
        if self.registry is None:
            with self._own_source(own) as host:
                yield Source(host, names, self.work / "large")
            return
        if self.images is None:
            corpus.push(self.registry, own, self.seed, say=self.say)
        yield Source(self.registry, names, self.work / "large")

    @contextmanager
    def tiny_source(self, *, access_log: bool = False) -> Iterator[tuple[Source, Registry]]:
        """An own registry that holds the tiny images."""
        images = corpus.tiny(self.tiny, self.seed)
        with self._own_source(images) as host:
            source = Source(host, [image.name for image in images], self.work / "tiny")
        # Started anew, so that an access log holds what is measured and nothing else.
        with Registry(self._storage, self.bench.environment, access_log=access_log) as registry:
            yield Source(registry.host, source.images, source.folder), registry

    @property
    def _storage(self) -> Path:
        return self.work / "source"

    @contextmanager
    def _own_source(self, images: Sequence[corpus.Image]) -> Iterator[str]:
        with Registry(self._storage, self.bench.environment) as registry:
            corpus.push(registry.host, list(images), self.seed, say=self.say)
            yield registry.host


class Source:
    """Images in a registry, the lists that name them, and the floor's copy of them."""

    def __init__(self, host: str, images: Sequence[str], folder: Path) -> None:
        """Write the lists."""
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.images = images
        self.folder = folder
        self.bare = folder / "names.txt"
        self.bare.write_text("".join(f"{image}\n" for image in images))
        self.full = folder / "references.txt"
        self.full.write_text("".join(f"{host}/{image}\n" for image in images))
        self.floor_file = folder / "floor.blobs"
        self.floor_plan = folder / "floor.plan"

    def floor_export(self, jobs: int) -> Command:
        """What fetches the floor's copy."""
        return product.floor_export(self.host, self.bare, self.floor_file, self.floor_plan, jobs)


def remove(*paths: Path) -> None:
    """Remove files and folders, if they are there."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
