import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import SignatureError
from airgap.trust.signed import BEGIN, END, MAX_SIZE, join, split


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=50).filter(lambda b: b"\n" not in b))
def test_what_was_joined_is_split_again(payload, signatures):
    """Whatever bytes the record holds."""
    assert split(join(payload, signatures)) == (payload, signatures)


def test_a_record_that_holds_a_trailer_itself_is_split_at_the_last_one():
    """What was signed may be anything."""
    inner = join(b"inner", b"{}")

    assert split(join(inner, b'{"a":1}')) == (inner, b'{"a":1}')


def test_no_signatures_leave_the_record_as_it_is():
    """An unsigned record has no trailer."""
    assert join(b"payload", b"") == b"payload"
    assert split(b"payload") == (b"payload", b"")


@pytest.mark.parametrize("kept", range(1, len(BEGIN) + len(END) + 2))
def test_signatures_that_are_cut_short_are_refused_or_are_not_there(kept):
    """Whatever the cut leaves of the trailer, it does not pass as a whole one."""
    payload = b"payload"
    cut = join(payload, b"{}")[:-kept]
    if kept <= len(END) + 2:
        with pytest.raises(SignatureError, match="cut short"):
            split(cut)
    else:
        assert split(cut) == (cut, b"")


def test_an_end_without_a_beginning_is_refused():
    """Signatures that are larger than the limit, or whose first line is gone."""
    for raw in (b"payload" + END, b"p" + BEGIN + b"x" * (MAX_SIZE + 1) + END):
        with pytest.raises(SignatureError, match="cut short or too long"):
            split(raw, what="a.receipt")


def test_a_trailer_of_several_lines_is_refused():
    """Its document is written without line breaks."""
    with pytest.raises(SignatureError, match="damaged"):
        split(b"payload" + BEGIN + b"{\n}" + END)


def test_a_beginning_and_an_end_that_share_their_line_break_are_refused():
    """Nothing stands between them, not even what says that nobody signed."""
    with pytest.raises(SignatureError, match="cut short"):
        split(b"payload" + BEGIN + END.removeprefix(b"\n"))
