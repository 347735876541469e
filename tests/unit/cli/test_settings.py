"""Settings: which place wins, and what is refused with the name of its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airgap.cli import keyless_options, options, rollback_options, settings, signing_options
from airgap.cli.settings import load_settings, read_environment, wants_json
from airgap.errors import SettingsError


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A system file, a user's folder and a file for --config."""
    user = tmp_path / "xdg/airgap/airgap.toml"
    user.parent.mkdir(parents=True)
    return {"system": tmp_path / "etc.toml", "user": user, "chosen": tmp_path / "chosen.toml"}


def load(places: dict[str, Path], environ: dict[str, str] | None = None, **flags: object):
    home = {"HOME": "/home/nobody", "XDG_CONFIG_HOME": str(places["user"].parent.parent)}
    return load_settings(flags, environ=home | (environ or {}), system_file=places["system"])


def test_the_later_place_wins(places: dict[str, Path]) -> None:
    """Flags win over the environment, then --config, then the user's file, then the system's."""
    for place, jobs in (("system", 1), ("user", 2), ("chosen", 3)):
        places[place].write_text(f"jobs = {jobs}\nretries = {jobs}\n")
        expected = {"config": str(places["chosen"])} if place == "chosen" else {}
        assert load(places, **expected).jobs == jobs
    chosen = {"AIRGAP_CONFIG": str(places["chosen"])}
    assert load(places, chosen | {"AIRGAP_JOBS": "4"}).jobs == 4
    flagged = load(places, chosen | {"AIRGAP_JOBS": "4"}, jobs="5")
    assert (flagged.jobs, flagged.retries) == (5, 3)


def test_the_flag_config_wins_over_its_variable(places: dict[str, Path], tmp_path: Path) -> None:
    """The file that --config names is read instead of the one of AIRGAP_CONFIG."""
    places["chosen"].write_text("jobs = 9\n")
    found = load(places, {"AIRGAP_CONFIG": str(tmp_path / "no")}, config=places["chosen"])
    assert found.jobs == 9


def test_every_kind_of_value_is_read_from_a_file(places: dict[str, Path]) -> None:
    """A file takes lists, texts, numbers, times, switches and paths."""
    places["user"].write_text(
        'plain-http = ["a.example:5000", "b"]\ninsecure = "c,d:1"\nproxy = "http://p:1"\n'
        'timeout = "2m"\nmax-wait = 1.5\nquiet = true\nprogress = false\nlog-file = "/l"\n'
    )
    found = load(places)
    assert found.plain_http == {"a.example:5000", "b"}
    assert found.insecure == {"c", "d:1"}
    assert (found.proxy, found.timeout, found.max_wait) == ("http://p:1", 120, 1.5)
    assert (found.quiet, found.progress, found.log_file) == (True, False, Path("/l"))


def test_a_path_in_a_file_counts_from_that_file(places: dict[str, Path]) -> None:
    """A relative path in a configuration file never depends on the current folder."""
    places["user"].write_text('ca-file = "ca.pem"\n')
    assert load(places).ca_file == places["user"].parent / "ca.pem"


