"""What must hold inside an inventory that came from somebody else. Pure.

Tables are checked a slice at a time, so that a million rows are never a million objects.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, compress, islice
from operator import ge, gt, lt
from struct import Struct
from typing import Any, NamedTuple

from airgap.errors import BundleFormatError, InvalidContentError, InvalidReferenceError
from airgap.oci.descriptor import MAX_SIZE as MAX_BLOB
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.reference import Reference, is_registry, is_repository, is_tag
from airgap.record.inventory_format import DIGEST_SIZE, DigestRows, Header, Kind, Sections

SLICE = 8192
MAX_OTHERS = 100_000
_ROW = Struct(f"{DIGEST_SIZE}s")


class OtherDigest(NamedTuple):
    """A digest that the table does not have.

    Attributes:
        digest: The digest.
        size: Its bytes; None where it is only named.
        repositories: The numbers of the repositories that hold it.
    """

    digest: Digest
    size: int | None
    repositories: tuple[int, ...]


class Contents(NamedTuple):
    """What an inventory holds beside its tables.

    Attributes:
        repositories: Their names.
        image_names: The names of the images.
        others: Digests that the table does not have.
    """

    repositories: tuple[str, ...]
    image_names: tuple[str, ...]
    others: tuple[OtherDigest, ...]


def check_sections(header: Header, sections: Sections) -> Contents:
    """Check all of an inventory, and read its names.

    Raises:
        BundleFormatError: It is damaged, or forged so that it cannot be read in one way only.
    """
    _check_digests(sections.digests)
    if max(sections.sizes, default=0) > MAX_BLOB:
        raise _damaged("a size is larger than a blob can be")
    _check_links(sections.ends, sections.links, header.repositories)
    try:
        repositories, image_names = _names(header, sections.names)
        others = _others(header, sections.others)
    except (UnicodeDecodeError, InvalidContentError, InvalidReferenceError) as error:
        reason = "a name is not of ASCII" if isinstance(error, ValueError) else str(error)
        raise _damaged(reason) from error
    contents = Contents(repositories, image_names, others)
    _check_use(header, sections, contents)
    _check_images(header, sections, contents)
    _check_further(sections, contents)
    return contents


def name_check(kind: Kind) -> Callable[[str], bool]:
    """What tells whether a text names a repository in an inventory of this kind."""
    return is_repository if kind in ("registry", "need") else _is_full_name


def check_image_name(kind: Kind, name: str) -> None:
    """See that a name is as an inventory of this kind writes those of images.

    Raises:
        InvalidContentError: It is not.
        InvalidReferenceError: It is not.
    """
    if kind == "registry":
        repository, _, tag = name.rpartition(":")
        if not is_repository(repository) or not is_tag(tag):
            raise InvalidContentError(f"{name[:200]!r} is not the name of an image")
    elif Reference.parse(name).tagged != name:
        raise InvalidContentError(f"{name[:200]!r} is not the full name of an image")


def _is_full_name(text: str) -> bool:
    registry, _, path = text.partition("/")
    return is_registry(registry) and is_repository(path)


def _check_digests(digests: memoryview) -> None:
    last: tuple[bytes, ...] | None = None
    step = SLICE * DIGEST_SIZE
    for start in range(0, len(digests), step):
        rows = list(_ROW.iter_unpack(digests[start : start + step]))
        if (last is not None and last >= rows[0]) or not _is_ascending(rows):
            raise _damaged("its digests are not in order")
        last = rows[-1]


def _check_links(ends: Sequence[int], links: Sequence[int], repositories: int) -> None:
    """See that links are shared out to the digests one after the other, and each share is sorted.

    Where a link is not above the one before it, a share must begin.
    """
    if max(links, default=-1) >= repositories:
        raise _damaged("a link leads to no repository")
    if (ends[-1] if len(ends) else 0) != len(links):
        raise _damaged("its links do not add up")
    begin = 0
    for start in range(0, len(ends), SLICE):
        rows = ends[start : start + SLICE]
        is_rising = not any(map(gt, rows, islice(rows, 1, None)))
        if rows[0] < begin or not is_rising or rows[-1] > len(links):
            raise _damaged("its links are not in order")
        _check_shares(rows, links, begin, rows[-1])
        begin = rows[-1]


def _check_shares(rows: Sequence[int], links: Sequence[int], begin: int, end: int) -> None:
    """Check a run of shares; there may be any number of links in it."""
    bounds = frozenset(rows)
    for start in range(begin, end, SLICE):
        part = links[start : min(end, start + SLICE + 1)]
        falls = compress(range(start + 1, start + len(part)), map(ge, part, islice(part, 1, None)))
        if not bounds.issuperset(falls):
            raise _damaged("the links of a digest are not in order")


def _names(header: Header, raw: memoryview) -> tuple[tuple[str, ...], tuple[str, ...]]:
    text = str(raw, "ascii")
    lines = text.split("\n")
    if lines.pop() or len(lines) != header.repositories + header.images:
        raise InvalidContentError("it has another number of names than it says")
    repositories = tuple(lines[: header.repositories])
    images = tuple(lines[header.repositories :])
    if not _is_ascending(repositories) or not _is_ascending(images):
        raise InvalidContentError("its names are not in order")
    is_name = name_check(header.kind)
    for name in repositories:
        if not is_name(name):
            raise InvalidContentError(f"{name[:200]!r} is not a repository")
    for name in images:
        check_image_name(header.kind, name)
    return repositories, images


def _others(header: Header, raw: memoryview) -> tuple[OtherDigest, ...]:
    if not header.others:
        return ()
    line = bytes(raw)
    if not line.endswith(b"\n"):
        raise InvalidContentError("it was cut short")
    value = parse_object(line[:-1], what="its last line")
    listed = value.get("digests")
    if not isinstance(listed, list) or len(listed) != header.others or len(listed) > MAX_OTHERS:
        raise InvalidContentError("it has another number of further digests than it says")
    found = tuple(_other(header, entry) for entry in listed)
    if other_bytes(found) != line:
        raise InvalidContentError("its last line is not in its canonical form")
    if not _is_ascending([other.digest for other in found]):
        raise InvalidContentError("its further digests are not in order")
    return found


def other_bytes(others: Iterable[OtherDigest]) -> bytes:
    """The line that holds the digests which the table does not have; none without any."""
    listed = [
        {"digest": str(o.digest)}
        | ({} if o.size is None else {"size": o.size, "repositories": list(o.repositories)})
        for o in others
    ]
    return canonical_bytes({"digests": listed}) + b"\n" if listed else b""


def _other(header: Header, entry: object) -> OtherDigest:
    if not isinstance(entry, Mapping):
        raise InvalidContentError("a further digest must be an object")
    digest, size, links = (
        Digest.parse(entry.get("digest")),
        entry.get("size"),
        entry.get("repositories", []),
    )
    if size is None:
        if header.kind != "need":
            raise InvalidContentError(f"it does not say how large {digest} is")
        return OtherDigest(digest, None, ())
    if digest.algorithm == "sha256":
        raise InvalidContentError(f"{digest} belongs into the table")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise InvalidContentError(f"{digest} has a size that none can have")
    is_list = isinstance(links, list) and all(type(number) is int for number in links)
    if not is_list or not _is_ascending(links):
        raise InvalidContentError(f"the links of {digest} are not in order")
    if links and not 0 <= links[0] <= links[-1] < header.repositories:
        raise InvalidContentError(f"a link of {digest} leads to no repository")
    return OtherDigest(digest, size, tuple(links))


def _check_use(header: Header, sections: Sections, contents: Contents) -> None:
    """See that each repository holds something, and in a registry the other way round."""
    used = bytearray(header.repositories)
    for number in chain(sections.links, *(other.repositories for other in contents.others)):
        used[number] = 1
    if not all(used):
        raise _damaged("it names a repository that holds nothing")
    if header.kind != "registry":
        return
    ends = sections.ends
    is_linked = not len(ends) or (ends[0] > 0 and all(map(lt, ends, islice(ends, 1, None))))
    if not is_linked or not all(other.repositories for other in contents.others):
        raise _damaged("something is held by no repository")


def _check_images(header: Header, sections: Sections, contents: Contents) -> None:
    named = set()
    numbers = {name: number for number, name in enumerate(contents.repositories)}
    for name, row in zip(contents.image_names, sections.images, strict=True):
        if row >= header.blobs + header.others:
            raise _damaged(f"{name} is a digest that there is not")
        if row >= header.blobs:
            named.add(row - header.blobs)
        if header.kind != "registry":
            _check_pinned(name, row, header, sections, contents)
            continue
        number = numbers.get(name.rpartition(":")[0])
        links = links_of(sections, contents.others, row)
        # Searched and not gone through: many images may be one digest that many repositories hold.
        place = len(links) if number is None else bisect_left(links, number)
        if place == len(links) or links[place] != number:
            raise _damaged(f"{name} is a digest that its repository does not hold")
    for number, other in enumerate(contents.others):
        if other.size is None and number not in named:
            raise _damaged(f"{other.digest} is neither held nor named")


def _check_further(sections: Sections, contents: Contents) -> None:
    """See that no digest is named beside the table that stands in it with its size."""
    rows = DigestRows(sections.digests)
    for other in contents.others:
        if rows.find(other.digest) is not None:
            raise _damaged(f"{other.digest} stands there twice")


def _check_pinned(
    name: str, row: int, header: Header, sections: Sections, contents: Contents
) -> None:
    """See that a name with a digest stands for that digest."""
    _, _, pinned = name.partition("@")
    if not pinned:
        return
    if row < header.blobs:
        actual = f"sha256:{DigestRows(sections.digests)[row].hex()}"
    else:
        actual = str(contents.others[row - header.blobs].digest)
    if actual != pinned:
        raise _damaged(f"{name} stands for {actual}")


def links_of(sections: Sections, others: Sequence[OtherDigest], row: int) -> Sequence[int]:
    """The numbers of the repositories that hold the digest of a row."""
    if row >= len(sections.ends):
        return others[row - len(sections.ends)].repositories
    return sections.links[sections.ends[row - 1] if row else 0 : sections.ends[row]]


def _is_ascending(rows: Sequence[Any]) -> bool:
    return all(map(lt, rows, islice(rows, 1, None)))


def _damaged(reason: str) -> BundleFormatError:
    return BundleFormatError(
        f"the inventory is damaged: {reason}", hint="copy it again from where it was made"
    )
