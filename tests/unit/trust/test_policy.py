from datetime import UTC, datetime, timedelta

import pytest

from airgap.errors import SignatureError
from airgap.trust.keys import PrivateKey, PublicKey
from airgap.trust.policy import Trust, TrustedKey, TrustPolicy
from airgap.trust.revocations import RevocationList, RevokedKey
from airgap.trust.signatures import KeySignature, Signatures

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
A, B, STRANGER, REVOKER = (PrivateKey.generate("ed25519") for _ in range(4))
DATA = b"data"


def trusted(key, name="release", **more):
    return TrustedKey(name, key.public, **more)


def trust(*keys, require=1, more=()):
    return Trust((TrustPolicy("trust.toml", keys, require), *more), now=NOW)


def signed(*keys, data=DATA, revocations=b""):
    return Signatures.sign(data, keys, revocations=revocations)


def refusal(found, signatures, data=DATA):
    with pytest.raises(SignatureError) as caught:
        found.check(data, signatures)
    return caught.value.message


def revoking(*keys, serial=1, by=REVOKER, reason="lost"):
    return RevocationList.build(serial, (RevokedKey(k.id, reason) for k in keys), by).to_bytes()


def test_a_signature_by_a_trusted_key_is_enough():
    """The verdict says who has signed."""
    verdict = trust(trusted(A)).check(DATA, signed(A))

    assert [(s.name, s.key) for s in verdict.signers] == [("release", A.id)]
    assert verdict.notes == ()


def test_what_is_not_signed_is_refused():
    """And the hint names who is trusted."""
    with pytest.raises(SignatureError, match="the bundle is not signed") as caught:
        trust(trusted(A)).check(DATA, Signatures())
    assert "trust.toml: release" in caught.value.hint


def test_an_unknown_key_is_refused_by_its_id():
    """Whoever made it can compare."""
    assert STRANGER.id.short in refusal(trust(trusted(A)), signed(STRANGER))


def test_a_signature_of_something_else_is_refused():
    """Such as another bundle, or the same one before it was changed."""
    assert "changed after signing" in refusal(trust(trusted(A)), signed(A, data=b"other"))


def test_a_signature_under_another_key_s_name_is_refused():
    """The id says whose it is to be, and the key says whether it is."""
    forged = Signatures((KeySignature(A.id, STRANGER.sign(DATA)),))

    assert "is wrong" in refusal(trust(trusted(A)), forged)


def test_a_loose_signature_is_tried_with_each_trusted_key():
    """It names none."""
    found = trust(trusted(A, "a"), trusted(B, "b"))

    assert found.check(DATA, Signatures(loose=(B.sign(DATA),))).signers[0].name == "b"
    assert "no key that is trusted" in refusal(found, Signatures(loose=(STRANGER.sign(DATA),)))


def test_a_wrong_signature_does_not_spoil_a_right_one():
    """It is told in the notes; anybody could have added it."""
    both = signed(A).merge(signed(B, data=b"other"))
    verdict = trust(trusted(A, "a"), trusted(B, "b")).check(DATA, both)

    assert [s.name for s in verdict.signers] == ["a"]
    assert "by b is wrong" in verdict.notes[0]


def test_a_right_signature_in_a_file_of_its_own_counts_beside_a_wrong_one_of_the_same_key():
    """Whoever puts a forged signature into a bundle does not keep it from being trusted."""
    forged = Signatures((KeySignature(A.id, b"forged"),), loose=(A.sign(DATA),))

    assert trust(trusted(A)).check(DATA, forged).signers[0].key == A.id


def test_several_signatures_can_be_asked_for():
    """By different keys that are trusted."""
    found = trust(trusted(A, "a"), trusted(B, "b"), require=2)

    assert len(found.check(DATA, signed(A, B)).signers) == 2
    assert "1 of 2" in refusal(found, signed(A))
    assert "1 of 2" in refusal(found, signed(A, STRANGER))


def test_a_key_with_two_names_counts_once():
    """In the policy, and in signatures inside and beside the bundle."""
    found = trust(trusted(A, "a"), trusted(A, "again"), require=2)
    twice = signed(A).merge(Signatures(loose=(A.sign(DATA),)))

    assert "1 of 2" in refusal(found, twice)
    assert found.policies[0].signer_count == 1


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ({"not_before": NOW + DAY}, "not valid before 2026-06-02"),
        ({"not_after": NOW - DAY}, "expired on 2026-05-31"),
    ],
)
def test_a_key_counts_only_in_its_time(window, says):
    """By the verifier's clock."""
    assert says in refusal(trust(trusted(A, **window)), signed(A))


def test_a_key_counts_at_both_ends_of_its_time():
    """Up to the moment itself."""
    for window in ({"not_before": NOW}, {"not_after": NOW}):
        assert trust(trusted(A, **window)).check(DATA, signed(A)).signers


def test_a_renewed_key_counts_by_either_of_its_times():
    """One key may be written down once for each of its periods."""
    old = trusted(A, "old", not_after=NOW - DAY)
    new = trusted(A, "new", not_before=NOW - DAY)

    assert trust(old, new).check(DATA, signed(A)).signers


def test_a_revoked_key_is_refused_with_the_reason():
    """The list that comes with the bundle counts for the bundle itself."""
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True))
    message = refusal(found, signed(A, revocations=revoking(A)))

    assert "release is revoked: lost" in message


def test_a_revocation_is_kept_when_the_next_bundle_does_not_bring_it():
    """What was learned once counts."""
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True)).learn(revoking(A))

    assert "revoked" in refusal(found, signed(A))


