"""A second transfer: what an update takes against an inventory, and what inventories take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import corpus, inventory, planning, product, signing
from benchmarks.measure import Sample, Series, alternate
from benchmarks.options import Options, Source, remove
from benchmarks.registries import Registry
from benchmarks.report import TIMES, Row, Section, contestants_table, ratio_row
from benchmarks.upload import Uploader

FLOOR, AIRGAP = "floor", "airgap"
REQUESTS = "manifest requests"
_OLD, _NEW = ":1.0", ":1.1"
_MOST_BYTES = 1.001
_EMPTY_BYTES = 1_000_000
_EMPTY_SECONDS = 1.0


def section(options: Options) -> Section:
    """Measure an update, the inventories that it needs, and what proves it."""
    storage = options.work / "inside"
    remove(storage)
    with _releases(options) as (old, new):
        options.bench.run(old.floor_export(options.jobs))
        bundle = _bring(options, old, storage)
        with Registry(storage, options.bench.environment) as inside:
            held = _inventory(options, inside.host, old.folder / "inside.inventory")
        counted = inventory.requests(options, storage, len(old.images))
        missing = _missing(options, old, new)
        updated, size = _update(options, new, held, old.floor_plan)
        key = _key(options)
        flags = ("--against", str(held), "--sign", str(key))
        bundle = _bring(options, new, storage, *flags)
        proof = signing.rows(options, bundle, key)
        with Registry(storage, options.bench.environment) as inside:
            latest = _inventory(options, inside.host, new.folder / "latest.inventory")
        unchanged, left = _update(options, new, latest, new.floor_plan)
        remove(storage, bundle, held, latest)
    rows = [
        Row(
            "update: size / what is missing",
            f"{size / missing:.5f} {TIMES} ({size:,} / {missing:,} bytes)",
            f"{_MOST_BYTES:g} {TIMES}",
            size <= _MOST_BYTES * missing,
        ),
        ratio_row("update: time / floor for what is missing", updated, AIRGAP, FLOOR, 1.1),
        Row("nothing changed: size", f"{left:,} bytes", "1 MB", left < _EMPTY_BYTES),
        _beside_requests(unchanged),
        *counted,
        *inventory.rows(options),
        *planning.rows(options),
        *proof,
    ]
    intro = (
        f"{len(new.images)} images of a second release of {len(old.images)},"
        f" {missing / 1e6:.1f} MB of them missing."
    )
    details = ["**update**", "", *contestants_table(updated, FLOOR), ""]
    details += ["**nothing changed**", "", *contestants_table(unchanged, FLOOR)]
    return Section("updates", intro, rows, details)


@contextmanager
def _releases(options: Options) -> Iterator[tuple[Source, Source]]:
    """Two releases of the same images in one registry."""
    first, second = options.work / "release1", options.work / "release2"
    if options.registry is not None and options.images is not None:
        old = [name for name in options.images if name.endswith(_OLD)]
        new = [name for name in options.images if name.endswith(_NEW)]
        yield Source(options.registry, old, first), Source(options.registry, new, second)
        return
    before = corpus.large(options.megabytes)
    after = corpus.refreshed(before)
    with Registry(options.work / "source", options.bench.environment) as registry:
        for images in (before, after):
            corpus.push(registry.host, images, options.seed, say=options.say)
        yield (
            Source(registry.host, [image.name for image in before], first),
            Source(registry.host, [image.name for image in after], second),
        )


def _bring(options: Options, source: Source, storage: Path, *flags: str) -> Path:
    """Export a release and import it to the registry inside; gives the bundle."""
    bundle = source.folder / "release.tar"
    remove(bundle)
    fetch = product.export(options.program, source.full, bundle, options.jobs, *flags)
    options.bench.run(fetch)
    with Registry(storage, options.bench.environment) as inside:
        options.bench.run(product.load(options.program, bundle, inside.host, options.jobs))
    return bundle


def _key(options: Options) -> Path:
    """A new key pair."""
    key = options.work / "release.key"
    remove(key, key.with_suffix(".pub"))
    command = ["key", "generate", "-o", str(key), "--type", "ecdsa-p256", "--no-passphrase"]
    options.bench.run([*options.program, *command])
    return key


def _inventory(options: Options, host: str, file: Path) -> Path:
    remove(file)
    options.bench.run(product.inventory(options.program, host, file, options.jobs))
    return file


def _missing(options: Options, old: Source, new: Source) -> int:
    """The bytes of the blobs and manifests of the new release that the old one does not have."""
    options.bench.run(new.floor_export(options.jobs))
    blobs = {row[0]: row[2] for row in json.loads(new.floor_plan.read_text())}
    held = {row[0] for row in json.loads(old.floor_plan.read_text())}
    uploader = Uploader(new.host)
    manifests = dict(uploader.manifest_size(*name.rsplit(":", 1)) for name in new.images)
    return sum(size for digest, size in blobs.items() if digest not in held) + sum(
        manifests.values()
    )


def _update(
    options: Options, source: Source, held: Path, known: Path
) -> tuple[dict[str, Series], int]:
    """Export a release against an inventory, beside the floor that knows the same; its size."""
    out = source.folder / "out"
    sizes: list[int] = []
    plan = source.folder / "known.plan"
    plan.write_bytes(known.read_bytes())
    floor = [*source.floor_export(options.jobs), str(plan)]
    airgap = product.export(
        options.program, source.full, out / "b.tar", options.jobs, "--against", str(held)
    )

    def fetched() -> Sample:
        remove(out)
        out.mkdir()
        sample = options.bench.run(airgap)
        sizes.append((out / "b.tar").stat().st_size)
        remove(out)
        return sample

    def bare() -> Sample:
        remove(source.floor_file)
        return options.bench.run(floor)

    bare()
    runs: list[tuple[str, Callable[[], Sample]]] = [(FLOOR, bare), (AIRGAP, fetched)]
    results = alternate(runs, options.rounds, say=options.say)
    return results, max(sizes)


def _beside_requests(results: Mapping[str, Series]) -> Row:
    seconds = results[AIRGAP].wall - results[FLOOR].wall
    return Row(
        f"nothing changed: time beside the {REQUESTS}",
        f"{seconds:.2f} s",
        f"{_EMPTY_SECONDS:g} s",
        seconds < _EMPTY_SECONDS,
    )
