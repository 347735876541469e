"""What an export and an import hold in memory does not grow with the images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airgap.oci import mediatype
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry

LIMIT = 64 * 1024
"""KiB that a command may take at most (docs/benchmarks.md), whatever it carries."""
LAYER = 24_000_000
ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from airgap.cli.main import run
code = run(sys.argv[2:])
status = Path("/proc/self/status").read_text()
Path(sys.argv[1]).write_text(status.partition("VmHWM:")[2].split()[0])
sys.exit(code)
"""
# The peak that wait4 tells would count what the process was before it became this program.


def peak_of(tmp_path: Path, *arguments: object) -> int:
    """Run a command in a process of its own; gives the most KiB that it took."""
    report = tmp_path / "peak"
    command = [sys.executable, "-c", PROGRAM, report, *arguments]
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([str(part) for part in command], cwd=ROOT, stdout=out, check=True)
    return int(report.read_text())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_memory_stays_within_its_limit(tmp_path: Path) -> None:
    """Four layers at once, together more than the limit, leave every command below it."""
    layers = [builders.layer(LAYER, n, media_type=mediatype.OCI_LAYER) for n in range(4)]
    bundle = tmp_path / "b.tar"
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("app"), builders.image(layers=layers), tag="1")
        name = f"{registry.host}/app:1"
        assert peak_of(tmp_path, "export", "images", name, "-o", bundle) < LIMIT
        assert peak_of(tmp_path, "export", "images", name, "-o", "-") < LIMIT
    with EmbeddedRegistry(folder=tmp_path / "data") as registry:
        assert peak_of(tmp_path, "import", "bundle", bundle, "--to", registry.host) < LIMIT
        assert registry.repository("app").resolve("1") is not None
    assert peak_of(tmp_path, "verify", "bundle", bundle) < LIMIT
