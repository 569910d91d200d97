"""Lets the site show the examples in docstrings as what they are: sessions of the Python prompt."""

from __future__ import annotations

import re
from typing import Any

import griffe

_HEADING = re.compile(r"(?m)^([ ]*)Example:$")
# A session at the margin stands in no section, and Markdown would take it for quotations.
_AT_MARGIN = re.compile(r"(?m)^>>> .*\n(?:.+\n?)*")


class Examples(griffe.Extension):
    """Gives examples the heading that the reader of Google's style knows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = _AT_MARGIN.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value)
            obj.docstring.value = _HEADING.sub(r"\1Examples:", text)
