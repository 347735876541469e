"""What sources get wrong, and who is told to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.oci import mediatype
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.scripted_server import Reply, ScriptedServer


@pytest.mark.parametrize(
    "raw", [b"{", b'{"schemaVersion":2,"config":{"digest":"sha256:%s","size":-1}}' % (b"0" * 64)]
)
def test_a_manifest_that_makes_no_sense_says_who_must_mend_it(raw: bytes, tmp_path: Path) -> None:
    """Broken JSON and impossible sizes are 13, with the name and a hint."""
    with ScriptedServer() as server:
        kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        server.on("GET", ".*").reply(Reply(200, kind, raw))
        done = airgap("export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar")
        assert_refused(done, 13, "content-invalid", f"{server.host}/a:1: ", "push it again")


def test_a_config_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    """A choice of platforms reads configs: one that is no JSON is 13, with its repository."""
    with EmbeddedRegistry() as registry:
        config = builders.blob(b"{", mediatype.OCI_CONFIG)
        builders.push(registry.repository("demo"), builders.manifest(config, []), tag="1")
        command = ("export", "images", f"{registry.host}/demo:1", "-o", tmp_path / "b.tar")
        done = airgap(*command, "--platform", "linux/amd64")
        assert_refused(done, 13, "content-invalid", f"{registry.host}/demo: the config ", "anew")


def test_a_blob_that_its_registry_lacks_is_told_in_good_english(tmp_path: Path) -> None:
    """One repository names it and does not have it; two do not have it."""
    with EmbeddedRegistry() as registry:
        image = builders.image(layers=(1000,))
        for name in ("a", "b"):
            builders.push(registry.repository(name), image, tag="1")
            registry.repository(name).delete_blob(image.blobs[1].descriptor.digest)
        one, two = f"{registry.host}/a", f"{registry.host}/b"
        command = ("export", "images", "-o", tmp_path / "b.tar")
        done = airgap(*command, f"{one}:1")
        assert_refused(done, 10, "content-not-found", f"{one} names the blob", "and does not have")
        done = airgap(*command, f"{one}:1", f"{two}:1")
        assert_refused(done, 10, "content-not-found", f"{one} and {two} name the blob", " do not ")
