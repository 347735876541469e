"""Makes the images that are measured, the same for the same seed, and pushes them fast.

    python -m benchmarks.corpus HOST:PORT [--megabytes N] [--tiny N] [--seed N]

Two corpora:

- `large`: 15 images of 5 runtimes on 2 bases. Layers are real gzip'd tars, half of whose stored
  bytes come from text and half from what does not compress.
- `tiny`: 2,000 images of one manifest, one config and one or two layers of 1 to 20 KB, every
  second one with a layer that others have, too.

"The same" holds for one version of zlib: another may compress to other bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from benchmarks.floor import parallel
from benchmarks.upload import Uploader

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
TINY_REPOSITORIES = 40
_POOL = 50
_WORKERS = 2
_MARKER = "benchmark/complete"
_TEXT_ENTRY = 192 << 10
_NOISE_ENTRY = 64 << 10
# Relative sizes: each of two bases, five runtimes and fifteen applications.
_BASE = (30.0, 12.0, 4.0)
_RUNTIME = (45.0, 15.0)
_APPLICATION = (14.0, 3.0, 0.2)
_WHOLE = 2 * sum(_BASE) + 5 * sum(_RUNTIME) + 15 * sum(_APPLICATION)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer to be made: its name decides its content."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image to be made."""

    repository: str
    tag: str
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Made:
    """A layer that was made, and pushed to one repository."""

    digest: str
    size: int
    diff_id: str
    repository: str


def large(megabytes: int) -> list[Image]:
    """The 15 images, all their distinct layers together of about that size."""

    def layers(name: str, sizes: tuple[float, ...]) -> tuple[Layer, ...]:
        unit = megabytes * 1_000_000 / _WHOLE
        return tuple(
            Layer(f"{name}/{number}", int(size * unit)) for number, size in enumerate(sizes)
        )

    images = []
    for runtime in range(5):
        below = layers(f"base{runtime % 2}", _BASE) + layers(f"runtime{runtime}", _RUNTIME)
        for app in range(3):
            name = f"runtime{runtime}/app{app}"
            images.append(Image(name, f"1.{app}", below + layers(name, _APPLICATION)))
    return images


def refreshed(images: list[Image]) -> list[Image]:
    """The same images a release later: the application is new, and so is the end of one base."""

    def anew(layer: Layer) -> Layer:
        is_new = "/app" in layer.name or layer.name == "base0/2"
        return Layer(f"{layer.name}/next", layer.size) if is_new else layer

    return [
        Image(image.repository, f"next-{image.tag}", tuple(anew(layer) for layer in image.layers))
        for image in images
    ]


def tiny(count: int, seed: int) -> list[Image]:
    """The tiny images, spread over 40 repositories."""
    draw = Random(f"{seed} tiny")
    pool = [Layer(f"pool{number}", draw.randint(1_000, 20_000)) for number in range(_POOL)]
    images = []
    for number in range(count):
        layers = [Layer(f"tiny{number}", draw.randint(1_000, 20_000))]
        if number % 2:
            layers.insert(0, draw.choice(pool))
        repository = f"tiny/r{number % TINY_REPOSITORIES:02}"
        images.append(Image(repository, f"v{number // TINY_REPOSITORIES}", tuple(layers)))
    return images


