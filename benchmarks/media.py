"""Volumes beside one file; verify beside `sha256sum`, and parity beside `par2`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks import encryption, parity, product
from benchmarks.measure import Command, Sample, Series, alternate
from benchmarks.options import Options, Source, remove
from benchmarks.registries import Registry
from benchmarks.report import Row, Section, contestants_table, ratio_row
from benchmarks.speed import fetching

_SIZE = "100MB"
_MEMORY = 128 << 20
_PROCESSES = "2"
ONE, VOLUMES, SHA256SUM, VERIFY = "one file", "volumes", "sha256sum", "verify"


def section(options: Options) -> Section:
    """Measure everything about volumes that is compared with one file or with a tool."""
    with options.large_source() as source:
        options.say("warming: the floor's export, not measured")
        options.bench.run(source.floor_export(options.jobs))
        exported = _export(options, source)
        kept = _keep(options, source)
        loaded = _load(options, source, kept)
        verified = _verify(options, kept)
        sealed = encryption.measure(options, source, kept / VOLUMES, _SIZE)
        protected = parity.measure(options, kept / VOLUMES)
        count = len(list((kept / VOLUMES).iterdir()))
        remove(kept)
    rows = [
        ratio_row("export in volumes: time / one file", exported, VOLUMES, ONE, 1.05),
        ratio_row("import of volumes in random order: time / one file", loaded, VOLUMES, ONE, 1.1),
        ratio_row(
            "verify of volumes: time / sha256sum", verified, VERIFY, SHA256SUM, round(1 / 0.9, 2)
        ),
        ratio_row("parity of 10 %: time / par2 tool", protected, parity.AIRGAP, parity.TOOL, 1.1),
        ratio_row(
            "encrypted export: time / pyrage.encrypt_io",
            sealed,
            encryption.EXPORT,
            encryption.BARE,
            round(1 / 0.9, 2),
        ),
        *(
            _memory_row(work, results[ours])
            for work, results, ours in (
                ("export in volumes", exported, VOLUMES),
                ("import of volumes", loaded, VOLUMES),
                ("verify of volumes", verified, VERIFY),
                ("encrypted export, without its children", sealed, encryption.EXPORT),
            )
        ),
    ]
    intro = f"{len(source.images)} images in {count} volumes of {_SIZE}, {options.megabytes} MB."
    details = []
    for work, results, base in (
        ("export", exported, ONE),
        ("import", loaded, ONE),
        ("verify", verified, SHA256SUM),
        ("parity of 10 %", protected, parity.TOOL),
        ("encryption", sealed, encryption.BARE),
    ):
        details += [f"**{work}**", "", *contestants_table(results, base), ""]
    return Section("media", intro, rows, details)


def _memory_row(work: str, series: Series) -> Row:
    return Row(
        f"{work}: peak memory", f"{series.rss / 2**20:.0f} MiB", "128 MiB", (series.rss <= _MEMORY)
    )


def _export_command(options: Options, source: Source, out: Path, *more: str) -> Command:
    return [*product.export(options.program, source.full, out, options.jobs), *more]


def _export(options: Options, source: Source) -> dict[str, Series]:
    out = source.folder / "out"
    one = _export_command(options, source, out / "b.tar")
    volumes = _export_command(options, source, out / "b.tar", "--volume-size", _SIZE)
    runs = [
        (ONE, fetching(options, one, source, out)),
        (VOLUMES, fetching(options, volumes, source, out)),
    ]
    return alternate(runs, options.rounds, say=options.say)


def _keep(options: Options, source: Source) -> Path:
    """One file and volumes of the same bundle, each in a folder."""
    kept = source.folder / "kept"
    remove(kept)
    for name, more in ((ONE, ()), (VOLUMES, ("--volume-size", _SIZE))):
        folder = kept / name
        folder.mkdir(parents=True)
        options.bench.run(_export_command(options, source, folder / "b.tar", *more))
    return kept


def _load(options: Options, source: Source, kept: Path) -> dict[str, Series]:
    shuffled = sorted((kept / VOLUMES).iterdir())
    Random(options.seed).shuffle(shuffled)
    one = [kept / ONE / "b.tar"]

    def sending(files: list[Path]) -> Callable[[], Sample]:
        def run() -> Sample:
            storage = options.work / "target"
            remove(storage)
            with Registry(storage, options.bench.environment) as target:
                first, *rest = files
                command = product.load(options.program, first, target.host, options.jobs)
                sample = options.bench.run([*command, *map(str, rest)])
            remove(storage)
            return sample

        return run

    runs = [(ONE, sending(one)), (VOLUMES, sending(shuffled))]
    return alternate(runs, options.rounds, say=options.say)


def _verify(options: Options, kept: Path) -> dict[str, Series]:
    files = sorted(map(str, (kept / VOLUMES).iterdir()))
    # as many processes as the machine has cores, each with the next file as it becomes free
    script = options.work / "sha256sum.sh"
    script.write_text(f"printf '%s\\0' \"$@\" | xargs -0 -n 1 -P {_PROCESSES} sha256sum\n")
    tool = ["sh", str(script), *files]
    ours = [*options.program, "verify", "bundle", *files, "--no-progress", "-j", _PROCESSES]
    runs = [
        (SHA256SUM, lambda: options.bench.run(tool)),
        (VERIFY, lambda: options.bench.run(ours)),
    ]
    return alternate(runs, options.rounds, say=options.say)
