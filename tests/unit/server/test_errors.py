"""Each error of the specification has one constructor, with the right code and status."""

from __future__ import annotations

import inspect
import json

import pytest

from airgap.server import errors

TABLE = {
    "BLOB_UNKNOWN": (errors.blob_unknown("sha256:0"), 404),
    "BLOB_UPLOAD_INVALID": (errors.upload_invalid("no"), 400),
    "BLOB_UPLOAD_UNKNOWN": (errors.upload_unknown("id"), 404),
    "DIGEST_INVALID": (errors.digest_invalid("x"), 400),
    "MANIFEST_BLOB_UNKNOWN": (errors.manifest_blob_unknown("sha256:0"), 400),
    "MANIFEST_INVALID": (errors.manifest_invalid("no"), 400),
    "MANIFEST_UNKNOWN": (errors.manifest_unknown("tag"), 404),
    "NAME_INVALID": (errors.name_invalid("A"), 400),
    "NAME_UNKNOWN": (errors.name_unknown("a"), 404),
    "SIZE_INVALID": (errors.size_invalid("1"), 400),
    "UNAUTHORIZED": (errors.unauthorized("Basic"), 401),
    "DENIED": (errors.denied("a"), 403),
    "UNSUPPORTED": (errors.unsupported("x"), 405),
    "TOOMANYREQUESTS": (errors.too_many_requests(3), 429),
}
BEYOND = {
    "upload_out_of_order": 416,
    "body_too_large": 413,
    "manifest_too_large": 413,
    "page_invalid": 400,
    "range_unsatisfiable": 416,
    "internal": None,
}


@pytest.mark.parametrize("code", TABLE)
def test_a_constructor_makes_the_error_of_its_code(code):
    """Code and status are those of the specification, and code and message are not mixed up."""
    error, status = TABLE[code]
    assert (error.code, error.status) == (code, status)
    body = json.loads(error.body())["errors"]
    assert [entry["code"] for entry in body] == [code]
    assert body[0]["message"] == error.message != code


def test_every_constructor_is_in_the_tables():
    """A new constructor cannot be forgotten here."""
    made = {
        name
        for name, function in inspect.getmembers(errors, inspect.isfunction)
        if function.__module__ == errors.__name__
    }
    assert len(made) == len(TABLE) + len(BEYOND)
    assert made >= set(BEYOND)


def test_answers_carry_the_headers_that_clients_need():
    """Where to go on, how long to wait, what to log in to and what there is stand in headers."""
    assert errors.unauthorized("Basic realm=x").headers == {"WWW-Authenticate": "Basic realm=x"}
    assert errors.too_many_requests(3).headers == {"Retry-After": "3"}
    assert errors.range_unsatisfiable(9).headers == {"Content-Range": "bytes */9"}
    order = errors.upload_out_of_order("/v2/x", "0-9")
    assert (order.status, order.headers) == (416, {"Location": "/v2/x", "Range": "0-9"})
    assert errors.manifest_too_large(4).status == 413


def test_a_long_detail_is_cut():
    """What a client sent does not come back at full length."""
    entry = json.loads(errors.name_invalid("a" * 5000).body())["errors"][0]
    assert len(entry["detail"]) == 500
