"""The commands that people copy."""

from __future__ import annotations

import pytest

from airgap.server.pages.commands import Address, pull_commands
from tests.support import builders
from tests.support.builders import Content

TLS = Address("registry.internal:5000", is_plain=False)
PLAIN = Address("127.0.0.1:5000", is_plain=True)


def lines(address: Address, content: Content, reference: object = "1.0") -> dict[str, str]:
    found = pull_commands(address, "team/app", reference, content.document)  # type: ignore[arg-type]
    return {command.tool: command.line for command in found}


def test_an_image_is_pulled_by_engines():
    """An image has a command for each engine, with the registry's name."""
    assert lines(TLS, builders.image()) == {
        "docker": "docker pull registry.internal:5000/team/app:1.0",
        "podman": "podman pull registry.internal:5000/team/app:1.0",
        "ctr": "ctr images pull registry.internal:5000/team/app:1.0",
    }


def test_plain_http_is_said_to_those_who_must_be_told():
    """Tools that insist on TLS get the option that lets them do without."""
    found = lines(PLAIN, builders.multi_platform())
    assert "--tls-verify=false" in found["podman"]
    assert "--plain-http" in found["ctr"]
    assert "--plain-http" in lines(PLAIN, builders.chart())["helm"]


def test_a_digest_is_put_behind_an_at_sign():
    """What is known by digest is pulled by digest."""
    image = builders.image()
    assert lines(TLS, image, image.digest)["docker"].endswith(f"/team/app@{image.digest}")


@pytest.mark.parametrize(("tag", "version"), [("1.2.3", "1.2.3"), ("1.2.3_b1", "1.2.3+b1")])
def test_a_chart_is_pulled_by_helm(tag: str, version: str):
    """A chart is pulled by its version, which has a plus where a tag has an underscore."""
    found = lines(TLS, builders.chart(), tag)
    assert found["helm"] == (f"helm pull oci://registry.internal:5000/team/app --version {version}")
    assert "docker" not in found


def test_any_other_artifact_is_pulled_by_oras():
    """What no engine can run has no command for engines."""
    found = lines(TLS, builders.artifact("application/vnd.example"))
    assert found == {"oras": "oras pull registry.internal:5000/team/app:1.0"}
