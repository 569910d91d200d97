"""AI21's Jurassic-2: a prompt in, completions out, no streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.emulator.dialects.base import Container, Dialect, Refusal, Route, json_body, new_id
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import Generation
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Jurassic2"]


class Jurassic2(Dialect):
    """Jurassic-2."""

    model_package = "j2-mid-v2-2-002"
    model_id = "j2-mid"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the container's routes."""
        return {
            ("POST", "/invocations"): self.invoke,
            ("GET", "/ping"): lambda request, box: Response(200),
        }

    def failure(self, failure: EngineFailure) -> Response:
        """Return the container's error."""
        return json_response(failure.status, {"detail": failure.message})

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer a completion."""
        body = json_body(request, self._refusal)
        if not isinstance(body, dict) or not isinstance(body.get("prompt"), str):
            raise self._refusal("prompt: field required")
        number = body.get("maxTokens", 16)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= 8191:
            raise self._refusal("maxTokens: ensure this value is between 1 and 8191")
        runs = [
            Generation(
                container.engine,
                Turn(
                    prompt=body["prompt"],
                    max_tokens=number,
                    stop=tuple(body.get("stopSequences") or ()),
                    temperature=body.get("temperature"),
                    top_p=body.get("topP"),
                    sampling=sampling_of(body),
                    choice=choice,
                ),
            )
            for choice in range(body.get("numResults") or 1)
        ]
        completions = [self._completion(run) for run in runs]
        return json_response(200, {"id": new_id(), "prompt": {"text": body["prompt"]}, "completions": completions})

    def _completion(self, run: Generation) -> dict[str, Any]:
        answer = run.collect()
        if answer.finish == "length":
            reason: dict[str, Any] = {"reason": "length", "length": answer.completion_tokens}
        elif answer.stop is not None:
            reason = {"reason": "stop", "sequence": answer.stop}
        else:
            reason = {"reason": "endoftext"}
        return {"data": {"text": answer.text, "tokens": []}, "finishReason": reason}

    def _refusal(self, message: str) -> Refusal:
        return Refusal(json_response(422, {"detail": message}))
