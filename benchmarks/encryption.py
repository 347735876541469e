"""An encrypted export beside `pyrage.encrypt_io` over the same bytes with as many processes.

    python -m benchmarks.encryption RECIPIENT OUT FILE...

is the other side: it encrypts the files to a folder and syncs them, in one process for each core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyrage

from benchmarks import product
from benchmarks.measure import Sample, Series, alternate
from benchmarks.options import Options, Source, remove

EXPORT, PLAIN, BARE = "encrypted export", "export in volumes", "pyrage.encrypt_io"
_PROCESSES = 2


def measure(options: Options, source: Source, volumes: Path, size: str) -> dict[str, Series]:
    """Export encrypted volumes, plain ones, and encrypt plain ones that are there.

    Args:
        options: What the run works with.
        source: What is exported.
        volumes: A folder with the plain volumes.
        size: How large volumes are.
    """
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    out = source.folder / "encrypted"
    plain = [
        *product.export(options.program, source.full, out / "b.tar", options.jobs),
        "--volume-size",
        size,
    ]
    files = sorted(map(str, volumes.glob("*.tar")))
    bare = [sys.executable, "-m", "benchmarks.encryption", recipient, str(out), *files]

    def running(command: Sequence[str]) -> Sample:
        remove(out)
        out.mkdir()
        sample = options.bench.run(command)
        remove(out)
        return sample

    runs = [
        (BARE, lambda: running(bare)),
        (PLAIN, lambda: running(plain)),
        (EXPORT, lambda: running([*plain, "--encrypt-to", recipient])),
    ]
    return alternate(runs, options.rounds, say=options.say)


def _encrypt(recipient: str, out: str, file: str) -> None:
    target = Path(out, Path(file).name + ".age")
    with Path(file).open("rb") as plain, target.open("wb") as stream:
        pyrage.encrypt_io(plain, stream, [pyrage.x25519.Recipient.from_str(recipient)])
        stream.flush()
        os.fsync(stream.fileno())


def main(recipient: str, out: str, files: Sequence[str]) -> None:
    """Encrypt files, as many at a time as there are cores."""
    with ProcessPoolExecutor(_PROCESSES) as pool:
        for done in [pool.submit(_encrypt, recipient, out, file) for file in files]:
            done.result()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
