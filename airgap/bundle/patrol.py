"""Hashing what a server gives out from bundles, behind its back and without being in its way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator

from airgap.bundle.opened import OpenedBundle
from airgap.content.posix import yield_to_others
from airgap.errors import AirgapError, CancelledError, IncompleteBundleError, IntegrityError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Verifier
from airgap.run.cancel import CancelToken

REST = 1.0
"""How long it rests for each second of work, so that half of a disk's time is left to clients."""

_log = logging.getLogger(__name__)


class Patrol:
    """Hashes every blob of some bundles once, in a thread of its own.

    Args:
        bundles: What is hashed, one bundle after the other.
        rest: How long it rests for each second of work.
    """

    def __init__(self, bundles: Iterable[OpenedBundle], *, rest: float = REST) -> None:
        self._bundles = tuple(bundles)
        self._rest = rest
        self._cancel = CancelToken()
        self._thread = threading.Thread(target=self._walk, name="airgap-patrol", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until everything is hashed."""
        self._thread.join()

    def stop(self) -> None:
        """End, and wait for that."""
        self._cancel.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _walk(self) -> None:
        yield_to_others()
        try:
            for bundle in self._bundles:
                self._check(bundle)
        except CancelledError:
            return

    def _check(self, bundle: OpenedBundle) -> None:
        wrong = 0
        for blob in _blobs(bundle):
            try:
                self._hash(bundle, blob)
            except CancelledError:
                raise
            except (IntegrityError, IncompleteBundleError) as error:
                if not _is_unchanged(bundle):
                    return
                wrong += 1
                bundle.condemn(blob.digest)
                _log.error("%s: %s", bundle.path, error)
            except AirgapError as error:
                # the medium failed here and now, of which the next request says the same
                _log.error("%s: %s", bundle.path, error)
                if not _is_unchanged(bundle):
                    return
            bundle.checked += blob.size
        if not wrong:
            _log.info("%s: every blob has its digest", bundle.path)

    def _hash(self, bundle: OpenedBundle, blob: Descriptor) -> None:
        verifier = Verifier(blob.digest, blob.size, origin="bundle")
        with bundle.open(blob) as chunks:
            began = time.monotonic()
            for chunk in chunks:
                verifier.update(chunk)
                self._cancel.sleep((time.monotonic() - began) * self._rest)
                began = time.monotonic()
        verifier.finish()


def _blobs(bundle: OpenedBundle) -> Iterator[Descriptor]:
    """What was not hashed when the bundle was opened: all but the manifests."""
    for digest, size in bundle.reader.catalog.blobs:
        if bundle.holds(digest):
            yield Descriptor(mediatype.OCTET_STREAM, digest, size)


def _is_unchanged(bundle: OpenedBundle) -> bool:
    try:
        bundle.check()
    except AirgapError as error:
        _log.error("%s", error)
        return False
    return True
