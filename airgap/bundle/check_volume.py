"""Checking one file of a bundle alone: everything in it but the digests of blobs that are cut.

What is wrong is added to the findings; nothing is raised but a cancellation. Threads may check
several members of one file at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from airgap.bundle import members
from airgap.bundle.finding import CheckedFile, Finding, FindingKind
from airgap.bundle.foreign import refuse_member
from airgap.bundle.layout import Layout
from airgap.bundle.partial import SUFFIX
from airgap.bundle.placement import Extent
from airgap.bundle.survey import Survey
from airgap.bundle.volume_file import behind_the_end, cut_short, refuse_tail
from airgap.content.posix import read_at, read_into
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, CancelledError, IncompleteBundleError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted


class VolumeCheck:
    """Compares one file with what is known of it.

    Attributes:
        fd: The open file.
        found: What is known of it.
        name: Its path, for people.
        size: Its bytes.
        findings: What is wrong with it so far.
        wrong: The content that is not right in it.
    """

    def __init__(self, fd: int, found: Survey, *, name: str, size: int, run: Run) -> None:
        self.fd = fd
        self.found = found
        self.name = name
        self.size = size
        self.findings: list[Finding] = []
        self.wrong: set[Digest] = set()
        self._run = run
        self._checked = 0
        self._lock = Lock()
        self._pieces: dict[Extent, Digest] = {}

    @property
    def volume(self) -> int | None:
        """Which volume it is, from 1; None where that is not known, or it is the only one."""
        placement = self.found.placement
        return placement.volume if placement and placement.volumes > 1 else None

    @property
    def extents(self) -> tuple[Extent, ...]:
        """What it should hold, manifests included."""
        return self.found.placement.extents if self.found.placement else ()

    def begin(self) -> None:
        """Take what the survey found, and check all but the members: this takes no time."""
        found = self.found
        self.findings = list(found.findings)
        self.wrong = {f.digest for f in found.findings if f.digest}
        self._checked = found.bytes_read
        if found.seal is not None:
            pieces = [e for e in found.seal.placement.extents if e.start is not None]
            self._pieces = dict(zip(pieces, found.seal.pieces, strict=True))
        self._check_presence()
        with self._about(None):
            self._check_end()

    def unread(self) -> Iterator[Extent]:
        """What is still to be read: all that is there, but the manifests of a sound front."""
        for extent in self.extents:
            is_read = self.found.error is None and extent.digest in self.found.hashed
            if extent.end <= self.size and not is_read:
                yield extent

    def check_member(self, extent: Extent, buffer: memoryview) -> None:
        """Check a whole blob or manifest: header, content, and what fills its last block."""
        self.check_frame(extent)
        if extent.digest in self.found.hashed:
            self._count(extent.length)
            return
        verifier = Verifier(extent.digest, extent.length, origin="bundle")
        self._verify(extent, verifier, buffer)

    def check_piece(self, extent: Extent, buffer: memoryview) -> bool | None:
        """Check a piece of a cut blob by the digest that the seal has for it.

        Returns:
            Whether it is right; None where the seal does not say.
        """
        digest = self._pieces.get(extent)
        if digest is None:
            return None
        return self._verify(extent, Verifier(digest, extent.length, origin="bundle"), buffer)

    def check_frame(self, extent: Extent) -> None:
        """Compare what stands around the content of a member."""
        head = members.header(extent.name, extent.length)
        fill = members.padding(extent.length)
        with self._about(extent):
            self._compare_header(head, extent)
        with self._about(extent):
            actual = read_at(self.fd, len(fill), extent.end)
            if actual != fill[: len(actual)]:
                text = f"{self.name}: what fills the block behind {extent.name} is not zeros"
                self.findings.append(Finding("structure", text, None, None, extent.end, len(fill)))
        self._count(len(head) + len(fill))

    def chunks(self, extent: Extent, buffer: memoryview) -> Iterator[memoryview]:
        """The content of a member, up to where the file ends, in the buffer.

        Raises:
            StorageError: The medium gave an error.
            CancelledError: Somebody asked to stop.
        """
        offset = extent.offset
        while offset < extent.end:
            self._run.cancel.check()
            with storage_errors(self.name):
                count = read_into(self.fd, [buffer[: extent.end - offset]], offset)
            if not count:
                break  # the file became shorter meanwhile, which a verifier says
            self._count(count)
            offset += count
            yield buffer[:count]

    def add(
        self, kind: FindingKind, text: str, *, digest: Digest, extent: Extent | None = None
    ) -> None:
        """Note something that is wrong with some content."""
        self.wrong.add(digest)
        finding = Finding(kind, text, None, digest)
        if extent is not None:
            finding = replace(finding, offset=extent.offset, length=extent.length)
        self.findings.append(finding)

    def add_error(self, error: AirgapError, extent: Extent | None) -> None:
        """Note what an error says about a member."""
        finding = Finding.of(error)
        if extent is None:
            self.findings.append(finding)
            return
        text = finding.message
        if extent.start is not None:
            text = f"the piece of {extent.digest} from its byte {extent.start} on: {text}"
        self.add(finding.kind, text, digest=extent.digest, extent=extent)

    def results(self) -> list[Finding]:
        """All that is wrong, with where it is."""
        error, said = self.found.error, {finding.message for finding in self.findings}
        # Where the whole file could be planned anew, the findings say it all, and more exactly.
        is_explained = self.found.layout is not None and bool(self.findings)
        if error is not None and not is_explained and error.message not in said:
            self.findings.append(error)
        return [replace(f, path=self.name, volume=self.volume) for f in self.findings]

    def summary(self, problems: int) -> CheckedFile:
        """What was checked."""
        checked = min(self._checked, self.size)
        return CheckedFile(self.name, self.volume, self.size, checked, problems)

    def _count(self, size: int) -> None:
        with self._lock:
            self._checked += size

    def _check_presence(self) -> None:
        """Compare catalog, placement and the size of the file."""
        placement, catalog = self.found.placement, self.found.catalog
        if placement is not None and placement.volumes > 1:
            sizes = {extent.digest: extent.length for extent in placement.extents}
        elif catalog is None or not self.found.is_sure:
            return
        else:
            sizes = catalog.sizes()
        placed = {extent.digest: extent for extent in self.extents}
        for digest, size in sizes.items():
            extent = placed.get(digest)
            if extent is None or extent.end > self.size:
                held = min(max(0, self.size - extent.offset), size) if extent else 0
                text = f"{digest} is missing: {held} of its {size} bytes are there"
                self.add("missing", text, digest=digest, extent=extent)
            elif extent.length != size:
                text = f"{digest} has {extent.length} bytes in the file and {size} by the catalog"
                self.add("size-mismatch", text, digest=digest, extent=extent)
        for digest in placed.keys() - sizes.keys():
            text = f"{digest} lies in the file and is not in the catalog"
            self.add("unexplained", text, digest=digest, extent=placed[digest])

    def _verify(self, extent: Extent, verifier: Verifier, buffer: memoryview) -> bool:
        """Hash the content of a member; whether it is right."""
        descriptor = Descriptor(mediatype.OCTET_STREAM, verifier.expected, extent.length)
        self._run.emit(BlobStarted(descriptor, self.name))
        try:
            for chunk in self.chunks(extent, buffer):
                verifier.update(chunk)
                self._run.emit(BlobAdvanced(descriptor, self.name, verifier.size))
            verifier.finish()
        except CancelledError:
            raise
        except AirgapError as error:
            self.add_error(error, extent)
            return False
        self._run.emit(BlobFinished(descriptor, self.name))
        return True

    @contextmanager
    def _about(self, extent: Extent | None) -> Iterator[None]:
        """Turn what goes wrong inside into a finding about one member."""
        try:
            with storage_errors(self.name):
                yield
        except CancelledError:
            raise
        except AirgapError as error:
            self.add_error(error, extent)

    def _compare_header(self, expected: bytes, extent: Extent) -> None:
        start = extent.offset - len(expected)
        actual = read_at(self.fd, len(expected), max(0, start))
        if actual == expected:
            return
        behind = start + members.BLOCK
        try:
            refuse_member(
                actual[: members.BLOCK],
                lambda size: read_at(self.fd, size, behind),
                expected=extent.name,
                where=f"{self.name} at byte {start}",
            )
        except AirgapError as error:
            finding = Finding.of(error, kind="structure")
            self.findings.append(replace(finding, offset=start, length=len(expected)))

    def _check_end(self) -> None:
        """Check the seal, and that the file ends behind it."""
        layout = self.found.layout
        if layout is None:
            return
        if self.size < layout.size:
            error = cut_short(self.name, layout.size - self.size, layout.size)
            is_partial = self.name.endswith(SUFFIX)
            finding = Finding.of(error, kind="unfinished" if is_partial else "cut-short")
            self.findings.append(replace(finding, offset=self.size))
            return
        tail, start = self._tail(layout), layout.placement.seal
        actual = read_at(self.fd, len(tail), start)
        if actual != tail:
            try:
                refuse_tail(actual, name=self.name)
            except AirgapError as error:
                is_empty = isinstance(error, IncompleteBundleError)
                finding = Finding.of(error, kind="unfinished" if is_empty else None)
                self.findings.append(replace(finding, offset=start, length=len(tail)))
        if self.size > layout.size:
            beyond = self.size - layout.size
            finding = Finding.of(behind_the_end(self.name, beyond), kind="unexplained")
            self.findings.append(replace(finding, offset=layout.size, length=beyond))
        self._count(len(actual))

    def _tail(self, layout: Layout) -> bytes:
        """How the file must end, with what its seal says of pieces if it says it of all."""
        said = [self._pieces.get(extent) for extent in layout.pieces]
        known = tuple(digest for digest in said if digest is not None)
        return layout.tail(known) if known and len(known) == len(said) else layout.tail()
