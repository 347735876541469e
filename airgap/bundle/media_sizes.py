"""How large a volume may be: sizes as people write them, and the names of media."""

from __future__ import annotations

import re

from airgap.content.filesystem import FAT_FILE_LIMIT
from airgap.errors import SettingsError
from airgap.wording import size_text, visible

SMALLEST_VOLUME = 1 << 20
"""Less holds hardly more than the front of a volume, which every volume carries."""
LARGEST_VOLUME = 1 << 53
"""What JSON counts exactly, as with blobs."""

_SECTOR = 2048
_DISC_RESERVE = 8 << 20
"""What a disc needs beside the volume: UDF has a bitmap of free space, 3 MB on bd-dl,
the descriptors and folders of ISO 9660 or UDF less than 1 MB, the padding behind a track 150
sectors; the rest is for `release.sha256` and the other small files beside a volume."""
# Each is the smallest of the kinds that are sold under that name, so that a volume fits on any of
# them. DVD-RAM and rewritable discs of other sizes are smaller and are asked for in bytes.
_DISC_SECTORS = {
    # CD-R of 80 minutes: ECMA-394 with 75 sectors a second (ECMA-130), of which the lead-out begins
    # between 79:57 and 79:59 on the discs that are sold
    "cd": (79 * 60 + 57) * 75,
    # DVD+R (ECMA-349); DVD-R (ECMA-359) has 2,298,496
    "dvd": 2_295_104,
    # DVD-R DL (ECMA-382); DVD+R DL (ECMA-364) has 4,173,824
    "dvd-dl": 4_171_712,
    # BD-R and BD-RE with the spare area that writing programs format by default; 12,219,392 without
    # (White Paper Blu-ray Disc Format, 1.A; MMC-6, READ FORMAT CAPACITIES)
    "bd": 11_826_176,
    # the same on two layers; 24,438,784 without spare area
    "bd-dl": 23_652_352,
}
_MEDIA = {"fat32": FAT_FILE_LIMIT} | {
    name: sectors * _SECTOR - _DISC_RESERVE for name, sectors in _DISC_SECTORS.items()
}
_UNITS: dict[str, int] = {
    prefix + suffix: base**power
    for power, prefix in enumerate(("", "k", "m", "g", "t"))
    for base, suffix in ((1000, ""), (1000, "b"), (1024, "ib"))
    if prefix or suffix != "ib"
}
_SIZE = re.compile(r"([0-9]{1,16}) ?([a-z]{0,3})", re.IGNORECASE | re.ASCII)
_HINT = f"write bytes, 500MB, 4GiB or one of {', '.join(_MEDIA)}"


def parse_volume_size(text: str) -> int:
    """Read how many bytes a volume may have at most.

    Args:
        text: Bytes; a whole number with kB, MB, GB, TB for thousands or KiB, MiB, GiB, TiB for
            powers of 1024; or fat32, cd, dvd, dvd-dl, bd, bd-dl for what goes on such a medium.
            Upper and lower case are the same.

    Raises:
        SettingsError: It is none of these, or less than 1 MiB.
    """
    word = text.strip().lower()
    if word in _MEDIA:
        return _MEDIA[word]
    found = _SIZE.fullmatch(word)
    unit = _UNITS.get(found[2]) if found else None
    if found is None or unit is None:
        raise SettingsError(f"{visible(text[:100])!r} is not the size of a volume", hint=_HINT)
    size = int(found[1]) * unit
    if size < SMALLEST_VOLUME:
        raise SettingsError(
            f"volumes of {size_text(size)} are too small",
            hint="a volume has at least 1 MiB (1,048,576 bytes)",
        )
    if size > LARGEST_VOLUME:
        raise SettingsError(f"volumes of {visible(text.strip())} are too large", hint=_HINT)
    return size