def test_nothing_is_read_from_the_current_folder(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An airgap.toml that lies where the user stands is not looked at."""
    (tmp_path / "airgap.toml").write_text("jobs = 99\n")
    monkeypatch.chdir(tmp_path)
    assert load(places).jobs == 4


@pytest.mark.parametrize("home", ["relative/config", ""])
def test_a_relative_xdg_folder_is_ignored(home: str, tmp_path: Path) -> None:
    """XDG says that relative paths are invalid; the default counts then."""
    file = tmp_path / ".config/airgap/airgap.toml"
    file.parent.mkdir(parents=True)
    file.write_text("jobs = 7\n")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": home}
    assert load_settings({}, environ=environ, system_file=tmp_path / "none").jobs == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("job = 3", "unknown key 'job'"),
        ("plain_http = []", "unknown key 'plain_http'"),
        ("[registry]\nx = 1", "unknown key 'registry'"),
        ("jobs = 0", "jobs must be a whole number from 1"),
        ("jobs = true", "jobs must be a whole number"),
        ("jobs = 2.5", "jobs must be a whole number"),
        ("retries = -1", "retries must be a whole number from 0"),
        ("timeout = 0", "timeout must be a time"),
        ("timeout = nan", "timeout must be a time"),
        ('timeout = "1d"', "timeout must be a time"),
        ("quiet = 1", "quiet must be true or false"),
        ("plain-http = [1]", "plain-http must be a list of hosts"),
        ('plain-http = ["http://x"]', "is not a host"),
        ("proxy = 1", "proxy must be a text"),
        ("ca-file = 1", "ca-file must be the path"),
        ("jobs = ", "is not a TOML file"),
        ("a = " + "[" * 5000, "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused_by_name(places: dict[str, Path], text: str, said: str) -> None:
    """An unknown key or a wrong value names the file and the key, and is a usage error."""
    places["user"].write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(places)
    assert said in caught.value.message
    assert str(places["user"]) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_text_is_refused(places: dict[str, Path]) -> None:
    """Bytes that are not UTF-8 are a clear error."""
    places["user"].write_bytes(b"jobs = \xff\n")
    with pytest.raises(SettingsError, match="is not a TOML file"):
        load(places)


def test_an_endless_file_is_refused(places: dict[str, Path]) -> None:
    """What is larger than any settings are is not parsed."""
    places["user"].write_text("jobs = 8\n" + "#" * (1 << 20))
    with pytest.raises(SettingsError, match="more than 1048576 bytes"):
        load(places)


def test_a_near_key_is_proposed(places: dict[str, Path]) -> None:
    """The hint names the key that was probably meant."""
    places["user"].write_text("plain_http = []")
    with pytest.raises(SettingsError) as caught:
        load(places)
    assert caught.value.hint == "did you mean plain-http?"


def test_a_missing_config_file_is_an_error(places: dict[str, Path]) -> None:
    """A file that was asked for must be there; the usual ones need not."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(places, config=places["chosen"])


def test_a_folder_in_place_of_a_file_is_an_error(places: dict[str, Path]) -> None:
    """A usual place that holds something else is not passed over."""
    places["user"].mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(places)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AIRGAP_JOBS", "many"),
        ("AIRGAP_TIMEOUT", "-1"),
        ("AIRGAP_JSON", "maybe"),
        ("AIRGAP_PLAIN_HTTP", "a,,b"),
        ("AIRGAP_NO_PROGRESS", "x"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    places: dict[str, Path], variable: str, value: str
) -> None:
    """A wrong value in the environment names its variable."""
    with pytest.raises(SettingsError, match=variable):
        load(places, {variable: value})


def test_an_empty_variable_is_not_set(places: dict[str, Path]) -> None:
    """A variable that is set and empty changes nothing."""
    assert load(places, {"AIRGAP_JOBS": "", "AIRGAP_PLAIN_HTTP": ""}) == load(places)


def test_no_progress_has_a_variable_of_the_name_of_its_flag(places: dict[str, Path]) -> None:
    """AIRGAP_NO_PROGRESS and AIRGAP_PROGRESS both turn bars off."""
    assert not load(places, {"AIRGAP_NO_PROGRESS": "1"}).progress
    assert not load(places, {"AIRGAP_PROGRESS": "off"}).progress


def test_verbose_takes_the_place_of_an_earlier_quiet(places: dict[str, Path]) -> None:
    """Quiet in a file and --verbose as a flag is verbose; both as flags is an error."""
    places["user"].write_text("quiet = true\n")
    found = load(places, verbose=True)
    assert (found.quiet, found.verbose) == (False, True)
    with pytest.raises(SettingsError, match="--quiet and --verbose"):
        load(places, verbose=True, quiet=True)


@pytest.mark.parametrize("name", ["etc.toml", "trust.toml"])
def test_a_link_to_a_file_that_is_gone_is_not_taken_for_no_file(
    places: dict[str, Path], name: str
) -> None:
    """Else a medium that is not mounted would take the demand for signatures away."""
    link = places["system"].with_name(name)
    link.symlink_to(link.parent / "gone.toml")
    if name == "trust.toml":
        assert load(places).system_trust.paths == (link,), "whoever reads it says that it is gone"
    else:
        with pytest.raises(SettingsError, match="cannot be read: No such file"):
            load(places)


def test_a_key_needs_its_certificate(places: dict[str, Path]) -> None:
    """A private key alone is refused."""
    with pytest.raises(SettingsError, match="--key is given without a certificate"):
        load(places, key=Path("/k"))


def test_a_wrong_proxy_is_not_repeated(places: dict[str, Path]) -> None:
    """The password in a proxy's url appears neither in errors nor in representations."""
    with pytest.raises(SettingsError) as caught:
        load(places, proxy="http://me:secret@proxy\n")
    assert "secret" not in str(caught.value)
    environ = {"https_proxy": "http://me:secret@p:1"}
    assert "secret" not in repr(load(places, environ, proxy="http://me:secret@proxy"))


def test_other_programs_variables_are_read() -> None:
    """docker's, containers', proxies' and terminals' variables are honoured; lower case wins."""
    found = read_environment(
        {
            "HOME": "/h",
            "DOCKER_CONFIG": "/d",
            "XDG_RUNTIME_DIR": "/run/user/1",
            "HTTP_PROXY": "http://upper",
            "https_proxy": "http://lower",
            "HTTPS_PROXY": "http://upper",
            "NO_PROXY": "a, .b ,",
            "NO_COLOR": "1",
        }
    )
    assert found.docker_config == Path("/d")
    assert found.containers_auth == (
        Path("/run/user/1/containers/auth.json"),
        Path("/h/.config/containers/auth.json"),
    )
    assert (found.http_proxy, found.https_proxy) == ("http://upper", "http://lower")
    assert found.no_proxy == ("a", ".b")
    assert not found.has_color


def test_without_variables_the_home_folder_counts() -> None:
    """docker's folder lies in the home folder, and a file named for containers wins."""
    found = read_environment({"HOME": "/h", "REGISTRY_AUTH_FILE": "/a.json"})
    assert found.docker_config == Path("/h/.docker")
    assert found.containers_auth == (Path("/a.json"),)
    assert found.has_color
    assert not read_environment({"HOME": "/h", "TERM": "dumb"}).has_color


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["--json"], {}, True),
        (["--no-json"], {"AIRGAP_JSON": "1"}, False),
        (["--", "--json"], {}, False),
        ([], {"AIRGAP_JSON": "true"}, True),
        ([], {}, False),
    ],
)
def test_json_is_guessed_for_errors_in_the_command_line(
    arguments: list[str], environ: dict[str, str], expected: bool
) -> None:
    """Before options are parsed, the words themselves tell whether errors are JSON."""
    assert wants_json(arguments, environ=environ) is expected


