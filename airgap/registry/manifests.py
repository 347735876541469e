"""Manifests: by tag or digest, with their exact bytes (distribution-spec, endpoints 3 and 7)."""

from __future__ import annotations

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    DigestMismatchError,
    InvalidContentError,
    MissingSuccessorError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Document, parse_manifest
from airgap.oci.reference import is_tag
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.failure import read_wire_errors, refusal, repository_missing
from airgap.registry.response import Response
from airgap.registry.retry import TransientError
from airgap.registry.transport import Request

_ACCEPT = ", ".join(mediatype.ACCEPT)
_VAGUE = frozenset({"", "application/json", "text/plain", "text/html", mediatype.OCTET_STREAM})
_MISSING = ("MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN")


class Manifests:
    """The manifests of one repository."""

    def __init__(self, channel: Channel, repository: str) -> None:
        self._channel = channel
        self._repository = repository

    def resolve(self, reference: str, *, access: Access) -> Descriptor | None:
        """What a tag or digest names; None where there is no such manifest."""
        what = self._what(reference)
        is_clear, found = self._channel.call(what, lambda: self._head(reference, access, what))
        if is_clear:
            return found
        try:
            return self.get(reference).descriptor
        except ContentNotFoundError:
            return None

    def get(self, reference: str, *, media_type: str = "") -> Document:
        """Get a manifest with one request, verified where it is asked for by digest.

        Raises:
            ContentNotFoundError: There is none.
            DigestMismatchError: Its bytes hash to something else.
            InvalidContentError: It is too large, or no manifest.
        """
        what = self._what(reference)
        return self._channel.call(what, lambda: self._get(reference, media_type, what))

    def put(self, document: Document, *, tag: str | None) -> str:
        """Push exact bytes, by digest or under a tag; gives the OCI-Subject that came back.

        Raises:
            MissingSuccessorError: What it points at must be there first, and is not.
        """
        descriptor = document.descriptor
        reference = tag or str(descriptor.digest)
        what = f"the push of {self._what(reference)}"
        return self._channel.call(what, lambda: self._put(document, reference, what))

    def _head(self, reference: str, access: Access, what: str) -> tuple[bool, Descriptor | None]:
        """Ask for the headers; the first value says whether they tell enough."""
        channel = self._channel
        request = Request("HEAD", {"Accept": _ACCEPT})
        with channel.ask(request, self._path(reference), access=access, what=what) as response:
            if response.status == 404:
                return True, None
            if response.status in (405, 501):
                return False, None
            if response.status != 200:
                raise channel.refused(response, what)
            told = _told_digest(response)
            media_type, size = response.media_type, response.length
            if told is None or size is None or media_type in _VAGUE:
                return False, None
            if ":" in reference:
                self._compare(Digest.parse(reference), told, reference)
            return True, Descriptor(media_type, told, size)

    def _get(self, reference: str, media_type: str, what: str) -> Document:
        channel = self._channel
        with channel.ask(
            Request("GET", {"Accept": _ACCEPT}),
            self._path(reference),
            access=Access(self._repository),
            what=what,
        ) as response:
            if response.status != 200:
                raise channel.refused(response, what)
            if (response.length or 0) > MAX_MANIFEST_SIZE:
                raise self._too_large(what)
            raw = response.read_up_to(MAX_MANIFEST_SIZE + 1)
            declared = response.media_type
            told = _told_digest(response)
        if len(raw) > MAX_MANIFEST_SIZE:
            raise self._too_large(what)
        wanted = None if is_tag(reference) else Digest.parse(reference)
        algorithm = wanted.algorithm if wanted else "sha256"
        if wanted is not None:
            self._compare(wanted, Digest.of(raw, algorithm), reference)
        if told is not None:
            self._compare(told, Digest.of(raw, told.algorithm), reference)
        if declared in _VAGUE and declared != "text/html" and media_type:
            declared = media_type
        try:
            return parse_manifest(raw, declared, algorithm=algorithm)
        except InvalidContentError as error:
            error.origin = channel.origin
            # A run asks for many: its digest alone, of bytes that make no sense, says nothing.
            mark = ":" if wanted is None else "@"
            name = f"{channel.registry}/{self._repository}{mark}{reference}"
            error.message = f"{name}: {error.message}"
            raise

    def _put(self, document: Document, reference: str, what: str) -> str:
        channel = self._channel
        descriptor = document.descriptor
        request = Request("PUT", {"Content-Type": descriptor.media_type}, document.raw)
        access = Access(self._repository, write=True)
        with channel.ask(request, self._path(reference), access=access, what=what) as response:
            if response.status not in (200, 201, 202, 204):
                raise self._put_refused(response, what)
            told = _told_digest(response)
            if told is not None and told.algorithm == descriptor.digest.algorithm:
                self._compare(descriptor.digest, told, reference)
            return response.header("OCI-Subject").strip()

    def _put_refused(self, response: Response, what: str) -> AirgapError | TransientError:
        wire = read_wire_errors(response)
        origin = self._channel.origin
        if response.status in (400, 404) and wire.has(*_MISSING):
            return MissingSuccessorError(
                f"{self._channel.registry} refused {what}: what it points at is not there"
                f" ({wire.text})",
                origin=origin,
                wire_codes=wire.codes,
            )
        if response.status == 404:
            return repository_missing(response, self._repository, wire, origin=origin)
        return refusal(response, what, origin=origin, wire=wire)

    def _compare(self, expected: Digest, actual: Digest, reference: str) -> None:
        if expected != actual:
            raise DigestMismatchError(
                f"{self._channel.registry}/{self._repository}: {reference} should have the digest"
                f" {expected} and has {actual}",
                expected=str(expected),
                actual=str(actual),
                origin=self._channel.origin,
            )

    def _too_large(self, what: str) -> InvalidContentError:
        return InvalidContentError(
            f"{what} is larger than the {MAX_MANIFEST_SIZE} bytes that a manifest may have",
            origin=self._channel.origin,
        )

    def _path(self, reference: str) -> str:
        return f"/v2/{self._repository}/manifests/{reference}"

    def _what(self, reference: str) -> str:
        joint = ":" if is_tag(reference) else "@"
        return f"the manifest {self._repository}{joint}{reference}"


def _told_digest(response: Response) -> Digest | None:
    """The Docker-Content-Digest, where there is one that airgap understands."""
    try:
        return Digest.parse(response.header("Docker-Content-Digest").strip())
    except InvalidContentError:
        return None
