"""Credentials: found where docker and podman keep them, and written as docker writes them."""

from __future__ import annotations

import json
import stat
from base64 import b64encode
from pathlib import Path
from textwrap import dedent

import pytest

from airgap.errors import SettingsError
from airgap.registry.credentials import HUB_KEY, Credential, CredentialStore

ALICE = Credential("alice", "pass:word")


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "docker"
    path.mkdir()
    return path


def write(folder: Path, value: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    """A credential helper that keeps its secrets in files and notes its calls."""
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "docker-credential-lab"
    program.write_text(
        dedent(f"""\
        #!/bin/sh
        echo "$1" >> "{tmp_path}/calls"
        if [ "$1" = store ]; then cat > "{tmp_path}/stored"; exit 0; fi
        read -r server
        case "$1,$server" in
        get,{HUB_KEY}) echo '{{"ServerURL":"x","Username":"hub","Secret":"s"}}' ;;
        get,token.example) echo '{{"Username":"<token>","Secret":"idt"}}' ;;
        get,broken.example) echo 'hunter2 leaked'; exit 1 ;;
        get,html.example) echo '<html>' ;;
        erase,{HUB_KEY}) : ;;
        *) echo 'credentials not found in native keychain'; exit 1 ;;
        esac
        """)
    )
    program.chmod(0o755)
    return tools


def store_with(folder: Path, helper: Path, *containers: Path) -> CredentialStore:
    path = f"{helper}:/usr/bin:/bin"
    return CredentialStore(folder, containers, helper_path=path)


def test_no_files_mean_no_credentials(tmp_path: Path) -> None:
    """Missing files and folders are as if nobody logged in."""
    store = CredentialStore(tmp_path / "none", [tmp_path / "none" / "auth.json"])
    assert store.find("ghcr.io", "a/b") is None
    assert store.erase("ghcr.io") is False
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("http://localhost:5000", "localhost:5000"),
        (HUB_KEY, "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
    ],
)
def test_dockers_keys_are_understood(folder: Path, key: str, registry: str) -> None:
    """Keys are hosts, with a scheme and a path where old versions wrote them."""
    write(folder, {"auths": {key: auth("alice", "pass:word"), "other": auth("x", "y")}})
    assert CredentialStore(folder).find(registry, "a/b") == ALICE
    assert CredentialStore(folder).find("elsewhere.example") is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"identitytoken": "t", **auth("a", "b")}, Credential(identity_token="t")),
        (auth("<token>", "t"), Credential(identity_token="t")),
        ({"username": "alice", "password": "pass:word"}, ALICE),
        (auth("alice", "pass:word\0"), ALICE),
        ({}, None),
        ({"auth": ""}, None),
        ("nonsense", None),
    ],
)
def test_entries_have_several_forms(
    folder: Path, entry: object, expected: Credential | None
) -> None:
    """Base64 pairs, plain fields and identity tokens are read; empty entries are none."""
    write(folder, {"auths": {"ghcr.io": entry}})
    assert CredentialStore(folder).find("ghcr.io") == expected


@pytest.mark.parametrize("text", ["{", "[]", '{"auths":{"ghcr.io":{"auth":"???"}}}'])
def test_a_broken_file_is_named(folder: Path, text: str) -> None:
    """A config.json that cannot be read is a settings error, not a login that fails later."""
    (folder / "config.json").write_text(text)
    with pytest.raises(SettingsError, match=r"config\.json"):
        CredentialStore(folder).find("ghcr.io")


def test_podmans_longest_key_wins(folder: Path, tmp_path: Path) -> None:
    """Keys with repository paths count for what lies below them, docker's file before them."""
    path = tmp_path / "auth.json"
    auths = {
        "quay.io": auth("host", "1"),
        "quay.io/team": auth("team", "2"),
        "quay.io/team/app": auth("app", "3"),
    }
    path.write_text(json.dumps({"auths": auths}))
    store = CredentialStore(folder, [tmp_path / "missing.json", path])
    for repository, user in [
        ("other", "host"),
        ("team", "team"),
        ("team/x", "team"),
        ("team/app", "app"),
        ("team/app/deep", "app"),
        ("team/apple", "team"),
        ("", "host"),
    ]:
        found = store.find("quay.io", repository)
        assert found is not None
        assert found.username == user
    write(folder, {"auths": {"quay.io": auth("docker", "4")}})
    found = CredentialStore(folder, [path]).find("quay.io", "team/app")
    assert found is not None
    assert found.username == "docker"


def test_a_helper_is_asked_once(folder: Path, helper: Path, tmp_path: Path) -> None:
    """The store that config.json names is asked, by docker's key for the Hub, and only once."""
    write(folder, {"credsStore": "lab"})
    store = store_with(folder, helper)
    for _ in range(3):
        assert store.find("docker.io", "library/x") == Credential("hub", "s")
    assert (tmp_path / "calls").read_text() == "get\n"


