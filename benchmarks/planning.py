"""Planning an export of many blobs against an inventory of more, in a process of its own.

    python -m benchmarks.planning FILE

reads an inventory and plans images half of whose blobs are in it: prints
`{"seconds": …, "memory": …, "blobs": …, "held": …}`. What is found at the source (manifests, in
memory) is made before the clock starts; reading the inventory and deciding what travels count.
Laying the file out comes after that, as in every export, and only counts for the memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import parse_manifest
from airgap.oci.reference import Reference
from airgap.record.inventory_builder import InventoryBuilder
from airgap.run import Run
from airgap.transfer.against import read_known
from airgap.transfer.plan import select_export
from airgap.transfer.resolution import Resolution, Selection
from airgap.transfer.sources import Sources
from airgap.transfer.volume_plan import plan_files
from benchmarks.measure import ROOT
from benchmarks.options import Options, remove
from benchmarks.report import Row

_BLOBS, _HELD = 100_000, 1_000_000
_IMAGES = 5_000
_REPOSITORIES = 2_000
_MOST_SECONDS = 3.0
_MOST_MEMORY = 400 << 20


def rows(options: Options) -> list[Row]:
    """The requirements on planning."""
    options.say(f"planning {_BLOBS:,} blobs against {_HELD:,}")
    file = options.work / "held.inventory"
    write_inventory(file)
    found = [_run(file) for _ in range(options.rounds)]
    remove(file)
    seconds = [each["seconds"] for each in found]
    memory = max(each["memory"] for each in found)
    is_right = all((e["blobs"], e["held"]) == (_BLOBS // 2, _BLOBS // 2) for e in found)
    what = f"planning {_BLOBS:,} blobs against {_HELD:,}"
    return [
        Row(
            what,
            f"{median(seconds):.2f} s ({min(seconds):.2f}..{max(seconds):.2f})",
            f"{_MOST_SECONDS:g} s",
            is_right and median(seconds) < _MOST_SECONDS,
        ),
        Row(
            f"{what}: peak memory",
            f"{memory / 2**20:.0f} MiB",
            f"{_MOST_MEMORY >> 20} MiB",
            memory < _MOST_MEMORY,
        ),
    ]


def write_inventory(file: Path) -> None:
    """Write an inventory that has every other blob of the images, and many more."""
    made = datetime(2026, 1, 1, tzinfo=UTC)
    builder = InventoryBuilder(place="registry.internal:5000", kind="registry", made=made)
    random = Random(0)
    count = 0
    for number, blob in enumerate(_blobs()):
        if number % 2:
            builder.add_blob(blob.digest, blob.size, _name(number // (_BLOBS // _IMAGES)))
            count += 1
    numbers = [builder.add_repository(_name(number)) for number in range(_REPOSITORIES)]
    for number in range(_HELD - count):
        builder.add_link(random.randbytes(32), random.randrange(1 << 30), numbers[number % 2000])
    file.write_bytes(builder.build().raw)


def _name(image: int) -> str:
    return f"team{image % 20}/app{image % _REPOSITORIES}"


def _blobs() -> Iterator[Descriptor]:
    random = Random(1)
    for _ in range(_BLOBS):
        digest = Digest("sha256", random.randbytes(32).hex())
        yield Descriptor(mediatype.OCI_LAYER_GZIP, digest, random.randrange(1, 1 << 30))


def _resolution() -> Resolution:
    """What was found at the source: images that share nothing."""
    each = _BLOBS // _IMAGES
    blobs = _blobs()
    roots, documents = [], {}
    for number in range(_IMAGES):
        config, *layers = (next(blobs) for _ in range(each))
        value = {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": config.to_json() | {"mediaType": mediatype.OCI_CONFIG},
            "layers": [layer.to_json() for layer in layers],
        }
        document = parse_manifest(json.dumps(value).encode(), mediatype.OCI_MANIFEST)
        digest = document.descriptor.digest
        documents[digest] = document
        roots.append((Reference.parse(f"registry.example.com/{_name(number)}:{number}"), digest))
    return Resolution(tuple(roots), documents, {}, {}, {}, (), {}, {})


def _run(file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.planning", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def _no_sources() -> Sources:
    raise AssertionError("an inventory asks no source")


def main(file: Path) -> None:
    """Plan once."""
    resolution = _resolution()
    started = time.perf_counter()
    known = read_known([file], sources=_no_sources, run=Run())
    selected = select_export(resolution, Selection(), known=known)
    seconds = time.perf_counter() - started
    plan_files(selected, volume_size=None)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    catalog = selected.catalog
    numbers = {"blobs": len(catalog.blobs), "held": len(catalog.held)}
    print(json.dumps({"seconds": seconds, "memory": memory} | numbers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
