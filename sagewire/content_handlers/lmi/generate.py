"""The generate wire of AWS's Large Model Inference containers (DJL serving), in its three variants.

Rolling batch (up to LMI 16, TensorRT-LLM, neuron), the async vLLM handler (from LMI 17) and dynamic batch (DeepSpeed,
accelerate) take the same request and answer differently; all are read. With `OPTION_TGI_COMPAT` the container answers
like TGI. Sources: djl-serving lmi_input_output_schema.md, djl_python/output_formatter.py,
djl_python/lmi_vllm/request_response_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler
from sagewire.content_handlers.error_bodies import ErrorBody
from sagewire.content_handlers.huggingface.tgi import ends, read_generated
from sagewire.content_handlers.sampling import drop_greedy_leftovers, is_zero, set_do_sample
from sagewire.content_handlers.token_details import read_details
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, PromptRequest, TextDelta

__all__ = ["LmiHandler"]


class LmiHandler(JsonHandler):
    """LMI's generate wire.

    Stop strings are sent under both names, because rolling batch reads `stop_sequences` and the async handler `stop`.
    `do_sample` is switched on with any sampling setting (LMI up to 0.31 ignores them otherwise) and off with
    `temperature=0`. An adapter goes into `adapters`. The engine puts the beginning-of-text token before the prompt.

    For log probabilities, several answers or a JSON schema use the chat wire of the same container (`lmi_chat`): the
    generate wire does not have a field for them that all its variants share.
    """

    name = "lmi"
    speaks = "prompt"
    path = "/invocations"
    adds_bos = True
    special_tokens = False
    can = Capabilities(usage=True)
    option_names: Mapping[str, str] = {
        "max_tokens": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "min_p": "min_p",
        "stop": "stop",
        "seed": "seed",
        "frequency_penalty": "frequency_penalty",
        "presence_penalty": "presence_penalty",
        "repetition_penalty": "repetition_penalty",
        "adapter": "adapters",
    }
    takes_extra = True
    cures: Mapping[str, str] = dict.fromkeys(
        ("logprobs", "top_logprobs", "n", "response_format"),
        "Use handler 'lmi_chat', for the same container's chat route.",
    )

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        settings = self.settings(request)
        payload: dict[str, Any] = {"inputs": request.prompt, "parameters": settings}
        adapter = settings.pop("adapters", None)
        if adapter is not None:
            payload["adapters"] = adapter
        if request.stream:
            payload["stream"] = True
        return payload

    def settings(self, request: PromptRequest) -> dict[str, Any]:
        """Return `parameters`."""
        settings = self.named_options(request.options)
        if "stop" in settings or "stop_sequences" in settings:
            stops = settings.get("stop") or settings.get("stop_sequences") or []
            settings.setdefault("stop", stops)
            settings.setdefault("stop_sequences", stops)
        temperature = settings.get("temperature")
        if is_zero(temperature):
            drop_greedy_leftovers(settings)
            settings["temperature"] = temperature
        set_do_sample(settings)
        settings.setdefault("return_full_text", False)
        settings.setdefault("details", True)
        if self.special_tokens:
            settings.setdefault("skip_special_tokens", False)
        return settings

    def with_special_tokens(self, markers: Sequence[str] = ()) -> LmiHandler:
        """Return a handler that sends `skip_special_tokens: false` and keeps tokens that are flagged as special."""
        handler = copy(self)
        handler.special_tokens = True
        return handler

    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        """Return the deltas of a whole response: an object, or an array (dynamic batch, `OPTION_TGI_COMPAT`)."""
        fault = _generation_fault(payload)
        if fault is not None:
            raise fault.as_model_error()
        return read_generated(payload, special_tokens=self.special_tokens)

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return LmiEventReader(self.special_tokens)


class LmiEventReader(EventReader):
    """Reads the token lines of all three variants, and a whole answer from servers that ignore `stream`.

    Args:
        special_tokens: Keep control tokens, but for the one that ends the answer.
    """

    def __init__(self, special_tokens: bool = False) -> None:
        self._special_tokens = special_tokens

    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas in one line."""
        if isinstance(event, dict) and "token" in event:
            return self._read_token(event, event["token"])
        return self._read_other(event)

    def _read_token(self, event: dict[str, Any], token: dict[str, Any]) -> Iterator[Delta]:
        details = event.get("details") or {}
        if token.get("id") == -1 or details.get("finish_reason") == "error":
            # Rolling batch reports a failure as its own token (djl_python/rolling_batch/rolling_batch.py).
            message = token.get("error_msg") or event.get("error_msg") or token.get("text") or "generation failed"
            raise ErrorBody(str(message), "error").as_stream_error()
        text = as_text(token["text"])
        # TGI flags control tokens `special`, rolling batch `special_token`.
        special = token.get("special") or token.get("special_token")
        if text and (not special or (self._special_tokens and not ends(details))):
            yield TextDelta(text)
        if event.get("generated_text") is not None:
            self.finished = True
            # The async handler numbers choices in `index` (always 0; TGI counts tokens from 1), and counts one
            # token too many at the end of a stream.
            yield from read_details(details, surplus=1 if event.get("index") == 0 else 0)

    def _read_other(self, event: Any) -> Iterator[Delta]:
        if isinstance(event, dict) and "outputs" in event:
            # Dynamic batch: one line per step, no end marker of any kind.
            self.finished = True
            for number, piece in enumerate(event["outputs"]):
                yield TextDelta(as_text(piece), number)
            return
        fault = _generation_fault(event)
        if fault is not None:
            raise fault.as_stream_error()
        yield from read_generated(event, special_tokens=self._special_tokens)
        self.finished = True


def _generation_fault(payload: Any) -> ErrorBody | None:
    answer = payload[0] if isinstance(payload, list) and payload else payload
    details = answer.get("details") if isinstance(answer, dict) else None
    if not isinstance(details, dict) or details.get("finish_reason") != "error":
        return None
    return ErrorBody(str(answer.get("error") or "the container reported that generation failed"), "error")
