"""Reading what the receiver holds from the files of `--against`, and what it needs from a need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.bundle.closure import by_repository, referrers_by_subject, with_referrers
from airgap.content.storage import is_there
from airgap.errors import ContentNotFoundError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.record.bases import Base, BaseKind
from airgap.record.inventory import Inventory
from airgap.run import Run
from airgap.transfer.known import Claim, Known, Witness
from airgap.transfer.plan import select_export
from airgap.transfer.records import Contents, OpenedRecord, open_record
from airgap.transfer.resolution import Selection
from airgap.transfer.resolve import Resolver
from airgap.transfer.sources import Sources

if TYPE_CHECKING:  # loaded where such a file is opened
    from airgap.record.lock import Lock

Check = Callable[[OpenedRecord], object]
"""Refuses a record that is not signed as it must be."""
SourcesOpener = Callable[[], Sources]
"""Opens where the images of a lock file are looked up; not used where there is none."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a receiver lacks of a bundle.

    Attributes:
        references: The images that lack something, pinned by digest.
        known: All but what is lacking counts as held.
    """

    references: tuple[Reference, ...]
    known: Known


def read_known(
    paths: Iterable[Path], *, check: Check | None = None, sources: SourcesOpener, run: Run
) -> Known:
    """Read what the receiver holds.

    Args:
        paths: Inventories, receipts, bundles, layouts, catalogs and lock files.
        check: Refuses what is not signed as it must be; None checks nothing.
        sources: Opens where the images of a lock file are looked up: only their manifests are
            fetched.
        run: Progress and cancellation.

    Raises:
        AirgapError: One cannot be read, is damaged, or is none of these.
    """
    records = [_open_known(path, check) for path in dict.fromkeys(paths)]
    return Known(_witness(record, sources, run) for record in records)


def read_need(path: Path, *, check: Check | None = None) -> Need:
    """Read what a receiver lacks, as `airgap export inventory --missing-for` writes it.

    Args:
        path: The file.
        check: Refuses what is not signed as it must be; None checks nothing.

    Raises:
        SettingsError: It says something else, or that nothing is missing.
        AirgapError: It cannot be read or is damaged.
    """
    need = _open(path, check).content
    if not isinstance(need, Inventory) or need.need is None:
        raise SettingsError(
            f"{path} does not say what is missing for a bundle",
            hint="`airgap export inventory --missing-for BUNDLE` says that; "
            "for what is there, use --against",
        )
    if not need.images:
        raise SettingsError(
            f"{path} says that nothing is missing",
            hint=f"no bundle is needed for it: import the bundle {need.need} there",
        )

    def held(digest: Digest) -> Claim | None:
        return Claim(None) if need.find(digest) is None else None

    base = Base("need", need.need, need.place)
    references = tuple(
        Reference.parse(image.name).with_digest(image.digest) for image in need.images
    )
    return Need(references, Known([Witness(base, held)], wanted=need))


def _open(path: Path, check: Check | None) -> OpenedRecord:
    record = open_record(path)
    if check is not None:
        check(record)
    return record


def _open_known(path: Path, check: Check | None) -> OpenedRecord:
    try:
        return _open(path, check)
    except ContentNotFoundError as error:
        if is_there(path):
            raise
        error.hint = (
            "check the path; what a registry holds is written down by "
            "`airgap export inventory --from REGISTRY`"
        )
        raise


def _witness(record: OpenedRecord, sources: SourcesOpener, run: Run) -> Witness:
    own_id, content = record.id, record.content
    if isinstance(content, Inventory):
        return _inventory_witness(record.path, own_id, content)
    if isinstance(content, Contents):
        return Witness(Base("bundle", own_id), _claims(content).get)
    from airgap.record.receipt import Receipt  # loaded by now, where it is one

    if isinstance(content, Receipt):
        return Witness(Base("receipt", own_id, content.registry), content.find)
    return _lock_witness(own_id, content, sources(), run)


def _inventory_witness(path: Path, own_id: Digest, content: Inventory) -> Witness:
    if content.kind == "need":
        raise SettingsError(
            f"{path} says what is missing, and not what is there", hint=f"use --exactly {path}"
        )
    # What was told of a bundle or layout names repositories as the source does.
    kind: BaseKind = "inventory" if content.kind == "registry" else "bundle"
    return Witness(Base(kind, own_id, content.place), content.find)


def _claims(content: Contents) -> Mapping[Digest, Claim]:
    """What a bundle brings, what it left to its receiver included, and to which repositories."""
    catalog = content.catalog
    sizes = catalog.sizes() | catalog.held_sizes()
    parts = sorted(by_repository(catalog).items())
    if not content.documents:  # only the manifests tell which repository needs what
        everywhere = tuple(name for name, (roots, _) in parts if roots)
        return {digest: Claim(size, everywhere) for digest, size in sizes.items()}
    names: dict[Digest, list[str]] = {}
    for name, (roots, referrers) in parts:
        by_subject = referrers_by_subject(referrers)
        for digest in with_referrers(roots, content.documents, by_subject):
            names.setdefault(digest, []).append(name)
    return {digest: Claim(size, tuple(names.get(digest, ()))) for digest, size in sizes.items()}


def _lock_witness(own_id: Digest, lock: Lock, sources: Sources, run: Run) -> Witness:
    """All that the images of a lock need, as their sources say."""
    selection = Selection(platforms=lock.platforms, referrers=False)
    resolver = Resolver(sources, selection, keep_going=False, run=run)
    selected = select_export(resolver.resolve(_pinned(lock)), selection)
    if selected.failed:
        raise selected.failed[0][1]
    claims = {
        fetch.descriptor.digest: Claim(fetch.descriptor.size, fetch.repositories)
        for fetch in selected.fetches
    }
    return Witness(Base("lock", own_id), claims.get)


def _pinned(lock: Lock) -> Sequence[Reference]:
    return [image.pinned for image in lock.images]
