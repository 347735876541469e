from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airgap.errors import SettingsError, SignatureError, StorageError
from airgap.trust.keys import PrivateKey
from airgap.trust.policy import Trust
from airgap.trust.revocations import RevocationList, RevokedKey, parse_known
from airgap.trust.signatures import KeySignature
from airgap.trust.trust_files import PolicySource, keep, load_policy, recall, with_revocations

NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B, REVOKER = (PrivateKey.generate("ed25519") for _ in range(3))


@pytest.fixture
def folder(tmp_path):
    """Public keys, a trust file, and a list of revoked keys."""
    for name, key in (("a", A), ("b", B), ("security", REVOKER)):
        (tmp_path / f"{name}.pub").write_bytes(key.public.to_pem())
    (tmp_path / "trust.toml").write_text(
        '[[key]]\nname = "first"\nfile = "a.pub"\n'
        '[[key]]\nname = "security"\nfile = "security.pub"\nrevoker = true\n'
    )
    return tmp_path


def revoking(key, serial=1):
    return RevocationList.build(serial, [RevokedKey(key.id)], REVOKER).to_bytes()


def load(folder, *names, require=None):
    paths = [folder / name for name in names]
    return load_policy(PolicySource("settings", paths, require))


def test_keys_and_trust_files_make_one_policy(folder):
    """A plain key is called as its file is."""
    policy = load(folder, "trust.toml", "b.pub").policy

    assert [(t.name, t.key.id, t.is_revoker) for t in policy.keys] == [
        ("first", A.id, False),
        ("security", REVOKER.id, True),
        ("b", B.id, False),
    ]
    assert policy.require == 1


def test_a_key_stands_in_the_trust_file_itself(folder):
    """Then no other file is needed."""
    path = folder / "own.toml"
    path.write_text(f'[[key]]\nname = "own"\npem = """{B.public.to_pem().decode()}"""\n')

    assert load(folder, "own.toml").policy.keys[0].key.id == B.id


def test_the_largest_number_counts_unless_another_one_is_given(folder):
    """The setting wins over what trust files say."""
    (folder / "two.toml").write_text(
        'require = 2\n[[key]]\nname = "x"\nfile = "a.pub"\n[[key]]\nname = "y"\nfile = "b.pub"\n'
    )
    (folder / "one.toml").write_text('require = 1\n[[key]]\nname = "z"\nfile = "b.pub"\n')
    for names in (("two.toml", "trust.toml"), ("two.toml", "one.toml"), ("one.toml", "two.toml")):
        assert load(folder, *names).policy.require == 2
    assert load(folder, "two.toml", require=1).policy.require == 1


@pytest.mark.parametrize(
    ("names", "require"),
    [((), None), (("a.pub", "a.pub"), 2), (("trust.toml",), 2), (("a.pub", "b.pub"), 3)],
)
def test_more_signatures_than_there_are_keys_are_refused(folder, names, require):
    """At once, and not with the first bundle; a key counts once, and a revoker not at all."""
    with pytest.raises(SettingsError, match=r"signatures? (is|are) asked for, and "):
        load(folder, *names, require=require)


def test_a_revoker_that_would_sign_bundles_too_is_refused(folder):
    """Naming its file beside the trust file is a mistake, and gives it no further power."""
    with pytest.raises(SettingsError, match="security is a revoker, and is to sign bundles, too"):
        load(folder, "trust.toml", "security.pub")


def test_a_private_key_is_not_taken_for_a_public_one(folder):
    """Nobody should get used to handing it out."""
    (folder / "a.key").write_bytes(A.to_pem())

    with pytest.raises(SettingsError, match="holds a private key"):
        load(folder, "a.key")


def test_a_file_with_an_odd_name_gives_no_odd_name_to_its_key(folder):
    """It is called by its id then."""
    path = folder / "\u202erelease.pub"
    path.write_bytes(A.public.to_pem())

    assert load(folder, path.name).policy.keys[0].name == A.id.short


def test_what_is_learned_is_kept_and_known_again(folder):
    """In a file that only its owner's folder holds."""
    policy = load(folder, "trust.toml").policy
    trust = Trust((policy,), now=NOW, kept_in=folder / "state/revocations.json")
    keep(trust.learn(revoking(A)))

    assert recall(trust).revocations.find(A.id) is not None
    assert recall(Trust((policy,), now=NOW)).revocations.find(A.id) is None