def layer_bytes(layer: Layer, seed: int) -> tuple[bytes, str]:
    """A gzip'd tar of about the wanted size, and the digest of the tar within."""
    draw = Random(f"{seed} {layer.name}")
    words = [draw.randbytes(draw.randint(1, 5)).hex() for _ in range(4000)]
    text = " ".join(draw.choices(words, k=min(200_000, 2_000 + layer.size // 4))).encode()
    pack = zlib.compressobj(1, zlib.DEFLATED, 31)
    inner = hashlib.sha256()
    parts: list[bytes] = []
    # Text compresses to about half: an entry of each kind takes the same room in the layer.
    entry = min(_NOISE_ENTRY, max(256, layer.size // 2))
    size = number = 0
    while size < layer.size - entry // 2:
        noise = draw.randbytes(entry)
        start = draw.randrange(max(1, len(text) - entry))
        lines = text[start : start + min(2 * entry, _TEXT_ENTRY)]
        for kind, content in (("bin", noise), ("txt", lines)):
            member = _member(f"{layer.name}/{number}.{kind}", content)
            inner.update(member)
            packed = pack.compress(member) + pack.flush(zlib.Z_SYNC_FLUSH)
            parts.append(packed)
            size += len(packed)
        number += 1
    end = bytes(1024)
    inner.update(end)
    parts.append(pack.compress(end) + pack.flush())
    return b"".join(parts), "sha256:" + inner.hexdigest()


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def documents(image: Image, made: list[Made]) -> tuple[bytes, bytes]:
    """The config and the manifest of an image whose layers were made."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"], "Labels": {"benchmark": image.name}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": sha256(config), "size": len(config)},
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in made
        ],
    }
    return config, json.dumps(manifest).encode()


def sha256(data: bytes) -> str:
    """The digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def contents(images: list[Image], seed: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """All blobs by digest and all manifests by name, in memory: for tiny images only."""
    blobs: dict[str, bytes] = {}
    layers: dict[Layer, Made] = {}
    manifests: dict[str, bytes] = {}
    for image in images:
        for layer in image.layers:
            if layer not in layers:
                data, diff_id = layer_bytes(layer, seed)
                layers[layer] = Made(sha256(data), len(data), diff_id, image.repository)
                blobs[sha256(data)] = data
        config, manifest = documents(image, [layers[layer] for layer in image.layers])
        blobs[sha256(config)] = config
        manifests[image.name] = manifest
    return blobs, manifests


def push(host: str, images: list[Image], seed: int, *, say: Callable[[str], None]) -> None:
    """Make the images and push them, unless a marker says that they are all there."""
    marker = sha256(f"{seed} {images}".encode())[7:27]
    uploader = Uploader(host)
    if uploader.has_manifest(_MARKER, marker):
        return
    homes: dict[Layer, str] = {}
    for image in images:
        for layer in image.layers:
            homes.setdefault(layer, image.repository)
    say(f"making and pushing {len(images)} images with {len(homes)} layers")
    made: dict[Layer, Made] = {}

    def make(mine: Iterator[tuple[Layer, str]]) -> None:
        sender = Uploader(host)
        for layer, repository in mine:
            data, diff_id = layer_bytes(layer, seed)
            sender.blob(repository, sha256(data), data)
            made[layer] = Made(sha256(data), len(data), diff_id, repository)

    def finish(mine: Iterator[Image]) -> None:
        sender = Uploader(host)
        for image in mine:
            layers = [made[layer] for layer in image.layers]
            for layer in layers:
                if layer.repository != image.repository:
                    sender.mount(image.repository, layer.digest, layer.repository)
            config, manifest = documents(image, layers)
            sender.blob(image.repository, sha256(config), config)
            sender.manifest(image.repository, image.tag, MANIFEST_TYPE, manifest)

    parallel(_WORKERS, sorted(homes.items(), key=lambda item: -item[0].size), make)
    parallel(2 * _WORKERS, images, finish)
    config, manifest = documents(Image(_MARKER, marker, ()), [])
    uploader.blob(_MARKER, sha256(config), config)
    uploader.manifest(_MARKER, marker, MANIFEST_TYPE, manifest)
    say(f"pushed {sum(layer.size for layer in made.values()) / 1e6:.0f} MB of layers")


def main() -> None:
    """Push both corpora to a registry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host", metavar="HOST:PORT")
    parser.add_argument("--megabytes", type=int, default=720)
    parser.add_argument("--tiny", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for images in (large(options.megabytes), tiny(options.tiny, options.seed)):
        push(options.host, images, options.seed, say=print)


if __name__ == "__main__":
    main()
