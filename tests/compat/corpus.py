"""What the bundles of this tier hold: some of everything that real registries hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from tests.compat.registries import CncfRegistry
from tests.support import builders
from tests.support.builders import Content


@dataclass(frozen=True)
class Corpus:
    """Contents and the names they have in one registry.

    Attributes:
        plain: An image with two tags, and one more name in another repository.
        multi: An index of two platforms with an attestation for each.
        docker: An image whose manifest is of Docker's own type.
        docker_list: Docker's list of two platforms.
        chart: A Helm chart.
        pinned: An image that is known by its digest alone.
        sbom: Refers to an image of `multi`.
        signature: Cosign's, of `multi`, under a tag.
    """

    plain: Content = field(default_factory=lambda: builders.image(layers=(900, 500), seed=1))
    multi: Content = field(default_factory=lambda: builders.multi_platform(seed=2))
    docker: Content = field(
        default_factory=lambda: builders.image(layers=(700, 500), seed=3, docker=True)
    )
    docker_list: Content = field(
        default_factory=lambda: builders.multi_platform(seed=4, docker=True)
    )
    chart: Content = field(default_factory=builders.chart)
    pinned: Content = field(default_factory=lambda: builders.image(layers=(500, 80), seed=5))

    @cached_property
    def amd64(self) -> Content:
        """The image of `multi` that docker gets."""
        return self.multi.children[0]

    @cached_property
    def sbom(self) -> Content:
        return builders.sbom(self.amd64.descriptor)

    @cached_property
    def signature(self) -> Content:
        return builders.cosign_signature(self.multi.descriptor)[1]

    @cached_property
    def signature_tag(self) -> str:
        return builders.cosign_signature(self.multi.descriptor)[0]

    def push(self, registry: CncfRegistry) -> None:
        """Put everything into a registry, the way the tools of the field do."""
        registry.push("team/plain", self.plain, tags=("1.0", "latest"))
        registry.push("team/alias", self.plain, tags=("7",))
        registry.push("team/app", self.multi, tags=("1.4",))
        registry.push("team/app", self.signature, tags=(self.signature_tag,))
        # The registry has no referrers API: a client keeps the list under a tag.
        registry.push("team/app", self.sbom)
        registry.push("team/app", self.fallback, tags=(self.fallback_tag,))
        registry.push("team/docker", self.docker, tags=("2",))
        registry.push("team/list", self.docker_list, tags=("3",))
        registry.push("team/pinned", self.pinned)
        registry.push("charts/demo", self.chart, tags=("1.2.3",))

    @cached_property
    def fallback(self) -> Content:
        """The list of what refers to the amd64 image."""
        return builders.index([self.sbom])

    @cached_property
    def fallback_tag(self) -> str:
        return str(self.amd64.digest).replace(":", "-")

    def references(self, host: str) -> list[str]:
        """Everything, as a user asks for it."""
        return [
            f"{host}/team/plain:1.0",
            f"{host}/team/plain:latest",
            f"{host}/team/alias:7",
            f"{host}/team/app:1.4",
            f"{host}/team/docker:2",
            f"{host}/team/list:3",
            f"{host}/team/pinned@{self.pinned.digest}",
            f"{host}/charts/demo:1.2.3",
        ]

    def named_manifests(self, host: str) -> dict[str, Content]:
        """The manifest that an engine without indexes gets for each name that it can have."""
        return {
            f"{host}/team/plain:1.0": self.plain,
            f"{host}/team/plain:latest": self.plain,
            f"{host}/team/alias:7": self.plain,
            f"{host}/team/app:1.4": self.amd64,
            f"{host}/team/docker:2": self.docker,
            f"{host}/team/list:3": self.docker_list.children[0],
        }

    def named_roots(self, host: str) -> dict[str, Content]:
        """What each of these names stands for at the source."""
        return self.named_manifests(host) | {
            f"{host}/team/app:1.4": self.multi,
            f"{host}/team/list:3": self.docker_list,
        }


def config_id(content: Content) -> str:
    """The id of an image in docker and podman: the digest of its config."""
    config = getattr(content.document, "config", None)
    assert config is not None, "an index has no config"
    return str(config.digest)