def test_an_older_or_replayed_list_is_ignored():
    """A lower serial, or the same one, takes nothing back."""
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True))
    found = found.learn(revoking(A, serial=5))

    for serial in (4, 5):
        assert found.learn(revoking(serial=serial)) == found
        assert "revoked" in refusal(found, signed(A, revocations=revoking(serial=serial)))
    assert found.learn(revoking(serial=6)).check(DATA, signed(A)).signers


def test_a_list_by_nobody_who_may_revoke_is_ignored_and_told():
    """A release key cannot revoke another one."""
    found = trust(trusted(A), trusted(B, "b"), trusted(REVOKER, "security", is_revoker=True))
    verdict = found.check(DATA, signed(A, revocations=revoking(A, by=B)))

    assert [s.name for s in verdict.signers] == ["release"]
    assert "nobody who may revoke" in verdict.notes[0]
    stranger = RevocationList.parse(revoking(A, by=STRANGER))
    stolen = RevocationList(
        1, stranger.revoked, stranger.signed, (KeySignature(REVOKER.id, b"forged"),)
    )
    assert found.learn(stolen.to_bytes()) == found


def test_one_revoker_does_not_take_back_what_another_said():
    """However high its serial is."""
    other = trusted(B, "other", is_revoker=True)
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True), other)
    found = found.learn(revoking(A)).learn(revoking(serial=1000, by=B))

    assert "revoked" in refusal(found, signed(A))


def test_a_revoker_signs_nothing_but_lists():
    """Unless the same key is trusted once more, for releases."""
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True))

    assert "not trusted" in refusal(found, signed(REVOKER))
    assert trust(trusted(REVOKER), *found.policies[0].keys).check(DATA, signed(REVOKER)).signers


@pytest.mark.parametrize("window", [{"not_before": NOW + DAY}, {"not_after": NOW - DAY}])
def test_a_revoker_counts_only_in_its_time(window):
    """As every key does."""
    found = trust(trusted(A), trusted(REVOKER, "security", is_revoker=True, **window))

    assert found.learn(revoking(A)) == found


def test_a_revoked_revoker_revokes_nothing_any_more():
    """Whoever stole its key cannot go on."""
    found = trust(
        trusted(A), trusted(REVOKER, "r", is_revoker=True), trusted(B, "b", is_revoker=True)
    )
    found = found.learn(revoking(B))

    assert found.learn(revoking(A, by=B)) == found


def test_every_policy_must_be_satisfied():
    """The user's cannot loosen the system's, nor the other way round."""
    user = TrustPolicy("user", (trusted(B, "b"),))
    found = trust(trusted(A, "a"), more=(user,))

    assert {s.name for s in found.check(DATA, signed(A, B)).signers} == {"a", "b"}
    assert "not trusted" in refusal(found, signed(A))
    assert "not trusted" in refusal(found, signed(B))


class _CountingKey(PublicKey):
    """A key that counts how often it is tried."""

    tries = 0

    def verify(self, data, signature):
        type(self).tries += 1
        return super().verify(data, signature)


def test_only_signatures_by_trusted_keys_are_tried():
    """Ten thousand others cost no more than a look at their ids."""
    key = _CountingKey(A.public.algorithm, A.public.der)
    many = Signatures(
        tuple(
            KeySignature(PublicKey("ed25519", bytes(n.to_bytes(4, "big"))).id, b"x")
            for n in range(10_000)
        )
    )
    found = Trust((TrustPolicy("t", (TrustedKey("a", key),)),) * 2, now=NOW)

    assert "10,000" not in refusal(found, many)
    assert _CountingKey.tries == 0
    found.check(DATA, many.merge(signed(A)))
    assert _CountingKey.tries == 1


class _Identity:
    person = ("somebody@example.org", "https://issuer.example")

    def __init__(self, name="somebody"):
        self.name = name

    def find_problem(self, data, bundle, now):
        return None if (data, bundle, now) == (DATA, b'{"good":1}', NOW) else "no"


class _Anybody(_Identity):
    def find_problem(self, data, bundle, now):
        return None


def test_an_identity_counts_as_a_signer():
    """Beside keys, for as many signatures as are asked for."""
    policy = TrustPolicy("t", (trusted(A),), 2, (_Identity(),))
    found = Trust((policy,), now=NOW)
    good = Signatures(sigstore=(b'{"bad":1}', b'{"good":1}'))

    assert [s.name for s in found.check(DATA, signed(A).merge(good)).signers] == [
        "release",
        "somebody",
    ]
    bad = signed(A).merge(Signatures(sigstore=(b'{"bad":1}',)))
    assert "somebody: no" in refusal(found, bad)


def test_an_identity_that_signed_twice_counts_once():
    """Two bundles by one person are one signature."""
    policy = TrustPolicy("t", (trusted(A),), 2, (_Anybody(),))
    twice = Signatures(sigstore=(b'{"good":1}', b'{"good":2}'))

    assert "1 of 2 signatures" in refusal(Trust((policy,), now=NOW), twice)


def test_an_identity_with_two_names_counts_once():
    """Two entries for one person are not two people who agree."""
    policy = TrustPolicy("t", (trusted(A),), 2, (_Identity(), _Identity("the same")))
    good = Signatures(sigstore=(b'{"good":1}',))

    assert policy.signer_count == 2
    assert "1 of 2 signatures" in refusal(Trust((policy,), now=NOW), good)
