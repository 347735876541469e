"""How a receipt is written: one document of canonical JSON, read strictly. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from airgap.errors import AirgapError, BundleFormatError, InvalidContentError, SettingsError
from airgap.oci.descriptor import MAX_SIZE as MAX_BLOB
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.reference import Reference, is_registry, is_repository, is_tag
from airgap.record.bases import Base, parse_base
from airgap.record.format_version import check_version
from airgap.record.log import LogPosition
from airgap.record.origin import MAX_BY, parse_time, time_text
from airgap.record.receipt import (
    BLOB_OUTCOMES,
    IMAGE_OUTCOMES,
    OUTCOMES,
    Receipt,
    ReceiptEntry,
    ReceiptFailure,
    ReceiptImage,
    ReceiptTag,
)

FORMAT_VERSION = 1
MEDIA_TYPE = "application/vnd.airgap.receipt.v1+json"
MAX_SIZE = 256 * 1024 * 1024
"""A receipt with more bytes is not read. Its values are limited, too: some 800,000 blobs."""
MAX_TEXT = 1000
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
T = TypeVar("T")
Choice = TypeVar("Choice", bound=str)


def write_receipt(receipt: Receipt) -> Receipt:
    """The receipt with its canonical bytes. Its lists must be in their order.

    Raises:
        SettingsError: It is too large, or a text cannot stand in a receipt.
    """
    raw = canonical_bytes(_to_json(receipt))
    try:
        return parse_receipt(raw)
    except BundleFormatError as error:
        raise SettingsError(f"this cannot stand in a receipt: {error.message}") from error


def parse_receipt(raw: bytes) -> Receipt:
    """Read a receipt without its signatures.

    Raises:
        BundleFormatError: It is none, is damaged, contradicts itself, or needs a newer airgap.
    """
    if len(raw) > MAX_SIZE:
        raise BundleFormatError(f"the receipt has {len(raw)} bytes; more than {MAX_SIZE}")
    try:
        value = parse_object(raw, what="the receipt")
        if value.get("mediaType") != MEDIA_TYPE:
            raise BundleFormatError(f"this is no receipt: its media type is not {MEDIA_TYPE}")
        check_version(value, what="receipt")
        receipt = _from_json(value, raw)
        _check(receipt)
    except BundleFormatError:
        raise
    except (InvalidContentError, SettingsError) as error:
        raise BundleFormatError(f"the receipt is damaged: {error.message}") from error
    if canonical_bytes(value) != raw:
        raise BundleFormatError("the receipt is not in its canonical form")
    return receipt


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """A text as it may stand in a receipt: composed, on one line, without what is not shown."""
    shown = "".join(c if c.isprintable() else "?" for c in unicodedata.normalize("NFC", text))
    return unicodedata.normalize("NFC", shown)[:limit]


def failure_of(error: AirgapError, name: str = "") -> ReceiptFailure:
    """An error as it stands in a receipt."""
    return ReceiptFailure(name, error.code, printable(error.message))


def _to_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "formatVersion": FORMAT_VERSION,
        "mediaType": MEDIA_TYPE,
        "requires": [],
        "bundle": str(receipt.bundle),
        "bases": [{"kind": b.kind, "id": str(b.id), "place": b.place} for b in receipt.bases],
        "registry": receipt.registry,
        "prefix": receipt.prefix,
        "started": time_text(receipt.started),
        "finished": time_text(receipt.finished),
        "version": receipt.version,
        "by": receipt.by,
        "outcome": receipt.outcome,
        "error": None if receipt.error is None else _failure_json(receipt.error),
        "images": [
            {
                "name": image.name,
                "digest": str(image.digest),
                "repository": image.repository,
                "tag": image.tag,
                "outcome": image.outcome,
                "named": None if image.named is None else str(image.named),
            }
            for image in receipt.images
        ],
        "manifests": [_entry_json(entry) for entry in receipt.manifests],
        "blobs": [_entry_json(entry) for entry in receipt.blobs],
        "tags": [
            {"repository": tag.repository, "tag": tag.tag, "digest": str(tag.digest)}
            for tag in receipt.tags
        ],
        "failed": [_failure_json(failure) for failure in receipt.failed],
        "log": None
        if receipt.log is None
        else {"length": receipt.log.length, "head": str(receipt.log.head)},
    }


def _failure_json(failure: ReceiptFailure) -> dict[str, Any]:
    return {"name": failure.name, "code": failure.code, "message": failure.message}


def _entry_json(entry: ReceiptEntry) -> dict[str, Any]:
    return {
        "digest": str(entry.digest),
        "repository": entry.repository,
        "size": entry.size,
        "outcome": entry.outcome,
    }


def _from_json(value: Mapping[str, Any], raw: bytes) -> Receipt:
    return Receipt(
        bundle=Digest.parse(value.get("bundle")),
        bases=_each(value, "bases", _base),
        registry=_text(value, "registry"),
        prefix=_text(value, "prefix"),
        started=parse_time(value.get("started")),
        finished=parse_time(value.get("finished")),
        version=_text(value, "version", limit=64),
        by=_text(value, "by", limit=MAX_BY),
        outcome=_one_of(value, "outcome", OUTCOMES),
        error=_or_none(value, "error", _failure),
        images=_each(value, "images", _image),
        manifests=_each(value, "manifests", _entry),
        blobs=_each(value, "blobs", _entry),
        tags=_each(value, "tags", _tag),
        failed=_each(value, "failed", _failure),
        log=_or_none(value, "log", _log),
        raw=raw,
    )


def _check(receipt: Receipt) -> None:
    """See that a receipt is in order and does not contradict itself."""
    if not is_registry(receipt.registry) or (receipt.prefix and not is_repository(receipt.prefix)):
        raise InvalidContentError("it does not name a registry")
    _check_order("images", [image.name for image in receipt.images])
    _check_order("tags", [(tag.repository, tag.tag) for tag in receipt.tags])
    for what, entries in (("manifests", receipt.manifests), ("blobs", receipt.blobs)):
        _check_order(what, [(entry.digest, entry.repository) for entry in entries])
    if (receipt.outcome == "failed") != (receipt.error is not None):
        raise InvalidContentError("its outcome and its error contradict each other")
    if receipt.outcome == "complete":
        open_ends = [i.name for i in receipt.images if i.outcome in ("failed", "waiting")]
        if open_ends or receipt.failed:
            raise InvalidContentError("it calls complete what failed or waits")
    if any(entry.outcome not in ("pushed", "present") for entry in receipt.manifests):
        raise InvalidContentError("a manifest can only be pushed or present")


def _check_order(what: str, keys: Sequence[Any]) -> None:
    if any(first >= second for first, second in pairwise(keys)):
        raise InvalidContentError(f"{what} are not in order, or stand there twice")


def _base(entry: Mapping[str, Any]) -> Base:
    _text(entry, "place")  # a catalog may leave it out
    return parse_base(entry)


def _image(entry: Mapping[str, Any]) -> ReceiptImage:
    name, tag = _text(entry, "name"), _text(entry, "tag")
    digest = Digest.parse(entry.get("digest"))
    Reference.parse_full(name, digest)
    outcome = _one_of(entry, "outcome", IMAGE_OUTCOMES)
    repository, named = _text(entry, "repository"), entry.get("named")
    if outcome == "left":
        if repository or tag or named is not None:
            raise InvalidContentError("an image that was left has no name on the destination")
    elif not is_repository(repository) and (repository or outcome != "failed"):
        raise InvalidContentError(f"{repository[:200]!r} is not a repository")
    if tag and not is_tag(tag):
        raise InvalidContentError(f"{tag[:200]!r} is not a tag")
    found = None if named is None else Digest.parse(named)
    return ReceiptImage(name, digest, repository, tag, outcome, found)


def _entry(entry: Mapping[str, Any]) -> ReceiptEntry:
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise InvalidContentError(f"{str(size)[:60]!r} is not a size")
    repository = _text(entry, "repository")
    if not is_repository(repository):
        raise InvalidContentError(f"{repository[:200]!r} is not a repository")
    outcome = _one_of(entry, "outcome", BLOB_OUTCOMES)
    return ReceiptEntry(Digest.parse(entry.get("digest")), repository, size, outcome)


def _tag(entry: Mapping[str, Any]) -> ReceiptTag:
    repository, tag = _text(entry, "repository"), _text(entry, "tag")
    if not is_repository(repository) or not is_tag(tag):
        raise InvalidContentError(f"{repository[:200]!r}:{tag[:200]!r} is not a tag")
    return ReceiptTag(repository, tag, Digest.parse(entry.get("digest")))


def _failure(entry: Mapping[str, Any]) -> ReceiptFailure:
    code = _text(entry, "code")
    if not _CODE.fullmatch(code):
        raise InvalidContentError(f"{code[:60]!r} is not the code of an error")
    return ReceiptFailure(_text(entry, "name"), code, _text(entry, "message"))


def _log(entry: Mapping[str, Any]) -> LogPosition:
    length = entry.get("length")
    if not isinstance(length, int) or isinstance(length, bool) or not 0 < length <= MAX_BLOB:
        raise InvalidContentError(f"{str(length)[:60]!r} is not the length of a log")
    return LogPosition(length, Digest.parse(entry.get("head")))


def _each(
    value: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], T]
) -> tuple[T, ...]:
    entries = value.get(key)
    if not isinstance(entries, list):
        raise InvalidContentError(f"{key} must be a list of objects")
    return tuple(read(_object(entry, key)) for entry in entries)


def _or_none(
    value: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], T]
) -> T | None:
    if key not in value:
        raise InvalidContentError(f"{key} must be an object or null")
    return None if value[key] is None else read(_object(value[key], key))


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidContentError(f"{what} must hold objects")
    return value


def _text(value: Mapping[str, Any], key: str, *, limit: int = MAX_TEXT) -> str:
    text = value.get(key)
    if not isinstance(text, str) or len(text) > limit:
        raise InvalidContentError(f"{key} must be a text of at most {limit} characters")
    if not text.isprintable() or not unicodedata.is_normalized("NFC", text):
        raise InvalidContentError(f"{key} holds characters that are not shown as they are")
    return text


def _one_of(value: Mapping[str, Any], key: str, choices: tuple[Choice, ...]) -> Choice:
    found = next((choice for choice in choices if choice == value.get(key)), None)
    if found is None:
        raise InvalidContentError(f"{str(value.get(key))[:60]!r} is no {key} that airgap knows")
    return found