def test_a_helper_may_give_an_identity_token(folder: Path, helper: Path) -> None:
    """The name <token> marks an identity token."""
    write(folder, {"credHelpers": {"token.example": "lab"}})
    store = store_with(folder, helper)
    assert store.find("token.example") == Credential(identity_token="idt")
    assert store.find("other.example") is None


def test_the_file_counts_where_the_helper_has_nothing(folder: Path, helper: Path) -> None:
    """A registry that the helper does not know is looked for in the file."""
    write(folder, {"credsStore": "lab", "auths": {"ghcr.io": auth("alice", "pass:word")}})
    assert store_with(folder, helper).find("ghcr.io") == ALICE


def test_podmans_helpers_are_asked(folder: Path, helper: Path, tmp_path: Path) -> None:
    """credHelpers of containers' file work like docker's."""
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"credHelpers": {"token.example": "lab"}}))
    found = store_with(folder, helper, path).find("token.example", "a/b")
    assert found == Credential(identity_token="idt")


@pytest.mark.parametrize("registry", ["broken.example", "html.example"])
def test_a_failing_helper_is_named_but_not_quoted(
    folder: Path, helper: Path, registry: str
) -> None:
    """A helper that fails is a settings error, without what it printed."""
    write(folder, {"credsStore": "lab"})
    with pytest.raises(SettingsError, match="lab") as caught:
        store_with(folder, helper).find(registry)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "../lab", "a b", "-x"])
def test_a_helper_that_is_not_there_is_named(folder: Path, helper: Path, name: str) -> None:
    """A helper that is not installed, or whose name leads elsewhere, is a settings error."""
    write(folder, {"credsStore": name})
    with pytest.raises(SettingsError, match="not installed"):
        store_with(folder, helper).find("ghcr.io")


def test_a_login_is_written_as_docker_does(folder: Path) -> None:
    """Other fields stay, the file is for its owner only, and docker's key for the Hub is used."""
    path = write(folder, {"HttpHeaders": {"a": "b"}, "auths": {"ghcr.io": auth("x", "y")}})
    path.chmod(0o644)
    CredentialStore(folder).store("docker.io", ALICE)
    value = json.loads(path.read_text())
    assert value["HttpHeaders"] == {"a": "b"}
    assert value["auths"] == {"ghcr.io": auth("x", "y"), HUB_KEY: auth("alice", "pass:word")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in folder.iterdir()] == ["config.json"]
    assert CredentialStore(folder).find("docker.io") == ALICE


def test_a_first_login_makes_the_folder(tmp_path: Path) -> None:
    """Where docker was never used, the file and its folder appear; an identity token is kept."""
    folder = tmp_path / "home" / ".docker"
    store = CredentialStore(folder)
    store.store("ghcr.io", Credential("alice", "", "token"))
    assert CredentialStore(folder).find("ghcr.io") == Credential(identity_token="token")
    assert store.find("ghcr.io") == Credential(identity_token="token")


def test_a_link_to_the_file_is_kept(folder: Path, tmp_path: Path) -> None:
    """A config.json that is a link stays one, and what it leads to is written."""
    real = tmp_path / "dotfiles" / "docker.json"
    real.parent.mkdir()
    real.write_text("{}")
    (folder / "config.json").symlink_to(real)
    CredentialStore(folder).store("ghcr.io", ALICE)
    assert (folder / "config.json").is_symlink()
    assert "ghcr.io" in json.loads(real.read_text())["auths"]


def test_a_login_goes_to_the_helper(folder: Path, helper: Path, tmp_path: Path) -> None:
    """With a store configured the secret goes there, and not into the file."""
    path = write(folder, {"credsStore": "lab"})
    store_with(folder, helper).store("docker.io", ALICE)
    assert json.loads((tmp_path / "stored").read_text()) == {
        "ServerURL": HUB_KEY,
        "Username": "alice",
        "Secret": "pass:word",
    }
    assert json.loads(path.read_text()) == {"credsStore": "lab"}


def test_a_logout_forgets_every_form(folder: Path, helper: Path) -> None:
    """All keys of a registry go, from the helper too, and other registries stay."""
    keys = ["ghcr.io", "https://ghcr.io/v2/", "quay.io"]
    path = write(folder, {"auths": {key: auth("x", "y") for key in keys}})
    store = CredentialStore(folder)
    assert store.erase("ghcr.io") is True
    assert store.erase("ghcr.io") is False
    assert list(json.loads(path.read_text())["auths"]) == ["quay.io"]
    write(folder, {"credsStore": "lab"})
    assert store_with(folder, helper).erase("docker.io") is True
    assert store_with(folder, helper).erase("ghcr.io") is False


def test_secrets_are_not_shown() -> None:
    """The text of a credential holds no secret."""
    text = repr(Credential("alice", "hunter2", "idt-1"))
    assert "alice" in text
    assert "hunter2" not in text
    assert "idt-1" not in text
