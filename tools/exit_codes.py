"""Writes docs/exit-codes.md from the error classes: `python -m tools.exit_codes`."""

from __future__ import annotations

import inspect
from pathlib import Path

import airgap.errors
from airgap.errors import AirgapError, ExitCode

TARGET = Path(__file__).parent.parent / "docs" / "exit-codes.md"

_HEAD = """\
# Exit codes and error codes

This file is generated from the classes in `airgap/errors.py` by `make docs`; a test compares them.

Every error has a stable code in words, which stands in the message (`error[unauthorized]: …`) and
in the output of `--json`, and leads to an exit code. Codes are never renumbered and never reused.
New ones may be added: take every code that is not listed here for a failure.

| exit | error code | meaning |
| ---: | --- | --- |
"""

_NOTES = """
## Which code it is

- A bug in airgap ends with 1 and a traceback, which belongs in a report.
- What the command line itself refuses (an unknown option, a missing argument) ends with 2.
- Where a check finds several things, the first of 22, 21, 20, 23 is the exit code.
- Bytes that are wrong are 20, whichever side they came from. A body that ends early after all
  attempts is 12. A page of HTML, a wrong type or a loop of redirects is 13. A bundle that was cut
  short is 23.
- `--keep-going` with anything left over ends with 3.
- After 130 and 12 the same command goes on where it stopped.
"""


def error_classes() -> list[type[AirgapError]]:
    """All error classes, by exit code and then in the order in which the module holds them."""
    found = [item for item in vars(airgap.errors).values() if inspect.isclass(item)]
    return sorted(
        (item for item in found if issubclass(item, AirgapError)), key=lambda item: item.exit_code
    )


def render() -> str:
    """The text of the document."""
    rows = [f"| {ExitCode.OK:d} | | Done, and complete. |"]
    for item in error_classes():
        meaning = (inspect.getdoc(item) or "").partition("\n")[0]
        if item is AirgapError:
            meaning = "A bug in airgap, or a failure that no other code describes."
        rows.append(f"| {item.exit_code:d} | `{item.code}` | {meaning} |")
    return _HEAD + "\n".join(rows) + "\n" + _NOTES


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