def test_what_is_kept_of_revokers_stays_while_others_are_trusted(folder):
    """A run that trusts other keys forgets nothing that earlier ones have learned."""
    other = PrivateKey.generate("ed25519")
    (folder / "other.pub").write_bytes(other.public.to_pem())
    (folder / "other.toml").write_text(
        '[[key]]\nname = "second"\nfile = "b.pub"\n'
        '[[key]]\nname = "other"\nfile = "other.pub"\nrevoker = true\n'
    )
    state = folder / "revocations.json"
    mine = Trust((load(folder, "trust.toml").policy,), now=NOW, kept_in=state)
    theirs = Trust((load(folder, "other.toml").policy,), now=NOW, kept_in=state)
    keep(mine.learn(revoking(A)))
    list_ = RevocationList.build(1, [RevokedKey(B.id)], other)
    both = replace(list_, signatures=(*list_.signatures, KeySignature(A.id, b"added")))
    keep(theirs.learn(both.to_bytes()))
    keep(mine.learn(revoking(A, 2)))

    assert recall(mine).revocations.find(A.id) is not None
    assert recall(theirs).revocations.find(B.id) is not None
    assert len(parse_known(state.read_bytes())) == 2, "each revoker's newest list, and no other"


def test_what_another_run_has_kept_meanwhile_counts(folder):
    """Two runs that learn at the same time keep both lists."""
    state = folder / "revocations.json"
    trust = Trust((load(folder, "trust.toml").policy,), now=NOW, kept_in=state)
    keep(trust.learn(revoking(A, 2)))

    assert keep(trust.learn(revoking(B, 1))).revocations.find(A.id) is not None
    assert recall(trust).revocations.find(A.id) is not None


def test_a_file_of_what_is_known_that_cannot_be_looked_for_is_said(folder):
    """It is not taken for one that is not there."""
    place = folder / ("x" * 300) / "revocations.json"
    with pytest.raises(StorageError):
        recall(Trust((load(folder, "trust.toml").policy,), now=NOW, kept_in=place))


def test_a_list_that_was_kept_counts_when_its_revoker_has_expired(folder):
    """Time does not give a revoked key back."""
    (folder / "old.toml").write_text(
        '[[key]]\nname = "first"\nfile = "a.pub"\n'
        '[[key]]\nname = "security"\nfile = "security.pub"\nrevoker = true\n'
        "not-after = 2026-01-01\n"
    )
    state = folder / "revocations.json"
    keep(Trust((load(folder, "trust.toml").policy,), now=NOW, kept_in=state).learn(revoking(A)))
    later = Trust((load(folder, "old.toml").policy,), now=NOW, kept_in=state)

    assert recall(later).revocations.find(A.id) is not None
    assert later.learn(revoking(B, 2)) == later


def test_a_damaged_file_of_what_is_known_is_not_taken_for_an_empty_one(folder):
    """Else damaging it would give a revoked key back."""
    state = folder / "revocations.json"
    state.write_text("{}")

    with pytest.raises(SignatureError, match="known revocations"):
        recall(Trust((load(folder, "trust.toml").policy,), now=NOW, kept_in=state))


def test_the_list_that_a_trust_file_names_always_counts(folder):
    """Whoever keeps it there needs no bundle to bring it."""
    (folder / "revoked.json").write_bytes(revoking(A) + b"\n")
    path = folder / "trust.toml"
    path.write_text('revocations = "revoked.json"\n' + path.read_text())
    loaded = load(folder, "trust.toml")
    trust = with_revocations(Trust((loaded.policy,) * 2, now=NOW), [loaded, loaded])

    assert trust.revocations.find(A.id) is not None
    strange = RevocationList.build(1, [RevokedKey(B.id)], A).to_bytes()
    (folder / "revoked.json").write_bytes(strange)
    loaded = load(folder, "trust.toml")
    with pytest.raises(SettingsError, match="nobody who may revoke"):
        with_revocations(Trust((loaded.policy,), now=NOW), [loaded])
