"""Structured output: every answer is checked against a JSON schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from sagewire._extras import require
from sagewire.bulk.rows import load_json
from sagewire.errors import UsageError, excerpt

__all__ = ["SchemaCheck"]

# What can be repeated stands beside nothing that repeats the same: models write megabytes of blanks, too.
_FENCE = re.compile(r"```(?:json)?[^\S\n]*\n(.*)```", re.DOTALL | re.IGNORECASE)


class SchemaCheck:
    """The check of answers against a schema.

    Args:
        schema: A JSON schema; draft 2020-12 unless it names another.

    Raises:
        UsageError: It is not a valid schema.

    Example:
        >>> check = SchemaCheck({"type": "object", "required": ["label"]})
        >>> check.read('{"label": "spam"}')
        ({'label': 'spam'}, None)
        >>> check.read("{}")[1]
        "not as the schema wants at $: 'label' is a required property"
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        jsonschema = require("jsonschema", "bulk")
        from referencing import Registry

        self.schema = dict(schema)
        kind = jsonschema.validators.validator_for(self.schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except jsonschema.SchemaError as error:
            raise UsageError(f"schema: {error.message} (at {error.json_path})") from None
        # An empty registry: references to other hosts are errors rather than downloads.
        self._validator = kind(self.schema, registry=Registry())

    @property
    def response_format(self) -> dict[str, Any]:
        """The schema as OpenAI's `response_format`."""
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(self.schema.get("title") or "output"))[:64]
        return {"type": "json_schema", "json_schema": {"name": name, "schema": self.schema, "strict": True}}

    @property
    def instruction(self) -> str:
        """The schema as a sentence for models whose server cannot enforce one."""
        text = orjson.dumps(self.schema).decode()
        return f"Answer with one JSON value that fits this JSON schema, and nothing else:\n{text}"

    def read(self, text: str) -> tuple[Any, str | None]:
        """Return the value in an answer, and what is wrong with it, `None` if nothing."""
        fenced = _FENCE.fullmatch(text.strip())
        try:
            value = load_json(fenced[1] if fenced else text)
        except orjson.JSONDecodeError as error:
            return None, f"not valid JSON ({error.msg} at character {error.colno}): {excerpt(text, 80)}"
        from referencing.exceptions import Unresolvable

        try:
            # Not `best_match`: it walks through all errors, of which a wrong answer may have thousands.
            first = next(self._validator.iter_errors(value), None)
        except Unresolvable as error:
            raise UsageError(f"schema: {error} cannot be resolved; references to other documents are not") from None
        if first is None:
            return value, None
        return value, f"not as the schema wants at {first.json_path}: {excerpt(first.message)}"
