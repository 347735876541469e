"""Paths and methods become routes, or errors of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.oci.digest import Digest
from airgap.server.errors import WireError
from airgap.server.router import METHODS, Resource, Route, route

DIGEST = str(Digest.of(b""))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", Route(Resource.BASE)),
        ("/v2/", Route(Resource.BASE)),
        ("/v2/_catalog", Route(Resource.CATALOG)),
        ("/v2/_airgap/inventory", Route(Resource.INVENTORY)),
        ("/v2/a/tags/list", Route(Resource.TAGS, "a")),
        ("/v2/a/b/tags/list", Route(Resource.TAGS, "a/b")),
        (f"/v2/a/b/blobs/{DIGEST}", Route(Resource.BLOB, "a/b", DIGEST)),
        ("/v2/a/manifests/1.0", Route(Resource.MANIFEST, "a", "1.0")),
        (f"/v2/a/manifests/{DIGEST}", Route(Resource.MANIFEST, "a", DIGEST)),
        ("/v2/a/manifests/.not-a-tag", Route(Resource.MANIFEST, "a", ".not-a-tag")),
        (f"/v2/a/referrers/{DIGEST}", Route(Resource.REFERRERS, "a", DIGEST)),
        # names that look like endpoints
        ("/v2/tags/list/tags/list", Route(Resource.TAGS, "tags/list")),
        ("/v2/a/blobs/manifests/x", Route(Resource.MANIFEST, "a/blobs", "x")),
        (f"/v2/blobs/uploads/blobs/{DIGEST}", Route(Resource.BLOB, "blobs/uploads", DIGEST)),
        ("/v2/manifests/manifests/manifests", Route(Resource.MANIFEST, "manifests", "manifests")),
    ],
)
def test_paths_are_read_from_their_end(path, expected):
    """A path names a resource, whatever words the repository's name is made of."""
    assert route("GET", path) == expected


@pytest.mark.parametrize("path", ["/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads"])
def test_uploads_begin_with_or_without_a_slash(path):
    """Clients disagree on the slash at the end of the uploads endpoint."""
    assert route("POST", path) == Route(Resource.UPLOADS, "a/b")
    assert route("PATCH", "/v2/a/b/blobs/uploads/id") == Route(Resource.UPLOAD, "a/b", "id")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NAME_UNKNOWN"),
        ("GET", "/v1/a/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a/b/c", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/_airgap/inventory/", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/_airgap", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a/_airgap/inventory", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/_airgap/inventory/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/_airgap/manifests/inventory", 400, "NAME_INVALID"),
        ("POST", "/v2/_airgap/inventory", 405, "UNSUPPORTED"),
        ("DELETE", "/v2/_airgap/inventory", 405, "UNSUPPORTED"),
        ("GET", "/v2/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/A/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/../../etc/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/../b/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a//b/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a\x00/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/blobs/sha256:123", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/..", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/a/blobs/{DIGEST.upper()}", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/manifests/sha256:xyz", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/referrers/tag", 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/", 405, "UNSUPPORTED"),
        ("PUT", f"/v2/a/blobs/{DIGEST}", 405, "UNSUPPORTED"),
        ("GET", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"),
        ("TRACE", "/v2/a/manifests/x", 405, "UNSUPPORTED"),
    ],
)
def test_what_is_no_resource_is_an_error_of_the_specification(method, path, status, code):
    """Unknown paths, names and digests that are none, and methods get their own errors."""
    with pytest.raises(WireError) as caught:
        route(method, path)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_refused_method_is_told_which_are_allowed():
    """A 405 says what may be asked instead."""
    with pytest.raises(WireError) as caught:
        route("POST", "/v2/a/manifests/x")
    assert caught.value.headers["Allow"] == ", ".join(METHODS[Resource.MANIFEST])


@given(st.text(alphabet="/abv2._-:ABblobsmanifeststaglr\x00%", max_size=60))
def test_any_path_is_a_valid_route_or_an_error(text):
    """No path leads to a repository whose name could leave a folder."""
    try:
        found = route("GET", "/v2/" + text)
    except WireError:
        return
    assert ".." not in found.repository.split("/")
    assert not found.repository.startswith("/")
