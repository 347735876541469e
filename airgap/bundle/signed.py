"""The document of signatures in the front of a bundle, as far as a bundle looks at it. Pure.

It is bytes to carry: who signed what, and whether that is to be believed, is judged elsewhere. It
is no part of the catalog, and so none of the bundle id: signing a bundle does not make another one.
"""

from __future__ import annotations

from collections.abc import Iterable

from airgap.errors import BundleFormatError, InvalidContentError
from airgap.oci.document import canonical_bytes, parse_object

MAX_SIGNATURES = 1024 * 1024
"""It is read into memory by whoever opens a bundle, before anything is known about the bundle."""


def check_signatures(raw: bytes) -> bytes:
    """See that bytes may stand where the signatures of a bundle do; gives them back.

    Raises:
        BundleFormatError: They are too many, or no object in canonical JSON.
    """
    if len(raw) > MAX_SIGNATURES:
        raise BundleFormatError(
            f"the signatures have {len(raw)} bytes; more than {MAX_SIGNATURES} are refused",
            origin="bundle",
        )
    try:
        value = parse_object(raw, what="the document of signatures")
    except InvalidContentError as error:
        raise BundleFormatError(error.message, hint=error.hint, origin="bundle") from error
    if canonical_bytes(value) != raw:
        raise BundleFormatError(
            "the document of signatures is not in its canonical form", origin="bundle"
        )
    return raw


def first_signatures(documents: Iterable[bytes]) -> bytes:
    """The signatures of a bundle of which volumes may have lost theirs: the first that there are.

    All volumes carry one catalog, so signatures in any of them speak for all.

    Args:
        documents: Those of each volume, in the order of volumes; empty for none.
    """
    return next(filter(None, documents), b"")
