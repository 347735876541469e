"""Blobs: whether they are there, and their bytes (distribution-spec, endpoint 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airgap.content.store import Chunks
from airgap.errors import SizeMismatchError
from airgap.oci.descriptor import Descriptor
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.download import Download
from airgap.registry.response import Response
from airgap.registry.transport import Request


class Blobs:
    """The blobs of one repository, to be read."""

    def __init__(self, channel: Channel, repository: str) -> None:
        self._channel = channel
        self._repository = repository

    def has(self, descriptor: Descriptor, *, access: Access) -> bool:
        """Whether the blob is there.

        Raises:
            SizeMismatchError: It is there and has another size.
        """
        what = f"the blob {descriptor.digest.short}"
        return self._channel.call(what, lambda: self.has_once(descriptor, access=access))

    def has_once(self, descriptor: Descriptor, *, access: Access) -> bool:
        """Whether the blob is there, asked without the retry loop: for those who are in it.

        Raises:
            TransientError: It may work a moment later.
        """
        channel = self._channel
        what = f"the blob {descriptor.digest.short}"
        with channel.ask(
            Request("HEAD"), self._path(descriptor), access=access, what=what
        ) as response:
            is_own = response.url.endpoint == channel.endpoint()
            if response.status in (404, 410):
                return False
            if response.status != 200:
                if not is_own:
                    # A storage may refuse HEAD on a link made for GET: the registry has it.
                    return True
                raise channel.refused(response, what)
            length = response.length
            if length is not None and length != descriptor.size:
                raise SizeMismatchError(
                    f"{channel.registry} has {descriptor.digest} with {length} bytes, and it"
                    f" should have {descriptor.size}",
                    expected=str(descriptor.size),
                    actual=str(length),
                    origin=channel.origin,
                )
            return True

    @contextmanager
    def open(self, descriptor: Descriptor, *, offset: int) -> Iterator[Chunks]:
        """Read a blob from an offset on; breaks are mended while it is read."""
        channel = self._channel
        what = f"the blob {descriptor.digest.short}"
        access = Access(self._repository)
        path = self._path(descriptor)

        def fetch(headers: Mapping[str, str]) -> Response:
            response = channel.ask(Request("GET", headers), path, access=access, what=what)
            if response.status not in (200, 206, 416):
                raise channel.refused(response, what)
            return response

        download = Download(
            descriptor,
            fetch,
            offset=offset,
            retrier=channel.network.retrier,
            clock=channel.network.clock,
            origin=channel.origin,
        )
        try:
            yield download
        finally:
            download.close()

    def _path(self, descriptor: Descriptor) -> str:
        return f"/v2/{self._repository}/blobs/{descriptor.digest}"
