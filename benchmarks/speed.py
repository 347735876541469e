"""How long an export and an import of the corpus take, beside the floor and peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import product
from benchmarks.measure import Command, Sample, alternate
from benchmarks.options import Options, Source, remove
from benchmarks.registries import Registry
from benchmarks.report import Section, contestants_table, ratio_row
from benchmarks.upload import Uploader

FLOOR = "floor"
AIRGAP = "airgap"
_READ = 1 << 20


def export(options: Options) -> Section:
    """Fetch the corpus: into one tar, and with peers into folders."""
    with options.large_source() as source:
        options.say("warming: the floor's export, not measured")
        options.bench.run(source.floor_export(options.jobs))
        out = source.folder / "out"
        bundle = product.export(options.program, source.full, out / "b.tar", options.jobs)
        runs = [
            (FLOOR, fetching(options, source.floor_export(options.jobs), source, None)),
            (AIRGAP, fetching(options, bundle, source, out)),
        ]
        for peer in options.peers:
            lines = peer.fetch(source.host, source.images, out)
            script = options.bench.script(lines, source.folder / f"{peer.name}-export.sh")
            runs.append((peer.name, fetching(options, script, source, out)))
        results = alternate(runs, options.rounds, say=options.say)
        blobs = _planned(source)
    rows = [
        ratio_row("export: time / floor", results, AIRGAP, FLOOR, 1.2),
        ratio_row("export: time / oras", results, AIRGAP, "oras", 0.6),
        ratio_row("export: time / crane", results, AIRGAP, "crane", 0.75),
        ratio_row("export: CPU / floor", results, AIRGAP, FLOOR, 1.5, what="cpu"),
    ]
    return Section("export", _content(source, blobs), rows, contestants_table(results, FLOOR))


def load(options: Options) -> Section:
    """Send the corpus to an empty registry, from what each contestant keeps it in."""
    with options.large_source() as source:
        options.say("preparing what is imported")
        options.bench.run(source.floor_export(options.jobs))
        bundle = source.folder / "import.tar"
        remove(bundle)
        fetch = product.export(options.program, source.full, bundle, options.jobs)
        options.bench.run(fetch)
        runs = [
            (FLOOR, _sending(options, source, _floor_import(options, source), check=False)),
            (AIRGAP, _sending(options, source, _airgap_import(options, bundle))),
        ]
        for peer in options.peers:
            kept = source.folder / f"{peer.name}-kept"
            remove(kept)
            lines = peer.keep(source.host, source.images, kept)
            file = source.folder / f"{peer.name}-import.sh"
            options.bench.run(options.bench.script(lines, file))

            def send(
                host: str,
                send: Callable[..., list[list[str]]] = peer.send,
                kept: Path = kept,
                file: Path = file,
            ) -> Command:
                return options.bench.script(send(kept, host, source.images), file)

            runs.append((peer.name, _sending(options, source, send)))
        _warm(source.folder)
        results = alternate(runs, options.rounds, say=options.say)
        blobs = _planned(source)
        remove(bundle, *(source.folder / f"{peer.name}-kept" for peer in options.peers))
    rows = [ratio_row("import: time / floor", results, AIRGAP, FLOOR, 1.25)]
    return Section("import", _content(source, blobs), rows, contestants_table(results, FLOOR))


def fetching(
    options: Options, command: Command, source: Source, out: Path | None
) -> Callable[[], Sample]:
    """A run of an export into the folder `out`, or of the floor's where that is None."""

    def run() -> Sample:
        if out is None:
            remove(source.floor_file, source.floor_plan)
            return options.bench.run(command)
        remove(out)
        out.mkdir()
        sample = options.bench.run(command)
        got = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        # a peer may write manifests and configs anew, of another size; layers make the bulk
        wanted = sum(_planned(source)) * 99 // 100
        if got < wanted:
            raise RuntimeError(f"{command[0]} wrote {got} of at least {wanted} bytes")
        remove(out)
        return sample

    return run


def _sending(
    options: Options, source: Source, command: Callable[[str], Command], *, check: bool = True
) -> Callable[[], Sample]:
    storage = options.work / "target"

    def run() -> Sample:
        remove(storage)
        with Registry(storage, options.bench.environment) as target:
            sample = options.bench.run(command(target.host))
            if check:
                _check_arrived(target.host, source.images)
        remove(storage)
        return sample

    return run


def _floor_import(options: Options, source: Source) -> Callable[[str], Command]:
    return lambda host: product.floor_import(
        host, source.floor_plan, source.floor_file, options.jobs
    )


def _airgap_import(options: Options, bundle: Path) -> Callable[[str], Command]:
    return lambda host: product.load(options.program, bundle, host, options.jobs)


def _check_arrived(host: str, images: Sequence[str]) -> None:
    uploader = Uploader(host)
    for image in images:
        repository, _, tag = image.rpartition(":")
        if not uploader.has_manifest(repository, tag):
            raise RuntimeError(f"{image} did not arrive")


def _planned(source: Source) -> list[int]:
    return [row[2] for row in json.loads(source.floor_plan.read_text())]


def _content(source: Source, blobs: list[int]) -> str:
    return f"{len(source.images)} images, {len(blobs)} blobs, {sum(blobs) / 1e6:.0f} MB."


def _warm(folder: Path) -> None:
    """Read everything once, so that all contestants read from memory."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                while stream.read(_READ):
                    pass
