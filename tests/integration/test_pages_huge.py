"""The registry's pages of what is far larger than anything that somebody means to look at.

Otherwise whoever may push could keep the registry busy with the pages of one manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airgap.oci import mediatype
from airgap.oci.manifest import parse_manifest
from airgap.server.pages.library import MAX_READS
from tests.support import builders
from tests.support.pages import Browser, PageServer, serve_pages


@pytest.fixture(name="server")
def open_server() -> Iterator[PageServer]:
    with serve_pages() as server:
        yield server


@pytest.fixture(name="browser")
def open_browser(server: PageServer) -> Iterator[Browser]:
    with server.browser() as browser:
        yield browser


def test_a_page_of_something_huge_is_shown_in_part(server: PageServer, browser: Browser):
    """However much an index lists, a page looks at some of it and says what it does not show."""
    repository = server.depot.repository("team/huge")
    child = builders.push(repository, builders.image())
    real = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(child.descriptor.digest)}
    lines = [real | {"size": child.descriptor.size}] * 4000
    lines += [real | {"digest": f"sha256:{n:064x}", "size": 300} for n in range(14_000)]
    lines = [line | {"platform": {"os": "linux", "architecture": f"a{n}"}}
             for n, line in enumerate(lines)]  # fmt: skip
    value = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": lines}
    document = parse_manifest(json.dumps(value).encode(), mediatype.OCI_INDEX)
    for tag in ("a", "b"):
        repository.put_manifest(document, tag=tag)
    asked: list[str] = []
    real_manifest = type(repository).manifest

    def counted(self, reference, /, *, media_type=""):
        asked.append(reference)
        return real_manifest(self, reference, media_type=media_type)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(repository), "manifest", counted)
        seen = browser.get("/r/team/huge:a").visible
        assert "And 17500 more, which are not shown." in seen
        assert "linux/a499" in seen
        assert "linux/a500" not in seen
        seen = browser.get("/r/team/huge").visible
        assert "and 17950 more" in seen
    assert len(asked) <= 2 * MAX_READS


def test_a_config_with_very_many_entries_is_shown_in_part(server: PageServer, browser: Browser):
    """Steps, variables, labels and annotations have an end on the page, which says so."""
    repository = server.depot.repository("team/huge")
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {
            "Env": [f"V{n}=x" for n in range(9000)],
            "Labels": {f"l{n}": "x" for n in range(8000)},
            "ExposedPorts": {str(n): {} for n in range(7000)},
        },
        "history": [{"created_by": f"step{n};", "empty_layer": True} for n in range(6000)],
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    blob = builders.blob(json.dumps(config).encode(), mediatype.OCI_CONFIG)
    builders.push_blob(repository, blob)
    value = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": blob.descriptor.to_json(),
        "layers": [],
        "annotations": {f"a{n}": "x" for n in range(5000)},
    }
    repository.put_manifest(
        parse_manifest(json.dumps(value).encode(), mediatype.OCI_MANIFEST), tag="1"
    )
    seen = browser.get("/r/team/huge:1").visible
    for left in (8500, 7500, 6500, 4500):
        assert f"and {left} more" in seen
    assert "And 5500 more, which are not shown." in seen
    assert "step499;" in seen
    assert "step500;" not in seen
