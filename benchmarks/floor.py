"""The floor: the least work that moves the same bytes, with nothing of a product in it.

    python -m benchmarks.floor export HOST:PORT LIST FILE PLAN THREADS [KNOWN]
    python -m benchmarks.floor import HOST:PORT PLAN FILE THREADS

Export resolves every image of LIST (`repository:tag` lines) with THREADS connections, lays the
blobs out largest first, fetches them in parallel (receive, sha256, write at the planned offset),
and syncs at the end; what KNOWN, another plan, names is left out. Import sends each blob once, to
one repository, with one POST and one PUT, hashing what it reads. What a product
must do besides is not in here on purpose: manifests are neither written nor sent, nothing is
mounted, nothing can be continued, and no answer is checked beyond its status, size and digest.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BUFFER = 1 << 20
BLOCK = 512
ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
Row = tuple[str, str, int, int]
"""Digest, a repository that has it, size, offset in the file."""


def connect(host: str) -> http.client.HTTPConnection:
    """One connection, which a thread keeps."""
    name, _, port = host.partition(":")
    return http.client.HTTPConnection(name, int(port), blocksize=BUFFER)


def parallel(count: int, items: list[Any], work: Callable[[Iterator[Any]], None]) -> None:
    """Give the items to threads, each of which takes one after the other."""
    todo = deque(items)
    failures: list[Exception] = []

    def taken() -> Iterator[Any]:
        while not failures:
            try:
                yield todo.popleft()
            except IndexError:
                return

    def loop() -> None:
        try:
            work(taken())
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)

    threads = [threading.Thread(target=loop) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def plan(host: str, images: list[str], threads: int) -> list[Row]:
    """Resolve the images and give each blob a place, largest first."""
    blobs: dict[str, tuple[str, int]] = {}

    def work(lines: Iterator[str]) -> None:
        connection = connect(host)
        for line in lines:
            repository, _, tag = line.rpartition(":")
            path = f"/v2/{repository}/manifests/{tag}"
            connection.request("GET", path, headers={"Accept": ACCEPT})
            response = connection.getresponse()
            raw = response.read()
            if response.status != 200:
                raise RuntimeError(f"{line}: {response.status}")
            manifest = json.loads(raw)
            for descriptor in [manifest["config"], *manifest["layers"]]:
                blobs[descriptor["digest"]] = (repository, descriptor["size"])

    parallel(threads, images, work)
    rows: list[Row] = []
    offset = 0
    for digest, (repository, size) in sorted(blobs.items(), key=lambda item: -item[1][1]):
        rows.append((digest, repository, size, offset + BLOCK))
        offset += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
    return rows


def pull(host: str, rows: list[Row], file: str, threads: int) -> None:
    """Fetch every blob to its place in the file, and sync."""
    handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    os.posix_fallocate(handle, 0, rows[-1][3] + rows[-1][2] + 2 * BLOCK)

    def work(mine: Iterator[Row]) -> None:
        connection, view = connect(host), memoryview(bytearray(BUFFER))
        for digest, repository, size, offset in mine:
            connection.request("GET", f"/v2/{repository}/blobs/{digest}")
            response, sha, at = connection.getresponse(), hashlib.sha256(), offset
            while count := response.readinto(view):
                sha.update(view[:count])
                os.pwrite(handle, view[:count], at)
                at += count
            if at - offset != size or "sha256:" + sha.hexdigest() != digest:
                raise RuntimeError(f"{digest}: status {response.status}, wrong content")

    parallel(threads, rows, work)
    os.fdatasync(handle)
    os.close(handle)


def _read(
    handle: int, view: memoryview, hashed: Callable[[memoryview], None], at: int, end: int
) -> Iterator[memoryview]:
    while at < end:
        count = os.preadv(handle, [view[: min(end - at, BUFFER)]], at)
        hashed(view[:count])
        yield view[:count]
        at += count


def push(host: str, rows: list[Row], file: str, threads: int) -> None:
    """Send every blob once."""
    handle = os.open(file, os.O_RDONLY)

    def work(mine: Iterator[Row]) -> None:
        connection, view = connect(host), memoryview(bytearray(BUFFER))
        for digest, repository, size, offset in mine:
            connection.request("POST", f"/v2/{repository}/blobs/uploads/")
            response = connection.getresponse()
            response.read()
            location = response.headers["Location"]
            target = f"{location}{'&' if '?' in location else '?'}digest={digest}"
            sha = hashlib.sha256()
            connection.request(
                "PUT",
                target,
                body=_read(handle, view, sha.update, offset, offset + size),
                headers={"Content-Length": str(size)},
            )
            response = connection.getresponse()
            response.read()
            if response.status != 201 or "sha256:" + sha.hexdigest() != digest:
                raise RuntimeError(f"{digest}: not taken: {response.status}")

    parallel(threads, rows, work)
    os.close(handle)


def main(verb: str, host: str, *rest: str) -> None:
    """Run one of the two."""
    if verb == "export":
        names, file, out, threads, *known = rest
        images = Path(names).read_text().split()
        left_out = {row[0] for name in known for row in json.loads(Path(name).read_text())}
        rows = [row for row in plan(host, images, int(threads)) if row[0] not in left_out]
        if rows:
            pull(host, rows, file, int(threads))
        Path(out).write_text(json.dumps(rows))
    else:
        saved, file, threads = rest
        push(host, json.loads(Path(saved).read_text()), file, int(threads))


if __name__ == "__main__":
    main(*sys.argv[1:])
