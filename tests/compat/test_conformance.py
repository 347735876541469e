"""The OCI's own conformance suite finds nothing wrong, with everything that is optional on.

It is that of the distribution specification's development branch, which `.ci/run` builds; the
last version before it (v1.1.1) is not to be had as a Go module.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat import software
from tests.compat.software import Program
from tests.support.bundles import MadeBundle, make_bundle

pytestmark = pytest.mark.compat

USER, PASSWORD = "alice", "correct horse battery"
ALL_ON = {
    "OCI_DATA_SPARSE": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
}
_COUNT = re.compile(r"^  (Pass|FAIL|Error|Skip|Disabled)\.+: +([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """What the suite said.

    Attributes:
        counts: How many tests passed, failed and so on.
        text: All of it.
    """

    counts: Mapping[str, int]
    text: str

    def check(self, *, at_least: int) -> None:
        """See that so many tests ran and nothing was found."""
        wrong = [
            line
            for line in self.text.splitlines()
            if re.search(r": (FAIL|Error|Skip)$", line) or line.lstrip().startswith("- ")
        ]
        found = {name: self.counts[name] for name in ("FAIL", "Error", "Skip")}
        assert found == {"FAIL": 0, "Error": 0, "Skip": 0}, "\n".join(wrong)
        assert self.counts["Pass"] >= at_least, self.text


@contextmanager
def serving(home: Path, *arguments: object) -> Iterator[str]:
    """Run `airgap serve` and give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    host = f"127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    command = (*software.airgap(home).command, "serve", "--listen", host, *arguments)
    with software.daemon(command, is_ready=is_ready, home=software.ROOT, log=home / "serve.log"):
        yield host


def run(home: Path, host: str, environment: Mapping[str, str]) -> Report:
    """Let the suite test a registry."""
    settings = {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(home / "results"),
        "OCI_VERSION": "dev",
    }
    program = Program((software.find("conformance"),), home, settings | dict(environment))
    # its exit code says no more than the counts, and in read-only mode it breaks after the report
    done = program.attempt()
    counts = {name: int(number) for name, number in _COUNT.findall(done.out)}
    assert counts, f"{done.out}\n{done.err}"
    return Report(counts, done.out)


@pytest.fixture
def made(tmp_path: Path) -> MadeBundle:
    """A bundle, which lies in the folder of the test."""
    made = make_bundle()
    made.write(tmp_path)
    return made


@pytest.mark.parametrize("version", ["1.0", "1.1", "dev"])
def test_of_a_data_folder(tmp_path: Path, version: str) -> None:
    """A registry without users passes all tests of each version, whatever that has."""
    with serving(tmp_path, "--data", tmp_path / "data") as host:
        run(tmp_path, host, ALL_ON | {"OCI_VERSION": version}).check(at_least=900)


def test_of_users_and_tls(tmp_path: Path) -> None:
    """So does one with users, tokens and an authority of its own."""
    data = tmp_path / "data"
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    add = ("user", "add", USER, "--admin", "--data", data, "--password-stdin")
    with secret.open("rb") as stdin:
        software.airgap(tmp_path).run(*add, stdin=stdin)
    login = {
        "OCI_TLS": "enabled",
        "OCI_USERNAME": USER,
        "OCI_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(data / "tls" / "ca.crt"),
    }
    with serving(tmp_path, "--data", data, "--tls-self-signed") as host:
        run(tmp_path, host, ALL_ON | login).check(at_least=1000)


def test_of_a_data_folder_over_a_bundle(tmp_path: Path, made: MadeBundle) -> None:
    """What is pushed beside the content of a bundle behaves as if there were none."""
    assert made.catalog.images
    bundle = tmp_path / "bundle.tar"
    with serving(tmp_path, bundle, "--data", tmp_path / "data") as host:
        run(tmp_path, host, ALL_ON).check(at_least=1000)


def test_of_a_bundle(tmp_path: Path, made: MadeBundle) -> None:
    """A read-only registry gives out all that its bundle has; deleting is refused as it must be."""
    image = next(i for i in made.catalog.images if i.reference.tagged == "example.com/team/app:1.4")
    index = made.documents[image.digest]
    children = [child.digest for child in index.children() if child.digest in made.documents]
    blobs = [blob.digest for child in children for blob in made.documents[child].blobs()]
    subjects = {referrer.subject for referrer in made.catalog.referrers if not referrer.tag}
    content = {
        "OCI_REPO1": "team/app",
        "OCI_RO_DATA_TAGS": "1.4 latest",
        "OCI_RO_DATA_MANIFESTS": _joined([image.digest, *children]),
        "OCI_RO_DATA_BLOBS": _joined(blobs),
        "OCI_RO_DATA_REFERRERS": _joined(sorted(subjects)),
        "OCI_API_PUSH": "false",
        # the suite does not keep the answer in which it looks for the header in this mode
        "OCI_API_MANIFESTS_DIGEST_HEADER": "false",
    }
    no_deletes = {
        "OCI_API_BLOBS_DELETE": "false",
        "OCI_API_MANIFESTS_DELETE": "false",
        "OCI_API_TAGS_DELETE": "false",
    }
    with serving(tmp_path, tmp_path / "bundle.tar") as host:
        run(tmp_path, host, ALL_ON | content | no_deletes).check(at_least=25)
        with_deletes = run(tmp_path, host, ALL_ON | content)
    # a delete that is refused with 405 is skipped, and nothing else is
    assert (with_deletes.counts["FAIL"], with_deletes.counts["Error"]) == (0, 0)
    skipped = [line for line in with_deletes.text.splitlines() if line.endswith(": Skip")]
    assert skipped
    assert all("delete" in line.lower() for line in skipped)


def _joined(values: Sequence[object]) -> str:
    return " ".join(map(str, values))
