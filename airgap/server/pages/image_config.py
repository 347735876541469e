"""What the config of an image says, as far as it says it in the right form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from airgap.content.depot import Repository
from airgap.errors import AirgapError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Verifier
from airgap.oci.document import parse_object
from airgap.oci.manifest import Manifest
from airgap.oci.mediatype import IMAGE_CONFIGS
from airgap.oci.platform import Platform

MAX_CONFIG = 4 * 1024 * 1024
MAX_SHOWN = 500
"""How many variables, ports, labels and so on are shown; a config has room for very many."""
_MORE = "\N{HORIZONTAL ELLIPSIS}"
_SETTINGS = {
    "User": "user",
    "Entrypoint": "entrypoint",
    "Cmd": "command",
    "WorkingDir": "working directory",
    "StopSignal": "stop signal",
}


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the config of an image says."""

    platform: Platform | None = None
    created: str = ""
    author: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    environment: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    history: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


def config_of(repository: Repository, manifest: Manifest) -> ImageConfig | None:
    """Read the config of an image; None where it is none, or cannot be read."""
    config = manifest.config
    if config is None or config.media_type not in IMAGE_CONFIGS:
        return None
    with suppress(AirgapError):
        return read_config(_read_small(repository, config))
    return None


def _read_small(repository: Repository, blob: Descriptor) -> bytes:
    if blob.size > MAX_CONFIG:
        return b"{}"
    verifier = Verifier(blob.digest, blob.size)
    parts = []
    with repository.open(blob) as chunks:
        for chunk in chunks:
            verifier.update(chunk)
            parts.append(chunk)
    verifier.finish()
    return b"".join(parts)


def read_config(raw: bytes) -> ImageConfig:
    """Read an image config; fields that have the wrong form count as not there.

    Source: image-spec config.md.

    Raises:
        InvalidContentError: It is no JSON object.
    """
    value = parse_object(raw, what="the config")
    running = value.get("config")
    running = running if isinstance(running, dict) else {}
    platform = None
    with suppress(AirgapError):
        platform = Platform.from_json(value)
    history = value.get("history")
    settings = ((label, _joined(running.get(key))) for key, label in _SETTINGS.items())
    labels = running.get("Labels")
    return ImageConfig(
        platform if platform is not None and platform.is_known else None,
        text_of(value.get("created")),
        text_of(value.get("author")),
        tuple((label, text) for label, text in settings if text),
        _texts(running.get("Env")),
        _keys(running.get("ExposedPorts")),
        _keys(running.get("Volumes")),
        cut_pairs(sorted((key, text_of(text)) for key, text in labels.items()))
        if isinstance(labels, dict)
        else (),
        tuple(step for step in history if isinstance(step, dict))
        if isinstance(history, list)
        else (),
    )


def text_of(value: object) -> str:
    """A text, or an empty one where a value is something else."""
    return value if isinstance(value, str) else ""


def cut_pairs(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The first of some labels; where there are more, how many stands behind them."""
    more = len(pairs) - MAX_SHOWN
    return (*pairs[:MAX_SHOWN], *([(_MORE, f"and {more} more")] if more > 0 else ()))


def _cut(texts: Sequence[str]) -> tuple[str, ...]:
    more = len(texts) - MAX_SHOWN
    return (*texts[:MAX_SHOWN], *([f"{_MORE} and {more} more"] if more > 0 else ()))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return _cut([part for part in value if isinstance(part, str)])


def _keys(value: object) -> tuple[str, ...]:
    if not isinstance(value, dict):
        return ()
    return _cut(sorted(key for key in value if isinstance(key, str)))


def _joined(value: object) -> str:
    return value if isinstance(value, str) else " ".join(_texts(value))
