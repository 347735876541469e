"""Commands that people copy to get an image. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"


@dataclass(frozen=True, slots=True)
class Command:
    """A line for a shell.

    Attributes:
        tool: Whose command it is.
        line: All of it. Names and tags of a registry hold nothing that a shell would change.
    """

    tool: str
    line: str


@dataclass(frozen=True, slots=True)
class Address:
    """How clients reach the registry.

    Attributes:
        host: Its host and port.
        is_plain: Whether it speaks plain HTTP, which most tools have to be told.
    """

    host: str
    is_plain: bool


def pull_commands(
    address: Address, repository: str, reference: str | Digest, document: Document
) -> tuple[Command, ...]:
    """The commands that get what a tag or digest names.

    Args:
        address: How clients reach the registry.
        repository: The repository.
        reference: A tag, or the digest.
        document: What it names.
    """
    separator = "@" if isinstance(reference, Digest) else ":"
    name = f"{address.host}/{repository}{separator}{reference}"
    if is_chart(document):
        return (_helm(address, repository, reference), _oras(address, name))
    if is_for_engines(document):
        return _engines(address, name)
    return (_oras(address, name),)


def is_chart(document: Document) -> bool:
    """Whether it is a Helm chart."""
    config = None if isinstance(document, Index) else document.config
    return config is not None and config.media_type == HELM_CONFIG


def is_for_engines(document: Document) -> bool:
    """Whether a container engine can run it, or chooses from it by platform."""
    if isinstance(document, Index):
        return any(_has_platform(entry) for entry in document.manifests)
    return document.is_runnable


def _has_platform(entry: Descriptor) -> bool:
    return entry.platform is None or entry.platform.is_known


def _engines(address: Address, name: str) -> tuple[Command, ...]:
    is_plain = address.is_plain
    return (
        Command("docker", f"docker pull {name}"),
        Command("podman", f"podman pull {'--tls-verify=false ' if is_plain else ''}{name}"),
        Command("ctr", f"ctr images pull {'--plain-http ' if is_plain else ''}{name}"),
    )


def _helm(address: Address, repository: str, reference: str | Digest) -> Command:
    chart = f"oci://{address.host}/{repository}"
    if isinstance(reference, Digest):
        chart = f"{chart}@{reference}"
    else:
        # a plus sign, which no tag may have, is written as an underscore by helm
        chart = f"{chart} --version {reference.replace('_', '+')}"
    return Command("helm", f"helm pull {chart}{' --plain-http' if address.is_plain else ''}")


def _oras(address: Address, name: str) -> Command:
    return Command("oras", f"oras pull {'--plain-http ' if address.is_plain else ''}{name}")
