"""Peak memory of an export and an import, at two sizes that differ tenfold."""

from __future__ import annotations

import shutil

from benchmarks import product
from benchmarks.generator import IMAGE
from benchmarks.measure import Sample, settle
from benchmarks.options import Options, Source, remove
from benchmarks.report import TIMES, Row, Section, table
from benchmarks.tiny import generator

_LIMIT = 64 << 20
_GROWTH = 1.1
_LAYERS = 10
_MEBI = 1 << 20


def section(options: Options) -> Section:
    """Export from and import to a registry that computes content and forgets what it is sent."""
    results = {size: _measure(options, size) for size in sorted(options.sizes)}
    rows = []
    for number, work in enumerate(("export", "import")):
        peaks = {size: samples[number].rss for size, samples in results.items()}
        for size, peak in peaks.items():
            holds = peak <= _LIMIT
            rows.append(
                Row(f"{work}: peak memory, {size:g} GB", f"{peak / _MEBI:.1f} MiB", "64 MiB", holds)
            )
        growth = max(peaks.values()) / peaks[min(peaks)]
        measured = f"{growth:.2f} {TIMES}"
        named = ", ".join(f"{size:g}" for size in peaks)
        limit = f"{_GROWTH} {TIMES}"
        rows.append(Row(f"{work}: growth over {named} GB", measured, limit, growth <= _GROWTH))
    details = table(
        ("size", "export, s", "export, CPU s", "import, s", "import, CPU s"),
        [
            (f"{size:g} GB", *(f"{value:.1f}" for s in samples for value in (s.wall, s.cpu)))
            for size, samples in results.items()
        ],
    )
    return Section("memory", f"One image of {_LAYERS} layers of equal size.", rows, details)


def _measure(options: Options, gigabytes: float) -> tuple[Sample, Sample]:
    size = int(gigabytes * 1e9 / _LAYERS)
    folder = options.work / "memory"
    folder.mkdir(exist_ok=True)
    bundle = folder / "b.tar"
    free = shutil.disk_usage(folder).free
    if free < 1.1 * size * _LAYERS:
        raise RuntimeError(f"{gigabytes:g} GB need more than the {free / 1e9:.0f} GB that are free")
    remove(bundle)
    try:
        options.say(f"memory at {gigabytes:g} GB: export")
        with generator(options.bench, "large", _LAYERS, size) as host:
            source = Source(host, [IMAGE], folder)
            settle()
            export = product.export(options.program, source.full, bundle, options.jobs)
            exported = options.bench.run(export)
        options.say(f"memory at {gigabytes:g} GB: import")
        with generator(options.bench, "large", 0, 0) as host:
            settle()
            load = product.load(options.program, bundle, host, options.jobs)
            imported = options.bench.run(load)
    finally:
        remove(folder)
    return exported, imported
