"""The README's demo does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_carries_an_image_and_leaves_nothing_behind():
    """It compares all digests, prints each command, and removes its folder and its servers."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^\$ airgap (\w+ \w+|serve)", done.stdout, re.MULTILINE)
    expected = ["export images", "inspect bundle", "verify bundle", "import bundle"]
    assert commands == ["serve", "serve", *expected]
    pushed = re.search(r"^pushed \S+  (\S+)$", done.stdout, re.MULTILINE)
    pulled = re.search(r" is (sha256:\S+), as it was outside", done.stdout)
    assert pushed is not None
    assert pulled is not None
    assert pushed[1] == pulled[1]
    folder = re.search(r"Everything lies in (\S+)", done.stdout)
    assert folder is not None
    assert not Path(folder[1]).exists()
    for address in re.findall(r"listening on 127\.0\.0\.1:(\d+)", done.stdout):
        assert not _listens(int(address))


def _listens(port: int) -> bool:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        return False
    return any(
        fields[1].endswith(f":{port:04X}") and fields[3] == "0A"
        for fields in (line.split() for line in listening.read_text().splitlines()[1:])
    )
