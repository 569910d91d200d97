"""Which handler and format serve which task: what the caller named, else what the endpoint says it is.

The endpoint (that is, SageMaker's control plane) is asked once per client and lifetime, and again when answers stop
fitting.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sagewire.aws.lookup_errors import credential_errors
from sagewire.client.config import ClientConfig
from sagewire.client.transport_choices import AsyncInference
from sagewire.content_handlers import get_handler
from sagewire.content_handlers.base import ContentHandler
from sagewire.content_handlers.embeddings import EmbeddingHandler, get_embedding_handler
from sagewire.content_handlers.openai.llamacpp import LlamaCppHandler
from sagewire.content_handlers.rerank import RerankHandler, get_rerank_handler
from sagewire.discovery.container_rules import ContainerProfile, detect
from sagewire.discovery.describe import LOST, Description, describe
from sagewire.discovery.http_server import UNKNOWN, detect_server, detect_url
from sagewire.discovery.probe import probe
from sagewire.errors import AccessDenied, EndpointError, UnsupportedFeature, UsageError
from sagewire.types import Invocation

if TYPE_CHECKING:
    from sagewire.prompt_formats.base import PromptFormat

__all__ = ["EndpointResolver", "Task"]

Task = Literal["chat", "complete", "embed", "rerank"]

# Endpoints are redeployed with other containers, but not every minute.
LIFETIME = 900.0
HUB_ID = re.compile(r"[\w-][\w.-]{0,95}(?:/[\w-][\w.-]{0,95})?")

_log = logging.getLogger("sagewire.discovery")


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A profile, how long it holds, and the handlers and the format made for it.

    They keep no state between calls, so one of each serves all calls.
    """

    profile: ContainerProfile
    until: float
    made: dict[Task | Literal["format"], Any] = field(default_factory=dict)


