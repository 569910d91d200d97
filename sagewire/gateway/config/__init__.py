"""Configuration files: sagewire's own form, and LiteLLM's, which runs unchanged.

    models:
      llama:
        endpoint: my-llama
        region: us-east-1

A wrong key is an error that names its line and the nearest right key. `os.environ/NAME` stands for an environment
variable wherever a value can be. `include` names further files, which are read as a part of it.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sagewire.errors import UsageError
from sagewire.gateway.config.deployment import DeploymentConfig, TimeLimits
from sagewire.gateway.config.document import ENVIRONMENT_MARK, Document, nearest
from sagewire.gateway.config.litellm_form import LiteLlmConfig
from sagewire.gateway.config.litellm_translation import translated
from sagewire.gateway.config.models import GatewayConfig, ModelConfig
from sagewire.gateway.config.server import KeyConfig, ServerConfig
from sagewire.gateway.config.yaml_files import INCLUDE, LITELLM_SECTIONS, read_text

__all__ = [
    "DeploymentConfig",
    "GatewayConfig",
    "KeyConfig",
    "ModelConfig",
    "ServerConfig",
    "TimeLimits",
    "load_config",
    "parse_config",
]


def load_config(path: str | Path, files: dict[Path, bytes] | None = None) -> GatewayConfig:
    """Return the configuration in a file, and in those it includes.

    Args:
        path: The file.
        files: Gets a digest of each file that is read, and nothing for one that is not there, by its path; also where
            something is wrong with it.

    Raises:
        UsageError: It cannot be read, or something in it is wrong; the message names the line.
    """
    files = {} if files is None else files
    try:
        text = read_text(Path(path), files)
    except UsageError as error:
        raise UsageError(str(error).replace("cannot read", "cannot read the configuration", 1)) from None
    return _parsed(Document(text, str(path), path=Path(path), files=files), dict(os.environ))


def parse_config(text: str, name: str = "configuration", environment: Mapping[str, str] | None = None) -> GatewayConfig:
    r"""Return the configuration in a text, in either form.

    Args:
        text: YAML; files it includes are looked for in the current directory.
        name: Its name in messages.
        environment: The environment variables; else the process's own.

    Raises:
        UsageError: Something is wrong; the message names the line and the nearest right key.

    Example:
        >>> parse_config("models:\n  llama: {endpoint: my-llama}").models["llama"].deployments[0].endpoint
        'my-llama'
        >>> parse_config("models:\n  llama:\n    endpont: my-llama")
        Traceback (most recent call last):
        ...
        sagewire.errors.UsageError: configuration, line 3: models.llama.endpont: unknown key; did you mean 'endpoint'?
    """
    return _parsed(Document(text, name), dict(os.environ) if environment is None else environment)


def _parsed(document: Document, environment: Mapping[str, str]) -> GatewayConfig:
    own = _own_variables(document, environment)
    variables = ChainMap(own, dict(environment))
    missing = document.resolve(variables)
    litellm = any(section in document.data for section in LITELLM_SECTIONS)
    try:
        if litellm:
            return translated(LiteLlmConfig.model_validate(document.data), document, missing, variables)
        for path, variable in missing:
            raise document.error(path, f"the environment variable {variable} is not set")
        return GatewayConfig.model_validate(document.data)
    except ValidationError as error:
        raise readable_error(error, document, LiteLlmConfig if litellm else GatewayConfig) from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise document.error((), f"a value has the wrong type: {error}") from error


def _own_variables(document: Document, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the file defines; what they refer to is a variable of the process."""
    found: dict[str, str] = {}
    for section in ("environment_variables", "environment"):
        given = document.data.get(section) or {}
        if not isinstance(given, dict):
            raise document.error((section,), "should be a mapping of names to values")
        for name, value in given.items():
            text = str(value)
            if text.startswith(ENVIRONMENT_MARK):
                text = environment.get(text[len(ENVIRONMENT_MARK) :], text)
            if value is not None and not text.startswith(ENVIRONMENT_MARK):
                found[str(name)] = text
    return found


# Of pydantic's own messages, those that do not say what to write instead.
_PLAIN = {
    "string_type": "should be a text; put it in quotes",
    "list_type": "should be a list, each entry on a line that begins with '- '",
    "dict_type": "should be a mapping, each line with a name, a colon and a value",
    "model_type": "should be a mapping, each line with a name, a colon and a value",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
}
# Kinds of value by the names that pydantic puts behind the path of a field that takes several.
_KINDS = {
    "str": "a text",
    "bool": "true, false",
    "int": "a number",
    "float": "a number",
    "dict": "a mapping",
    "list": "a list",
}


def readable_error(error: ValidationError, document: Document, model: type[BaseModel]) -> UsageError:
    """Return pydantic's errors about a file in sentences that name their lines."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt key mostly explains the others: the right one is missing.
    unknown = [item for item in found if item["type"] == "extra_forbidden"]
    if unknown:
        places = {
            item["loc"]: f"unknown key{nearest(str(item['loc'][-1]), _keys_at(item['loc'][:-1], model))}"
            for item in unknown
        }
    else:
        places = _sentences([(item["loc"], item["type"], item["msg"]) for item in found])
    lines = []
    for path, says in places.items():
        # What is wrong about several settings begins with one of them, whose line says more than the beginning of all.
        named = says.partition(" ")[0].strip("`':")
        lines.append(str(document.error(path, " ".join(says.split()), at=(*path, named))))
    return UsageError("\n".join(lines))


def _sentences(found: Sequence[tuple[tuple[str | int, ...], str, str]]) -> dict[tuple[str | int, ...], str]:
    """Return one sentence for each place that has a mistake; a field of several kinds has one for each of them."""
    places: dict[tuple[str | int, ...], str] = {}
    kinds: dict[tuple[str | int, ...], list[str]] = {}
    for path, _, _ in found:
        kind = str(path[-1]).partition("[")[0] if path else ""
        if kind in _KINDS:
            kinds.setdefault(path[:-1], []).append(_KINDS[kind])
    for path, type, message in found:
        if len(kinds.get(path[:-1], ())) > 1:
            places[path[:-1]] = "should be " + " or ".join(dict.fromkeys(kinds[path[:-1]]))
        else:
            says = message.removeprefix("Value error, ").removeprefix("Input ")
            places.setdefault(path, _PLAIN.get(type, says))
    return places


def _keys_at(path: tuple[str | int, ...], model: Any) -> set[str]:
    """Return the keys that may stand at a path."""
    fields: Mapping[str, Any] = model.model_fields
    if not path:
        names = set(fields)
        if model is GatewayConfig:
            return names | {INCLUDE}
        return names | set(DeploymentConfig.model_fields) if model is ModelConfig else names
    step, *rest = path
    inner = fields[str(step)].annotation if str(step) in fields else None
    for candidate in _models_in(inner):
        # One step further for the name in a mapping, or the number in a list.
        skip = 0 if inner is candidate or not rest else 1
        return _keys_at(tuple(rest[skip:]), candidate)
    return set()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]
