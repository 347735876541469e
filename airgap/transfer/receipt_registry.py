"""Whether a registry still has what a receipt says, asked for one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from airgap.errors import SizeMismatchError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.receipt import Receipt, ReceiptEntry
from airgap.registry.client import Client
from airgap.registry.repository import Repository
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.receipt_check import ReceiptFinding
from airgap.transfer.workers import Task, Workers

PHASE = "verify"
Look = Callable[[Repository], ReceiptFinding | None]


def compare_with_registry(
    receipt: Receipt, registry: str, *, client: Client, called: str = "", jobs: int = 4, run: Run
) -> tuple[ReceiptFinding, ...]:
    """Ask a registry for every blob, manifest and tag that a receipt names.

    Args:
        receipt: The receipt.
        registry: Where to ask.
        client: Talks to the registry.
        called: What the receipt calls it, where that is another name.
        jobs: How many requests the registry gets at a time.
        run: Progress and cancellation.

    Returns:
        What is not there today; without asking, that the receipt is of another registry.

    Raises:
        AirgapError: The registry could not tell.
    """
    if (called or registry) != receipt.registry:
        text = f"the receipt is of the registry {receipt.registry}, and not of {called or registry}"
        return (ReceiptFinding("other-registry", text),)
    looks = list(_looks(receipt))
    found: dict[int, ReceiptFinding] = {}
    lock = threading.Lock()
    workers = Workers(jobs, run=run)
    inner = client.within(workers.run)

    def task(number: int, name: str, look: Look) -> Task:
        def ask() -> None:
            finding = look(inner.repository(registry, name, origin="source"))
            if finding is not None:
                with lock:
                    found[number] = finding

        return ask

    run.emit(PhaseStarted(PHASE, len(looks)))
    workers.finish([task(number, name, look) for number, (name, look) in enumerate(looks)])
    run.emit(PhaseFinished(PHASE))
    return tuple(found[number] for number in sorted(found))


def _looks(receipt: Receipt) -> Iterator[tuple[str, Look]]:
    """What is asked, and of which repository."""
    for image in receipt.images:
        if image.named is not None and image.tag:
            yield image.repository, _tag_look(image.tag, image.named, image.name)
    for tag in receipt.tags:
        yield tag.repository, _tag_look(tag.tag, tag.digest, "")
    for entry in receipt.manifests:
        yield entry.repository, _manifest_look(entry)
    for entry in receipt.blobs:
        yield entry.repository, _blob_look(entry)


def _tag_look(tag: str, digest: Digest, image: str) -> Look:
    def look(repository: Repository) -> ReceiptFinding | None:
        found = repository.resolve(tag)
        where = f"{repository.name}:{tag}"
        if found is None:
            text = f"{where} is gone; it named {digest}"
            return ReceiptFinding("missing", text, image, digest, repository.repository)
        if found.digest != digest and not _is_alias(repository, digest, found.digest):
            text = f"{where} names {found.digest} today, and named {digest}"
            return ReceiptFinding("tag-moved", text, image, digest, repository.repository)
        return None

    return look


def _is_alias(repository: Repository, digest: Digest, found: Digest) -> bool:
    """Whether both are of one manifest: a registry names it by sha256 where a tag is asked for."""
    if digest.algorithm == found.algorithm:
        return False
    return Digest.of(repository.manifest(str(digest)).raw, found.algorithm) == found


def _manifest_look(entry: ReceiptEntry) -> Look:
    def look(repository: Repository) -> ReceiptFinding | None:
        found = repository.resolve(str(entry.digest))
        if found is None or found.digest != entry.digest:
            text = f"{repository.name} does not have the manifest {entry.digest}"
            return ReceiptFinding("missing", text, "", entry.digest, entry.repository)
        if found.size != entry.size:
            return _other_size(entry, repository, f"{found.size} bytes")
        return None

    return look


def _blob_look(entry: ReceiptEntry) -> Look:
    def look(repository: Repository) -> ReceiptFinding | None:
        descriptor = Descriptor(mediatype.OCTET_STREAM, entry.digest, entry.size)
        try:
            if repository.has_blob(descriptor):
                return None
        except SizeMismatchError as error:
            return _other_size(entry, repository, f"{error.actual} bytes")
        text = f"{repository.name} does not have the blob {entry.digest}"
        return ReceiptFinding("missing", text, "", entry.digest, entry.repository)

    return look


def _other_size(entry: ReceiptEntry, repository: Repository, actual: str) -> ReceiptFinding:
    text = f"{repository.name} has {entry.digest} with {actual}, and the receipt says {entry.size}"
    return ReceiptFinding("size-mismatch", text, "", entry.digest, entry.repository)
