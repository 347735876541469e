"""Configs of images, some of which are nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import InvalidContentError
from airgap.server.pages.image_config import ImageConfig, read_config


def config(value: Any) -> ImageConfig:
    return read_config(json.dumps(value).encode())


def test_a_config_is_read():
    """What people ask of an image stands in its config."""
    found = config(
        {
            "os": "linux",
            "architecture": "arm64",
            "created": "2026-01-02T03:04:05Z",
            "author": "me",
            "config": {
                "User": "1000",
                "Entrypoint": ["/bin/app", "serve"],
                "Cmd": "x",
                "Env": ["A=b"],
                "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/data": {}},
                "Labels": {"b": "2", "a": "1"},
            },
            "history": [{"created_by": "RUN x", "empty_layer": True}],
        }
    )
    assert str(found.platform) == "linux/arm64"
    assert (found.created, found.author) == ("2026-01-02T03:04:05Z", "me")
    assert dict(found.settings) == {
        "user": "1000",
        "entrypoint": "/bin/app serve",
        "command": "x",
    }
    assert (found.environment, found.ports, found.volumes) == (("A=b",), ("80/tcp",), ("/data",))
    assert found.labels == (("a", "1"), ("b", "2"))
    assert len(found.history) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = ("config", "history", "os", "architecture", "created", "author")
INNER = ("User", "Env", "Cmd", "Labels", "ExposedPorts", "Volumes", "Entrypoint")


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(INNER, JSON)),
)
def test_a_field_of_the_wrong_form_counts_as_not_there(value: dict[str, Any], inner: Any):
    """Whatever JSON object a config is, it is read without an error."""
    config(value)
    config(value | {"config": inner})


def test_what_is_no_object_is_refused():
    """A config that is no JSON object is no config."""
    with pytest.raises(InvalidContentError):
        read_config(b"[]")
