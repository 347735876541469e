"""Lists are cut into pages that together are the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.server.errors import WireError
from airgap.server.paging import next_link, page, page_size


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 50), ("0", 0), ("1", 1), ("50", 50), ("999999999", 50)]
)
def test_the_size_of_a_page_is_read_and_limited(text, expected):
    """No page is larger than the registry's limit."""
    assert page_size(text, 50) == expected


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", "1" * 40, "\u0661"])
def test_a_size_that_is_no_number_is_refused(text):
    """Nonsense is 400 and not taken for some number."""
    with pytest.raises(WireError) as caught:
        page_size(text, 50)
    assert caught.value.status == 400


def test_a_page_begins_after_the_last_item_even_if_that_is_gone():
    """A tag that was deleted between two pages does not make the list begin anew."""
    assert page(["a", "c", "d"], 2, "b") == (["c", "d"], False)
    assert page(["a", "c", "d"], 1, "a") == (["c"], True)
    assert page(["a"], 1, "z") == ([], False)


def test_no_page_follows_an_empty_one():
    """n=0 gives nothing and no link."""
    assert page(["a", "b"], 0, None) == ([], False)


@given(st.lists(st.text("abc", min_size=1), unique=True), st.integers(1, 4))
def test_all_pages_are_the_whole_list(items, size):
    """Following the pages gives every item once, in order."""
    items.sort()
    got, last = [], None
    for _ in range(len(items) + 1):
        found, has_more = page(items, size, last)
        got += found
        if not has_more:
            break
        last = found[-1]
    assert got == items


def test_a_link_leads_to_the_next_page():
    """The header has the form of RFC 8288, and its values are encoded."""
    assert next_link("/v2/a/tags/list", {"n": "2", "last": "a+b"}) == {
        "Link": '</v2/a/tags/list?n=2&last=a%2Bb>; rel="next"'
    }
