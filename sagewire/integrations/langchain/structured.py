"""Answers in the form of a schema: held to it by the container, as a forced tool call, or as plain JSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.runnables import Runnable
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from sagewire.errors import UsageError
from sagewire.integrations.langchain._errors import model_errors
from sagewire.integrations.langchain._parsing import (
    ArgumentsOfCall,
    InstanceOfAnswer,
    InstanceOfCall,
    JsonAnswer,
    repairing,
    reporting,
)
from sagewire.integrations.langchain._schemas import function_of

__all__ = ["Method", "response_format_of", "structured_output"]

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
_METHODS = ("function_calling", "json_mode", "json_schema")


def structured_output(
    model: BaseChatModel,
    schema: Any,
    method: Method | None,
    *,
    takes_schema: Callable[[], bool],
    include_raw: bool,
    strict: bool | None,
    tools: Sequence[Any] | None,
    repair: bool,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Return the model followed by the parser that `with_structured_output` promises.

    `takes_schema` says whether the container itself can hold an answer to a schema; it may have to ask the endpoint.

    Raises:
        UsageError: The arguments contradict each other.
    """
    with model_errors():
        method = _chosen_method(takes_schema, schema, method, strict, tools)
        bound, parser = _BUILDERS[method](model, schema, strict, tools, kwargs)
    if repair:
        return repairing(bound, parser, model, include_raw=include_raw)
    if not include_raw:
        return bound | parser
    return reporting(bound, parser)


def response_format_of(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return OpenAI's `response_format` for a schema of any kind; one that is already in that form stays as it is.

    Raises:
        UsageError: It is not a schema.
    """
    if isinstance(schema, Mapping):
        if schema.get("type") in ("json_schema", "json_object", "text", "regex", "grammar", "structural_tag"):
            return dict(schema)
        if "name" in schema and isinstance(schema.get("schema"), Mapping):
            return {"type": "json_schema", "json_schema": dict(schema)}
    function = function_of(schema, strict)
    described: dict[str, Any] = {"name": function["name"], "schema": function["parameters"]}
    if function.get("description"):
        described["description"] = function["description"]
    if strict is not None:
        described["strict"] = strict
    return {"type": "json_schema", "json_schema": described}


def _chosen_method(
    takes_schema: Callable[[], bool],
    schema: Any,
    method: str | None,
    strict: bool | None,
    tools: Sequence[Any] | None,
) -> Method:
    if method is not None and method not in _METHODS:
        raise UsageError(f"unknown method {method!r}; known: {', '.join(_METHODS)}")
    if method is None:
        method = "json_schema" if takes_schema() else "function_calling"
    if method == "json_schema" and _is_v1(schema):
        warnings.warn("json_schema does not support pydantic v1 classes; using function_calling", stacklevel=4)
        method = "function_calling"
    if schema is None and method != "json_mode":
        raise UsageError(f"method={method!r} needs a schema; only 'json_mode' does without")
    if strict is not None and method == "json_mode":
        raise UsageError("strict is about a schema, which 'json_mode' does not send; use 'json_schema'")
    if tools and method != "json_schema":
        raise UsageError("tools together with a structured answer need method='json_schema'")
    return method  # type: ignore[return-value]


def _by_function_calling(
    model: BaseChatModel, schema: Any, strict: bool | None, tools: Sequence[Any] | None, kwargs: dict[str, Any]
) -> tuple[Runnable[LanguageModelInput, Any], BaseOutputParser[Any]]:
    function = function_of(schema, strict)
    name = function["name"]
    if function["parameters"].get("type", "object") != "object":
        raise UsageError(
            f"function_calling makes the schema the arguments of a function, which are an object; {name} is of type "
            f"{function['parameters']['type']!r}: use method='json_schema', or a class with it as a field"
        )
    traced = _traced("function_calling", schema, strict)
    tool = {"type": "function", "function": function}
    bound = model.bind_tools([tool], tool_choice=name, strict=strict, **traced, **kwargs)
    if _is_class(schema):
        return bound, InstanceOfCall(model=schema, key_name=name, first_tool_only=True)
    return bound, ArgumentsOfCall(key_name=name, first_tool_only=True)


def _by_json_schema(
    model: BaseChatModel, schema: Any, strict: bool | None, tools: Sequence[Any] | None, kwargs: dict[str, Any]
) -> tuple[Runnable[LanguageModelInput, Any], BaseOutputParser[Any]]:
    arguments = {
        "response_format": response_format_of(schema, strict=strict),
        **_traced("json_schema", schema, strict),
        **kwargs,
    }
    bound = model.bind_tools(tools, strict=strict, **arguments) if tools else model.bind(**arguments)
    return bound, _text_parser(schema)


def _by_json_mode(
    model: BaseChatModel, schema: Any, strict: bool | None, tools: Sequence[Any] | None, kwargs: dict[str, Any]
) -> tuple[Runnable[LanguageModelInput, Any], BaseOutputParser[Any]]:
    traced = {} if schema is None else _traced("json_mode", schema, strict)
    return model.bind(response_format={"type": "json_object"}, **traced, **kwargs), _text_parser(schema)


_BUILDERS = {"function_calling": _by_function_calling, "json_mode": _by_json_mode, "json_schema": _by_json_schema}


def _text_parser(schema: Any) -> BaseOutputParser[Any]:
    return InstanceOfAnswer(pydantic_object=schema) if _is_class(schema) else JsonAnswer()


def _traced(method: Method, schema: Any, strict: bool | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"method": method} | ({} if strict is None else {"strict": strict})
    shown = schema
    if isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping):
        shown = {"title": schema.get("name"), **schema["schema"]}
    elif isinstance(schema, type) and not is_basemodel_subclass(schema):
        # LangChain writes it into the trace with its own conversion, which does not know all kinds.
        function = function_of(schema)
        shown = {"title": function["name"], "description": function.get("description", ""), **function["parameters"]}
    return {"ls_structured_output_format": {"kwargs": arguments, "schema": shown}}


def _is_class(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _is_v1(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModelV1) and not issubclass(schema, BaseModel)
