"""How airgap is called, and how the floor is: the command lines that are measured."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Command


def beside_python() -> list[str]:
    """The `airgap` of the Python that runs the benchmark."""
    script = Path(sys.executable).with_name("airgap")
    return [str(script)] if script.exists() else [sys.executable, "-m", "airgap"]


def export(program: Command, names: Path, out: Path, jobs: int, *flags: str) -> Command:
    """Export a list of images to a bundle."""
    files = ["-f", str(names), "-o", str(out)]
    return [*program, "export", "images", *files, "--jobs", str(jobs), *flags]


def load(program: Command, bundle: Path, host: str, jobs: int) -> Command:
    """Import a bundle to a registry."""
    return [*program, "import", "bundle", str(bundle), "--to", host, "--jobs", str(jobs)]


def inventory(program: Command, place: str, out: Path, jobs: int) -> Command:
    """Write down what a registry holds."""
    return [*program, "export", "inventory", "--from", place, "-o", str(out), "--jobs", str(jobs)]


def floor_export(host: str, names: Path, out: Path, plan: Path, jobs: int) -> Command:
    """The floor of an export: its list holds names without the registry."""
    fixed = [sys.executable, "-m", "benchmarks.floor", "export", host]
    return [*fixed, str(names), str(out), str(plan), str(jobs)]


def floor_import(host: str, plan: Path, file: Path, jobs: int) -> Command:
    """The floor of an import, from what the floor's export wrote."""
    fixed = [sys.executable, "-m", "benchmarks.floor", "import", host]
    return [*fixed, str(plan), str(file), str(jobs)]
