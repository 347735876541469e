"""Inventories: how fast one is told, found and read, and how long it is.

    python -m benchmarks.inventory ask HOST:PORT
    python -m benchmarks.inventory read FILE

`ask` gets the inventory of airgap's own registry by airgap's client and reads it, `read` reads one
from a file. Both print `{"seconds": …, "blobs": …}`, without the start of the process.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.registry.client import Client
from airgap.registry.options import ClientOptions
from benchmarks import product
from benchmarks.corpus import MANIFEST_TYPE
from benchmarks.measure import ROOT, Bench
from benchmarks.options import Options, remove
from benchmarks.registries import Registry
from benchmarks.report import Row
from benchmarks.serving import Served

_BLOBS, _REPOSITORIES = 100_000, 2_000
_LAYERS, _SHARED = 9, 5
"""How many blobs an image has of its own, and how many a repository shares with earlier ones."""
_MOST_SECONDS = 2.0
_MEMORY = 200 << 20
_MANY, _LINKS = 1_000_000, 100_000
_MOST_BYTES = 50_000_000
_PER_LINK = 4


def rows(options: Options) -> list[Row]:
    """The requirements on airgap's own registry, and on the format."""
    return [*_told(options), *_format(options)]


def requests(options: Options, storage: Path, images: int) -> list[Row]:
    """The requirements on how a CNCF registry is asked.

    Args:
        options: How things are run.
        storage: What the registry holds.
        images: How many tags it has at least.
    """
    options.say("counting the requests of two inventories of a CNCF registry")
    work = options.work / "counting"
    remove(work)
    bench = Bench(work)  # a home of its own: nothing is known from earlier runs
    with Registry(storage, options.bench.environment, access_log=True) as registry:
        command = product.inventory(
            options.program, registry.host, work / "a.inventory", options.jobs
        )
        bench.run(command)
        lists, manifests = registry.asked("GET", "tags"), registry.asked("GET", "manifests")
        (work / "a.inventory").unlink()
        bench.run(command)
        again = registry.asked("GET", "manifests")[len(manifests) :]
    remove(work)
    what = "inventory of a CNCF registry"
    is_enough = len(set(manifests)) >= images
    return [
        _once(f"{what}: requests per page of tags", lists),
        _once(f"{what}: requests per manifest", manifests, is_enough=is_enough),
        Row(f"{what}: manifests fetched again", str(len(again)), "0", not again),
    ]


def _once(what: str, paths: Sequence[str], *, is_enough: bool = True) -> Row:
    different = len(set(paths))
    measured = f"{len(paths) / max(1, different):.3f} ({len(paths)} for {different})"
    return Row(what, measured, "exactly 1", bool(paths) and is_enough and len(paths) == different)


def _told(options: Options) -> list[Row]:
    data = options.work / "inventory-data"
    remove(data)
    log = options.work / "serve-inventory.log"
    options.say(f"making {_BLOBS:,} blobs in {_REPOSITORIES:,} repositories")
    arguments = (options.program, options.bench, log, "--data", data)
    with Served(*arguments, "--no-sync"):
        pass
    fill(data / "registry.db", blobs=_BLOBS, repositories=_REPOSITORIES, seed=options.seed)
    with Served(*arguments, "--no-sync") as served:
        found = [_run("ask", served.host) for _ in range(options.rounds)]
        peak = served.peak_memory()
    remove(data)
    what = f"inventory of {_BLOBS:,} blobs in {_REPOSITORIES:,} repositories"
    return [
        _seconds_row(f"{what} from airgap's own registry, read", found, _BLOBS),
        Row(
            f"{what}: peak memory of the registry",
            f"{peak / 2**20:.0f} MiB",
            f"{_MEMORY >> 20} MiB",
            peak < _MEMORY,
        ),
    ]


