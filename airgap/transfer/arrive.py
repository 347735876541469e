"""Importing a bundle that lies elsewhere into a depot of this process, by the rules of imports.

The front and the seal are read first: what the file promises, whether all of it may be written,
and whether there is room is known before the first write. Then only those bytes are asked for that
are not there yet, so an arrival that broke off goes on by being started again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airgap.bundle.front import Front, Tape, read_front
from airgap.bundle.volume_file import behind_the_end, cut_short, refuse_tail
from airgap.content.arrival import Admission, ArrivalOptions, ArrivedImage, RemoteFile
from airgap.content.arrival import Arrival as ArrivalValue
from airgap.content.depot import Depot
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import (
    ContentNotFoundError,
    IncompleteBundleError,
    StorageFullError,
    UnauthorizedError,
)
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.base_guard import Elsewhere, need_commands
from airgap.transfer.destination import Destination, Target, plan_targets
from airgap.transfer.publication import Publication, plan_publications
from airgap.transfer.publisher import Publisher, PublishSettings
from airgap.transfer.receiver import DepotReceiver
from airgap.transfer.standing import PHASE
from airgap.transfer.trusting import check_bundle_trust
from airgap.trust.policy import Trust

FRONT_PHASE = "front"
_AHEAD = CHUNK_SIZE // 4
"""How many bytes are asked for at once as long as nobody knows how long the front is."""
_JOBS = 1
"""A file that somebody sends is read at one place at a time."""


class ArrivingBundle:
    """A bundle that is read where it lies: a source of blobs.

    Args:
        file: Where it lies.

    Raises:
        BundleFormatError: It is no bundle, is damaged, or needs a newer airgap.
        IncompleteBundleError: It is cut short or was never finished.
        IntegrityError: A manifest has another digest or size than it should have.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._ahead = b""
        self._offset = 0
        self.front: Front = read_front(Tape(self._read, name=file.name))
        layout = self.front.layout
        if layout.placement.volumes > 1:
            raise IncompleteBundleError(
                f"{file.name} is volume {layout.placement.volume} of {layout.placement.volumes}",
                missing=("the other volumes",),
                hint="bring volumes with `airgap import bundle`: the page takes one file",
            )
        if file.size < layout.size:
            raise cut_short(file.name, layout.size - file.size, layout.size)
        if file.size > layout.size:
            raise behind_the_end(file.name, file.size - layout.size)
        tail = layout.tail()
        with file.open(layout.placement.seal, len(tail)) as chunks:
            actual = b"".join(chunks)
        if actual != tail:
            refuse_tail(actual, name=file.name)
        self._extents = {extent.digest: extent for extent in layout.placement.extents}

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: There is no such blob.
            UnavailableError: Whoever has the file went away.
        """
        extent = self._extents.get(descriptor.digest)
        if extent is None:
            raise ContentNotFoundError(
                f"{self._file.name} does not hold {descriptor.digest}", origin="bundle"
            )
        at = extent.offset + offset
        with self._file.open(at, extent.end - at) as chunks:
            yield chunks

    def _read(self, size: int) -> bytes:
        if not self._ahead:
            wanted = min(_AHEAD, self._file.size - self._offset)
            if wanted <= 0:
                return b""
            with self._file.open(self._offset, wanted) as chunks:
                self._ahead = b"".join(chunks)
            self._offset += wanted
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data


def take_bundle(
    file: RemoteFile,
    depot: Depot,
    options: ArrivalOptions,
    admission: Admission,
    *,
    run: Run,
    trust: Trust | None = None,
) -> ArrivalValue:
    """Check a bundle, and put what it carries into a depot, tags last.

    A `content.arrival.BundleImporter`.

    Args:
        file: Where the bundle lies.
        depot: Where its content goes.
        options: How it is imported.
        admission: Who brings it, and what is allowed.
        run: Progress and cancellation.
        trust: Who must have signed it; None where nobody must.

    Raises:
        SignatureError: It is not signed as is demanded; nothing was written then.
        UnauthorizedError: A repository may not be written to; nothing was written then.
        StorageFullError: There is no room for it; nothing was written then.
        AirgapError: The bundle or the depot failed; what arrived is kept, without a tag.
    """
    run.emit(PhaseStarted(FRONT_PHASE))
    bundle = ArrivingBundle(file)
    catalog = bundle.front.catalog
    check_bundle_trust(catalog, trust, run=run)
    destination = Destination(admission.registry, options.prefix)
    targets = plan_targets(catalog.images, destination, keep_host=options.keep_host)
    _check_rights(targets, admission)
    publications = plan_publications(targets, catalog, bundle.front.documents)
    run.emit(PhaseFinished(FRONT_PHASE))
    receiver = DepotReceiver(depot, admission.registry)
    missing = _look(receiver, publications, options, admission, run)
    run.emit(PhaseStarted(PHASE, total_bytes=missing))
    publisher = Publisher(receiver, publications, _settings(options, is_dry=False), run=run)
    publisher.check_tags()
    publisher.check_bases(catalog, _elsewhere(destination, options, admission, file.name))
    publisher.push_blobs(bundle)
    publisher.push_manifests()
    run.emit(PhaseFinished(PHASE))
    result = publisher.result(catalog, seconds=0)
    images = tuple(
        ArrivedImage(image.source, target.repository, target.tag or "", image.digest, image.outcome)
        for target, image in zip(targets, result.images, strict=True)
    )
    return ArrivalValue(
        catalog.id, file.name, images, sent_bytes=result.bytes_pushed, notes=result.notes
    )


def _settings(options: ArrivalOptions, *, is_dry: bool) -> PublishSettings:
    return PublishSettings(options.on_existing_tag, options.sparse, _JOBS, False, is_dry)


def _elsewhere(
    to: Destination, options: ArrivalOptions, admission: Admission, name: str
) -> Elsewhere:
    """Where to look for what the bundle leaves: never where one who brings it may not go."""
    hint = need_commands(["--missing-for", name], to, keep_host=options.keep_host, mount_from=())
    return Elsewhere(to=to, keep_host=options.keep_host, may_read=admission.may_write, hint=hint)


def _check_rights(targets: Sequence[Target], admission: Admission) -> None:
    names = sorted({target.repository for target in targets})
    refused = [name for name in names if not admission.may_write(name)]
    if refused:
        shown = ", ".join(refused[:5]) + (", …" if len(refused) > 5 else "")
        raise UnauthorizedError(
            f"the bundle would write to repositories that you may not push to: {shown}",
            hint="ask for the right to push there, or choose another prefix; nothing was written",
            origin="destination",
        )


def _look(
    receiver: DepotReceiver,
    publications: Sequence[Publication],
    options: ArrivalOptions,
    admission: Admission,
    run: Run,
) -> int:
    """Find out how many bytes are missing, and whether there is room for them.

    Raises:
        StorageFullError: There is not.
        ConflictError: A tag names another digest, and that is not to be changed.
    """
    quiet = Run(cancel=run.cancel)
    dry = Publisher(receiver, publications, _settings(options, is_dry=True), run=quiet)
    dry.check_tags()
    dry.push_blobs(None)
    missing = dry.missing_bytes
    documents = {
        d.descriptor.digest: d.descriptor.size for p in publications for d in p.all_documents()
    }
    free = admission.free_bytes()
    if free is not None and free < missing + sum(documents.values()):
        raise StorageFullError(
            f"the bundle needs {missing} bytes and {free} are free",
            hint="make room on the registry's disk; nothing was written",
            origin="destination",
        )
    return missing
