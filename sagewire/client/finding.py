"""The result of detecting an endpoint: its profile, and the handlers, the format and the parameters for it."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Literal

from sagewire._forks import reset_in_child
from sagewire.client.config import ClientConfig
from sagewire.content_handlers import get_handler
from sagewire.content_handlers.base import ContentHandler
from sagewire.content_handlers.embeddings import EmbeddingHandler, get_embedding_handler
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.openai.llamacpp import LlamaCppCompletionsHandler, LlamaCppHandler
from sagewire.content_handlers.rerank import RerankHandler, get_rerank_handler
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import UnsupportedFeature, UsageError

if TYPE_CHECKING:
    from sagewire.prompt_formats.base import PromptFormat

__all__ = ["Finding", "Task", "Templates", "handler_of"]

Task = Literal["chat", "complete", "embed", "rerank"]

HUB_ID = re.compile(r"[\w-][\w.-]{0,95}(?:/[\w-][\w.-]{0,95})?")


def handler_of(profile: ContainerProfile, name: str) -> ContentHandler:
    """Return one of a container's handlers by its name, with what is known of the model behind it."""
    handler = get_handler(name)
    if isinstance(handler, LlamaCppHandler) and profile.tools is False:
        handler = LlamaCppHandler(tools=False)
    if isinstance(handler, LlamaCppCompletionsHandler) and profile.adds_bos is False:
        handler = LlamaCppCompletionsHandler(adds_bos=False)
    if isinstance(handler, OpenAiChatHandler):
        # The templates of the models decide which of it they show again; within a tool loop most do.
        handler.thinking_field = handler.thinking_field or profile.thinking_field
    return handler


class Templates:
    """The chat template in a model's files, read once."""

    def __init__(self, settings: ClientConfig) -> None:
        self._settings = settings
        self._read: tuple[str, PromptFormat] | None = None
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    @property
    def needed(self) -> bool:
        """Whether a template has to be read."""
        named = self._settings.format
        return self._read is None and isinstance(named, str) and (named == "template" or named.startswith("s3://"))

    def load(self, source: str) -> PromptFormat:
        """Return the template in the model's files; may wait."""
        from sagewire.prompt_formats.chat_template import load_format

        with self._lock:
            if self._read is None or self._read[0] != source:
                client = self._settings.aws_client("s3") if source.startswith("s3://") else None
                self._read = source, load_format(source, s3_client=client)
            return self._read[1]


