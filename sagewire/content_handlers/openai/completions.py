"""The OpenAI completions wire: raw text in, raw text out; vLLM, LMI, TGI from 2.4, llama.cpp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler, Request
from sagewire.content_handlers.openai.chat import CHAT_NAMES, route_parameters
from sagewire.content_handlers.openai.events import choice_number, read_choices, read_end, read_metadata, read_usage
from sagewire.content_handlers.sampling import GENERATE_SETTINGS
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, PromptRequest, TextDelta

__all__ = ["OpenAiCompletionsHandler"]

# Those of the chat wire without the conversation's own; the adapter goes into `model`.
_NAMES = tuple(name for name in CHAT_NAMES if name != "reasoning_effort")


class OpenAiCompletionsHandler(JsonHandler):
    """OpenAI completions with vLLM's extensions.

    vLLM generates 16 tokens if `max_tokens` is not given. Servers tokenize the prompt as any text, so they put the
    beginning-of-text token before it (vLLM's `add_special_tokens`, true by default; the others have no switch), and
    leave control tokens out of the answer (vLLM's and SGLang's `skip_special_tokens`).

    Args:
        route: For containers that take `route=/v1/...` as a custom attribute (vLLM images): the route.
    """

    name = "openai_completions"
    speaks = "prompt"
    path = "/v1/completions"
    adds_bos = True
    special_tokens = False
    markers: tuple[str, ...] = ()
    can = Capabilities(usage=True, logprobs=True, n=True, response_format=True)
    option_names: Mapping[str, str] = {name: name for name in _NAMES}
    takes_extra = True
    ignores = GENERATE_SETTINGS

    def __init__(self, *, route: str | None = None) -> None:
        self.route = route

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"prompt": request.prompt}
        if request.stream:
            payload["stream"] = True
            if request.include_usage:
                payload["stream_options"] = {"include_usage": True}
        settings = self.named_options(request.options)
        adapter = settings.pop("adapter", None)
        if adapter is not None:
            settings["model"] = adapter
        alternatives = settings.pop("top_logprobs", None)
        if alternatives is not None or settings.get("logprobs") is True:
            # Here `logprobs` is the number of alternatives; the chat wire has a flag and a number.
            settings["logprobs"] = 1 if alternatives is None else alternatives
        elif settings.get("logprobs") is False:
            del settings["logprobs"]
        if self.special_tokens:
            payload["skip_special_tokens"] = False
        return {**payload, **settings}

    def with_special_tokens(self, markers: Sequence[str] = ()) -> OpenAiCompletionsHandler:
        """Return a handler that sends `skip_special_tokens: false`."""
        handler = copy(self)
        handler.special_tokens = True
        handler.markers = tuple(markers)
        return handler

    def parameters(self, request: Request, /) -> Mapping[str, str]:
        """Return the `route=` custom attribute if a route is set."""
        return route_parameters(self.route)

    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        """Return the deltas of a whole response."""
        if not payload["choices"]:
            raise ValueError("the answer has no choices")
        return _CompletionReader().read(payload)

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return _CompletionReader()


class _CompletionReader(EventReader):
    """Reads `text_completion` objects; a chunk and a whole answer have the same shape."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._metadata: list[Delta] = []

    def read(self, event: Any) -> Iterator[Delta]:
        """Return the deltas in one event."""
        choices = read_choices(event)
        if event.get("error"):
            # Beside empty choices; the base class reads it.
            raise KeyError("error")
        metadata: list[Delta] = [*read_metadata(event)]
        if metadata != self._metadata:
            self._metadata = metadata
            yield from metadata
        for position, choice in enumerate(choices):
            index = choice_number(choice, position)
            text = as_text(choice["text"])
            if text:
                yield TextDelta(text, index)
            # TGI writes an empty finish_reason until the last event.
            if choice.get("finish_reason"):
                self._open.discard(index)
            else:
                self._open.add(index)
            yield from read_end(choice, index)
        if choices:
            self.finished = not self._open
        yield from read_usage(event)
