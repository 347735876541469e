"""What is left of a bundle whose front is damaged still says what should be there."""

from __future__ import annotations

from pathlib import Path

from airgap.bundle.check import check_bundle
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.support import bundles
from tests.support.bundles import make_bundle


def test_a_placement_that_contradicts_the_catalog_is_found(tmp_path: Path) -> None:
    """Where nothing can be planned anew, the placement that is left is compared, too."""
    made = make_bundle()
    last = made.layout.blobs[-1]
    said = f'"digest":"{last.digest}","length":{last.length}'
    other = Digest("sha256", last.digest.hex[::-1])
    data = bundles.flip(made.data, made.data.index(b"vnd.airgap.seal"))
    data = bundles.flip(data, made.layout.placement.extents[0].offset + 40)
    for new, finding in (
        (said[:-1] + "0", ("size-mismatch", last.digest)),
        (said.replace(str(last.digest), str(other)), ("unexplained", other)),
    ):
        path = made.write(tmp_path, data.replace(said.encode(), new.encode(), 1))
        report = check_bundle(path, run=Run())
        assert finding in {(f.kind, f.digest) for f in report.findings}
