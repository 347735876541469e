"""`make demo`: one image made of real files goes from a registry outside to one inside.

It runs the commands that a reader would run, prints each of them, compares what comes out with
what went in, and leaves nothing behind but what it printed.

    python -m tools.demo
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import airgap
from airgap.content.store import Chunks
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Hasher, Verifier
from airgap.oci.document import canonical_bytes
from airgap.oci.manifest import Document, parse_manifest
from airgap.registry.repository import Repository
from airgap.run import Run
from airgap.transfer.copy import copy_blob

PACKAGES = ("asyncio", "email", "encodings", "http", "json", "logging", "unittest", "xml")
"""Parts of Python's own library: the files of the first layer."""

NAME = "demo/python-library"
TAG = "1.0"
START_SECONDS = 20.0


def main() -> None:
    """Run the demo; leaves nothing running, also when it is interrupted."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airgap-demo-")))
        say(f"# two registries: one outside, one inside. Everything lies in {folder}")
        outside = stack.enter_context(registry(folder / "outside"))
        inside = stack.enter_context(registry(folder / "inside"))
        client = stack.enter_context(airgap.Client())
        say(f"\n# an image of files from {library()} and of airgap itself is pushed outside")
        source = client.repository(outside, NAME, origin="destination")
        document = push_image(source)
        carry(f"{outside}/{NAME}:{TAG}", inside, folder / "demo.tar")
        say("\n# the image is pulled back from inside, and every byte compared by its digest")
        arrived = client.repository(inside, f"mirror/{NAME}", origin="source")
        size = pull_image(arrived, document)
        say(f"{arrived.name}:{TAG} is {document.descriptor.digest}, as it was outside")
        bundle = (folder / "demo.tar").stat().st_size
        say(f"\nimage: {size:,} bytes; bundle: {bundle:,} bytes", end="; ")
        say(f"all of it took {time.monotonic() - started:.1f} s")


def carry(image: str, inside: str, bundle: Path) -> None:
    """Do what a transfer takes, with the commands that a reader would type."""
    say("\n# outside: the image goes into a bundle")
    run("export", "images", image, "-o", str(bundle))
    say("\n# inside: what the bundle carries, whether it is whole, and into the registry with it")
    run("inspect", "bundle", str(bundle))
    run("verify", "bundle", str(bundle))
    run("import", "bundle", str(bundle), "--to", f"{inside}/mirror")


def say(text: str, *, end: str = "\n") -> None:
    """Print at once, so that it stays in order with what the commands print."""
    print(text, end=end, flush=True)


def run(*arguments: str) -> None:
    """Print a command and run it."""
    say(f"$ {shlex.join(['airgap', *arguments])}")
    subprocess.run([sys.executable, "-m", "airgap", *arguments, "--no-progress"], check=True)


@contextmanager
def registry(data: Path) -> Iterator[str]:
    """Be a registry while the context lasts; gives its address."""
    arguments = ["serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    say(f"$ {shlex.join(['airgap', *arguments])} &")
    process = subprocess.Popen(
        [sys.executable, "-m", "airgap", *arguments, "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield listening(process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def listening(process: subprocess.Popen[str]) -> str:
    """Wait until a registry says where it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("type") == "result":
            host = str(event["url"]).partition("://")[2]
            say(f"listening on {host}")
            return host
    raise RuntimeError("the registry did not start")


def library() -> Path:
    """Where Python keeps its library."""
    return Path(sysconfig.get_path("stdlib"))


def push_image(repository: Repository) -> Document:
    """Build an image of two layers and push it."""
    own = Path(airgap.__file__).parent
    layers = [
        pack([library() / name for name in PACKAGES], library()),
        pack([own], own.parent),
    ]
    config = canonical_bytes(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
        }
    )
    blobs = [(config, mediatype.OCI_CONFIG)]
    blobs += [(data, mediatype.OCI_LAYER_GZIP) for data, _ in layers]
    described = [Descriptor.of(data, media_type) for data, media_type in blobs]
    for descriptor, (data, _) in zip(described, blobs, strict=True):
        push_blob(repository, descriptor, data)
    raw = canonical_bytes(
        {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": described[0].to_json(),
            "layers": [descriptor.to_json() for descriptor in described[1:]],
        }
    )
    document = parse_manifest(raw, mediatype.OCI_MANIFEST)
    repository.put_manifest(document, tag=TAG)
    say(f"pushed {repository.name}:{TAG}  {document.descriptor.digest}")
    return document


def pack(folders: list[Path], root: Path) -> tuple[bytes, str]:
    """Make a layer of Python files; gives its bytes and the digest of the unpacked tar."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
            member = tarfile.TarInfo(f"usr/lib/python/{path.relative_to(root).as_posix()}")
            data = path.read_bytes()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    hasher = Hasher()
    hasher.update(tar.getvalue())
    return gzip.compress(tar.getvalue(), mtime=0), str(hasher.digest())


def push_blob(repository: Repository, descriptor: Descriptor, data: bytes) -> None:
    """Push bytes that are in memory."""

    @contextmanager
    def opened(offset: int) -> Iterator[Chunks]:
        yield iter([data[offset:]])

    copy_blob(opened, repository, descriptor, run=Run())


def pull_image(repository: Repository, expected: Document) -> int:
    """Read an image and compare all of it; gives its size in bytes."""
    document = repository.manifest(TAG)
    if document.raw != expected.raw:
        raise RuntimeError(f"{repository.name}:{TAG} is another manifest than it was outside")
    size = document.descriptor.size
    for blob in document.blobs():
        verifier = Verifier(blob.digest, blob.size)
        with repository.open(blob) as chunks:
            for chunk in chunks:
                verifier.update(chunk)
        verifier.finish()
        size += blob.size
    return size


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
