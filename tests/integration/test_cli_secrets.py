"""What grants access never appears: not in messages, not in the log, not in JSON."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.command_line import airgap
from tests.support.scripted_server import Reply, ScriptedServer, Seen
from tests.support.transfers import pack_into

PASSWORD, TOKEN, SIGNATURE = "p4ssw0rd", "t0ken", "s1gnature"  # nothing else contains these
PAIR = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, PAIR, TOKEN, SIGNATURE)
IMAGE = builders.image()


@pytest.fixture
def registry() -> Iterator[ScriptedServer]:
    """A registry that hands out tokens for a password, and links to a storage that is gone."""

    def signed_in(seen: Seen) -> Reply:
        assert seen.headers["authorization"] == f"Basic {PAIR}"
        return Reply.json({"token": TOKEN})

    with ScriptedServer() as server:
        challenge = f'Bearer realm="{server.url}/token",service="here"'
        good = f"Bearer {TOKEN}"
        gone = f"{server.url}/gone?X-Signature={SIGNATURE}"
        manifest = Reply(200, {"Content-Type": IMAGE.descriptor.media_type}, IMAGE.raw)
        server.on("GET", r"/token.*").reply(signed_in)
        server.on("GET", r"/gone.*").reply(Reply(503))
        server.on("GET", r"/v2/app/manifests/1", authorization=good).reply(manifest)
        server.on("GET", r"/v2/app/blobs/.*", authorization=good).reply(
            Reply(307, {"Location": gone})
        )
        server.on("POST", r"/v2/app/blobs/uploads/.*", authorization=good).reply(
            Reply(202, {"Location": f"/up?_state={SIGNATURE}"})
        )
        server.on("PUT", r"/up.*", authorization=good).reply(Reply(503))
        for method in ("GET", "POST", "PUT", "HEAD", "DELETE"):
            server.on(method, r"/.*", authorization=good).reply(Reply(404))
            server.on(method, r"/.*").reply(Reply(401, {"WWW-Authenticate": challenge}))
        config = Path(os.environ["DOCKER_CONFIG"], "config.json")
        config.parent.mkdir()
        config.write_text(json.dumps({"auths": {server.host: {"auth": PAIR}}}))
        yield server


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("work", ["export", "import"])
def test_what_grants_access_is_never_shown(
    registry: ScriptedServer, tmp_path: Path, work: str, form: tuple[str, ...]
) -> None:
    """Passwords, tokens and signed links stay out of all that a failing run writes."""
    log = tmp_path / "log"
    options = ("--verbose", "--retries", 1, "--log-file", log, *form)
    if work == "export":
        target = tmp_path / "b.tar"
        arguments = ("export", "images", f"{registry.host}/app:1", "-o", target, "--no-referrers")
    else:
        (tmp_path / "made").mkdir()
        bundle = pack_into(tmp_path / "made", {"app:1": IMAGE})
        arguments = ("import", "bundle", bundle, "--to", registry.host)
    done = airgap(*arguments, *options)
    assert done.code == 12
    asked = registry.requests("GET" if work == "export" else "PUT", r"/(gone|up).*")
    assert asked, "the run came as far as the signed links"
    written = done.out + done.err + log.read_text()
    assert "answered 503" in written
    assert [secret for secret in SECRETS if secret in written] == []
