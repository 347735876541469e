"""Cosign, with keys of its own and without a way out of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.compat import software
from tests.compat.software import Program

NO_LOG = ("--use-signing-config=false", "--tlog-upload=false")
"""Signs with a key alone, and asks no log."""
ANY_LOG = "--insecure-ignore-tlog=true"
"""Verifies what no log holds."""
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what wants to leave the machine fails."""


def offline_cosign(home: Path, environment: Mapping[str, str] | None = None) -> Program:
    """Cosign with a key pair in its home: cosign.key, without a passphrase, and cosign.pub."""
    own = {
        "COSIGN_PASSWORD": "",
        "HTTPS_PROXY": NOWHERE,
        "HTTP_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1",
    }
    tool = Program((software.find("cosign"),), home, own | dict(environment or {}))
    tool.run("generate-key-pair")
    return tool
