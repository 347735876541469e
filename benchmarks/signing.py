"""What signing and checking a signature take beside reading the catalog, each in a new process.

python -m benchmarks.signing sign|verify BUNDLE KEY
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from airgap.bundle.reader import open_bundle
from benchmarks.measure import ROOT
from benchmarks.options import Options
from benchmarks.report import Row

_MOST_SECONDS = 0.2


def rows(options: Options, bundle: Path, key: Path) -> list[Row]:
    """The requirements on signing and checking the catalog of a signed bundle."""
    found = []
    for work in ("sign", "verify"):
        seconds = [_run(work, bundle, key) for _ in range(options.rounds)]
        found.append(
            Row(
                f"{work}: time beside reading the catalog",
                f"{median(seconds):.3f} s ({min(seconds):.3f}..{max(seconds):.3f})",
                f"{_MOST_SECONDS:g} s",
                median(seconds) < _MOST_SECONDS,
            )
        )
    return found


def _run(work: str, bundle: Path, key: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.signing", work, str(bundle), str(key)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def sign(bundle: Path, key: Path) -> float:
    """How long it takes to load what signs, read the key and sign the catalog."""
    with open_bundle(bundle) as reader:
        started = time.perf_counter()
        from airgap.transfer.signing import sign_catalog  # loading it counts
        from airgap.trust.keys import PrivateKey

        sign_catalog(reader.catalog, (PrivateKey.parse(key.read_bytes()),))
    return time.perf_counter() - started


def verify(bundle: Path, key: Path) -> float:
    """How long it takes to load what verifies, read the public key and check the catalog."""
    with open_bundle(bundle) as reader:
        started = time.perf_counter()
        from airgap.transfer.trusting import check_bundle_trust
        from airgap.trust.keys import PublicKey
        from airgap.trust.policy import Trust, TrustedKey, TrustPolicy

        trusted = TrustedKey("release", PublicKey.parse(key.with_suffix(".pub").read_bytes()))
        policy = TrustPolicy("benchmark", (trusted,))
        verdict = check_bundle_trust(reader.catalog, Trust((policy,), now=datetime.now(UTC)))
    assert verdict is not None
    return time.perf_counter() - started


if __name__ == "__main__":
    timed = sign if sys.argv[1] == "sign" else verify
    print(timed(Path(sys.argv[2]), Path(sys.argv[3])))
