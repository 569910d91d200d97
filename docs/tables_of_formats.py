"""Tables of the prompt formats: which template each one reproduces, and for which models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from table_rows import code, table

from sagewire.prompt_formats import FORMATS, HUB_ONLY
from sagewire.prompt_formats.catalogue import MODELS
from sagewire.prompt_formats.model_ids import format_of_model

__all__ = ["exact_formats", "own_templates"]

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"


def exact_formats() -> str:
    """Return the formats with the template that each one reproduces, and the listed models that get it."""
    models = _models_by_format()
    rows = []
    for name in FORMATS:
        origin = _origin(name)
        if origin.get("kind") in (None, "jinja"):
            source = origin["source"]
            source = source if isinstance(source, str) else source[0]
            digest = origin.get("template_sha256")
            listed = ", ".join(map(code, models.get(name, ())))
            rows.append((code(name), listed, source, code(digest[:12]) if digest else "", origin.get("date", "")))
    return table(("Format", "Models, among others", "Template", "SHA-256", "Read on"), rows)


def own_templates() -> str:
    """Return the listed models without a built-in format, whose own template has to be loaded."""
    listed = [model for model in _ids() if format_of_model(model) in (None, *HUB_ONLY)]
    return ", ".join(map(code, listed)) + "."


def _ids() -> Sequence[str]:
    return (VECTORS / "model_ids.txt").read_text("utf-8").split()


def _models_by_format() -> Mapping[str, Sequence[str]]:
    found = {name: list(models) for name, models in MODELS.items()}
    for model in _ids():
        models = found.setdefault(format_of_model(model) or "", [])
        if model not in models:
            models.append(model)
    return found


def _origin(name: str) -> dict[str, Any]:
    for folder in ("recent_formats", "prompt_formats"):
        path = VECTORS / folder / f"{name}.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
    return {"kind": "none"}
