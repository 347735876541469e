"""One blob on its way into a bundle's file."""

from __future__ import annotations

from dataclasses import replace

from airgap.bundle.addresses import PieceHasher, is_cut
from airgap.bundle.bundle_files import BundleFiles
from airgap.bundle.layout import frame
from airgap.bundle.placement import Extent
from airgap.bundle.sync import Syncer
from airgap.content.store import Opener
from airgap.content.verify import verified
from airgap.errors import DigestMismatchError, IntegrityError
from airgap.oci.digest import Digest, Verifier
from airgap.run import Run


class BlobIngest:
    """Writes one blob to its place. A `content.store.Ingest`.

    Args:
        files: Where it is written.
        syncer: Learns how far it is.
        extent: Its place, as one run of addresses.
        parts: Where its members lie: itself, or its pieces if it is cut.
        run: Cancellation.
    """

    def __init__(
        self,
        files: BundleFiles,
        syncer: Syncer,
        extent: Extent,
        parts: tuple[Extent, ...],
        *,
        run: Run,
    ) -> None:
        self._files = files
        self._parts = parts
        self._syncer = syncer
        self._extent = extent
        # the first piece is hashed together with the blob, where both take the same function
        is_shared = is_cut(extent) and extent.digest.algorithm == "sha256"
        self._prefix = parts[0].length if is_shared else 0
        self._hasher = self._new_hasher()
        self._first: tuple[Digest, ...] = ()
        self._run = run
        self._is_committed = extent.digest in syncer.journal.holdings.verified
        self._is_verified = self._is_committed
        self._is_open = True

    @property
    def pieces(self) -> tuple[Digest, ...]:
        """What its pieces hash to, if it is cut and was received here."""
        return (*self._first, *self._hasher.digests()) if self._is_verified else ()

    @property
    def offset(self) -> int:
        """How many bytes from the start are there and will be kept."""
        if self._is_verified:
            return self._extent.length
        return self._syncer.begun(self._extent.digest)

    def receive(self, open_at: Opener, /) -> None:
        """Pull the rest, verifying as it comes.

        What an earlier run left is hashed first. Where it turns out to have been wrong, the whole
        blob is asked for once more.

        Raises:
            SizeMismatchError: There were more or fewer bytes than the layout says.
            DigestMismatchError: The bytes hash to something else; nothing of them is kept.
        """
        assert self._is_open, "the ingest has ended"
        if self._is_verified:
            return
        for part in self._parts:
            for where, data in frame(part):
                self._files.write(data, where)
        verifier = self._verifier()
        self._hash_what_is_there(verifier)
        resumed = verifier.size
        try:
            if verifier.is_full:
                verifier.finish()
            else:
                self._pull(open_at, verifier)
            self._keep_first(verifier)
        except IntegrityError as error:
            self.abort()
            if not resumed or not isinstance(error, DigestMismatchError):
                raise
            self._receive_anew(open_at)
        self._is_verified = True

    def commit(self) -> None:
        """Make the verified blob part of the bundle. A second commit does nothing.

        Raises:
            SizeMismatchError: It is not whole yet.
        """
        if self._is_committed:
            return
        if not self._is_verified:
            raise self._extent.short_error(self.offset)
        self._syncer.commit(self._extent)
        self._is_committed = True

    def abort(self) -> None:
        """Throw away what is there."""
        if not self._is_committed:
            self._is_verified = False
            self._syncer.forget(self._extent.digest)

    def close(self) -> None:
        """Take nothing more."""
        self._is_open = False

    def _verifier(self) -> Verifier:
        extent = self._extent
        return Verifier(extent.digest, extent.length, origin="source", prefix=self._prefix)

    def _new_hasher(self) -> PieceHasher:
        parts = self._parts[1:] if self._prefix else self._parts
        return PieceHasher(parts if is_cut(self._extent) else (), skip=self._prefix)

    def _keep_first(self, verifier: Verifier) -> None:
        digest = verifier.prefix_digest
        self._first = () if digest is None else (digest,)

    def _receive_anew(self, open_at: Opener) -> None:
        self._hasher = self._new_hasher()
        verifier = self._verifier()
        try:
            self._pull(open_at, verifier)
        except IntegrityError:
            self.abort()
            raise
        self._keep_first(verifier)

    def _hash_what_is_there(self, verifier: Verifier) -> None:
        length = self._syncer.begun(self._extent.digest)
        for chunk in self._files.chunks(self._extent.offset, length):
            self._run.cancel.check()
            verifier.update(chunk)
            self._hasher.update(chunk)

    def _pull(self, open_at: Opener, verifier: Verifier) -> None:
        offset = verifier.size
        with open_at(offset) as chunks:
            for chunk in verified(chunks, verifier, offset=offset):
                self._run.cancel.check()
                self._files.write(chunk, self._extent.offset + offset)
                self._hasher.update(chunk)
                offset += len(chunk)
                self._syncer.advance(replace(self._extent, length=offset))