def test_what_the_system_says_of_trust_is_kept_apart(places: dict[str, Path]) -> None:
    """No later place replaces it, and it does not stand among the user's."""
    places["system"].write_text('trust = ["release.pub"]\nrequire = 2\n')
    places["user"].write_text('trust = "mine.pub"\n')
    for environ, flags in (
        ({}, {}),
        ({"AIRGAP_TRUST": "/a.pub:/b.toml", "AIRGAP_REQUIRE": "1"}, {}),
        ({}, {"trust": (Path("other.pub"),), "require": "1"}),
    ):
        found = load(places, environ, **flags)
        assert found.system_trust.paths == (places["system"].parent / "release.pub",)
        assert found.system_trust.require == 2


def test_the_user_s_word_on_trust_follows_the_order_of_places(places: dict[str, Path]) -> None:
    """A flag replaces the variable, and that the file; paths in a file count from it."""
    places["user"].write_text('trust = ["keys/mine.pub", "/abs.toml"]\n')
    found = load(places)
    assert found.trust == (places["user"].parent / "keys/mine.pub", Path("/abs.toml"))
    assert found.require is None
    environ = {"AIRGAP_TRUST": "/a.pub:/b.toml"}
    assert load(places, environ).trust == (Path("/a.pub"), Path("/b.toml"))
    assert load(places, environ, trust=(Path("c.pub"),)).trust == (Path("c.pub"),)


def test_the_trust_file_beside_a_settings_file_counts(places: dict[str, Path]) -> None:
    """Each place has its own, until it names something else."""
    system = places["system"].with_name("trust.toml")
    user = places["user"].with_name("trust.toml")
    assert (load(places).trust, load(places).system_trust.paths) == ((), ())
    system.touch()
    user.touch()
    assert (load(places).trust, load(places).system_trust.paths) == ((user,), (system,))
    assert load(places, trust=(Path("c.pub"),)).trust == (Path("c.pub"),)
    assert load(places, trust=(Path("c.pub"),)).system_trust.paths == (system,)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("trust = 1", "trust must be a list of paths"),
        ("trust = [1]", "trust must be the path of a file"),
        ("trust = ''", "trust must be the path of a file"),
        ("require = 0", "require must be a whole number from 1 to 100"),
        ("require = 'all'", "require must be a whole number"),
    ],
)
def test_wrong_settings_of_trust_are_refused(places: dict[str, Path], line: str, says: str) -> None:
    """In the system's file as in the user's."""
    for place in ("user", "system"):
        places[place].write_text(line + "\n")
        with pytest.raises(SettingsError, match=says):
            load(places)
        places[place].unlink()


def test_the_passphrase_of_a_key_is_read_and_not_shown() -> None:
    """It stands in the environment and in no text of the settings."""
    found = read_environment({"HOME": "/h", "AIRGAP_KEY_PASSPHRASE": "hunter2"})
    assert found.key_passphrase == "hunter2"
    assert "hunter2" not in repr(found)


def test_every_shared_option_is_a_setting() -> None:
    """What all network commands take can stand in the environment and in files, too."""
    # Identities of Sigstore stand in a trust file instead, which `trust` names.
    kinds = (
        options.NetworkFlags,
        options.OutputFlags,
        rollback_options.RollbackFlags,
        signing_options.TrustFlags,
    )
    names = {name for kind in kinds for name in kind.__annotations__}
    names -= keyless_options.KeylessFlags.__annotations__.keys()
    assert names - {"config"} == settings.NAMES - {"jobs"}


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/settings.md lists each key, and the defaults it names are the real ones."""
    text = (Path(__file__).parents[3] / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z ]+) \| (\S+) \|", text, re.M)
    assert {key.replace("-", "_") for key, _, _ in rows} == settings.NAMES
    defaults = load_settings({}, environ={"HOME": "/h"}, system_file=Path("/nowhere"))
    for key, _, default in rows:
        name = key.replace("-", "_")
        if default == "none":
            assert not getattr(defaults, name)
        else:
            flags = {name: {"true": True, "false": False}.get(default, default)}
            stated = load_settings(flags, environ={"HOME": "/h"}, system_file=Path("/nowhere"))
            assert getattr(stated, name) == getattr(defaults, name)
