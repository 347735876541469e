"""Uploads of blobs: in one request where possible, in chunks where not, continued when broken.

Source: distribution-spec, endpoints 4 to 6 and 13, and "Pushing a blob in chunks".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from airgap.content.store import Opener
from airgap.content.verify import verified
from airgap.errors import (
    AirgapError,
    DigestMismatchError,
    RegistryProtocolError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Verifier
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.failure import read_wire_errors, refusal
from airgap.registry.mounts import (
    UploadHabits,
    end_upload,
    follow_location,
    min_chunk_length,
    start_upload,
)
from airgap.registry.response import Response
from airgap.registry.retry import TransientError
from airgap.registry.transport import Request
from airgap.registry.upload_body import BodyFailedError, UploadBody

CHUNK_LENGTH = 64 * 1024 * 1024
"""How long the chunks of a chunked upload are; they are streamed, never held."""
_SMALLEST_CHUNK = 64 * 1024
_RANGE = re.compile(r"(?:bytes[= ])?0-(\d{1,18})")
_TAKEN = frozenset({200, 201, 202, 204})
_NOT_WHOLE = frozenset({404, 405, 411, 413, 415, 416, 501})
"""Answers of registries that do not take a blob with one PUT."""
_MAX_IDLE = 8
"""Rounds without progress and without a failure: a registry that leads us in circles."""


class Upload:
    """A blob on its way to a registry (an `Ingest`).

    The registry makes the blob visible with the last request of `receive`; the last chunk is held
    back until the content is right, so that nothing wrong can become visible.

    Args:
        channel: The registry.
        repository: Where to.
        descriptor: The blob.
        mount_from: A repository that is known to have it.
        habits: What the repository was seen to take.
        has_blob: Asks once whether the blob is there.
    """

    def __init__(self, channel: Channel, repository: str, descriptor: Descriptor, *,
                 mount_from: str | None, habits: UploadHabits,
                 has_blob: Callable[[], bool]) -> None:  # fmt: skip
        self._channel = channel
        self._repository = repository
        self._descriptor = descriptor
        self._mount_from = mount_from
        self._habits = habits
        self._has_blob = has_blob
        self._access = Access(repository, write=True)
        self._what = f"the upload of {descriptor.digest.short} to {repository}"
        self._verifier = Verifier(descriptor.digest, descriptor.size)
        self._location: Url | None = None
        self._offset = 0
        self._reached = 0
        self._sent = 0
        self._renewed_at: int | None = None
        self._chunk = CHUNK_LENGTH
        self._min_chunk = 0
        self._is_chunked = False
        self._is_uncertain = False
        self._is_resumed = False
        self._is_distrusted = False
        self._may_mount = True
        self._is_complete = False
        self.is_mounted = False
        """Whether the registry had the blob already and nothing was sent."""

    @property
    def offset(self) -> int:
        """How many bytes the registry is known to have."""
        return self._descriptor.size if self._is_complete else self._offset

    def receive(self, open_at: Opener, /) -> None:
        """Send the blob, from where the registry is, as often as it takes.

        Raises:
            SizeMismatchError: The source has more or fewer bytes than the descriptor says.
            DigestMismatchError: Its bytes hash to something else, or the registry says so.
            UnavailableError: The registry broke off for good.
        """
        self._channel.call(
            self._what, lambda: self._attempt(open_at), progress=lambda: self._reached
        )

    def commit(self) -> None:
        """Check that the registry has taken the blob.

        Raises:
            SizeMismatchError: It has not.
        """
        if not self._is_complete:
            size = self._descriptor.size
            raise SizeMismatchError(
                f"{self._what} is at {self._offset} of {size} bytes",
                expected=str(size),
                actual=str(self._offset),
                origin=self._channel.origin,
            )

    def abort(self) -> None:
        """Give the upload up, and tell the registry."""
        location, self._location = self._location, None
        self._offset = 0
        if location is not None and not self._is_complete:
            end_upload(self._channel, location, self._repository)

    def _attempt(self, open_at: Opener) -> None:
        idle, before = 0, self._reached
        while not self._is_complete:
            if self._location is None:
                self._start()
            elif self._is_uncertain:
                self._ask_status(self._location)
            else:
                self._send(open_at, self._location)
            idle = 0 if self._reached > before else idle + 1
            before = self._reached
            if idle > _MAX_IDLE:
                raise TransientError(
                    UnavailableError(
                        f"{self._channel.registry} does not go on with {self._what}",
                        hint="try again later",
                        origin=self._channel.origin,
                    )
                )

    def _start(self) -> None:
        """Begin a new upload, or find that none is needed."""
        mount_from = self._mount_from if self._may_mount else None
        start = start_upload(
            self._channel,
            self._repository,
            self._descriptor.digest,
            mount_from=mount_from,
            habits=self._habits,
        )
        self._may_mount = False
        self._offset = self._sent = 0
        self._is_uncertain = self._is_resumed = False
        self._location = start.location
        self._min_chunk = start.min_chunk
        if start.location is None:
            self._is_complete = self.is_mounted = True

    def _ask_status(self, location: Url) -> None:
        """Find out how much a broken upload has (endpoint 13)."""
        if self._is_distrusted:
            self.abort()
            return
        channel = self._channel
        with channel.ask(
            Request("GET"), location, access=self._access, what=self._what
        ) as response:
            is_known = response.status in (200, 204)
            stored = _stored(response) if is_known else 0
            if is_known:
                self._take_location(response)
        self._is_uncertain = False
        if not is_known and self._sent >= self._descriptor.size and self._has_blob():
            # Only the last answer was lost.
            self._is_complete = True
            return
        if not is_known or stored > self._sent:
            self._location = None
            return
        self._is_resumed = True
        self._settle(stored)

    def _send(self, open_at: Opener, location: Url) -> None:
        size = self._descriptor.size
        if self._offset == size and self._verifier.is_full and size:
            self._finish(location)
            return
        network = self._channel.network
        with open_at(self._offset) as chunks:
            content = verified(chunks, self._verifier, offset=self._offset)
            body = UploadBody(content, network.run.cancel.check, clock=network.clock)
            if size == 0:
                body.drain()
                self._finish(location)
            elif self._offset == 0 and self._habits.whole and not self._is_chunked:
                self._put_whole(body, location)
            else:
                self._patch(body)

    def _put_whole(self, body: UploadBody, location: Url) -> None:
        size, digest = self._descriptor.size, self._descriptor.digest
        response = self._stream(
            "PUT", location.with_query("digest", str(digest)), body, count=size, headers={}
        )
        if response is None:
            return
        with response:
            if response.status in _NOT_WHOLE:
                self._is_chunked = True
                if response.status not in (404, 416):
                    self._habits.whole = False
                return
            self._judge_finish(response)

    def _patch(self, body: UploadBody) -> None:
        """Send what is left, in chunks where one request is not enough."""
        size = self._descriptor.size
        while self._location is not None and not self._is_uncertain and self._offset < size:
            left = size - self._offset
            longest = max(self._chunk, self._min_chunk) if self._is_chunked else left
            count = min(left, longest)
            response = self._stream(
                "PATCH",
                self._location,
                body,
                count=count,
                headers={"Content-Range": f"{self._offset}-{self._offset + count - 1}"},
            )
            if response is None:
                return
            with response:
                if not self._judge_chunk(response, self._offset + count):
                    return
        if self._location is not None and self._offset == size:
            self._finish(self._location)

    def _judge_chunk(self, response: Response, expected: int) -> bool:
        """Take the answer to a chunk; False where the source must be opened anew."""
        if response.status in _TAKEN:
            self._take_location(response)
            self._is_uncertain = False
            has_range = bool(response.header("Range"))
            stored = _stored(response, is_one=expected == 1) if has_range else expected
            if stored > expected:
                raise RegistryProtocolError(
                    f"{self._channel.registry} says it has {stored} bytes of {expected} sent of"
                    f" {self._what}",
                    origin=self._channel.origin,
                )
            self._settle(stored)
            return stored == expected
        if response.status == 404:
            self._location = None
            return False
        if response.status == 413 and self._shrink():
            return False
        if response.status == 416:
            return False
        raise self._refused(response)

    def _shrink(self) -> bool:
        """Try smaller chunks; False where they are as small as they can be."""
        largest = self._chunk if self._is_chunked else self._descriptor.size
        smaller = min(CHUNK_LENGTH, largest // 4)
        self._is_chunked = True
        if smaller < max(_SMALLEST_CHUNK, self._min_chunk):
            return False
        self._chunk = smaller
        return True

    def _finish(self, location: Url) -> None:
        """Say that all bytes are there, and which digest they have (endpoint 6)."""
        request = Request("PUT", {"Content-Length": "0", "Content-Type": mediatype.OCTET_STREAM})
        url = location.with_query("digest", str(self._descriptor.digest))
        self._is_uncertain = True
        with self._channel.ask(request, url, access=self._access, what=self._what) as response:
            if response.status in (404, 416):
                return
            self._judge_finish(response)

    def _judge_finish(self, response: Response) -> None:
        if response.status not in _TAKEN:
            raise self._refused(response)
        self._is_complete = True
        self._is_uncertain = False
        self._reached = self._descriptor.size

    def _stream(self, method: str, url: Url, body: UploadBody, *, count: int,
                headers: dict[str, str]) -> Response | None:  # fmt: skip
        """Send a body; None where a 401 was answered and the registry must be asked for more."""
        channel = self._channel
        all_headers = {
            "Content-Type": mediatype.OCTET_STREAM,
            "Content-Length": str(count),
            **headers,
        }
        begin = self._offset - body.taken
        stale = channel.current_header(self._access)
        self._is_uncertain = True
        body.allow(count)
        try:
            response = channel.ask(
                Request(method, all_headers, body), url, access=self._access, what=self._what
            )
        except BodyFailedError:
            assert body.failure is not None
            raise body.failure from None
        finally:
            self._sent = max(self._sent, begin + body.taken)
        if response.status != 401:
            return response
        if self._renewed_at == self._reached:
            raise refusal(response, self._what, origin=channel.origin)
        self._renewed_at = self._reached
        channel.renew(response, self._access, stale=stale, what=self._what)
        return None

    def _settle(self, stored: int) -> None:
        self._offset = stored
        self._reached = max(self._reached, stored)

    def _take_location(self, response: Response) -> None:
        if response.header("Location"):
            self._location = follow_location(self._channel, response, self._what)
        self._min_chunk = max(self._min_chunk, min_chunk_length(response))

    def _refused(self, response: Response) -> AirgapError | TransientError:
        wire = read_wire_errors(response)
        origin = self._channel.origin
        if response.status != 400 or not wire.has("DIGEST_INVALID"):
            return refusal(response, self._what, origin=origin, wire=wire)
        digest = str(self._descriptor.digest)
        error = DigestMismatchError(
            f"{self._channel.registry} says that what it got is not {digest} ({wire.text})",
            expected=digest,
            origin=origin,
        )
        if not self._is_resumed:
            return error
        # What was put together from pieces is wrong: send it once more in one go.
        self._location, self._is_distrusted, self._is_resumed = None, True, False
        return TransientError(error)


def _stored(response: Response, *, is_one: bool = False) -> int:
    """How many bytes a Range says that there are.

    `0-0` is what many registries say of an empty upload, and one byte of others; it counts as
    none, where not exactly one byte was sent.
    """
    found = _RANGE.fullmatch(response.header("Range").strip())
    last = int(found[1]) if found else 0
    return last + 1 if last or is_one else 0
