"""Hugging Face Text Generation Inference's own wire: `inputs` and `parameters` in, one event per token out.

Sources: text-generation-inference router/src/{lib,validation,server}.rs, up to 3.3.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler
from sagewire.content_handlers.grammar import json_grammar
from sagewire.content_handlers.sampling import drop_greedy_leftovers, is_zero, set_do_sample, write_no_top_k
from sagewire.content_handlers.token_details import read_details, read_top_tokens
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, LogprobsDelta, PromptRequest, TextDelta

__all__ = ["GenerateReader", "TgiHandler", "read_generated"]

# MAX_STOP_SEQUENCES; further stop strings are enforced by sagewire.
_MAX_STOPS = 4


class TgiHandler(JsonHandler):
    """TGI's generate wire.

    What is repaired, because the container refuses it with status 422: `temperature=0` becomes greedy decoding,
    `top_p` and `typical_p` of 1 and `top_k` of 0 or -1 ("off") are left out, and stop strings beyond the fourth are
    not sent (sagewire enforces them). The prompt echo, on by default on SageMaker, is switched off. Settings under the
    server's own names (`max_new_tokens`, `do_sample`, `stop_sequences`, ...) are taken from `extra` and repaired alike.

    The server always puts the beginning-of-text token before the prompt (`add_special_tokens` of GenerateRequest cannot
    be set), and always leaves control tokens out of `generated_text`; they are read from the tokens.

    Log probabilities are requested as `top_n_tokens`, so at least one alternative comes with every token.

    Args:
        allow_zero_temperature: Send `temperature=0` as it is, for forks that take it.

    Example:
        >>> from sagewire.types import Options, PromptRequest
        >>> TgiHandler().payload(PromptRequest("Once", Options(max_tokens=8, temperature=0)))["parameters"]
        {'max_new_tokens': 8, 'do_sample': False, 'return_full_text': False, 'details': True}
    """

    name = "tgi"
    speaks = "prompt"
    path = "/"
    adds_bos = True
    special_tokens = False
    can = Capabilities(usage=True, logprobs=True, response_format=True, max_stops=_MAX_STOPS)
    option_names: Mapping[str, str] = {
        "max_tokens": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "typical_p": "typical_p",
        "stop": "stop",
        "seed": "seed",
        "frequency_penalty": "frequency_penalty",
        "repetition_penalty": "repetition_penalty",
        "logprobs": "logprobs",
        "top_logprobs": "top_n_tokens",
        "response_format": "grammar",
        "adapter": "adapter_id",
    }
    takes_extra = True

    def __init__(self, *, allow_zero_temperature: bool = False) -> None:
        self.allow_zero_temperature = allow_zero_temperature

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"inputs": request.prompt, "parameters": self.settings(request)}
        if request.stream:
            payload["stream"] = True
        return payload

    def settings(self, request: PromptRequest) -> dict[str, Any]:
        """Return `parameters`."""
        options = request.options
        settings = self.named_options(options)
        if options.response_format is not None:
            grammar = json_grammar(options.response_format, self.name)
            if grammar is None:
                del settings["grammar"]
            elif "grammar" not in options.extra:
                settings["grammar"] = grammar
        if settings.pop("logprobs", None):
            settings["top_n_tokens"] = settings.get("top_n_tokens") or 1
        _repair_stops(settings)
        self._repair_sampling(settings)
        settings.setdefault("return_full_text", False)
        settings.setdefault("details", True)
        return settings

    def _repair_sampling(self, settings: dict[str, Any]) -> None:
        if is_zero(settings.get("temperature")) and not self.allow_zero_temperature:
            del settings["temperature"]
            # With do_sample=false a remaining top_p would still make the server sample (has_warpers in tokens.py).
            drop_greedy_leftovers(settings)
        for name in ("top_p", "typical_p"):
            if isinstance(settings.get(name), int | float) and settings[name] >= 1:
                del settings[name]
        write_no_top_k(settings, None)
        set_do_sample(settings)

    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        """Return the deltas of a whole response, an array on `/invocations` and an object on `/generate`."""
        return read_generated(payload, special_tokens=self.special_tokens)

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return GenerateReader(self.special_tokens)

    def with_special_tokens(self, markers: Sequence[str] = ()) -> TgiHandler:
        """Return a handler that keeps the tokens flagged as special."""
        handler = copy(self)
        handler.special_tokens = True
        return handler


def _repair_stops(settings: dict[str, Any]) -> None:
    # TGI silently ignores `stop_sequences`, LMI's name.
    stops = [*_as_list(settings.pop("stop", None)), *_as_list(settings.pop("stop_sequences", None))]
    if stops:
        settings["stop"] = list(dict.fromkeys(stops))[:_MAX_STOPS]


def _as_list(stops: Any) -> list[Any]:
    return [stops] if isinstance(stops, str) else list(stops or ())


class GenerateReader(EventReader):
    """Reads token events, and a whole answer from servers that ignore `stream`.

    Args:
        special_tokens: Keep control tokens, but for the one that ends the answer.
    """

    def __init__(self, special_tokens: bool = False) -> None:
        self._special_tokens = special_tokens
        self._pieces: list[str] = []
        self._tokens: list[Any] = []

    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas in one event."""
        if isinstance(event, list) or "token" not in event:
            deltas = list(read_generated(event, special_tokens=self._special_tokens))
            self.finished = True
            return deltas
        token = event["token"]
        if "index" not in event:
            # LMI with `OPTION_TGI_COMPAT` numbers no events, and sends `top_tokens` only at the end, without the tokens
            # they belong to (djl_python/output_formatter.py).
            self._tokens.append(token)
        if event.get("generated_text") is None and not event.get("top_tokens"):
            text = as_text(token["text"])
            if not text or (token.get("special") and not self._special_tokens):
                return ()
            self._pieces.append(text)
            return (TextDelta(text),)
        return self._read(event, token)

    def _read(self, event: Any, token: Any) -> Iterator[Delta]:
        special = token.get("special") and not (self._special_tokens and not ends(event.get("details")))
        if not special and token["text"]:
            self._pieces.append(as_text(token["text"]))
            yield TextDelta(token["text"])
        if event.get("top_tokens"):
            yield LogprobsDelta((read_top_tokens(token, event["top_tokens"]),))
        whole = event.get("generated_text")
        if whole is None:
            return
        self.finished = True
        text = "".join(self._pieces)
        # With control tokens among the pieces, the whole text (which lacks them) does not begin with them.
        if len(whole) > len(text) and whole.startswith(text) and not whole.endswith(text):
            # Characters of several tokens that never became complete are only in the whole text.
            yield TextDelta(whole[len(text) :])
        details = event.get("details")
        yield from read_details({"tokens": self._tokens, **details} if details else None)


