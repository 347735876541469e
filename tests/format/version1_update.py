"""A signed update of format version 1 that must be readable forever: what went into it.

It leaves a layer and a config to the receiver. `python -m tests.format.version1_update` wrote
update-v1.tar, and the same in volumes to update-volumes-v1, once: see `version1`.
"""

from __future__ import annotations

from pathlib import Path

from airgap.bundle.held import HeldBlob
from airgap.oci.digest import Digest
from airgap.record.bases import Base
from tests.format import version1
from tests.support.bundles import MadeBundle, leaving, signed
from tests.support.volume_sets import split

PATH = Path(__file__).with_name("update-v1.tar")
VOLUMES = Path(__file__).with_name("update-volumes-v1")
VOLUME_CONTENTS = 20
HELD = (version1.CONFIG, version1.LAYER)
BASES = (
    Base("inventory", Digest("sha256", "b1" * 32), "registry.internal:5000"),
    Base("bundle", Digest("sha256", "b2" * 32)),
)
SIGNATURES = (
    b'{"formatVersion":1,"mediaType":"application/vnd.airgap.signatures.v1+json","requires":[],'
    b'"signatures":[{"key":"sha256:06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9",'
    b'"signature":"sTSOcuATsoWRux49lBuDvhPDOrmue0u2jFmwD8mu2YCOIwWY/LytW2G3KjGUQ6BQ4iHgqCyyA9Y4+dM3qI1uCw=="}]}'
)
KEY = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
"""Of the first test of RFC 8032, section 7.1."""


def update() -> MadeBundle:
    """The images of `version1`, with what the receiver has left out, and signed."""
    made = version1.bundle()
    config, layer = HELD
    held = [
        HeldBlob(Digest.of(config), len(config), 0, "library/app"),
        HeldBlob(Digest.of(layer), len(layer), 1, "docker.io/library/app"),
    ]
    return signed(leaving(made, held, BASES), SIGNATURES)


if __name__ == "__main__":
    PATH.write_bytes(update().data)
    VOLUMES.mkdir(exist_ok=True)
    split(update(), VOLUME_CONTENTS).write(VOLUMES)
