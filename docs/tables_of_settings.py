"""The gateway's configuration file as a page: every key, out of the models that check it."""

from __future__ import annotations

import types
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from table_rows import code, table

from sagewire.gateway.config import (
    DeploymentConfig,
    GatewayConfig,
    KeyConfig,
    ModelConfig,
    ServerConfig,
    TimeLimits,
)
from sagewire.gateway.config.server import ModelLimits

__all__ = ["settings"]

SECTIONS = {
    GatewayConfig: "The file",
    ModelConfig: "A model",
    DeploymentConfig: "A deployment",
    TimeLimits: "Time limits",
    KeyConfig: "A key",
    ModelLimits: "Limits of a key for one model",
    ServerConfig: "The server",
}
WORDS = {bool: "yes or no", str: "text", int: "whole number", float: "number", datetime: "moment", SecretStr: "secret"}


def settings() -> str:
    """Return a table for each section of the file."""
    parts = []
    for model, title in SECTIONS.items():
        says = " ".join((model.__doc__ or "").split())
        rows = [_row(name, field) for name, field in model.model_fields.items() if not field.exclude]
        parts.append(f"## {title}\n\n{says}\n\n{table(('Key', 'Type', 'Default', 'Description'), rows)}")
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    if not field.description:
        raise ValueError(f"{name} has no description")
    return code(field.alias or name), _takes(field.annotation), _default(field), field.description


def _takes(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(arguments[0])
    if origin is Literal:
        return " or ".join(code(str(one)) for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_takes(one) for one in arguments if one is not types.NoneType)
    if origin is list:
        return f"list of: {_takes(arguments[0])}"
    if origin is dict:
        return "mapping" if arguments[1] is Any else f"mapping to: {_takes(arguments[1])}"
    if annotation in SECTIONS:
        title = SECTIONS[annotation]
        return f"[{title[:1].lower() + title[1:]}](#{title.lower().replace(' ', '-')})"
    return WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value in (None, PydanticUndefined) or isinstance(value, (list, dict)) or type(value) in SECTIONS:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return code(value) if isinstance(value, str) else str(value)