def ends(details: Any) -> bool:
    """Return whether `details` belong to a token that ended the answer by being the model's end token."""
    return bool(details) and details.get("finish_reason") == "eos_token"


def read_generated(payload: Any, *, special_tokens: bool = False) -> Iterator[Delta]:
    """Return the deltas of a whole answer, `{"generated_text": ..., "details": ...}` or an array of these.

    Args:
        payload: The answer.
        special_tokens: Keep control tokens, but for the one that ends the answer.
    """
    answers = payload if isinstance(payload, list) else [payload]
    if not answers:
        raise ValueError("an empty array is not an answer")
    for number, answer in enumerate(answers):
        text = as_text(answer["generated_text"])
        yield TextDelta(_with_tokens(answer.get("details"), text) if special_tokens else text, number)
        yield from read_details(answer.get("details"), number)


def _with_tokens(details: Any, text: str) -> str:
    """Return the text with the control tokens that `generated_text` lacks."""
    tokens = (details or {}).get("tokens") or []
    if tokens and ends(details) and _is_special(tokens[-1]):
        tokens = tokens[:-1]
    return "".join(as_text(token["text"]) for token in tokens) if any(map(_is_special, tokens)) else text


def _is_special(token: Any) -> bool:
    return bool(token.get("special") or token.get("special_token"))
