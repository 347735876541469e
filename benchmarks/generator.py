"""A registry without a disk: gives content that it computes, takes content and forgets it.

    python -m benchmarks.generator large COUNT SIZE      one image of COUNT layers of SIZE bytes
    python -m benchmarks.generator tiny COUNT SEED       the tiny images

It prints its port and then serves until it is ended. It knows the referrers API (nothing refers
to anything), takes every way to push, and counts requests: GET /-/requests.
For measuring memory and requests, not time: it is no registry that anybody runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import parse_qs, urlsplit

from benchmarks.corpus import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, contents, sha256, tiny
from benchmarks.registries import kind_of

_BLOCK = 1 << 20
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")
IMAGE = "large/image:1"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_INDEX = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": []}


class Repeated:
    """Content of any size that takes one block of memory: noise, repeated.

    Gzip and its like look back 32 KiB, so that a block of 1 MiB is noise to them.
    """

    def __init__(self, name: str, size: int) -> None:
        """Make the block and hash the content."""
        self.size = size
        self._block = memoryview(Random(name).randbytes(_BLOCK))
        sha = hashlib.sha256()
        for chunk in self.chunks(0, size):
            sha.update(chunk)
        self.digest = "sha256:" + sha.hexdigest()

    def chunks(self, start: int, end: int) -> Iterator[memoryview]:
        """The content between two offsets."""
        while start < end:
            within = start % _BLOCK
            chunk = self._block[within : min(_BLOCK, within + end - start)]
            yield chunk
            start += len(chunk)


class Content:
    """What the registry holds: manifests by name and digest, blobs, and counts of requests."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes | Repeated] = {}
        self.taken: dict[str, int] = {}
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()

    def add(self, name: str, raw: bytes, media_type: str = MANIFEST_TYPE) -> str:
        """Hold a manifest under `repository:tag` (or a digest) and under its digest."""
        digest = sha256(raw)
        repository = name.partition(":")[0]
        self.manifests[name] = self.manifests[f"{repository}:{digest}"] = (media_type, raw)
        return digest


def large_content(count: int, size: int) -> Content:
    """One image of large layers; nothing at all if there are to be none."""
    content = Content()
    if count == 0:
        return content
    layers = []
    for number in range(count):
        blob = Repeated(f"{number} of {size}", size)
        content.blobs[blob.digest] = blob
        layers.append({"mediaType": LAYER_TYPE, "digest": blob.digest, "size": size})
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}})
    raw = config.encode()
    content.blobs[sha256(raw)] = raw
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": sha256(raw), "size": len(raw)},
        "layers": layers,
    }
    content.add(IMAGE, json.dumps(manifest).encode())
    return content


def tiny_content(count: int, seed: int) -> Content:
    """The tiny images."""
    content = Content()
    blobs, manifests = contents(tiny(count, seed), seed)
    content.blobs.update(blobs)
    for name, raw in manifests.items():
        content.add(name, raw)
    return content


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    content: Content

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Give something."""
        if self.path == "/-/requests":
            self._answer(200, json.dumps(self.content.requests).encode())
            return
        with self.content.lock:
            self.content.requests[kind_of(self.path)] += 1
        path = urlsplit(self.path).path
        found = _PATH.fullmatch(path)
        if path.rstrip("/") == "/v2":
            self._answer(200, b"{}")
        elif found is None:
            self._answer(404)
        else:
            give = {
                "manifests": self._manifest,
                "blobs": self._blob,
                "tags": self._tags,
                "referrers": self._referrers,
            }[found["kind"]]
            give(found["name"], found["rest"])

    def do_HEAD(self) -> None:
        """Give what GET gives, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Begin an upload; a mount is answered like one."""
        self._body()
        path = urlsplit(self.path).path.rstrip("/")
        self._answer(202, headers={"Location": f"{path}/0"})

    def do_PATCH(self) -> None:
        """Take a piece of a blob and forget it."""
        size = self._so_far() + self._body()
        location = f"{urlsplit(self.path).path}?size={size}"
        self._answer(202, headers={"Location": location, "Range": f"0-{max(0, size - 1)}"})

    def do_PUT(self) -> None:
        """Keep a manifest, or note that a blob is whole."""
        parts = urlsplit(self.path)
        found = _PATH.fullmatch(parts.path)
        if found is not None and found["kind"] == "manifests":
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            media_type = self.headers.get("Content-Type", MANIFEST_TYPE)
            digest = self.content.add(f"{found['name']}:{found['rest']}", raw, media_type)
        else:
            digest = parse_qs(parts.query)["digest"][0]
            self.content.taken[digest] = self._so_far() + self._body()
        self._answer(201, headers={"Location": parts.path, "Docker-Content-Digest": digest})

    def _manifest(self, name: str, rest: str) -> None:
        held = self.content.manifests.get(f"{name}:{rest}")
        if held is None:
            self._answer(404)
            return
        media_type, raw = held
        headers = {"Content-Type": media_type, "Docker-Content-Digest": sha256(raw)}
        self._answer(200, raw, headers=headers)

    def _blob(self, _: str, digest: str) -> None:
        held = self.content.blobs.get(digest)
        taken = self.content.taken.get(digest)
        if held is None and (taken is None or self.command != "HEAD"):
            self._answer(404)  # what was taken is gone: only its size is known
            return
        size = taken or (held.size if isinstance(held, Repeated) else len(held or b""))
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked and start >= size:
            self._answer(416, headers={"Content-Range": f"bytes */{size}"})
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Docker-Content-Digest", digest)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        for chunk in (
            held.chunks(start, size) if isinstance(held, Repeated) else [(held or b"")[start:]]
        ):
            self.wfile.write(chunk)

    def _tags(self, name: str, _: str) -> None:
        tags = sorted(
            key.partition(":")[2]
            for key in self.content.manifests
            if key.startswith(name + ":") and ":sha256:" not in key
        )
        self._answer(200, json.dumps({"name": name, "tags": tags}).encode())

    def _referrers(self, *_: str) -> None:
        self._answer(200, json.dumps(_INDEX).encode(), headers={"Content-Type": _INDEX_TYPE})

    def _so_far(self) -> int:
        """How much of the upload came before: the path that we gave says it."""
        return int(parse_qs(urlsplit(self.path).query).get("size", ["0"])[0])

    def _body(self) -> int:
        """Read what comes and forget it; how many bytes it was."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._skip(int(self.headers.get("Content-Length", "0")))
        total = 0
        while size := int(self.rfile.readline().split(b";")[0], 16):
            total += self._skip(size)
            self.rfile.readline()
        self.rfile.readline()
        return total

    def _skip(self, size: int) -> int:
        left = size
        while left:
            got = len(self.rfile.read(min(left, _BLOCK)))
            if not got:
                raise ConnectionError("the client went away")
            left -= got
        return size

    def _answer(
        self, status: int, body: bytes = b"", *, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main(kind: str, count: str, other: str) -> None:
    """Serve one of the two contents."""
    make = {"large": large_content, "tiny": tiny_content}[kind]
    Handler.content = make(int(count), int(other))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
