"""Who is trusted, by settings, dates and lists of revoked keys, and signatures beside a bundle."""

from __future__ import annotations

import base64
import json

import pytest

from airgap.oci.document import canonical_bytes
from airgap.trust.keys import PrivateKey
from tests.support.command_line import airgap, assert_refused
from tests.support.served import served
from tests.support.signing import (
    MADE,
    SIGNED,
    STRANGER,
    WAYS,
    A,
    B,
    bring,
    refused,
    revoking,
    signed_by,
    trust_file,
    write_public,
)
from tests.support.transfers import sent

REVOKER = PrivateKey.generate("ecdsa-p256")


def test_the_dates_of_a_key_count(inside, tmp_path):
    """One that has expired, and one that is not valid yet."""
    for line, says in (
        ("not-after = 2020-12-31", "expired on 2020-12-31"),
        ("not-before = 2999-01-01", "not valid before 2999-01-01"),
    ):
        path = trust_file(tmp_path, ("release", A, line))
        refused(bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", path), inside, says)
    path = trust_file(tmp_path, ("release", A, "not-before = 2020-01-01\nnot-after = 2999-12-31"))
    assert bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", path).code == 0


def test_several_signatures_are_demanded_of_different_keys(inside, tmp_path):
    """One key under two names is one key."""
    keys = write_public(tmp_path, one=A, again=A, two=B)
    trust = [text for path in keys for text in ("--trust", path)]
    done = bring(inside, tmp_path, SIGNED.data, "pipe", *trust, "--require", "2")
    refused(done, inside, "1 of 2")
    both = signed_by(MADE, A, B).data
    assert bring(inside, tmp_path, both, "pipe", *trust, "--require", "2").code == 0
    done = bring(inside, tmp_path, both, "pipe", *trust, "--require", "3")
    assert_refused(done, 2, "settings", "3 signatures are asked for, and only 2 could sign")


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_beside_the_bundle_counts(inside, release, tmp_path, way):
    """`airgap sign` writes it; a pipe needs it named."""
    made = MADE.write(tmp_path)
    key = tmp_path / "release.key"
    key.write_bytes(A.to_pem())
    before = made.read_bytes()
    assert airgap("sign", "bundle", made, "--key", key).code == 0
    [beside] = tmp_path.glob("*.sig")
    assert made.read_bytes() == before
    if way == "pipe":
        options = ("--to", inside.host, "--trust", release)
        refused(airgap("import", "bundle", "-", *options, stdin=before), inside, "not signed")
        named = ("--signature", beside)
        done = airgap("import", "bundle", "-", *options, *named, stdin=before)
    else:
        done = airgap("import", "bundle", made, "--to", inside.host, "--trust", release)
    assert done.code == 0, done.err


def test_a_signature_beside_a_bundle_lets_it_be_served(release, tmp_path):
    """What lies beside it, and what is named, counts for a registry as for an import."""
    (tmp_path / "stick").mkdir()
    made = MADE.write(tmp_path / "stick")
    text = base64.b64encode(A.sign(MADE.catalog.raw))
    named = tmp_path / "named.sig"
    named.write_bytes(text)
    for more in (("--signature", named), ()):
        with served(made, "--trust", release, *more) as server:
            assert [signer["key"] for signer in server.result["signers"]] == [str(A.id)]
        made.with_name(f"{made.name}.sig").write_bytes(text)


def test_nothing_beside_a_bundle_is_read_for_trust(inside, tmp_path):
    """Whoever can put a bundle on a stick can put a key there, too."""
    stick = tmp_path / "stick"
    trust_file(stick, ("release", STRANGER, ""))
    write_public(stick, release=STRANGER)
    (stick / "airgap.toml").write_text('trust = "release.pub"\n')
    [trusted] = write_public(tmp_path, release=A)
    bundle = signed_by(MADE, STRANGER).write(stick)
    done = airgap("import", "bundle", bundle, "--to", inside.host, "--trust", trusted)
    refused(done, inside, "not trusted")


def test_a_file_beside_the_bundle_that_is_no_signature_is_left_aside(inside, release, tmp_path):
    """It is told, and neither helps nor hinders."""
    stick = tmp_path / "stick"
    stick.mkdir()
    bundle = SIGNED.write(stick)
    (stick / "bundle.tar.sig").write_text("-----BEGIN PGP SIGNATURE-----\n")
    done = airgap("import", "bundle", bundle, "--to", inside.host, "--trust", release)
    assert done.code == 0
    assert "left aside" in done.err


@pytest.fixture
def system(tmp_path, monkeypatch):
    """The folder of the system's settings."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr("airgap.cli.settings.SYSTEM_FILE", folder / "airgap.toml")
    return folder


def test_what_the_system_demands_is_not_loosened(inside, system, tmp_path, monkeypatch):
    """By no option, variable or file of the user; and a bundle that satisfies both is taken."""
    trust_file(system, ("vendor", A, ""))
    [mine] = write_public(tmp_path, mine=STRANGER)
    foreign = signed_by(MADE, STRANGER).data
    refused(bring(inside, tmp_path, foreign, "pipe"), inside, "not trusted")
    refused(bring(inside, tmp_path, foreign, "pipe", "--trust", mine), inside, "not trusted")
    monkeypatch.setenv("AIRGAP_TRUST", str(mine))
    monkeypatch.setenv("AIRGAP_REQUIRE", "1")
    refused(bring(inside, tmp_path, foreign, "pipe"), inside, "not trusted")
    chosen = tmp_path / "chosen.toml"
    chosen.write_text("trust = []\n")
    done = bring(inside, tmp_path, foreign, "pipe", "--config", chosen)
    refused(done, inside, "not trusted")
    both = signed_by(MADE, A, STRANGER).data
    assert bring(inside, tmp_path, both, "pipe").code == 0


def test_what_the_system_demands_can_be_tightened(inside, system, tmp_path):
    """By more signatures of its keys, or by a key of the user's own."""
    trust_file(system, ("vendor", A, ""), ("auditor", B, ""))
    assert bring(inside, tmp_path, SIGNED.data, "pipe").code == 0
    inside.clear()
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--require", "2")
    refused(done, inside, "1 of 2")
    [mine] = write_public(tmp_path, mine=STRANGER)
    refused(bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", mine), inside, "not trusted")
    system.joinpath("airgap.toml").write_text("require = 2\n")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--require", "1")
    refused(done, inside, "1 of 2")


def test_trust_in_the_settings_counts_for_every_command(release, inside, tmp_path, monkeypatch):
    """As an option does."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    trust_file(tmp_path / "xdg/airgap", ("release", A, ""))
    made = MADE.write(tmp_path)
    assert airgap("verify", "bundle", made).code == 21
    assert airgap("export", "images", "--from", made, "-o", tmp_path / "n.tar").code == 21
    assert airgap("serve", made, "--listen", "127.0.0.1:0").code == 21
    inventory = ("export", "inventory", "-o", tmp_path / "n.inventory", "--from")
    assert airgap(*inventory, made).code == 21
    assert airgap(*inventory, inside.host, "--missing-for", made).code == 21
    assert list(inside.seen) == []
    assert not (tmp_path / "n.inventory").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--require", "1"), "1 signature is asked for, and nobody could sign"),
        (("--signature", "x.sig"), "nobody is trusted"),
        (("--trust", "no.pub"), "cannot be read"),
    ],
)
def test_options_that_make_no_sense_alone_are_refused(inside, tmp_path, arguments, says):
    """A demand that demands nothing is a mistake."""
    done = bring(inside, tmp_path, SIGNED.data, "pipe", *arguments)
    assert_refused(done, 2, "settings", says)
    assert sent(inside) == []


@pytest.fixture
def revoker(tmp_path):
    """A trust file with a release key and a revoker."""
    return trust_file(
        tmp_path, ("release", A, ""), ("next", B, ""), ("security", REVOKER, "revoker = true")
    )


def test_a_revoked_key_is_refused_and_stays_so(inside, revoker, tmp_path):
    """The list that one bundle brings counts for it and for later ones that lack it."""
    news = signed_by(MADE, A, revocations=revoking([A], REVOKER)).data
    done = bring(inside, tmp_path, news, "pipe", "--trust", revoker)
    refused(done, inside, "release is revoked: lost")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", revoker)
    refused(done, inside, "release is revoked: lost")
    other = signed_by(MADE, B).data
    assert bring(inside, tmp_path, other, "pipe", "--trust", revoker).code == 0


def test_news_of_a_revoked_key_is_told_once(inside, revoker, tmp_path):
    """Whoever imports a list learns what changes from then on."""
    news = signed_by(MADE, B, revocations=revoking([A], REVOKER)).data
    told = f"these keys are revoked: {A.id.short} (lost)"
    done = bring(inside, tmp_path, news, "pipe", "--trust", revoker)
    assert (done.code, told in done.err) == (0, True)
    done = bring(inside, tmp_path, news, "pipe", "--trust", revoker)
    assert (done.code, told in done.err) == (0, False)


def test_a_damaged_file_of_known_revocations_is_named(inside, revoker, tmp_path, monkeypatch):
    """What was known there is not forgotten in silence: somebody must remove it, and is told so."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    news = signed_by(MADE, B, revocations=revoking([A], REVOKER)).data
    assert bring(inside, tmp_path, news, "pipe", "--trust", revoker).code == 0
    [kept] = tmp_path.rglob("revocations.json")
    kept.write_bytes(b"{")
    done = bring(inside, tmp_path, news, "pipe", "--trust", revoker)
    assert_refused(done, 21, "signature", str(kept), "restore it from a backup, or remove it")


def test_an_older_list_and_one_by_a_stranger_change_nothing(inside, revoker, tmp_path):
    """Neither gives a revoked key back, nor takes another one away."""
    first = signed_by(MADE, B, revocations=revoking([A], REVOKER, serial=5)).data
    assert bring(inside, tmp_path, first, "pipe", "--trust", revoker).code == 0
    inside.clear()
    for revocations in (
        revoking([], REVOKER, serial=4),
        revoking([], REVOKER, serial=5),
        revoking([], A, serial=9),
        revoking([], STRANGER, serial=9),
    ):
        old = signed_by(MADE, A, revocations=revocations).data
        done = bring(inside, tmp_path, old, "pipe", "--trust", revoker)
        refused(done, inside, "release is revoked")
    stranger = signed_by(MADE, B, revocations=revoking([B], STRANGER, serial=9)).data
    done = bring(inside, tmp_path, stranger, "pipe", "--trust", revoker)
    assert done.code == 0
    assert "nobody who may revoke" in done.err


def test_a_list_that_was_changed_counts_for_nothing(inside, revoker, tmp_path):
    """Its signature covers all of it."""
    document = json.loads(revoking([B], REVOKER))
    document["list"] = document["list"].replace(B.id.hex, A.id.hex)
    changed = signed_by(MADE, A, revocations=canonical_bytes(document)).data
    assert bring(inside, tmp_path, changed, "pipe", "--trust", revoker).code == 0


def test_a_damaged_file_of_known_revocations_stops_all(inside, revoker, tmp_path, monkeypatch):
    """Nobody gives a revoked key back by damaging it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    state = tmp_path / "state/airgap/revocations.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", revoker)
    refused(done, inside, "known revocations")


def test_a_registry_keeps_what_it_learns_in_its_data_folder(revoker, tmp_path):
    """A service has no home: the folder that it serves is the one place that it can write to."""
    data = tmp_path / "data"
    news = signed_by(MADE, B, revocations=revoking([A], REVOKER))
    (tmp_path / "news").mkdir()
    with served(news.write(tmp_path / "news"), "--data", data, "--trust", revoker) as server:
        [signer] = server.result["signers"]
    assert signer["key"] == str(B.id)
    assert (data / "revocations.json").exists()
    again = ("serve", SIGNED.write(tmp_path), "--data", data, "--trust", revoker)
    assert_refused(airgap(*again, "--listen", "127.0.0.1:0"), 21, "signature", "is revoked")
    assert airgap("backup", "-o", tmp_path / "backup.tar", "--data", data).code == 0
    assert airgap("restore", tmp_path / "backup.tar", "--data", tmp_path / "new").code == 0
    kept = (tmp_path / "new/revocations.json").read_bytes()
    assert kept == (data / "revocations.json").read_bytes()


def test_a_server_says_at_its_start_what_would_refuse_every_bundle(tmp_path):
    """And not to the first one who brings a bundle through the pages."""
    [key] = write_public(tmp_path, one=A)
    wrong = ("--trust", key, "--require", "2", "--listen", "127.0.0.1:0")
    done = airgap("serve", "--data", tmp_path / "data", *wrong)
    assert_refused(done, 2, "settings", "2 signatures are asked for, and only 1 could sign")
