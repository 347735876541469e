"""Settings: what flags, the environment and configuration files say, and nothing else.

The only module that reads the environment. Later ones win: /etc/airgap/airgap.toml, the user's
airgap.toml (XDG), the file of `--config`, the environment (`AIRGAP_<OPTION>`), flags. Nothing is
read from the current folder or from beside a bundle, which may come from somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from airgap.cli.values import (
    as_count,
    as_flag,
    as_hosts,
    as_jobs,
    as_path,
    as_paths,
    as_required,
    as_seconds,
    as_text,
)
from airgap.errors import SettingsError

SYSTEM_FILE = Path("/etc/airgap/airgap.toml")
TRUST_FILE = "trust.toml"
MAX_FILE = 1 << 20
_PREFIX = "AIRGAP_"
_TRUST = ("trust", "require")
"""What the system's file says of these is not replaced by later places, but counts beside them."""

_READERS: dict[str, Callable[[object, str], Any]] = {
    "plain_http": as_hosts,
    "insecure": as_hosts,
    "allow_host": as_hosts,
    "ca_file": as_path,
    "cert": as_path,
    "key": as_path,
    "proxy": as_text,
    "retries": as_count,
    "timeout": as_seconds,
    "max_wait": as_seconds,
    "jobs": as_jobs,
    "json": as_flag,
    "quiet": as_flag,
    "verbose": as_flag,
    "trust": as_paths,
    "require": as_required,
    "progress": as_flag,
    "log_file": as_path,
    "custody_log": as_path,
    "no_rollback": as_flag,
}
NAMES = frozenset(_READERS)
"""What can be set by flag, environment and file alike."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says beside airgap's own variables.

    Attributes:
        docker_config: The folder of docker's config.json.
        containers_auth: Where podman and skopeo keep credentials, the first one first.
        http_proxy: The proxy for http.
        https_proxy: The proxy for https.
        no_proxy: What is reached without a proxy.
        has_color: Whether messages on a terminal may be coloured (no-color.org).
        has_cursor: Whether a terminal can move its cursor, as bars need it (TERM is not `dumb`).
        data_folder: Where the registry keeps its data if nobody says otherwise (XDG).
        state_folder: Where what was done between media is remembered (XDG).
        cache_folder: Where is what saves requests and may be removed at any time (XDG).
        notify_socket: Where the service manager wants to be told (sd_notify), if it does.
        key_passphrase: What opens the private keys that sign.
    """

    docker_config: Path
    containers_auth: tuple[Path, ...]
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    has_color: bool = True
    has_cursor: bool = True
    data_folder: Path = Path("airgap")
    state_folder: Path = Path("airgap-state")
    cache_folder: Path = Path("airgap-cache")
    notify_socket: str | None = None
    key_passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Trusted:
    """What one place says of trust.

    Attributes:
        paths: Public keys and trust files.
        require: How many of those who are trusted must sign; None leaves it to the trust files.
    """

    paths: tuple[Path, ...] = ()
    require: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What counts after all of it was read. The fields are named as the options are."""

    environment: Environment
    plain_http: frozenset[str] = frozenset()
    insecure: frozenset[str] = frozenset()
    allow_host: frozenset[str] = frozenset()
    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    retries: int = 5
    timeout: float = 60.0
    max_wait: float = 300.0
    jobs: int = 4
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    progress: bool = True
    log_file: Path | None = None
    custody_log: Path | None = None
    no_rollback: bool = False
    trust: tuple[Path, ...] = ()
    require: int | None = None
    system_trust: Trusted = Trusted()


class _Given(NamedTuple):
    value: object
    origin: str


_Layer = dict[str, _Given]


def load_settings(
    flags: Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
    system_file: Path | None = None,
) -> Settings:
    """Read files and the environment, and put the flags over them.

    Args:
        flags: The options of a command by name; None or () is not given. Others are ignored.
        environ: The environment, if not the process's own.
        system_file: The system's configuration file, if not the usual one.

    Raises:
        SettingsError: A value or a key makes no sense; names where it stands.
    """
    environ = os.environ if environ is None else environ
    system_file = SYSTEM_FILE if system_file is None else system_file
    system = _file_layer(system_file)
    layers = [
        {name: given for name, given in system.items() if name not in _TRUST},
        *_user_layers(flags, environ),
        _environment_layer(environ),
        _flag_layer(flags),
    ]
    merged: _Layer = {}
    for layer in layers:
        if "quiet" in layer and "verbose" in layer:
            raise SettingsError(
                f"{layer['quiet'].origin} and {layer['verbose'].origin} conflict",
                hint="leave one of them out",
            )
        if "quiet" in layer or "verbose" in layer:  # they are one setting: the later layer wins
            merged.pop("quiet", None)
            merged.pop("verbose", None)
        merged |= layer
    settings = Settings(
        read_environment(environ),
        **_values({"trust": _trust_file(_config_home(environ) / "airgap/airgap.toml")} | merged),
        system_trust=_system_trust({"trust": _trust_file(system_file)} | system),
    )
    if settings.key and not settings.cert:
        raise SettingsError(
            f"{merged['key'].origin} is given without a certificate",
            hint="--cert FILE names the certificate that the key belongs to",
        )
    return settings


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read what other programs' variables say."""
    environ = os.environ if environ is None else environ
    docker = environ.get("DOCKER_CONFIG")
    auth = environ.get("REGISTRY_AUTH_FILE")
    if auth:
        files = [Path(auth)]
    else:
        runtime = environ.get("XDG_RUNTIME_DIR")
        files = [Path(runtime, "containers/auth.json")] if runtime else []
        files.append(_config_home(environ) / "containers/auth.json")
    return Environment(
        docker_config=Path(docker) if docker else _home(environ) / ".docker",
        containers_auth=tuple(files),
        http_proxy=_either(environ, "http_proxy"),
        https_proxy=_either(environ, "https_proxy"),
        no_proxy=tuple(
            h.strip() for h in (_either(environ, "no_proxy") or "").split(",") if h.strip()
        ),
        has_color=not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        has_cursor=environ.get("TERM") != "dumb",
        data_folder=_xdg_folder(environ, "XDG_DATA_HOME", ".local/share") / "airgap",
        state_folder=_xdg_folder(environ, "XDG_STATE_HOME", ".local/state") / "airgap",
        cache_folder=_xdg_folder(environ, "XDG_CACHE_HOME", ".cache") / "airgap",
        notify_socket=environ.get("NOTIFY_SOCKET") or None,
        key_passphrase=environ.get(f"{_PREFIX}KEY_PASSPHRASE") or None,
    )


