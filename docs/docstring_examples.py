"""Lets the site show the examples in docstrings as what they are: sessions of the Python prompt."""

from __future__ import annotations

import re
from typing import Any

import griffe

_HEADING = re.compile(r"(?m)^([ ]*)Example:$")
# A session outside of the section for examples: Markdown would take it for quotations, or for code of no language.
_SESSION = re.compile(r"(?m)(?P<heading>^ *\w[^\n]*:\n)?(?P<session>^(?P<indent> *)>>> .*\n?(?:(?P=indent)\S.*\n?)*)")
_FLAGS = re.compile(r" *# doctest: .*")


class Examples(griffe.Extension):
    """Gives examples the heading that the reader of Google's style knows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = _SESSION.sub(_fenced, f"{obj.docstring.value}\n")
            obj.docstring.value = _HEADING.sub(r"\1Examples:", text.rstrip("\n"))


def _fenced(found: re.Match[str]) -> str:
    heading, indent = found["heading"] or "", found["indent"]
    if heading.strip() in ("Example:", "Examples:"):
        return found[0]
    # An indented paragraph, rather than a section, would be code as it stands.
    margin = indent if heading and not heading.startswith(indent) else ""
    lines = (_FLAGS.sub("", line).removeprefix(indent) for line in found["session"].splitlines())
    return heading + "".join(f"{margin}{line}\n" for line in ("```pycon", *lines, "```"))
