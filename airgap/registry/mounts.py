"""Where an upload begins: at a blob that is there already, or at a place to send it to.

Source: distribution-spec, endpoints 4a and 11, and "Mounting a blob from another repository".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airgap.errors import AirgapError, RegistryProtocolError, UnauthorizedError
from airgap.oci.digest import Digest
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.failure import read_wire_errors, repository_missing
from airgap.registry.response import Response
from airgap.registry.retry import TransientError
from airgap.registry.transport import Request

_UNMOUNTABLE = frozenset({400, 404, 405})
_LENGTH = re.compile(r"[0-9]{1,15}")


@dataclass(slots=True)
class UploadHabits:
    """What a repository was seen to take; shared by its uploads.

    Attributes:
        anonymous_mounts: Whether it may be asked for a mount without naming a repository.
        whole: Whether it takes a blob with one PUT.
    """

    anonymous_mounts: bool = True
    whole: bool = True


@dataclass(frozen=True, slots=True)
class UploadStart:
    """How an upload begins.

    Attributes:
        location: Where to send; None where the blob is there already.
        min_chunk: The smallest chunk that the registry takes, but for the last one.
    """

    location: Url | None
    min_chunk: int = 0


def start_upload(
    channel: Channel,
    repository: str,
    digest: Digest,
    *,
    mount_from: str | None,
    habits: UploadHabits,
) -> UploadStart:
    """Begin an upload, or mount the blob where the registry has it.

    A refused mount is no failure: the upload begins without it.

    Raises:
        UnauthorizedError: Nothing may be sent there.
        TransientError: It may work a moment later.
    """
    what = f"an upload to {repository}"
    for query, access in _openings(repository, digest, mount_from, habits):
        try:
            response = channel.ask(
                Request("POST", {"Content-Length": "0"}),
                f"/v2/{repository}/blobs/uploads/{query}",
                access=access,
                what=what,
            )
        except UnauthorizedError:
            if not query:
                raise
            _forget(habits, access)
            continue
        with response:
            if query and response.status in _UNMOUNTABLE:
                _forget(habits, access)
                continue
            if query and response.status == 201:
                return UploadStart(None)
            if response.status == 404:
                wire = read_wire_errors(response)
                raise repository_missing(response, repository, wire, origin=channel.origin)
            if response.status not in (200, 201, 202):
                raise channel.refused(response, what)
            return UploadStart(follow_location(channel, response, what), min_chunk_length(response))
    raise AssertionError("the last opening has no query")


def mount(channel: Channel, repository: str, digest: Digest, *, from_repository: str) -> bool:
    """Link a blob of another repository; False where it must be sent instead.

    Raises:
        TransientError: It may work a moment later.
    """
    what = f"a mount in {repository}"
    access = Access(repository, write=True, mount_from=from_repository)
    try:
        response = channel.ask(
            Request("POST", {"Content-Length": "0"}),
            f"/v2/{repository}/blobs/uploads/?mount={digest}&from={from_repository}",
            access=access,
            what=what,
        )
    except UnauthorizedError:
        return False
    with response:
        if response.status in _UNMOUNTABLE:
            return False
        if response.status == 201:
            return True
        if response.status not in (200, 202):
            raise channel.refused(response, what)
        location = follow_location(channel, response, what)
    # The registry began an upload that nobody asked for.
    end_upload(channel, location, repository)
    return False


def end_upload(channel: Channel, location: Url, repository: str) -> None:
    """Tell the registry, once, that an upload is given up (endpoint 14).

    That it cannot be told is no error: registries clean up on their own.
    """
    access = Access(repository, write=True)
    what = f"the end of an upload to {repository}"
    try:
        channel.ask(Request("DELETE"), location, access=access, what=what).release()
    except (TransientError, AirgapError) as error:
        channel.network.run.debug("upload-left", f"{what}: {error}")


def follow_location(channel: Channel, response: Response, what: str) -> Url:
    """The Location of an answer, absolute or relative, with whatever state it carries.

    Raises:
        RegistryProtocolError: There is none, or it leads from https to http.
    """
    location = response.header("Location")
    if not location:
        raise RegistryProtocolError(
            f"{channel.registry} answered {response.status} without a Location to {what}",
            origin=channel.origin,
            status=response.status,
        )
    try:
        return response.url.follow(location, what="a Location")
    except RegistryProtocolError as error:
        error.origin = channel.origin
        raise


def min_chunk_length(response: Response) -> int:
    """The OCI-Chunk-Min-Length of an answer; 0 where there is none."""
    found = _LENGTH.fullmatch(response.header("OCI-Chunk-Min-Length").strip())
    return int(found[0]) if found else 0


def _openings(
    repository: str, digest: Digest, mount_from: str | None, habits: UploadHabits
) -> Iterator[tuple[str, Access]]:
    write = Access(repository, write=True)
    if mount_from:
        access = Access(repository, write=True, mount_from=mount_from)
        yield f"?mount={digest}&from={mount_from}", access
    elif habits.anonymous_mounts:
        yield f"?mount={digest}", write
    yield "", write


def _forget(habits: UploadHabits, access: Access) -> None:
    if access.mount_from is None:
        habits.anonymous_mounts = False
