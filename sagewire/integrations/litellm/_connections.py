"""The client for one call, its request format and prompt format. May wait for the control plane."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sagewire.client.finding import handler_of
from sagewire.content_handlers import (
    ContentHandler,
    EmbeddingHandler,
    TgiHandler,
    get_embedding_handler,
    get_handler,
)
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import UnsupportedFeature
from sagewire.integrations._addresses import HUB_INFERENCE
from sagewire.integrations._client_pool import ClientPair, ClientPool
from sagewire.integrations._fallback_profile import once, profile_of
from sagewire.integrations._plain_vectors import by_endpoint_name
from sagewire.integrations.litellm._prompts import default_format, format_of_id
from sagewire.integrations.litellm._targets import Target
from sagewire.prompt_formats import PromptFormat

__all__ = ["Connection", "Wish"]

LOG = logging.getLogger("sagewire.litellm")
CLIENTS = ClientPool()
_ZERO_IS_FINE = TgiHandler(allow_zero_temperature=True)


@dataclass(frozen=True, slots=True)
class Connection:
    """A client for one call.

    Args:
        pooled: The clients.
        handler: The container's request format for this task.
    """

    pooled: ClientPair
    handler: ContentHandler


@dataclass(frozen=True, slots=True)
class VectorConnection:
    """A client for one embeddings call.

    Args:
        pooled: The clients.
        handler: The container's request format for embeddings; `None` if it does not make any.
    """

    pooled: ClientPair
    handler: EmbeddingHandler | None


@dataclass(frozen=True, slots=True)
class Wish:
    """The facts about the server in a call's arguments.

    Args:
        target: The server.
        handler: Its request format, if the caller names it.
        template: The prompt format, if the caller names it.
        allow_zero_temperature: A temperature of 0 is sent as it is to containers that take 0 for a mistake.
    """

    target: Target
    handler: Any = None
    template: Any = None
    allow_zero_temperature: bool = False

    @property
    def known(self) -> bool:
        """Whether a client can be had without waiting for the control plane."""
        return self._named is not None or self._base().client.known

    def for_chat(self, wanted: Collection[str] = ()) -> Connection:
        """Return a client for conversations.

        Args:
            wanted: Settings of the server's own. TGI's chat route ignores them, its other one does not.

        Raises:
            UnsupportedFeature: A template is given, and the container takes messages only.
        """
        profile = self._dialect()
        text = next((name for name in (profile.complete, profile.chat) if _takes_text(name)), None)
        if self.template is not None and text is not None:
            return self._fixed(profile, text, self.template)
        if self.template is not None:
            self._cannot_write(profile)
        name: Any = profile.chat or profile.complete or "tgi"
        if wanted and name == "tgi_chat" and text is not None and format_of_id(profile.model_id) is not None:
            name = text
        if _takes_text(name):
            return self._fixed(profile, name, default_format(self.target, profile))
        return self._connection(profile, name)

    def for_text(self) -> Connection:
        """Return a client for bare text."""
        profile = self._dialect()
        return self._connection(profile, profile.complete or profile.chat or "tgi")

    def for_embedding(self) -> VectorConnection:
        """Return a client for embeddings."""
        target = self.target
        if target.feature_extraction is not None and self.handler is None:
            parts = {**target.parts, "url": target.feature_extraction, "handler": HUB_INFERENCE}
            return VectorConnection(CLIENTS.get(parts), get_embedding_handler(HUB_INFERENCE))
        if self.handler is not None:
            return VectorConnection(self._made(self.handler), get_embedding_handler(self.handler))
        profile = self._dialect()
        if profile is target.assumed:
            handler = get_embedding_handler("openai_embeddings") if target.openai else by_endpoint_name(target.name)
            return VectorConnection(self._made(handler), handler)
        return VectorConnection(self._base(), None if profile.embed is None else get_embedding_handler(profile.embed))

    @property
    def _named(self) -> Any:
        return self.handler if self.handler is not None else self.target.handler

    def _base(self) -> ClientPair:
        return CLIENTS.get(self.target.parts, self.target.client)

    def _dialect(self) -> ContainerProfile:
        if self._named is not None:
            return ContainerProfile("the handler that was named", chat=self._named, complete=self._named)
        base, assumed = self._base().client, self.target.assumed
        return base.profile() if assumed is None else profile_of(base, assumed, LOG)

    def _connection(self, profile: ContainerProfile, name: Any) -> Connection:
        found = self._named is None and profile is not self.target.assumed
        if found and not (self.allow_zero_temperature and name == "tgi"):
            return Connection(self._base(), _handler(profile, name))
        return self._fixed(profile, name)

    def _fixed(self, profile: ContainerProfile, name: Any, prompt_format: Any = None) -> Connection:
        name = _ZERO_IS_FINE if name == "tgi" and self.allow_zero_temperature else name
        parameters = dict(profile.parameters)
        handler = _handler(profile, name)
        more: dict[str, Any] = {"handler": name, "format": prompt_format}
        if parameters:
            more["endpoint_kwargs"] = {**parameters, **(self.target.parts.get("endpoint_kwargs") or {})}
        parts = {**self.target.parts, **more, "adds_bos": handler.adds_bos}
        made = CLIENTS.get(parts, lambda: self.target.client(**{**more, "handler": handler}))
        return Connection(made, handler)

    def _made(self, handler: Any) -> ClientPair:
        more: dict[str, Any] = {"handler": handler, "format": None}
        return CLIENTS.get({**self.target.parts, **more}, lambda: self.target.client(**more))

    def _cannot_write(self, profile: ContainerProfile) -> None:
        where = f"'{self.target.name}' ({profile.container})"
        if not isinstance(self.template, PromptFormat):
            raise UnsupportedFeature("a prompt template", where, "It writes the prompt itself: leave the template out.")
        once(LOG, f"{where} takes messages and writes the prompt itself: hf_model_name is not used.")


def _handler(profile: ContainerProfile, name: Any) -> ContentHandler:
    """Return a handler, if it is named by the profile with what is known of the server's model."""
    return handler_of(profile, name) if isinstance(name, str) else get_handler(name)


def _takes_text(name: Any) -> bool:
    return name is not None and get_handler(name).speaks == "prompt"
