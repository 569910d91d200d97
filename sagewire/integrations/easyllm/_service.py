"""The target of a call, the container's request format, and the prompt format. May wait for the control plane."""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sagewire.client import Client
from sagewire.client.finding import handler_of
from sagewire.content_handlers import ContentHandler, get_handler
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.discovery.http_server import UNKNOWN
from sagewire.errors import UsageError
from sagewire.integrations._client_pool import ClientPair, ClientPool
from sagewire.integrations._fallback_profile import once, profile_of
from sagewire.integrations._plain_vectors import INPUTS
from sagewire.integrations.easyllm.prompt_utils import BASE_FORMAT, format_of
from sagewire.prompt_formats import PromptFormat, get_format

__all__ = ["LOG", "Connection", "Service", "show_debug"]

# What EasyLLM takes every server for.
INPUTS_SERVER = ContainerProfile("a server that takes `inputs`", chat="tgi", complete="tgi")
LOG = logging.getLogger("sagewire.easyllm")
CLIENTS = ClientPool()


def show_debug() -> None:
    """Switch on the log of requests for `debug=True`; on standard error if logging is not set up."""
    LOG.setLevel(logging.DEBUG)
    if not LOG.hasHandlers():
        LOG.addHandler(logging.StreamHandler())


@dataclass(frozen=True, slots=True)
class Connection:
    """A client for one call.

    Args:
        pooled: The clients.
        handler: The container's request format for this task.
        format: The prompt format of a completion, if a builder is set and the container takes text.
    """

    pooled: ClientPair
    handler: ContentHandler
    format: PromptFormat | None = None


class Service(ABC):
    """One of EasyLLM's modules: its settings, read at each call, and their meaning.

    Args:
        module: The module's name. A setting that is `None` there is looked up in the environment.
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Setting -> environment variables."""

    assumed: ClassVar[ContainerProfile | None] = None
    """The fallback profile without describe permissions; `None` if none are needed."""

    def __init__(self, module: str) -> None:
        self._module = module

    def setting(self, name: str) -> Any:
        """Return a setting of the module, else of the environment, else `None`."""
        value = getattr(sys.modules[self._module], name)
        if value is None:
            value = next((os.environ[name] for name in self.variables.get(name, ()) if os.environ.get(name)), None)
        return value

    @abstractmethod
    def arguments(self, model: str | None) -> dict[str, Any]:
        """Return the arguments of the client for a model; a `handler` among them is not asked for."""

    def embedding_arguments(self, model: str | None) -> dict[str, Any]:
        """Return the arguments of the client for an embedding model."""
        return self.arguments(model)

    def served_name(self, model: str | None) -> str | None:
        """Return the name of the model for servers that have several."""
        return None

    def knows(self, model: str | None, *, embedding: bool = False) -> bool:
        """Return whether a client can be had without waiting for the control plane."""
        arguments = self.embedding_arguments(model) if embedding else self.arguments(model)
        return CLIENTS.get(arguments).client.known

    def for_chat(self, model: str | None, wanted: Collection[str] = ()) -> Connection:
        """Return a client for conversations, in the prompt format that is set or follows from the endpoint.

        Args:
            model: The endpoint, or the model.
            wanted: Settings that differ from EasyLLM's defaults: the chat route must support at least one of them.
        """
        arguments, base, profile = self._find(self.arguments(model))
        builder = self.setting("prompt_builder")
        if builder is not None:
            if profile.complete and get_handler(profile.complete).speaks == "prompt":
                return self._fixed(arguments, profile, profile.complete, builder)
            raise _no_builder(base, profile)
        name = _chat_handler(profile, wanted)
        handler = handler_of(profile, name)
        if handler.speaks == "messages":
            return self._fixed(arguments, profile, name) if profile is self.assumed else Connection(base, handler)
        model_format = _format_of_model(profile)
        if model_format is not None:
            return self._fixed(arguments, profile, name, model_format)
        once(
            LOG,
            f"{base.client!r}: prompt_builder is not set, and the endpoint does not name its model. Prompts "
            "are written as 'USER: ...', which hardly any model was trained with. Set prompt_builder, for example "
            "to 'llama2', or to a function that takes a list of messages and returns the prompt.",
        )
        return self._fixed(arguments, profile, name, BASE_FORMAT)

    def for_completion(self, model: str | None) -> Connection:
        """Return a client for text, and the prompt format if a builder is set."""
        arguments, base, profile = self._find(self.arguments(model))
        name = profile.complete or profile.chat or "tgi"
        handler = handler_of(profile, name)
        builder = self.setting("prompt_builder")
        prompt_format = None if builder is None else format_of(builder)
        if handler.speaks == "messages" and builder is not None:
            raise _no_builder(base, profile)
        if handler.speaks == "messages":
            once(LOG, f"{base.client!r} takes messages only: a prompt is sent as one user message, as it is.")
        elif builder is None:
            once(LOG, f"{base.client!r}: prompt_builder is not set. Prompts of completions are sent as they are.")
        fixed = profile is self.assumed or profile is INPUTS_SERVER
        pooled = self._fixed(arguments, profile, name).pooled if fixed else base
        return Connection(pooled, handler, prompt_format)

    def for_embedding(self, model: str | None) -> ClientPair:
        """Return a client for embeddings."""
        arguments, base, profile = self._find(self.embedding_arguments(model))
        plain = profile is self.assumed or profile is INPUTS_SERVER
        return CLIENTS.get({**arguments, "handler": INPUTS}) if plain else base

    def _find(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], ClientPair, ContainerProfile]:
        base = CLIENTS.get(arguments)
        if "handler" in arguments:
            handler = arguments["handler"]
            return arguments, base, ContainerProfile("a server", chat=handler if isinstance(handler, str) else None)
        if self.assumed is None:
            profile = base.client.profile()
            return arguments, base, INPUTS_SERVER if profile.container == UNKNOWN else profile
        return arguments, base, profile_of(base.client, self.assumed, LOG)

    def _fixed(
        self, arguments: dict[str, Any], profile: ContainerProfile, name: str, builder: Any = None
    ) -> Connection:
        fixed = {**arguments, "handler": name}
        if profile.parameters:
            fixed["endpoint_kwargs"] = dict(profile.parameters)
        handler = handler_of(profile, name)

        def make() -> Client:
            return Client(**{**fixed, "handler": handler}, format=None if builder is None else format_of(builder))

        parts = {**fixed, "builder": builder, "adds_bos": handler.adds_bos}
        return Connection(CLIENTS.get(parts, make), handler)


def _no_builder(base: ClientPair, profile: ContainerProfile) -> UsageError:
    return UsageError(
        f"prompt_builder cannot take effect: {base.client!r} ({profile.container}) takes messages only and writes the "
        "prompt itself; set prompt_builder = None for it"
    )


def _chat_handler(profile: ContainerProfile, wanted: Collection[str]) -> str:
    """Return the chat handler, or the one for text if only that supports a setting (TGI's `top_k`)."""
    chat, text = profile.chat or profile.complete or "tgi", profile.complete
    missing = set(wanted) - set(_names(chat) or wanted)
    return text if missing and text is not None and missing & set(_names(text)) else chat


def _names(handler: str) -> Collection[str]:
    return getattr(get_handler(handler), "option_names", ())


def _format_of_model(profile: ContainerProfile) -> PromptFormat | None:
    try:
        return None if profile.model_id is None else get_format(model_id=profile.model_id)
    except UsageError:
        return None
