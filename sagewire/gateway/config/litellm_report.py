"""What each key of a LiteLLM proxy file does here, and the same configuration in sagewire's own, shorter form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from sagewire.errors import UsageError
from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config import readable_error
from sagewire.gateway.config.document import ENVIRONMENT_MARK, Document, Path
from sagewire.gateway.config.litellm_form import LiteLlmConfig
from sagewire.gateway.config.litellm_model_info import check_served, refused_info
from sagewire.gateway.config.litellm_providers import NotServed, check_provider, place_of, provider_of
from sagewire.gateway.config.litellm_sections import LOGGERS, SECTIONS, without_effect
from sagewire.gateway.config.litellm_translation import translated
from sagewire.gateway.config.models import GatewayConfig
from sagewire.gateway.config.patterns import STAR
from sagewire.gateway.config.yaml_files import LITELLM_SECTIONS, read_text
from sagewire.types import OptionArguments

__all__ = ["Effect", "KeyEffect", "LiteLlmReport", "explain_litellm"]

Effect = Literal["works", "no effect", "not served", "refused"]
_RESTRICTS = "it restricts access, and sagewire has nothing like it"
_PASSED = "passed to the model's server as it is"
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"model", "extra"}
# Mappings whose values are often secrets.
_SECRET_MAPPINGS = frozenset({"environment", "headers"})
_OFF: tuple[Any, ...] = (None, False, [], {})


@dataclass(frozen=True, slots=True)
class KeyEffect:
    """What one key of the file does here.

    Args:
        line: Its line.
        key: Its path, with dots.
        effect: Whether it works, has no effect, names a model that is not served, or is refused.
        reason: More about it; empty if there is nothing to say.
    """

    line: int
    key: str
    effect: Effect
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LiteLlmReport:
    """What a LiteLLM proxy file does here.

    Args:
        keys: Its keys, in the order of the file.
        own: The same as YAML in sagewire's form, without what is refused; `None` if something else is wrong with it.
        error: The mistake beside the refused keys.
    """

    keys: tuple[KeyEffect, ...]
    own: str | None
    error: str = ""

    @property
    def starts(self) -> bool:
        """Whether the gateway starts with the file as it is."""
        return self.own is not None and all(one.effect != "refused" for one in self.keys)


def explain_litellm(path: FilePath) -> LiteLlmReport:
    """Return what each key of a LiteLLM proxy file does here; variables of the environment are not needed.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read, or is not a file of LiteLLM's.
    """
    document = Document(read_text(path, {}), str(path), path=path)
    if not any(section in document.data for section in LITELLM_SECTIONS):
        raise UsageError(f"{path} is not a file of LiteLLM's: none of {', '.join(LITELLM_SECTIONS)} is in it")
    found = sorted(_effects(document), key=lambda one: one.line)
    _remove_refused(document.data)
    document.resolve(_Marks())
    try:
        config = translated(LiteLlmConfig.model_validate(document.data), document, (), _Nothing())
        return LiteLlmReport(tuple(found), _own_form(config))
    except ValidationError as error:
        return LiteLlmReport(tuple(found), None, str(readable_error(error, document, LiteLlmConfig)))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        return LiteLlmReport(tuple(found), None, str(error))


class _Marks(dict[str, str]):
    """An environment in which every variable holds its own name, so that no secret is read."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> str:
        return ENVIRONMENT_MARK + name


class _Nothing(dict[str, str]):
    """An environment without variables."""


def _effects(document: Document) -> Iterator[KeyEffect]:
    data = document.data
    for section, (taken, _) in SECTIONS.items():
        for name, value in _mapping(data.get(section)).items():
            yield _effect(document, (section, name), value, taken)
    for name, value in data.items():
        if name not in (*SECTIONS, "model_list"):
            known = frozenset(LiteLlmConfig.model_fields) | {"include"}
            yield _effect(document, (name,), value, known)
    for number, entry in enumerate(_entries(data)):
        params = _mapping(entry.get("litellm_params"))
        yield from _info_effects(document, ("model_list", number, "model_info"), _mapping(entry.get("model_info")))
        for name, value in params.items():
            path = ("model_list", number, "litellm_params", name)
            reason = _why_not_served(document, path, params) if name == "model" else ""
            line, key = document.line(path), ".".join(map(str, path))
            yield KeyEffect(line, key, "not served", reason) if reason else _parameter(document, path, value)