class EndpointResolver:
    """Finds handlers and formats for one client; safe to share between threads.

    Args:
        settings: What the client was told.
        lifetime: Seconds after which the endpoint is asked again.

    Attributes:
        discovers: Handlers come from what the endpoint or server says of itself rather than from the caller.
    """

    def __init__(self, settings: ClientConfig, lifetime: float = LIFETIME) -> None:
        self._settings = settings
        self._lifetime = lifetime
        self._resolved: _Resolved | None = None
        self.discovers = settings.handler is None and not settings.own_transport
        # What was named rather than found holds for good.
        self._named: dict[Task | Literal["format"], Any] = {}
        self._template: tuple[str, PromptFormat] | None = None
        if settings.format is not None:
            # Better here than inside an event loop.
            import sagewire.prompt_formats  # noqa: F401
        self._lock = threading.Lock()

    @property
    def known(self) -> bool:
        """Whether nothing has to be asked: `handler` and `format` will not wait."""
        if self._template is None and self._reads_template:
            return False
        return not self.discovers or (self._resolved is not None and time.monotonic() < self._resolved.until)

    @property
    def _reads_template(self) -> bool:
        named = self._settings.format
        return isinstance(named, str) and (named == "template" or named.startswith("s3://"))

    def forget(self) -> None:
        """Ask the endpoint again next time."""
        self._resolved = None

    def try_out(self) -> bool:
        """Try out a server that says nothing of itself and lacks the route it was asked on; return whether that helped.

        Such are Hugging Face Inference Endpoints with the toolkit or a `handler.py`, and TGI behind some proxies.
        """
        with self._lock:
            before = self._resolved
            if before is None or before.profile.container != UNKNOWN:
                return False
            try:
                profile = probe(self._try, self._settings.target)
            except (EndpointError, UsageError):
                return False
            _log.warning(
                "%s says nothing of itself and has no OpenAI route; tried out, it turned out to be %s (chat: %s, "
                "embeddings: %s). Name the handler to save the tries.",
                self._settings.target, profile.container, profile.chat or profile.complete, profile.embed,
            )  # fmt: skip
            self._resolved = _Resolved(profile, time.monotonic() + self._lifetime)
            return True

    def profile(self) -> ContainerProfile:
        """Return what the container speaks; may wait for the control plane.

        Raises:
            UsageError: The container is not known, or one of several must be chosen.
            NotReady: The endpoint is not in service.
            AccessDenied: The control plane may not be asked; the message names the permission and the way around.
        """
        return self._current().profile

    def description(self) -> Description:
        """Return what the control plane says of the endpoint, fresh."""
        if self._settings.endpoint is None:
            raise UsageError(
                "only SageMaker endpoints can be described; this client was made with a URL or a transport"
            )
        with credential_errors("asking what the endpoint runs"):
            control = self._settings.control_client()
        named = self._settings.inference_component_name or self._settings.endpoint_kwargs.get("InferenceComponentName")
        return describe(control, self._settings.endpoint, named)

    def wait_until_serving(self, budget: float, on_progress: Callable[[Description], None] | None) -> Description:
        """Ask until the endpoint can answer; see `Client.wait_for_ready`."""
        from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_exponential

        def look() -> Description:
            found = self.description()
            if on_progress is not None:
                on_progress(found)
            return found

        asking = Retrying(
            retry=retry_if_result(lambda found: not found.serving and found.status not in LOST),
            stop=stop_after_delay(budget),
            wait=wait_exponential(multiplier=1, max=30),
        )
        try:
            found: Description = asking(look)
        except RetryError as error:
            found = error.last_attempt.result()
        found.require_serving()
        return found

    def handler(self, task: Task) -> ContentHandler:
        """Return the handler for a task; may wait.

        Raises:
            UnsupportedFeature: The container has no such route.
        """
        made = self._current().made if self.discovers else self._named
        if task not in made:
            made[task] = self._find_handler(task)
        found: ContentHandler = made[task]
        return found

    def embedding_handler(self) -> EmbeddingHandler:
        """Return the handler for embeddings; may wait.

        Raises:
            UnsupportedFeature: The container makes no embeddings.
        """
        made = self._made()
        if "embed" not in made:
            made["embed"] = self._make_embedding_handler()
        found: EmbeddingHandler = made["embed"]
        return found

    def rerank_handler(self) -> RerankHandler:
        """Return the handler for reranking; may wait.

        Raises:
            UnsupportedFeature: The container does not rerank.
        """
        made = self._made()
        if "rerank" not in made:
            made["rerank"] = self._make_rerank_handler()
        found: RerankHandler = made["rerank"]
        return found

    def format(self, handler: ContentHandler) -> PromptFormat | None:
        """Return the prompt format, where one is named or follows from the model; may wait."""
        if handler.speaks == "messages" or (self._settings.format is None and not self.discovers):
            return None
        made = self._made()
        if "format" not in made:
            made["format"] = self._find_format()
        found: PromptFormat | None = made["format"]
        return found

    def parameters(self) -> dict[str, Any]:
        """Return InvokeEndpoint parameters that follow from what was found."""
        return dict(self._resolved.profile.parameters) if self.discovers and self._resolved else {}

    def _current(self) -> _Resolved:
        with self._lock:
            if self._resolved is None or time.monotonic() >= self._resolved.until:
                profile = self._detect()
                _log.info("%s: %s", self._settings.target, profile.container)
                self._resolved = _Resolved(profile, time.monotonic() + self._lifetime)
            return self._resolved

    def _made(self) -> dict[Task | Literal["format"], Any]:
        return self._current().made if self.discovers else self._named

    def _find_handler(self, task: Task) -> ContentHandler:
        handler = get_handler(self._name(task) if self.discovers else self._settings.handler or "openai_chat")
        if isinstance(handler, LlamaCppHandler) and self.discovers and self.profile().tools is False:
            handler = LlamaCppHandler(tools=False)
        if task == "chat" and self._settings.format is not None and handler.speaks == "messages":
            return self._text_handler(handler)
        return handler

    def _text_handler(self, chat: ContentHandler) -> ContentHandler:
        """Return the handler of the container's text route, which a format that was named asks for."""
        name = self.profile().complete if self.discovers else None
        handler = chat if name is None else get_handler(name)
        if handler.speaks == "prompt":
            return handler
        raise UsageError(
            f"the prompt format that was named cannot take effect: '{self._settings.target}' is sent messages "
            f"(handler '{chat.name}'), which the server writes with its own template. Leave the format out, or name "
            "the handler of a text route, for example handler='openai_completions' or handler='tgi'"
        )

    def _make_embedding_handler(self) -> EmbeddingHandler:
        if not self.discovers:
            return get_embedding_handler(self._settings.handler or "tei")
        handler = get_embedding_handler(self._name("embed"))
        most = self.profile().limits.max_batch
        if most is not None and not handler.one_text_per_call:
            handler.max_texts = most
        return handler

    def _make_rerank_handler(self) -> RerankHandler:
        if not self.discovers:
            return get_rerank_handler(self._settings.handler or "tei_rerank")
        handler = get_rerank_handler(self._name("rerank"))
        most = self.profile().limits.max_batch
        if most is not None:
            handler.max_documents = most
        return handler

    def _find_format(self) -> PromptFormat | None:
        # Loading all formats takes as long as a hundred calls, and most containers need none.
        from sagewire.prompt_formats import OWN_TEMPLATE, get_format

        named = self._settings.format
        if named == OWN_TEMPLATE:
            return self._own_template(self._model_files())
        if isinstance(named, str) and named.startswith("s3://"):
            return self._own_template(named)
        if named is not None:
            return get_format(named)
        model_id = self.profile().model_id
        return None if model_id is None else get_format(model_id=model_id)

    def _model_files(self) -> str:
        """Return where the model's files are, as far as endpoint or server say."""
        profile = self.profile()
        source = profile.model_files or (profile.model_id if self._settings.endpoint is None else None)
        if source is not None and (source.startswith("s3://") or HUB_ID.fullmatch(source)):
            return source
        raise UsageError(
            f"'{self._settings.target}' ({profile.container}) does not say where its model's chat template is"
            + (f": {source!r} is neither an id on the Hub nor an S3 address. " if source else ". ")
            + "Name the folder of the model's files as format='s3://bucket/folder' or as a pathlib.Path, or pass what "
            "sagewire.prompt_formats.chat_template.load_format('organisation/model') returns"
        )

    def _own_template(self, source: str) -> PromptFormat:
        """Return the chat template of the model whose files are there, read once."""
        from sagewire.prompt_formats.chat_template import load_format

        with self._lock:
            if self._template is None or self._template[0] != source:
                client = self._settings.aws_client("s3") if source.startswith("s3://") else None
                self._template = source, load_format(source, s3_client=client)
            return self._template[1]

    def _name(self, task: Task) -> str:
        profile = self.profile()
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

    def _detect(self) -> ContainerProfile:
        if self._settings.url is not None:
            return detect_url(self._settings.url) or self._detect_server()
        if self._settings.probe and not isinstance(self._settings.transport, AsyncInference):
            try:
                return self._described()
            except (AccessDenied, UsageError) as error:
                _log.info("%s: trying out what it speaks, because: %s", self._settings.target, error)
                return probe(self._try, self._settings.target)
        return self._described()

    def _detect_server(self) -> ContainerProfile:
        found = detect_server(self._ask_server)
        if not self._settings.probe or found.container != UNKNOWN:
            return found
        try:
            return probe(self._try, self._settings.target)
        except UsageError:
            return found

    def _described(self) -> ContainerProfile:
        found = self.description()
        retries = self._settings.retries
        # Auto scaling starts from zero copies only when a call is refused, so whoever is willing to wait has to call.
        if not (found.copies == 0 and retries and retries.wait_for_ready):
            found.require_serving()
        return detect(found, self._settings.endpoint_kwargs.get("TargetContainerHostname"))

    def _ask_server(self, path: str) -> bytes:
        return self._send(Invocation(b"", method="GET", path=path, generates=False))

    def _try(self, body: bytes) -> bytes:
        return self._send(Invocation(body))

    def _send(self, call: Invocation) -> bytes:
        transport = self._settings.open_transport()
        try:
            return transport.invoke(call).data
        finally:
            transport.close()
