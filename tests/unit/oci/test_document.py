"""Reading somebody else's JSON, and writing our own."""

from __future__ import annotations

import time

import pytest

from airgap.errors import InvalidContentError
from airgap.oci.document import MAX_DEPTH, MAX_VALUES, canonical_bytes, parse_object


def refusal(raw: bytes) -> str:
    """The message with which a document is refused."""
    with pytest.raises(InvalidContentError) as caught:
        parse_object(raw, what="the document")
    assert caught.value.message.startswith("the document")
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{"a": [1, 2.5, null, true, "\\u00e9"]} ', {"a": [1, 2.5, None, True, "é"]}),
        ('{"name":"grün 🚢"}'.encode(), {"name": "grün 🚢"}),
        (b'{"pair":"\\ud83d\\udea2"}', {"pair": "🚢"}),
        (b'{"size":9007199254740992}', {"size": 1 << 53}),
        (b'{"escaped":"\\\\ud800"}', {"escaped": "\\ud800"}),
    ],
)
def test_good_documents_are_read(raw: bytes, value: object):
    """What JSON allows comes out as it stands there."""
    assert parse_object(raw, what="the document") == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"nonsense",
        b"[]",
        b'"text"',
        b"17",
        b"null",
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":1}{"b":2}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"line\nbreak"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32"),
        b"\x00" * 100,
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_object_in_utf8_is_refused(raw: bytes):
    """Broken JSON, JSON that is no object, and other encodings are refused."""
    assert "JSON" in refusal(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"<html><body>Please log in</body></html>", "HTML"),
        (b"\n  <!DOCTYPE html>", "HTML"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"x":{"digest":"good","digest":"bad"}}', "twice"),
        (b'{"size":NaN}', "NaN"),
        (b'{"size":Infinity}', "Infinity"),
        (b'{"size":-Infinity}', "Infinity"),
        (b'{"size":1e999}', "too large"),
        (b'{"size":' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"\\uDFFF":1}', "not valid JSON"),
    ],
)
def test_tricks_are_refused_by_name(raw: bytes, says: str):
    """Keys that stand twice, numbers without a value, half characters and HTML are named."""
    assert says in refusal(raw)


def test_html_gets_a_hint():
    """A login page instead of a document gets a hint about proxies."""
    with pytest.raises(InvalidContentError) as caught:
        parse_object(b"<html>", what="the token")
    assert "proxy" in (caught.value.hint or "")


def nested(depth: int) -> bytes:
    """An object in which `depth - 1` lists lie in each other."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_the_deepest_allowed_document_is_read():
    """Exactly the limit is allowed and one more is not."""
    assert parse_object(nested(MAX_DEPTH), what="the document")
    assert "nested" in refusal(nested(MAX_DEPTH + 1))


def test_a_depth_bomb_is_refused_without_recursion():
    """A million open brackets are refused by depth, before the parser sees them."""
    assert "nested" in refusal(b'{"a":' + b"[" * 1_000_000)


def test_brackets_in_strings_are_no_depth():
    """Brackets inside of strings, also behind escaped quotes, do not count."""
    text = '[[[{{{\\"' * 100
    raw = b'{"a":"' + text.encode() + b'"}'
    assert parse_object(raw, what="the document")["a"] == text.replace('\\"', '"')


def test_many_objects_side_by_side_are_no_depth():
    """A wide document is allowed, only a deep one is not."""
    raw = b'{"a":[' + b",".join([b"{}"] * 1000) + b"]}"
    assert len(parse_object(raw, what="the document")["a"]) == 1000


@pytest.mark.parametrize("filler", [b'\\"', b'"', b"\\", b'"\\'])
def test_the_depth_check_takes_linear_time(filler: bytes):
    """A string of a megabyte of quotes and escapes that never ends is refused in a moment."""
    raw = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"[]" * 2 + b'"' + filler * (1_000_000 // len(filler))
    begin = time.process_time()
    refusal(raw)
    assert time.process_time() - begin < 2


def test_canonical_bytes_are_sorted_compact_utf8():
    """Our own documents have sorted keys, no white space and unescaped UTF-8."""
    value = {"b": [1, {"z": None, "a": "grün"}], "a": True}
    assert canonical_bytes(value) == '{"a":true,"b":[1,{"a":"grün","z":null}]}'.encode()


def test_canonical_bytes_refuse_what_is_not_json():
    """A number without a value is not written."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_bytes({"a": float("nan")})


@pytest.mark.parametrize("value", [b"{}", b"[]", b'"aa"', b"1"])
def test_too_many_values_are_refused_before_they_are_made(value: bytes):
    """A document of small values, which takes many times its size in memory, is not parsed."""
    begun = time.process_time()
    raw = b'{"a":[' + (value + b",") * MAX_VALUES + value + b"]}"
    assert "values" in refusal(raw)
    assert time.process_time() - begun < 2