class Finding:
    """The profile of an endpoint, detected or named, and everything that follows from it.

    A call takes handler, format and parameters from one finding. The handlers keep no state between calls, so one of
    each serves all calls.

    Args:
        settings: The client's arguments.
        templates: The client's chat template.
        profile: The container; `None` if the handler was named.
        until: When the endpoint is detected again, on the monotonic clock.
        incomplete: Part of the endpoint's description may not be read.
    """

    def __init__(
        self,
        settings: ClientConfig,
        templates: Templates,
        profile: ContainerProfile | None,
        until: float,
        *,
        incomplete: bool = False,
    ) -> None:
        self.profile = profile
        self.until = until
        self.incomplete = incomplete
        # It could not be checked when it should have been.
        self.held = False
        self._settings = settings
        self._templates = templates
        self._made: dict[Task | Literal["format"], Any] = {}

    @property
    def parameters(self) -> dict[str, str]:
        """The InvokeEndpoint parameters that follow from it."""
        return {} if self.profile is None else dict(self.profile.parameters)

    @property
    def _known_profile(self) -> ContainerProfile:
        assert self.profile is not None, "asked only if no handler was named"
        return self.profile

    def handler(self, task: Task) -> ContentHandler:
        """Return the handler for a task; may wait.

        Raises:
            UnsupportedFeature: The container does not have the route.
        """
        if task not in self._made:
            self._made[task] = self._find_handler(task)
        found: ContentHandler = self._made[task]
        return found

    def embedding_handler(self) -> EmbeddingHandler:
        """Return the handler for embeddings; may wait.

        Raises:
            UnsupportedFeature: The container does not make embeddings.
        """
        made = self._made
        if "embed" not in made:
            made["embed"] = self._make_embedding_handler()
        found: EmbeddingHandler = made["embed"]
        return found

    def rerank_handler(self) -> RerankHandler:
        """Return the handler for reranking; may wait.

        Raises:
            UnsupportedFeature: The container does not rerank.
        """
        made = self._made
        if "rerank" not in made:
            made["rerank"] = self._make_rerank_handler()
        found: RerankHandler = made["rerank"]
        return found

    def format(self, handler: ContentHandler) -> PromptFormat | None:
        """Return the prompt format, if one is named or follows from the model; may wait."""
        if handler.speaks == "messages" or (self._settings.format is None and self.profile is None):
            return None
        made = self._made
        if "format" not in made:
            made["format"] = self._find_format()
        found: PromptFormat | None = made["format"]
        return found

    def may_think(self, model: str | None) -> bool:
        """Return whether the model may reason without being asked to: the server has a parser for it, or its id tells.

        Args:
            model: The model that the call names, if it names one.
        """
        if self.profile is not None and self.profile.reasoning:
            return True
        # Loading all formats takes as long as a hundred calls; only calls with stop strings ask.
        from sagewire.prompt_formats.model_ids import may_think

        known = (model, None if self.profile is None else self.profile.model_id)
        return any(may_think(each) for each in known if each)

    def _find_handler(self, task: Task) -> ContentHandler:
        if self.profile is None:
            handler = get_handler(self._settings.handler or "openai_chat")
        else:
            handler = handler_of(self.profile, self._name(task))
        if task == "chat" and self._settings.format is not None and handler.speaks == "messages":
            return self._text_handler(handler)
        return handler

    def _text_handler(self, chat: ContentHandler) -> ContentHandler:
        """Return the handler of the container's text route, which a named format needs."""
        name = self._known_profile.complete if self.profile is not None else None
        handler = chat if name is None else handler_of(self._known_profile, name)
        if handler.speaks == "prompt":
            return handler
        raise UsageError(
            f"the named prompt format cannot take effect: '{self._settings.target}' is sent messages "
            f"(handler '{chat.name}'), which the server writes with its own template. Leave the format out, or name "
            "the handler of a text route, for example handler='openai_completions' or handler='tgi'"
        )

    def _make_embedding_handler(self) -> EmbeddingHandler:
        if self.profile is None:
            return get_embedding_handler(self._settings.handler or "tei")
        handler = get_embedding_handler(self._name("embed"))
        most = self._known_profile.limits.max_batch
        if most is not None and not handler.one_text_per_call:
            handler.max_texts = most
        return handler

    def _make_rerank_handler(self) -> RerankHandler:
        if self.profile is None:
            return get_rerank_handler(self._settings.handler or "tei_rerank")
        handler = get_rerank_handler(self._name("rerank"))
        most = self._known_profile.limits.max_batch
        if most is not None:
            handler.max_documents = most
        return handler

    def _find_format(self) -> PromptFormat | None:
        # Loading all formats takes as long as a hundred calls, and most containers need none.
        from sagewire.prompt_formats import OWN_TEMPLATE, get_format

        named = self._settings.format
        if named == OWN_TEMPLATE:
            return self._templates.load(self._model_files())
        if isinstance(named, str) and named.startswith("s3://"):
            return self._templates.load(named)
        if named is not None:
            return get_format(named)
        model_id = self._known_profile.model_id
        return None if model_id is None else get_format(model_id=model_id)

    def _model_files(self) -> str:
        """Return the location of the model's files, if the endpoint or server names it."""
        profile = self._known_profile
        source = profile.model_files or (profile.model_id if self._settings.endpoint is None else None)
        if source is not None and (source.startswith("s3://") or HUB_ID.fullmatch(source)):
            return source
        raise UsageError(
            f"'{self._settings.target}' ({profile.container}) does not say where its model's chat template is"
            + (f": {source!r} is not an id on the Hub or an S3 address. " if source else ". ")
            + "Name the folder of the model's files as format='s3://bucket/folder' or as a pathlib.Path, or pass what "
            "sagewire.prompt_formats.chat_template.load_format('organisation/model') returns"
        )

    def _name(self, task: Task) -> str:
        profile = self._known_profile
        choices = {
            "chat": profile.chat or profile.complete,
            "complete": profile.complete or profile.chat,
            "embed": profile.embed,
            "rerank": profile.rerank,
        }
        name = choices[task]
        if name is None:
            able = ", ".join(each for each in ("chat", "complete", "embed", "rerank") if choices[each])
            raise UnsupportedFeature(
                f"'{task}'",
                f"'{self._settings.target}' ({profile.container})",
                f"It can: {able}. If that is wrong, name the handler.",
            )
        return name
