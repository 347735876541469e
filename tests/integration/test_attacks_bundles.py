"""Attacks on signed bundles in each form in which they come: nothing is sent, nothing is tagged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from airgap.bundle.members import END
from airgap.content.arrival import Admission, ArrivalOptions
from airgap.content.memory import MemoryDepot
from airgap.errors import AirgapError, SignatureError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.arrive import take_bundle
from airgap.trust.keys import PrivateKey
from airgap.trust.policy import Trust, TrustedKey, TrustPolicy
from tests.support import builders
from tests.support.bundles import (
    MadeBundle,
    differential,
    flip,
    make_bundle,
    member,
    pack,
    tiny_bundle,
    unpack,
)
from tests.support.command_line import Outcome, airgap, assert_refused
from tests.support.custody import BEGINNING
from tests.support.embedded import EmbeddedRegistry
from tests.support.pages import Browser
from tests.support.remote_file import HeldFile
from tests.support.served import served
from tests.support.signing import revoking, signed_by, trust_file, write_public
from tests.support.transfers import bring, open_client, sent
from tests.support.volume_sets import split

A, STRANGER, REVOKER = (PrivateKey.generate("ed25519") for _ in range(3))
MADE = make_bundle()
SIGNED = signed_by(MADE, A)
FOREIGN = signed_by(MADE, STRANGER)
VOLUMES = split(SIGNED, 1500)
Parts = dict[str, bytes]
Change = Callable[[Parts], Parts]


@pytest.fixture(name="release")
def public_key(tmp_path: Path) -> Path:
    """The public key that is trusted."""
    [path] = write_public(tmp_path, release=A)
    return path


def assert_nothing_sent(registry: EmbeddedRegistry) -> None:
    """Nothing was asked for that could change something, and nothing is there."""
    assert sent(registry) == []
    assert list(registry.depot.repositories()) == []


def renamed(parts: Parts, name: str) -> Parts:
    """The members with one that speaks of another image; in a volume that lists none, of one."""
    changed = unpack(SIGNED.data)[name].replace(b"example.com/tool", b"example.com/evil")
    assert changed not in (parts[name], unpack(SIGNED.data)[name])
    return parts | {name: changed}


def without(parts: Parts, name: str) -> Parts:
    return {key: value for key, value in parts.items() if key != name}


def with_more(parts: Parts, behind: str) -> Parts:
    """The members with one more behind another one."""
    more: Parts = {}
    for name, content in parts.items():
        more[name] = content
        if name == behind:
            more["airgap/extra.json"] = b"{}"
    return more


def signed_as(parts: Parts, made: MadeBundle) -> Parts:
    """The members with the signatures of something else."""
    return parts | {"airgap/signatures.json": made.catalog.signatures}


CHANGES: dict[str, Change] = {
    "index.json": lambda parts: renamed(parts, "index.json"),
    "manifest.json": lambda parts: renamed(parts, "manifest.json"),
    "catalog": lambda parts: renamed(parts, "airgap/catalog.json"),
    "a member more": lambda parts: with_more(parts, "airgap/signatures.json"),
    "a member before all": lambda parts: {"first": b""} | parts,
    "a member among manifests": lambda parts: with_more(parts, list(parts)[6]),
    "signatures cut out": lambda parts: without(parts, "airgap/signatures.json"),
    "signatures of a stranger": lambda parts: signed_as(parts, FOREIGN),
    "signatures of another bundle": lambda parts: signed_as(
        parts, signed_by(MADE, A, of=tiny_bundle())
    ),
}
ways = pytest.mark.parametrize("way", ["file", "pipe", "first volume", "all volumes"])


@ways
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_signed_bundle_that_was_changed_is_refused_before_anything_is_sent(
    inside, release, tmp_path, change, way
):
    """Whatever other engines or airgap read of the front, from a file, a pipe or one medium."""
    done = bring_changed(inside, tmp_path, change, way, "--trust", release)
    assert done.code in (21, 22), done.err
    assert done.err.splitlines()[-2].startswith("error["), done.err
    assert_nothing_sent(inside)


@ways
def test_the_same_bundle_unchanged_is_taken(inside, release, tmp_path, way):
    """So that it is the change for which the others are refused."""
    done = bring_changed(inside, tmp_path, lambda parts: parts, way, "--trust", release)
    assert done.code == (23 if way == "first volume" else 0), done.err
    assert sent(inside) != []


def bring_changed(
    registry: EmbeddedRegistry, folder: Path, change: Change, way: str, *options: object
) -> Outcome:
    """Import the signed bundle, in the first file of which something was changed."""
    to = ("--to", registry.host, "--state", folder / "state", *options)
    whole = pack(change(unpack(SIGNED.data)).items())
    if way == "pipe":
        return airgap("import", "bundle", "-", *to, stdin=whole)
    if way == "file":
        return airgap("import", "bundle", SIGNED.write(folder, whole), *to)
    first = pack(change(unpack(VOLUMES.data[0])).items())
    others = [None] * (len(VOLUMES.data) - 1) if way == "first volume" else VOLUMES.data[1:]
    return airgap("import", "bundle", *VOLUMES.write(folder, [first, *others]), *to)


@pytest.mark.parametrize("way", ["file", "pipe"])
@pytest.mark.parametrize("place", ["between layers", "behind all"])
def test_a_member_among_the_layers_sets_no_tag(inside, release, tmp_path, place, way):
    """A pipe sends verified blobs before it comes there: they stay without any name."""
    parts = list(unpack(SIGNED.data).items())
    if place == "between layers":
        data = pack([*parts[:-3], ("airgap/extra.json", b"{}"), *parts[-3:]])
    else:
        data = SIGNED.data.removesuffix(END) + member("airgap/extra.json", b"{}") + END
    options = ("--to", inside.host, "--trust", release)
    if way == "pipe":
        done = airgap("import", "bundle", "-", *options, stdin=data)
    else:
        done = airgap("import", "bundle", SIGNED.write(tmp_path, data), *options)
        assert_nothing_sent(inside)
    assert done.code in (20, 22, 23), done.err
    assert [request for request in sent(inside) if "/manifests/" in request] == []


def test_a_later_medium_of_another_bundle_is_not_taken_for_the_next_one(inside, release, tmp_path):
    """Volumes are told by the bundle's id, so a valid signature lends itself to no other file."""
    other = split(signed_by(tiny_bundle(layers=[bytes(3000), b"x" * 3000]), STRANGER), 1500)
    stick = tmp_path / "stick"
    stick.mkdir()
    VOLUMES.write(stick, [VOLUMES.data[0], *[None] * (len(VOLUMES.data) - 1)])
    (stick / "next.tar").write_bytes(other.data[1])
    options = ("--to", inside.host, "--state", tmp_path / "state", "--trust", release)
    done = airgap("import", "bundle", stick, *options)
    assert done.code in (22, 23, 40), done.err
    held = {Digest.of(data) for data in other.made.contents.values()}
    assert not [digest for digest in held for request in sent(inside) if digest.hex in request]
    assert not any("tiny" in request for request in sent(inside))


