"""Inventories as the embedded registry answers them, and what a walk by its API finds."""

from __future__ import annotations

from airgap.content.depot import Depot
from airgap.record.inventory import Inventory
from airgap.record.inventory_format import MEDIA_TYPE
from tests.support import builders
from tests.support.builders import image, index, push
from tests.support.wire import Wire

PATH = "/v2/_airgap/inventory"
Held = dict[str, tuple[int, tuple[str, ...]]]


def ask(wire: Wire, headers: dict[str, str] | None = None) -> Inventory:
    """Get the inventory."""
    answer = wire.ask("GET", PATH, headers=headers, status=200)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    return Inventory.parse(answer.body)


def held(inventory: Inventory) -> Held:
    """What it says of each digest."""
    return {str(digest): (size, names) for digest, size, names in inventory.blobs()}


def walked(wire: Wire) -> tuple[Held, dict[str, str]]:
    """What is found by lists, tags, manifests, referrers and the blobs that these name."""
    sizes: dict[str, int] = {}
    names: dict[str, set[str]] = {}
    images: dict[str, str] = {}
    for name in wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]:
        waiting: list[str] = []
        for tag in wire.ask("GET", f"/v2/{name}/tags/list", status=200).json["tags"]:
            answer = wire.ask("HEAD", f"/v2/{name}/manifests/{tag}", status=200)
            images[f"{name}:{tag}"] = answer.headers["Docker-Content-Digest"]
            waiting.append(images[f"{name}:{tag}"])
        seen: set[str] = set()
        while waiting:
            digest = waiting.pop()
            answer = wire.ask("GET", f"/v2/{name}/manifests/{digest}")
            if digest in seen or answer.status == 404:  # a platform that was left out
                continue
            seen.add(digest)
            sizes[digest] = len(answer.body)
            names.setdefault(digest, set()).add(name)
            waiting += [entry["digest"] for entry in answer.json.get("manifests", [])]
            for blob in (answer.json.get("config"), *answer.json.get("layers", [])):
                path = f"/v2/{name}/blobs/{blob['digest']}" if blob else ""
                if blob and wire.ask("HEAD", path).status == 200:
                    sizes[blob["digest"]] = blob["size"]
                    names.setdefault(blob["digest"], set()).add(name)
            referring = wire.ask("GET", f"/v2/{name}/referrers/{digest}", status=200).json
            waiting += [entry["digest"] for entry in referring["manifests"]]
    return {digest: (sizes[digest], tuple(sorted(names[digest]))) for digest in sizes}, images


def fill(depot: Depot) -> None:
    """Some of everything: platforms, a left out one, referrers, shared layers, several tags."""
    shared = builders.layer(900)
    multi = index(
        [image(layers=(shared, 300), seed=1), image(platform=builders.ARM64, seed=2)],
        without=[image(platform=builders.ARMV7, seed=3)],
    )
    app = depot.repository("team/app")
    for tag in ("1.0", "latest"):
        push(app, multi, tag=tag)
    push(app, builders.sbom(multi.descriptor))
    tag, signature = builders.cosign_signature(multi.descriptor)
    push(app, signature, tag=tag)
    push(depot.repository("tool"), image(layers=(shared,), seed=4), tag="2")
    push(depot.repository("charts/demo"), builders.chart(), tag="1.2.3")
    config = builders.blob(b"{}", algorithm="sha512")
    odd = builders.manifest(config, [shared], artifact_type="text/plain", algorithm="sha512")
    push(depot.repository("odd"), odd, tag="1")
