"""What is left out on purpose or left to the receiver, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from airgap.bundle.catalog import Omission
from airgap.cli.visible import count_text, cut, size_text
from airgap.record.bases import Base
from airgap.transfer.outcome import LeftShare


def omission_lines(omitted: Sequence[Omission]) -> Iterator[str]:
    """All that is left out: platforms counted, the rest one by one."""
    if not omitted:
        return
    yield f"left out on purpose: {count_text(len(omitted), 'item')}"
    platforms = Counter(_platform_text(o) for o in omitted if o.reason == "platform")
    if platforms:
        listed = ", ".join(f"{name} ({count:,})" for name, count in sorted(platforms.items()))
        yield f"  other platforms: {listed}"
    others = (f"  {omission_text(o)}" for o in omitted if o.reason != "platform")
    yield from cut(others, rest="`airgap inspect bundle` lists them all")


def left_lines(bases: Sequence[Base], left_by: Sequence[LeftShare]) -> Iterator[str]:
    """What is left to the receiver because it has it, by who says so."""
    shares = {share.base: share for share in left_by}
    for number, base in enumerate(bases):
        share = shares.get(number)
        whose = f"{base.kind} {base.id.short}" + (f" of {base.place}" if base.place else "")
        # The first one that says so is believed, so a later one may say nothing new.
        nothing = (
            "nothing more" if any(earlier in shares for earlier in range(number)) else "nothing"
        )
        what = f"{count_text(share.blobs, 'blob')} ({size_text(share.size)})" if share else nothing
        yield f"left to the receiver by {whose}: {what}"


def omission_text(omission: Omission) -> str:
    """One thing that is left out, and why."""
    descriptor = omission.descriptor
    what = f"{descriptor.digest} ({descriptor.media_type}, {size_text(descriptor.size)})"
    match omission.reason:
        case "platform":
            return f"other platform, {_platform_text(omission)}: {what}"
        case "non-distributable":
            return f"non-distributable layer: {what}"
        case "missing-at-source":
            return f"missing at the source: {what}"


def _platform_text(omission: Omission) -> str:
    # Entries for no platform speak of one that stays behind: buildkit's attestations.
    platform = omission.descriptor.platform
    return str(platform) if platform and platform.is_known else "what belongs to them"