@pytest.mark.parametrize(("made", "says"), [(MADE, "is not signed"), (FOREIGN, "not trusted")])
def test_encryption_is_no_signature(inside, release, tmp_path, made, says):
    """Anybody can encrypt to a recipient: what is inside must be signed all the same."""
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(key))
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("app"), builders.image(seed=5), tag="1")
        (tmp_path / "stranger.key").write_bytes(STRANGER.to_pem())
        signing = () if made is MADE else ("--sign", tmp_path / "stranger.key")
        done = airgap(
            "export", "images", f"{outside.host}/app:1", "-o", tmp_path / "e.tar",
            "--encrypt-to", key.to_public(), *signing,
        )  # fmt: skip
        assert done.code == 0, done.err
    done = airgap(
        "import", "bundle", tmp_path / "e.tar.age", "--identity", tmp_path / "key.txt",
        "--to", inside.host, "--trust", release,
    )  # fmt: skip
    assert_refused(done, 21, "signature", says)
    assert_nothing_sent(inside)


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_the_current_folder_is_not_read_for_trust(inside, tmp_path, monkeypatch, way):
    """Who works on the stick itself trusts nobody by that, whatever lies there."""
    stick = tmp_path / "stick"
    (stick / ".config/airgap").mkdir(parents=True)
    for folder in (stick, stick / "airgap", stick / ".config/airgap", stick / "etc/airgap"):
        trust_file(folder, ("release", STRANGER, ""))
        write_public(folder, release=STRANGER)
        (folder / "airgap.toml").write_text('trust = "release.pub"\nrequire = 1\n')
    home = tmp_path / "config/airgap"
    trust_file(home, ("release", A, ""))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent))
    monkeypatch.chdir(stick)
    path = FOREIGN.write(stick)
    if way == "pipe":
        done = airgap("import", "bundle", "-", "--to", inside.host, stdin=path.read_bytes())
    else:
        done = airgap("import", "bundle", "bundle.tar", "--to", inside.host)
    assert_refused(done, 21, "signature", "not trusted")
    assert_nothing_sent(inside)
    assert airgap("verify", "bundle", "bundle.tar").code == 21


def test_a_relative_config_home_is_not_read(inside, tmp_path, monkeypatch):
    """XDG calls it invalid; else the current folder would say who is trusted."""
    trust_file(tmp_path / "stick/airgap", ("release", STRANGER, ""))
    monkeypatch.setenv("XDG_CONFIG_HOME", ".")
    trust_file(tmp_path / "home/.config/airgap", ("release", A, ""))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "stick")
    done = airgap("import", "bundle", "-", "--to", inside.host, stdin=FOREIGN.data)
    assert_refused(done, 21, "signature", "not trusted")
    assert_nothing_sent(inside)


