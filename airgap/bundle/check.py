"""Checking a whole bundle: every byte once, every finding and not just the first.

`docs/bundle-format.md` says what a bundle must be; here a file is compared with that. Nothing is
written, and no more of the content is in memory than a chunk for each thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from airgap.bundle import closure, members
from airgap.bundle.finding import CheckReport, Finding, FindingKind
from airgap.bundle.foreign import refuse_member
from airgap.bundle.partial import SUFFIX
from airgap.bundle.placement import Extent
from airgap.bundle.reader import behind_the_end, cut_short, open_file, refuse_tail
from airgap.bundle.survey import Survey, survey_file
from airgap.content.posix import read_at, read_into
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import AirgapError, CancelledError, IncompleteBundleError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.layout import blob_path
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted, PhaseFinished, PhaseStarted

PHASE = "check"


def check_bundle(path: Path, *, run: Run, jobs: int = 4) -> CheckReport:
    """Read a whole bundle and say everything that is wrong with it.

    Args:
        path: The file.
        run: Where progress goes, and a cancellation comes from.
        jobs: How many blobs are hashed at the same time.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be opened, or the medium gave an error at its front.
        BundleFormatError: It is a folder, or something else that has no offsets.
        CancelledError: Somebody asked to stop.
    """
    with open_file(path) as stream:
        with storage_errors(path):
            size = os.lseek(stream.fileno(), 0, os.SEEK_END)
            stream.seek(0)
        found = survey_file(stream, name=str(path), size=size)
        return _Check(stream.fileno(), found, name=str(path), size=size, run=run).report(jobs)


def _next(pending: deque[Extent]) -> Extent | None:
    """The next extent, for any thread."""
    try:
        return pending.popleft()
    except IndexError:
        return None


class _Check:
    """Compares a file with what is known of it."""

    def __init__(self, fd: int, found: Survey, *, name: str, size: int, run: Run) -> None:
        self._fd = fd
        self._found = found
        self._name = name
        self._size = size
        self._run = run
        self._findings = list(found.findings)
        self._wrong = {f.digest for f in found.findings if f.digest}

    def report(self, jobs: int) -> CheckReport:
        """Do all of it."""
        self._check_presence()
        extents = [e for e in self._extents() if e.end <= self._size]
        checked = self._found.bytes_read + self._hash_all(extents, jobs) + self._check_end()
        self._check_references()
        manifests, blobs = 0, 0
        for extent in self._found.placement.extents if self._found.placement else ():
            if extent.end <= self._size and extent.digest not in self._wrong:
                is_manifest = extent.digest in self._found.documents
                manifests, blobs = manifests + is_manifest, blobs + (not is_manifest)
        catalog = self._found.catalog
        return CheckReport(
            self._name,
            catalog.id if catalog and self._found.is_sure else None,
            catalog,
            self._size,
            min(checked, self._size),
            manifests,
            blobs,
            self._sorted(),
        )

    def _extents(self) -> Iterator[Extent]:
        """What is still to be read: all but the manifests of a sound front."""
        placement = self._found.placement
        for extent in placement.extents if placement else ():
            if self._found.error is not None or extent.digest not in self._found.hashed:
                yield extent

    def _check_presence(self) -> None:
        """Compare catalog, placement and the size of the file."""
        placement, catalog = self._found.placement, self._found.catalog
        if catalog is None or not self._found.is_sure:
            return
        sizes = catalog.sizes()
        placed = {extent.digest: extent for extent in placement.extents} if placement else {}
        for digest, size in sizes.items():
            extent = placed.get(digest)
            if extent is None or extent.end > self._size:
                held = min(max(0, self._size - extent.offset), size) if extent else 0
                text = f"{digest} is missing: {held} of its {size} bytes are there"
                self._add("missing", text, digest=digest, extent=extent)
            elif extent.length != size:
                text = f"{digest} has {extent.length} bytes in the file and {size} by the catalog"
                self._add("size-mismatch", text, digest=digest, extent=extent)
        for digest in placed.keys() - sizes.keys():
            text = f"{digest} lies in the file and is not in the catalog"
            self._add("unexplained", text, digest=digest, extent=placed[digest])

    def _hash_all(self, extents: list[Extent], jobs: int) -> int:
        """Check every extent, in the order of the file, some at a time; give the bytes read."""
        total = sum(extent.length for extent in extents)
        done = self._found.bytes_read
        self._run.emit(PhaseStarted(PHASE, len(extents), total + done, done))
        pending = deque(extents)

        def work() -> int:
            buffer, count = bytearray(CHUNK_SIZE), 0
            while extent := _next(pending):
                try:
                    count += self._check_extent(extent, memoryview(buffer))
                except BaseException:
                    pending.clear()
                    raise
            return count

        workers = max(1, min(jobs, len(extents)))
        with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
            counts = [future.result() for future in [pool.submit(work) for _ in range(workers)]]
        self._run.emit(PhaseFinished(PHASE))
        return sum(counts)

    def _check_extent(self, extent: Extent, buffer: memoryview) -> int:
        """Check one member: its header, its content, and what fills its last block."""
        name = blob_path(extent.digest)
        head = members.header(name, extent.length)
        start = extent.offset - len(head)
        fill = members.padding(extent.length)
        with self._about(extent):
            self._compare_header(head, start, name)
        if extent.digest not in self._found.hashed:
            with self._about(extent):
                self._hash(extent, buffer)
        with self._about(extent):
            actual = read_at(self._fd, len(fill), extent.end)
            if actual != fill[: len(actual)]:
                text = f"{self._name}: what fills the block behind {name} is not zeros"
                self._findings.append(Finding("structure", text, None, None, extent.end, len(fill)))
        return len(head) + extent.length + len(fill)

    @contextmanager
    def _about(self, extent: Extent) -> Iterator[None]:
        """Turn what goes wrong inside into a finding about one extent."""
        try:
            with storage_errors(self._name):
                yield
        except CancelledError:
            raise
        except AirgapError as error:
            finding = Finding.of(error)
            self._add(finding.kind, finding.message, digest=extent.digest, extent=extent)

    def _compare_header(self, expected: bytes, start: int, name: str) -> None:
        actual = read_at(self._fd, len(expected), max(0, start))
        if actual == expected:
            return
        behind = start + members.BLOCK
        where = f"{self._name} at byte {start}"
        try:
            refuse_member(
                actual[: members.BLOCK],
                lambda size: read_at(self._fd, size, behind),
                expected=name,
                where=where,
            )
        except AirgapError as error:
            finding = Finding.of(error, kind="structure")
            self._findings.append(replace(finding, offset=start, length=len(expected)))

    def _hash(self, extent: Extent, buffer: memoryview) -> None:
        descriptor = Descriptor(mediatype.OCTET_STREAM, extent.digest, extent.length)
        verifier = Verifier(extent.digest, extent.length, origin="bundle")
        self._run.emit(BlobStarted(descriptor, self._name))
        while not verifier.is_full:
            self._run.cancel.check()
            left = extent.length - verifier.size
            count = read_into(self._fd, [buffer[:left]], extent.offset + verifier.size)
            if not count:
                break  # the file became shorter meanwhile, which `finish` says
            verifier.update(buffer[:count])
            self._run.emit(BlobAdvanced(descriptor, self._name, verifier.size))
        verifier.finish()
        self._run.emit(BlobFinished(descriptor, self._name))

    def _check_end(self) -> int:
        """Check the seal, and that the file ends behind it; give the bytes read."""
        layout = self._found.layout
        if layout is None:
            return 0
        if self._size < layout.size:
            error = cut_short(self._name, layout.size - self._size, layout.size)
            is_partial = self._name.endswith(SUFFIX)
            finding = Finding.of(error, kind="unfinished" if is_partial else "cut-short")
            self._findings.append(replace(finding, offset=self._size))
            return 0
        tail, start = layout.tail(), layout.placement.seal
        actual = read_at(self._fd, len(tail), start)
        if actual != tail:
            try:
                refuse_tail(actual, name=self._name)
            except AirgapError as error:
                is_empty = isinstance(error, IncompleteBundleError)
                finding = Finding.of(error, kind="unfinished" if is_empty else None)
                self._findings.append(replace(finding, offset=start, length=len(tail)))
        if self._size > layout.size:
            beyond = self._size - layout.size
            finding = Finding.of(behind_the_end(self._name, beyond), kind="unexplained")
            self._findings.append(replace(finding, offset=layout.size, length=beyond))
        return len(actual)

    def _check_references(self) -> None:
        """Find content that nothing asks for, and referrers of what is not there."""
        catalog, documents = self._found.catalog, self._found.documents
        if catalog is None or not self._found.is_sure or len(documents) < len(catalog.manifests):
            return
        for digest in closure.unreferenced(catalog, documents):
            self._add("unexplained", f"nothing in the bundle asks for {digest}", digest=digest)
        known = catalog.sizes().keys() | catalog.omissions().keys()
        for referrer in catalog.referrers:
            if referrer.subject not in known:
                text = f"{referrer.digest} refers to {referrer.subject}, which is not here"
                self._add("unexplained", text, digest=referrer.digest)

    def _add(
        self,
        kind: FindingKind,
        message: str,
        *,
        digest: Digest,
        extent: Extent | None = None,
    ) -> None:
        self._wrong.add(digest)
        finding = Finding(kind, message, None, digest)
        if extent is not None:
            finding = replace(finding, offset=extent.offset, length=extent.length)
        self._findings.append(finding)

    def _sorted(self) -> tuple[Finding, ...]:
        """All findings in the order of the file, with the images that each concerns."""
        found = self._found
        # Where the whole file could be planned anew, the findings say it all, and more exactly.
        is_explained = found.layout is not None and bool(self._findings)
        error, said = found.error, {finding.message for finding in self._findings}
        if error is not None and not is_explained and error.message not in said:
            self._findings.append(error)
        names: dict[Digest, tuple[str, ...]] = {}
        if found.catalog is not None:
            digests = {f.digest for f in self._findings if f.digest is not None}
            names = closure.affected(digests, found.catalog, found.documents)
        ordered = sorted(
            self._findings,
            # that nobody finished the file explains the others
            key=lambda f: (f.kind != "unfinished", -1 if f.offset is None else f.offset, f.message),
        )
        return tuple(replace(f, images=names.get(f.digest, ())) if f.digest else f for f in ordered)
