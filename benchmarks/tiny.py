"""2,000 tiny images: time beside the floor, requests, and disk beside the bundle."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks import corpus, product
from benchmarks.measure import ROOT, Bench, Watch, alternate
from benchmarks.options import Options, Source, remove
from benchmarks.report import Row, Section, contestants_table, ratio_row, table
from benchmarks.speed import AIRGAP, FLOOR, fetching

_PER_BLOBS = 10_000
_JOURNAL_LIMIT = 1 << 20
_KINDS = ("manifests", "blobs", "tags", "referrers", "ping", "other")
_PLAIN = "CNCF registry, `--no-referrers`"
_WITHOUT_API = "CNCF registry (no referrers API)"
_WITH_API = "registry with the referrers API"


def section(options: Options) -> Section:
    """Measure all of it."""
    with options.tiny_source() as (source, _):
        options.bench.run(source.floor_export(options.jobs))
        out = source.folder / "out"
        export = product.export(
            options.program, source.full, out / "b.tar", options.jobs, "--no-referrers"
        )
        floor = source.floor_export(options.jobs)
        runs = [
            (FLOOR, fetching(options, floor, source, None)),
            (AIRGAP, fetching(options, export, source, out)),
        ]
        results = alternate(runs, options.rounds, say=options.say)
        beside = _beside(options, source)
    images = corpus.tiny(options.tiny, options.seed)
    blobs, _ = corpus.contents(images, options.seed)
    repositories = len({image.repository for image in images})
    counts = _requests(options)
    rows = [
        ratio_row("tiny images: time / floor, `--no-referrers`", results, AIRGAP, FLOOR, 1.5),
        *_request_rows(counts, len(images), len(blobs), repositories),
        _beside_row(beside, len(blobs)),
    ]
    intro = f"{len(images)} images in {repositories} repositories, {len(blobs)} blobs."
    details = [
        *contestants_table(results, FLOOR),
        "",
        *table(
            ("requests of one export", *_KINDS),
            [(name, *(str(found[kind]) for kind in _KINDS)) for name, found in counts.items()],
        ),
    ]
    return Section("tiny", intro, rows, details)


def _request_rows(
    counts: dict[str, Counter[str]], manifests: int, blobs: int, repositories: int
) -> list[Row]:
    rows = []
    for name, found in counts.items():
        rows.append(_exact(f"per manifest: {name}", found["manifests"], manifests))
        rows.append(_exact(f"per blob: {name}", found["blobs"], blobs))
        if name != _PLAIN:
            # Every repository of the corpus has fewer tags than any page.
            rows.append(_exact(f"per page of tags: {name}", found["tags"], repositories))
        if name == _WITH_API:
            rows.append(
                _exact(f"for referrers, per manifest: {name}", found["referrers"], manifests)
            )
        if name == _WITHOUT_API:
            # That there is no such thing is to be remembered for each repository.
            asked = found["referrers"]
            row = _exact(f"for referrers, per repository: {name}", asked, repositories)
            rows.append(replace(row, limit="1", holds=0 < asked <= repositories))
    return rows


def _exact(what: str, found: int, count: int) -> Row:
    measured = f"{found / count:.3f} ({found} for {count})"
    return Row(f"requests {what}", measured, "exactly 1", found == count)


def _requests(options: Options) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for name, flags in ((_PLAIN, ("--no-referrers",)), (_WITHOUT_API, ())):
        options.say(f"counting requests: {name}")
        with options.tiny_source(access_log=True) as (source, registry):
            _export_once(options, source, *flags)
            counts[name] = registry.requests()
    options.say(f"counting requests: {_WITH_API}")
    with generator(options.bench, "tiny", options.tiny, options.seed) as host:
        images = corpus.tiny(options.tiny, options.seed)
        source = Source(host, [image.name for image in images], options.work / "tiny")
        _export_once(options, source)
        counts[_WITH_API] = requests_of(host)
    return counts


def _export_once(options: Options, source: Source, *flags: str) -> None:
    bundle = source.folder / "counted.tar"
    remove(bundle)
    command = product.export(options.program, source.full, bundle, options.jobs, *flags)
    options.bench.run(command)
    remove(bundle)


def _beside(options: Options, source: Source) -> int:
    """The most that lay beside the bundle, in its folder, the home and the temporary folder."""
    options.say("watching what lies beside the bundle")
    folder = source.folder / "watched"
    remove(folder)
    out = folder / "out"
    out.mkdir(parents=True)
    bundle = out / "b.tar"
    bench = Bench(folder)
    command = product.export(options.program, source.full, bundle, options.jobs, "--no-referrers")
    with Watch([out, bench.home, bench.temporary], bundle) as watch:
        bench.run(command)
    remove(folder)
    return watch.most


def _beside_row(most: int, blobs: int) -> Row:
    scaled = most * _PER_BLOBS / blobs
    return Row(
        "disk beside the bundle, per 10,000 blobs",
        f"{scaled / 2**20:.2f} MiB ({most / 1024:.0f} KiB for {blobs})",
        "1 MiB",
        # Nothing seen means that nothing was looked at, not that there is no journal.
        None if most == 0 else scaled < _JOURNAL_LIMIT,
    )


@contextmanager
def generator(bench: Bench, *arguments: object) -> Iterator[str]:
    """A registry without a disk, in a process of its own: its host and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator", *map(str, arguments)],
        env=bench.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the generator did not start")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def requests_of(host: str) -> Counter[str]:
    """How many requests of each kind a generator has seen."""
    name, _, port = host.partition(":")
    connection = http.client.HTTPConnection(name, int(port), timeout=10)
    connection.request("GET", "/-/requests")
    counted: Counter[str] = Counter(json.loads(connection.getresponse().read()))
    connection.close()
    return counted
