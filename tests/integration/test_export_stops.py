"""An export that has failed does not sit out the pauses of its other requests."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from airgap import Client, ExportOptions, Reference, export_images
from airgap.errors import UnauthorizedError
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Fault, Seen, Status


def test_a_failure_ends_the_pauses_of_other_requests(tmp_path: Path) -> None:
    """Where one image is refused for good, nobody waits out another one's Retry-After."""
    with EmbeddedRegistry() as registry:
        for name in ("calm", "refused"):
            builders.push(registry.repository(name), builders.image(seed=len(name)), "1")

        def fault(seen: Seen) -> Fault | None:
            if "/calm/manifests" in seen.path:
                return Status(429, {"Retry-After": "120"}, b"")
            if "/refused/manifests" in seen.path and registry.count(path="/calm/manifests"):
                return Status(403, {}, b"")
            return Status(503, {"Retry-After": "0"}, b"")

        registry.fault = fault
        references = [Reference.parse(f"{registry.host}/{name}:1") for name in ("calm", "refused")]
        started = time.monotonic()
        with Client() as client, pytest.raises(UnauthorizedError):
            export_images(
                references, tmp_path / "b.tar", client=client, options=ExportOptions(jobs=2)
            )
        assert time.monotonic() - started < 60