def _format(options: Options) -> list[Row]:
    options.say(f"making an inventory of {_MANY:,} blobs")
    file = options.work / "many.inventory"
    inventory = _many(options.seed)
    file.write_bytes(inventory.raw)
    size, links = len(inventory.raw), inventory.link_count
    del inventory
    found = [_run("read", str(file)) for _ in range(options.rounds)]
    remove(file)
    what = f"inventory of {_MANY:,} blobs"
    further = links - _MANY
    each = (size - _PER_LINK * further) / _MANY
    return [
        Row(
            f"{what} and {further:,} further links: size",
            f"{size:,} bytes: {each:.2f} a blob and {_PER_LINK} a link",
            f"{_MOST_BYTES:,} bytes",
            size < _MOST_BYTES,
        ),
        _seconds_row(f"{what}: reading it", found, _MANY),
    ]


def _seconds_row(what: str, found: Sequence[dict[str, Any]], blobs: int) -> Row:
    seconds = [each["seconds"] for each in found]
    is_whole = all(each["blobs"] == blobs for each in found)
    measured = f"{median(seconds):.2f} s ({min(seconds):.2f}..{max(seconds):.2f})"
    holds = is_whole and median(seconds) < _MOST_SECONDS
    return Row(what, measured, f"{_MOST_SECONDS:g} s", holds)


def _run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.inventory", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def _many(seed: int) -> Inventory:
    random = Random(seed)
    made = datetime(2026, 1, 1, tzinfo=UTC)
    builder = InventoryBuilder(place="registry.internal:5000", kind="registry", made=made)
    numbers = [builder.add_repository(_name(number)) for number in range(_REPOSITORIES)]
    for number in range(_MANY):
        digest, size = random.randbytes(32), random.randrange(1 << 30)
        builder.add_link(digest, size, numbers[number % _REPOSITORIES])
        if number < _LINKS:
            builder.add_link(digest, size, numbers[(number + 1) % _REPOSITORIES])
    return builder.build()


def _name(number: int) -> str:
    return f"team{number % 20}/app{number}"


def fill(database: Path, *, blobs: int, repositories: int, seed: int) -> None:
    """Write into an empty registry that it holds content, past the server: pushes take hours.

    Every repository holds images of one manifest and some blobs each, and names blobs of earlier
    repositories as well.
    """
    random = Random(seed)
    per_repository = blobs // repositories
    images = max(1, per_repository // (_LAYERS + 1))
    shared: list[str] = []
    with closing(sqlite3.connect(database)) as connection, connection:
        for number in range(repositories):
            name = _name(number)
            own = [_digest(random) for _ in range(per_repository - images)]
            linked = own + random.sample(shared, min(_SHARED, len(shared)))
            shared += own[:2]
            manifests = [_digest(random) for _ in range(images)]
            _insert(connection, "repositories", [(name, 1.0)])
            _insert(connection, "blobs", ((d, random.randrange(1, 1 << 30), 1.0) for d in own))
            _insert(connection, "blobs", ((d, 1500, 1.0) for d in manifests))
            _insert(connection, "links", ((name, d, 1.0) for d in linked))
            for place, digest in enumerate(manifests):
                row = (name, digest, MANIFEST_TYPE, 1500, None, "{}", None, 1.0, None)
                _insert(connection, "manifests", [row])
                _insert(connection, "edges", ((name, digest, d) for d in linked[place::images]))
                _insert(connection, "tags", [(name, f"1.{place}", digest, 1.0)])


def _digest(random: Random) -> str:
    return f"sha256:{random.randbytes(32).hex()}"


def _insert(connection: sqlite3.Connection, table: str, given: Iterable[tuple[Any, ...]]) -> None:
    found = list(given)
    if found:
        marks = ", ".join("?" * len(found[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", found)


def main(what: str, where: str) -> None:
    """Ask or read once."""
    started = time.perf_counter()
    if what == "ask":
        with Client(ClientOptions()) as client:
            raw = client.inventory(where)
        assert raw is not None, "the registry gives no inventory"
    else:
        raw = Path(where).read_bytes()
    inventory = Inventory.parse(raw)
    taken = time.perf_counter() - started
    print(json.dumps({"seconds": taken, "blobs": inventory.blob_count}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
