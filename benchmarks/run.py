"""Measures airgap beside the floor and its peers, and prints ratios. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from benchmarks import media, memory, product, registry, report, speed, startup, tiny, updates
from benchmarks.measure import Bench
from benchmarks.options import Options
from benchmarks.peers import installed, version_of
from benchmarks.registries import programs

PARTS: dict[str, Callable[[Options], report.Section]] = {
    "export": speed.export,
    "import": speed.load,
    "tiny": tiny.section,
    "memory": memory.section,
    "startup": startup.section,
    "registry": registry.section,
    "media": media.section,
    "updates": updates.section,
}


def main(arguments: list[str]) -> int:
    """Run the parts that were asked for; 1 if a requirement does not hold."""
    given = _parser().parse_args(arguments)
    parts = list(PARTS) if "all" in given.parts else given.parts
    with tempfile.TemporaryDirectory(prefix="airgap-benchmark-") as temporary:
        work = (given.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        options = _options(given, work)
        texts = {"machine": _machine(options)}
        print(texts["machine"], flush=True)
        occasion = report.occasion(" ".join(["python -m benchmarks.run", *_shareable(arguments)]))
        holds = True
        for part in parts:
            section = PARTS[part](options)
            texts[part] = f"{occasion} {section.text()}"
            holds = holds and all(row.holds is not False for row in section.rows)
            print(f"\n## {part}\n\n{texts[part]}", flush=True)
            if given.write is not None:
                report.write(given.write, part, texts[part])
        if given.write is not None:
            report.write(given.write, "machine", texts["machine"])
    return 0 if holds else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contestant")
    parser.add_argument("--jobs", type=int, default=4, help="of airgap; threads of the floor")
    parser.add_argument("--megabytes", type=int, default=720, help="size of the own corpus")
    parser.add_argument("--tiny", type=int, default=2000, help="how many tiny images")
    parser.add_argument("--seed", type=int, default=1, help="decides the content")
    parser.add_argument("--sizes", default="1,10", help="gigabytes at which memory is measured")
    parser.add_argument(
        "--registry", metavar="HOST:PORT", help="use this registry as the source of the corpus"
    )
    parser.add_argument(
        "--images", type=Path, help="export these `repository:tag` lines of --registry"
    )
    parser.add_argument("--lab", action="store_true", help="--registry $R --images $LAB/images.txt")
    parser.add_argument("--peers", help="only these, by name and comma; `none`: only the floor")
    parser.add_argument("--airgap", help="the airgap to measure; default: this Python's")
    parser.add_argument(
        "--work", type=Path, help="a folder that is kept, so that the corpus is made only once"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the tables into this document, too"
    )
    return parser


def _options(given: argparse.Namespace, work: Path) -> Options:
    registry, images = given.registry, given.images
    if given.lab:
        registry, images = os.environ["R"], Path(os.environ["LAB"], "images.txt")
    return Options(
        bench=Bench(work, path=programs()),
        work=work,
        program=[given.airgap] if given.airgap else product.beside_python(),
        peers=installed(given.peers.split(",") if given.peers else None),
        rounds=given.rounds,
        jobs=given.jobs,
        megabytes=given.megabytes,
        tiny=given.tiny,
        seed=given.seed,
        sizes=[float(size) for size in given.sizes.split(",")],
        registry=registry,
        images=images.read_text().split() if images else None,
        say=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
    )


def _machine(options: Options) -> str:
    program, *rest = options.program
    versions = {"airgap": version_of(program, (*rest, "--version"))}
    versions.update({name: metadata.version(name) for name in ("urllib3", "click")})
    versions["CNCF registry"] = version_of("registry", ("--version",))
    versions.update({peer.name: version_of(peer.name, peer.version) for peer in options.peers})
    return report.machine(versions, report.filesystem_of(options.work))


def _shareable(arguments: list[str]) -> list[str]:
    """The arguments without folders of this machine."""
    kept = []
    hidden = False
    for argument in arguments:
        if not hidden and not argument.startswith(("--work", "--write", "--airgap", "--images")):
            kept.append(argument)
        hidden = not hidden and argument in ("--work", "--write", "--airgap", "--images")
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