def _info_effects(document: Document, path: Path, info: Mapping[str, Any]) -> Iterator[KeyEffect]:
    place = ".".join(map(str, path))
    for name, reason in refused_info(info):
        yield KeyEffect(document.line((*path, name)), f"{place}.{name}", "refused", reason)
    try:
        check_served(info, {}, path, document)
    except NotServed as error:
        name = "blocked" if info.get("blocked") else "supported_environments"
        yield KeyEffect(document.line((*path, name)), f"{place}.{name}", "not served", error.reason)
    except UsageError:
        # What is wrong is reported when the whole file is read.
        return


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping, and an empty one for anything else: what is wrong with it is told by reading the whole."""
    return value if isinstance(value, dict) else {}


def _entries(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = data.get("model_list")
    return [_mapping(entry) for entry in listed] if isinstance(listed, list) else []


def _effect(document: Document, path: Path, value: Any, taken: frozenset[str]) -> KeyEffect:
    name = str(path[-1])
    line, key = document.line(path), ".".join(map(str, path))
    if name in keys.REFUSED and value not in _OFF:
        return KeyEffect(line, key, "refused", f"{_RESTRICTS}: {keys.cure_of(name)}")
    guards = [one for one in (value if isinstance(value, list) else [value]) if str(one) in keys.GUARDS]
    if name in ("callbacks", "input_callback", "success_callback") and guards:
        return KeyEffect(line, key, "refused", f"{', '.join(map(str, guards))}: {_RESTRICTS}; {keys.cure_of(name)}")
    if name in taken:
        return KeyEffect(line, key, "works")
    says = without_effect(path, {name: value})
    return KeyEffect(line, key, "no effect", says if name in LOGGERS else "")


def _why_not_served(document: Document, path: Path, params: Mapping[str, Any]) -> str:
    """Return the reason why a model is not served, if it is of another provider of LiteLLM's; else nothing."""
    model = params.get("model")
    if not isinstance(model, str) or model == STAR:
        return ""
    try:
        provider, name = provider_of(model, params, document, path)
        check_provider(provider, document, path, has_base=bool(params.get("api_base") or params.get("base_url")))
        place_of(provider, name, dict(params), {}, document, path)
    except NotServed as error:
        return error.reason
    except UsageError:
        # Reading the whole file tells it.
        return ""
    return ""


def _parameter(document: Document, path: Path, value: Any) -> KeyEffect:
    name = str(path[-1])
    line, key = document.line(path), ".".join(map(str, path))
    if name in keys.REFUSED and value not in _OFF:
        return KeyEffect(line, key, "refused", f"{_RESTRICTS}: {keys.cure_of(name)}")
    if name in keys.PARAMS_TAKEN or name in _OPTIONS:
        return KeyEffect(line, key, "works")
    return KeyEffect(line, key, "no effect") if keys.is_kept_back(name) else KeyEffect(line, key, "works", _PASSED)


def _remove_refused(data: dict[str, Any]) -> None:
    """Take out what is refused, so that the rest can be read."""
    places = [data, *(_mapping(data.get(section)) for section in SECTIONS)]
    places += [_mapping(entry.get("litellm_params")) for entry in _entries(data)]
    for entry in _entries(data):
        for name in keys.INFO_REFUSED:
            _mapping(entry.get("model_info")).pop(name, None)
    for place in places:
        for name in [name for name in place if name in keys.REFUSED]:
            del place[name]
        for name in ("callbacks", "input_callback", "success_callback"):
            given = place.get(name)
            if isinstance(given, list):
                place[name] = [one for one in given if str(one) not in keys.GUARDS]
            elif str(given) in keys.GUARDS:
                del place[name]


def _own_form(config: GatewayConfig) -> str:
    """Return a configuration as YAML in sagewire's own form.

    Secrets that the file holds itself are not written out: each is a variable of the environment to be set.
    """
    raw = _plain(config, ())
    for model in raw.get("models", {}).values():
        if len(model.get("deployments", ())) == 1:
            # The short form: one deployment's settings are the model's.
            model.update(model.pop("deployments")[0])
    text: str = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120)
    again = Document(text, "sagewire's own form")
    again.resolve(_Marks())
    GatewayConfig.model_validate(again.data)
    return text


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, BaseModel):
        given = {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
        defaults = {
            name: field.get_default(call_default_factory=True) for name, field in type(value).model_fields.items()
        }
        return {
            name: _plain(item, (*path, name))
            for name, item in given.items()
            if name != "notes" and item != defaults[name] and item not in (None, (), {}, [])
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(item, (*path, str(name))) for name, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [_plain(item, path) for item in value]
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(secret, str) and (isinstance(value, SecretStr) or _SECRET_MAPPINGS.intersection(path)):
        if secret.startswith(ENVIRONMENT_MARK):
            return secret
        if path[0] == "environment":
            return ENVIRONMENT_MARK + path[-1]
        return ENVIRONMENT_MARK + "_".join(part for part in path if part != "deployments").upper().replace("-", "_")
    return value