def trusted(**changes: Any) -> Trust:
    """Who is trusted by a server that bundles are brought to."""
    policy = TrustPolicy("the server", (TrustedKey("release", A.public),))
    return Trust((policy,), now=BEGINNING, **changes)


@pytest.mark.parametrize("made", [MADE, FOREIGN, signed_by(MADE, A, of=tiny_bundle())])
def test_a_bundle_that_is_brought_to_the_pages_must_be_signed(made):
    """Who may push by a browser brings nothing past the signatures; nothing is written."""
    depot = MemoryDepot()
    admission = Admission("registry.internal:5000", lambda _name: True, lambda: None)
    with pytest.raises(SignatureError):
        take_bundle(
            HeldFile(made.data), depot, ArrivalOptions(), admission, run=Run(), trust=trusted()
        )
    assert list(depot.repositories()) == []
    take_bundle(
        HeldFile(SIGNED.data), depot, ArrivalOptions(), admission, run=Run(), trust=trusted()
    )
    assert "tool" in list(depot.repositories())


def bring_to_pages(browser: Browser, data: bytes, mark: str) -> dict[str, Any]:
    """Do what the page's script does until an arrival ends."""
    headers = {"X-Airgap-Form-Token": browser.token("/upload")}

    def ask(method: str, path: str, body: bytes) -> dict[str, Any]:
        answer = browser.request(method, path, body=body, headers=headers)
        value = json.loads(answer.body)
        assert isinstance(value, dict)
        return value

    question = {"name": f"{mark}.tar", "size": len(data), "mark": mark}
    state = ask("POST", "/-/arrivals", json.dumps(question).encode())
    for _ in range(200):
        if state["state"] in ("done", "failed", "cancelled"):
            return state
        offset, size = (state["want"] or {"offset": 0, "size": 0}).values()
        path = f"/-/arrivals/{state['id']}"
        if size:
            state = ask("PUT", f"{path}?offset={offset}", data[offset : offset + size])
        else:
            state = ask("GET", path, b"")
    raise AssertionError("the arrival does not end")


def test_a_server_with_trust_refuses_what_its_pages_are_brought(tmp_path):
    """`serve --trust` holds for the form, too, and what one bundle revokes counts for the next."""
    file = trust_file(tmp_path, ("release", A, ""), ("security", REVOKER, "revoker = true"))
    news = signed_by(tiny_bundle(), A, revocations=revoking([A], REVOKER))
    with served("--data", tmp_path / "data", "--trust", file) as server:
        browser = Browser(str(server.result["url"]))
        for mark, made, says in (
            ("unsigned", MADE, "is not signed"),
            ("foreign", FOREIGN, "not trusted"),
            ("revoking", news, "is revoked"),
            ("signed", SIGNED, "is revoked"),
        ):
            state = bring_to_pages(browser, made.data, mark)
            assert state["state"] == "failed", state
            assert says in json.dumps(state)
            assert json.loads(browser.get("/v2/_catalog").body)["repositories"] == []
        browser.close()


def test_a_differential_leaves_an_empty_registry_empty_in_every_form(inside, release, tmp_path):
    """File, pipe, one volume: what it would take is named with the bytes, and nothing is there."""
    largest = max(MADE.contents, key=lambda digest: len(MADE.contents[digest]))
    update = signed_by(differential(MADE, [largest]), A)
    volumes = split(update, 700)
    stick = tmp_path / "stick"
    stick.mkdir()
    volumes.write(stick, [volumes.data[0], *[None] * (len(volumes.data) - 1)])
    options = ("--to", inside.host, "--trust", release, "--state", tmp_path / "state")
    for done in (
        airgap("import", "bundle", update.write(tmp_path), *options),
        airgap("import", "bundle", "-", *options, stdin=update.data),
        airgap("import", "bundle", stick, *options),
    ):
        assert done.code == 23
        assert "error[missing-base]" in done.err
        assert f"example.com/tool:2 lacks 1 blob (905 B): {largest}" in done.err
        assert "--missing-for" in done.err
        assert_nothing_sent(inside)


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_no_bit_of_the_front_can_be_turned_before_something_is_sent(inside, tmp_path, way):
    """Headers, padding, documents, signatures, manifests: whatever it is, nothing is sent."""
    front = len(SIGNED.layout.front)
    with open_client() as client:
        options = {"trust": trusted(), "client": client}
        for number, offset in enumerate(range(0, front, 211)):
            data = flip(SIGNED.data, offset, number % 8)
            with pytest.raises(AirgapError) as caught:
                found = SIGNED.write(tmp_path, data) if way == "file" else data
                bring(found, inside.host, **options)
            assert caught.value.exit_code in (20, 21, 22, 23)
            assert sent(inside) == [], offset
        bring(SIGNED.data, inside.host, **options)
    assert sent(inside) != []
