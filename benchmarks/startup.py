"""How long `airgap --help` and `airgap --version` take, beside Python with click alone."""

from __future__ import annotations

import sys

from benchmarks.measure import Command, Sample, Series
from benchmarks.options import Options
from benchmarks.report import Section, ratio_row, table

_WARM_UPS = 3
_RUNS_PER_ROUND = 10
_LIMIT = 1.5
_BASE = "python -c 'import click'"


def section(options: Options) -> Section:
    """Run each many times, in turn."""
    commands: dict[str, Command] = {
        _BASE: [sys.executable, "-c", "import click"],
        "airgap --help": [*options.program, "--help"],
        "airgap --version": [*options.program, "--version"],
    }
    results = {name: Series(name) for name in commands}
    options.say(f"start-up: {_RUNS_PER_ROUND * options.rounds} runs of each")
    for number in range(_WARM_UPS + _RUNS_PER_ROUND * options.rounds):
        for name, command in commands.items():
            sample: Sample = options.bench.run(command)
            if number >= _WARM_UPS:
                results[name].samples.append(sample)
    rows = [
        ratio_row(f"`{name}`: time / click", results, name, _BASE, _LIMIT)
        for name in commands
        if name != _BASE
    ]
    details = table(
        ("command", "time, ms", "least..most", "peak memory, MiB"),
        [
            (
                f"`{series.name}`",
                f"{series.wall * 1000:.0f}",
                _spread(series),
                f"{series.rss / 2**20:.0f}",
            )
            for series in results.values()
        ],
    )
    return Section("startup", f"{_RUNS_PER_ROUND * options.rounds} runs of each.", rows, details)


def _spread(series: Series) -> str:
    walls = [sample.wall * 1000 for sample in series.samples]
    return f"{min(walls):.0f}..{max(walls):.0f}"
