"""JumpStart's own containers: Llama 2 of the first versions, and the task scripts before them.

Sources: the notebooks of aws/amazon-sagemaker-examples; recognised by their tags, for the images are ordinary ones.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, json_body
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.http_values import Request, Response, json_response
from sagewire.types import Message, Role

__all__ = [
    "JumpStartDialog",
    "JumpStartEmbedding",
    "JumpStartLlama2",
    "JumpStartText2Text",
    "JumpStartTextGeneration",
    "jumpstart_tags",
]

EULA = (
    "Need to pass custom_attributes='accept_eula=true' as part of header. This means you have read and accept the "
    "end-user license agreement (EULA) of the model. EULA can be found in model card description or from "
    "https://ai.meta.com/resources/models-and-libraries/llama-downloads/."
)
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def jumpstart_tags(model_id: str, version: str) -> dict[str, str]:
    """Return the tags JumpStart puts on an endpoint."""
    return {
        "sagemaker-sdk:jumpstart-model-id": model_id,
        "sagemaker-sdk:jumpstart-model-version": version,
        "sagemaker-sdk:jumpstart-model-type": "open_weights",
    }


class _Script(Dialect):
    """The base of all JumpStart scripts."""

    environment: ClassVar[Mapping[str, str]] = {
        "ENDPOINT_SERVER_TIMEOUT": "3600",
        "MODEL_CACHE_ROOT": "/opt/ml/model",
        "SAGEMAKER_ENV": "1",
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    }

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the container's routes."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("GET", "/ping"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the container's error."""
        return json_response(
            failure.status, {"code": failure.status, "message": "prediction failure", "error": failure.message}
        )

    @abstractmethod
    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`."""

    def refusal(self, message: str, status: int = 424) -> Refusal:
        """Return a refusal in the container's words."""
        return Refusal(json_response(status, {"code": status, "message": "prediction failure", "error": message}))

    def settings(self, given: Mapping[str, Any], names: tuple[str, ...], default: int | None) -> dict[str, Any]:
        """Return the parameters as an engine reads them; `names` are those of the token limit."""
        number = next((given[name] for name in names if given.get(name) is not None), default)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise self.refusal(f"{names[0]} must be an integer, and at least 1")
        return {
            "max_tokens": number,
            "temperature": 0 if given.get("do_sample") is False else given.get("temperature"),
            "top_p": given.get("top_p"),
            "seed": given.get("seed"),
            "sampling": sampling_of(given),
        }


class JumpStartLlama2(_Script):
    """Llama 2 base models of versions 1 and 2: a prompt in, `generation` out, after the licence is accepted."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.23.0-deepspeed0.9.5-cu118"
    model_id = "meta-textgeneration-llama-2-7b"
    tags: ClassVar[Mapping[str, str]] = jumpstart_tags("meta-textgeneration-llama-2-7b", "1.2.1")

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer a batch of one."""
        attributes = request.headers.get("x-amzn-sagemaker-custom-attributes", "")
        pairs = dict(pair.strip().split("=", 1) for pair in attributes.split(";") if "=" in pair)
        if pairs.get("accept_eula") != "true":
            raise self.refusal(EULA)
        body = json_body(request, self.refusal)
        if not isinstance(body, dict) or "inputs" not in body:
            raise self.refusal("Missing key `inputs`")
        if not isinstance(body.get("parameters") or {}, dict):
            raise self.refusal("parameters must be an object")
        settings = self.settings(body.get("parameters") or {}, ("max_new_tokens",), 64)
        return json_response(200, self.answers(body["inputs"], settings, container))

    def answers(self, inputs: Any, settings: Mapping[str, Any], container: Container) -> list[dict[str, Any]]:
        """Return one answer per input."""
        texts = inputs if isinstance(inputs, list) else [inputs]
        if not all(isinstance(text, str) for text in texts):
            raise self.refusal("inputs must be a string or a list of strings")
        turns = [Turn(prompt=text, **settings) for text in texts]
        return [{"generation": container.generation(turn).collect().text} for turn in turns]


class JumpStartDialog(JumpStartLlama2):
    """Llama 2 chat models of versions 1 and 2: a list of dialogs in."""

    model_id = "meta-textgeneration-llama-2-7b-f"
    tags: ClassVar[Mapping[str, str]] = jumpstart_tags("meta-textgeneration-llama-2-7b-f", "1.2.1")

    def answers(self, inputs: Any, settings: Mapping[str, Any], container: Container) -> list[dict[str, Any]]:
        """Return one answer per dialog."""
        if not isinstance(inputs, list) or not all(isinstance(dialog, list) for dialog in inputs):
            raise self.refusal("inputs must be a list of dialogs")
        answers = []
        for dialog in inputs:
            turn = Turn(messages=tuple(self._messages(dialog)), **settings)
            text = container.generation(turn).collect().text
            answers.append({"generation": {"role": "assistant", "content": f" {text}"}})
        return answers

    def _messages(self, dialog: list[Any]) -> list[Message]:
        messages = []
        for number, item in enumerate(dialog):
            role = item.get("role") if isinstance(item, dict) else None
            if role not in _ROLES or not isinstance(item.get("content"), str):
                raise self.refusal("each message needs a role of system, user or assistant, and content")
            if role == "system" and number:
                raise self.refusal("a system message is only allowed as the first one")
            messages.append(Message(_ROLES[role], item["content"]))
        spoken = [message.role for message in messages if message.role != "system"]
        expected = ["user", "assistant"] * len(spoken)
        if not spoken or spoken != expected[: len(spoken)] or spoken[-1] != "user":
            # llama/generation.py, chat_completion
            raise self.refusal(
                "model only supports 'system', 'user' and 'assistant' roles, starting with 'system', then 'user' and "
                "alternating (u/a/u/a/u...)"
            )
        return messages


class JumpStartText2Text(_Script):
    """Flan-T5 and its like: `text_inputs` as JSON, or raw text as `application/x-text`."""

    image = (
        "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-pytorch-inference:"
        "1.10.2-transformers4.17.0-gpu-py38-cu113-ubuntu20.04"
    )
    model_id = "huggingface-text2text-flan-t5-xl"
    tags: ClassVar[Mapping[str, str]] = jumpstart_tags("huggingface-text2text-flan-t5-xl", "1.2.1")
    known: ClassVar[frozenset[str]] = frozenset(
        (
            "text_inputs",
            "max_length",
            "max_time",
            "num_return_sequences",
            "num_beams",
            "no_repeat_ngram_size",
            "early_stopping",
            "do_sample",
            "top_k",
            "top_p",
            "temperature",
            "seed",
            "return_full_text",
        )
    )

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer text of either media type."""
        if request.headers.get("content-type", "").startswith("application/x-text"):
            text = request.body.decode("utf-8", "replace")
            said = self.generate(text, {"max_tokens": 50}, 1, container)
            return json_response(200, self.one(said))
        body = json_body(request, self.refusal)
        if not isinstance(body, dict) or not isinstance(body.get("text_inputs"), str | list):
            raise self.refusal("Input payload must contain text_inputs key.", 400)
        unknown = sorted(set(body) - self.known)
        if unknown:
            text = f"Input payload contains an invalid key {unknown}. Valid keys are {sorted(self.known)}."
            raise self.refusal(text, 400)
        texts = [body["text_inputs"]] if isinstance(body["text_inputs"], str) else body["text_inputs"]
        settings = self.settings(body, ("max_length",), 50)
        number = body.get("num_return_sequences") or 1
        return json_response(200, self.many([self.generate(text, settings, number, container) for text in texts]))

    def generate(self, text: str, settings: Mapping[str, Any], number: int, container: Container) -> list[str]:
        """Return so many answers to one text."""
        turns = [Turn(prompt=text, choice=choice, **settings) for choice in range(number)]
        return [container.generation(turn).collect().text for turn in turns]

    def one(self, said: list[str]) -> Any:
        """Return the answer to raw text."""
        return {"generated_text": said[0]}

    def many(self, answers: list[list[str]]) -> Any:
        """Return the answers to texts sent as JSON."""
        return {"generated_texts": [said for answer in answers for said in answer]}


class JumpStartTextGeneration(JumpStartText2Text):
    """BLOOM, GPT-J and their like: a list per text."""

    model_id = "huggingface-textgeneration1-bloom-7b1"
    tags: ClassVar[Mapping[str, str]] = jumpstart_tags("huggingface-textgeneration1-bloom-7b1", "1.1.1")

    def one(self, said: list[str]) -> Any:
        """Return the answer to raw text."""
        return [{"generated_text": said[0]}]

    def many(self, answers: list[list[str]]) -> Any:
        """Return the answers to texts sent as JSON."""
        return [[{"generated_text": said} for said in answer] for answer in answers]


class JumpStartEmbedding(_Script):
    """Text embedding scripts such as GPT-J 6B's: `text_inputs` in, `embedding` out."""

    image = JumpStartText2Text.image
    model_id = "huggingface-textembedding-gpt-j-6b"
    tags: ClassVar[Mapping[str, str]] = jumpstart_tags("huggingface-textembedding-gpt-j-6b", "1.1.0")

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer text of either media type."""
        if request.headers.get("content-type", "").startswith("application/x-text"):
            text = request.body.decode("utf-8", "replace")
            return json_response(200, {"embedding": container.embed([text])[0]})
        body = json_body(request, self.refusal)
        texts = body.get("text_inputs") if isinstance(body, dict) else None
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise self.refusal("Input payload must contain text_inputs key.", 400)
        rows = container.embed(texts)
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps({"embedding": rows}))
