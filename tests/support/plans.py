"""A bundle that was interrupted, and other plans with which it may be continued."""

from __future__ import annotations

import random

from tests.support.writing import bundle_of

LAYERS = [random.Random(n).randbytes(700 + 512 * n) for n in range(7)]
OLD = bundle_of(LAYERS)
PLANS = {
    "the same": OLD,
    "one gone": bundle_of(LAYERS[:2] + LAYERS[3:]),
    "one more": bundle_of([b"new" * 900, *LAYERS]),
    "turned round": bundle_of(LAYERS[::-1]),
    "longer front": bundle_of(LAYERS, name="example.com/" + "long/" * 40 + "name:1"),
    "all new": bundle_of(
        # so many that its front reaches over the old blobs
        [random.Random(-n).randbytes(2000) for n in range(1, 13)],
        config=b'{"os":"linux","architecture":"arm64"}',
    ),
}
assert len(PLANS["all new"].layout.front) > OLD.layout.blobs[1].offset
