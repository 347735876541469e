"""The file of groups."""

from __future__ import annotations

from airgap.server.auth.groups import GroupFile

TEXT = "# teams\npayments: bob amy\n\nBad Name: eve\nodd\npayments: zoe\nempty:\n"


def test_members_of_all_lines_count() -> None:
    """A group may stand in several lines; lines that are none say nothing."""
    assert GroupFile.parse(TEXT).memberships() == {
        "bob": {"payments"},
        "amy": {"payments"},
        "zoe": {"payments"},
    }


def test_lines_that_say_nothing_are_told() -> None:
    """They are named by their numbers."""
    assert [line for line, _ in GroupFile.parse(TEXT).problems()] == [4, 5]


def test_a_member_is_added_to_the_line_of_the_group() -> None:
    """Everything else stays; a group that is new gets a line at the end."""
    found = GroupFile.parse(TEXT).with_member("empty", "kim").with_member("new", "kim")
    assert found.text() == TEXT.replace("empty:", "empty: kim") + "new: kim\n"
    assert found.with_member("new", "kim") == found
    assert GroupFile.parse("a: b").with_member("c", "d").text() == "a: b\nc: d\n"


def test_a_user_leaves_all_groups() -> None:
    """Groups stay, comments that name the user as well."""
    text = "# bob: was here\na: bob\nb: x bob y\nc: bobby\n"
    assert GroupFile.parse(text).without("bob").text() == (
        "# bob: was here\na:\nb: x y\nc: bobby\n"
    )
