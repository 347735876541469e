"""What refers to a digest (distribution-spec, endpoint 12), where a registry can tell."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.errors import InvalidContentError, RegistryProtocolError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.failure import read_wire_errors, refusal
from airgap.registry.pages import Page, next_page, pages
from airgap.registry.transport import Request

MAX_PAGE = 4 * 1024 * 1024
MAX_REFERRERS = 100_000
MAX_LIST = 32 * 1024 * 1024
"""All entries of a list together have no more bytes: annotations may be of any length."""


@dataclass(slots=True)
class ReferrersSupport:
    """What is known about a repository's referrers API.

    Attributes:
        lists: Whether it lists them; None while nobody asked.
        accepts: Whether the last push of a referrer was answered with OCI-Subject.
    """

    lists: bool | None = None
    accepts: bool | None = None

    @property
    def has_api(self) -> bool | None:
        """Whether there is an API; None while that is not known.

        What a push was told counts more: a registry that does not answer OCI-Subject wants the
        fallback tag (distribution-spec, "Pushing Manifests with Subject").
        """
        return self.lists if self.accepts is None else self.accepts


def list_referrers(
    channel: Channel, repository: str, subject: Digest, *, support: ReferrersSupport
) -> tuple[Descriptor, ...] | None:
    """All referrers of a digest; None where the registry cannot tell.

    Raises:
        RegistryProtocolError: It can, and answered something else.
        UnauthorizedError: It may not be asked.
    """
    if support.lists is False:
        return None
    what = f"the referrers of {subject.short} in {repository}"
    access = Access(repository)

    def fetch(where: str | Url) -> Page | None:
        return channel.call(what, lambda: _fetch(channel, where, access, what, support))

    can_tell = False
    size = 0
    found: list[Descriptor] = []
    for page in pages(channel, f"/v2/{repository}/referrers/{subject}", fetch):
        can_tell = True
        entries = _entries(page, channel, what)
        found += entries
        size += sum(len(canonical_bytes(entry.to_json())) for entry in entries)
        if len(found) > MAX_REFERRERS or size > MAX_LIST:
            raise RegistryProtocolError(
                f"{channel.registry} lists more than {MAX_REFERRERS} entries or {MAX_LIST} bytes"
                f" as {what}",
                origin=channel.origin,
            )
    if not can_tell:
        return None
    support.lists = True
    return tuple(dict.fromkeys(found))


def _fetch(
    channel: Channel, where: str | Url, access: Access, what: str, support: ReferrersSupport
) -> Page | None:
    """Get one page; None where the registry says that it has no such list."""
    request = Request("GET", {"Accept": mediatype.OCI_INDEX})
    with channel.ask(request, where, access=access, what=what) as response:
        if response.status == 200:
            if response.media_type in (mediatype.OCI_INDEX, "application/json"):
                following = next_page(response)
                value = channel.json(response, limit=MAX_PAGE, what=what)
                # Plain JSON may be a list under the wrong name: to take it for "there is no such
                # list" would lose signatures in silence.
                if response.media_type == mediatype.OCI_INDEX or "manifests" in value:
                    return value, following
            wire = None
        else:
            wire = read_wire_errors(response)
            is_unsupported = response.status in (404, 405, 501) or (
                response.status == 400 and wire.has("UNSUPPORTED")
            )
            if not is_unsupported:
                raise refusal(response, what, origin=channel.origin, wire=wire)
    if not isinstance(where, str):
        raise RegistryProtocolError(
            f"{channel.registry} lost {what} between two pages", origin=channel.origin
        )
    if wire is None or not wire.has("NAME_UNKNOWN"):
        # A repository that is not there yet says nothing about what its registry can.
        support.lists = False
    return None


def _entries(page: dict[str, object], channel: Channel, what: str) -> list[Descriptor]:
    entries = page.get("manifests") or []
    try:
        if not isinstance(entries, list):
            raise InvalidContentError("manifests must be a list")
        return [Descriptor.from_json(entry) for entry in entries]
    except InvalidContentError as error:
        raise RegistryProtocolError(
            f"{channel.registry}: {what}: {error.message}", origin=channel.origin
        ) from error