def wants_json(arguments: Sequence[str], *, environ: Mapping[str, str] | None = None) -> bool:
    """Guess whether JSON is wanted, for errors in the command line itself."""
    environ = os.environ if environ is None else environ
    options = tuple(takewhile(lambda argument: argument != "--", arguments))
    if "--json" in options or "--no-json" in options:
        return "--json" in options
    return environ.get(f"{_PREFIX}JSON", "").lower() in ("1", "true", "yes", "on")


def _flag_layer(flags: Mapping[str, object]) -> _Layer:
    return {
        name: _Given(value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if name in NAMES and value is not None and value != ()
    }


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    # A variable that is set and empty counts as not set, as it does for proxies.
    variables = {name: f"{_PREFIX}{name.upper()}" for name in NAMES}
    layer = {
        name: _Given(environ[variable], variable)
        for name, variable in variables.items()
        if environ.get(variable)
    }
    if no_progress := environ.get(f"{_PREFIX}NO_PROGRESS"):
        origin = f"{_PREFIX}NO_PROGRESS"
        layer["progress"] = _Given(not as_flag(no_progress, origin), origin)
    return layer


def _user_layers(flags: Mapping[str, object], environ: Mapping[str, str]) -> list[_Layer]:
    layers = [_file_layer(_config_home(environ) / "airgap/airgap.toml")]
    chosen = flags.get("config") or environ.get(f"{_PREFIX}CONFIG")
    return [*layers, _read_file(Path(str(chosen)))] if chosen else layers


def _file_layer(path: Path) -> _Layer:
    return _read_file(path) if _exists(path) else {}


def _trust_file(path: Path) -> _Given:
    """The trust file beside a settings file, which counts where nothing names another one."""
    beside = path.absolute().with_name(TRUST_FILE)
    return _Given([str(beside)] if _exists(beside) else [], str(beside))


def _system_trust(layer: _Layer) -> Trusted:
    values = _values({name: given for name, given in layer.items() if name in _TRUST})
    return Trusted(values["trust"], values.get("require"))


def _values(layer: _Layer) -> dict[str, Any]:
    return {name: _READERS[name](given.value, given.origin) for name, given in layer.items()}


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        # Whoever made a link wanted what it names to count: that it is gone must not be overlooked.
        return path.is_symlink()
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _read_file(path: Path) -> _Layer:
    import tomllib  # only where there is such a file

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(raw) > MAX_FILE:
        raise SettingsError(
            f"{path} has more than {MAX_FILE} bytes", hint="settings are smaller: name their file"
        )
    try:
        document = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(
            f"{path} is not a TOML file: {reason}", hint="write lines like: jobs = 8"
        ) from error
    layer: _Layer = {}
    for key, entry in document.items():
        value: object = entry
        name = key.replace("-", "_")
        if name not in NAMES or "_" in key:
            raise SettingsError(f"{path}: unknown key {key!r}", hint=_nearest(key))
        if _READERS[name] is as_path and isinstance(value, str) and value:
            # A path in a file counts from that file: never from the current folder.
            value = path.absolute().parent / as_path(value, f"{path}: {key}")
        if _READERS[name] is as_paths:
            folder, origin = path.absolute().parent, f"{path}: {key}"
            value = [str(folder / found) for found in as_paths(value, origin)]
        layer[name] = _Given(value, f"{path}: {key}")
    return layer


def _nearest(key: str) -> str:
    from difflib import get_close_matches  # only for this error

    known = sorted(name.replace("_", "-") for name in NAMES)
    near = get_close_matches(key.replace("_", "-"), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{path} cannot be read: {error.strerror or error}",
        hint="check that the file is there and that you may read it",
    )


def _home(environ: Mapping[str, str]) -> Path:
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError as error:
        raise SettingsError("there is no home folder", hint="set HOME") from error


def _config_home(environ: Mapping[str, str]) -> Path:
    return _xdg_folder(environ, "XDG_CONFIG_HOME", ".config")


def _xdg_folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    # XDG Base Directory Specification: a relative path is invalid and ignored.
    text = environ.get(variable, "")
    return Path(text) if text.startswith("/") else _home(environ) / default


def _either(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name) or environ.get(name.upper()) or None
