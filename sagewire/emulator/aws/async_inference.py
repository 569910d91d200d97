"""InvokeEndpointAsync: the request comes from S3 or inline, and the answer goes to S3."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from sagewire.emulator.aws.front_door import aws_error, body_steps, whole
from sagewire.emulator.aws.identity import Credentials
from sagewire.emulator.aws.runtime import Runtime, Target
from sagewire.emulator.aws.s3 import Storage
from sagewire.emulator.faults import Refused
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Asynchronous"]

MAX_INLINE = 128_000
# For the container, unless the request sets InvocationTimeoutSeconds.
DEFAULT_SECONDS = 900
_PREFIX = "x-amzn-sagemaker-"
_EXTENSION = re.compile(r"[\w./=-]{0,512}")


class Asynchronous:
    """The asynchronous API over a runtime and a storage."""

    def __init__(self, runtime: Runtime, storage: Storage) -> None:
        self._runtime = runtime
        self._storage = storage

    def invoke(self, request: Request, name: str, caller: Credentials) -> Response:
        """Answer `/async-invocations`; the object appears after the endpoint's latency."""
        try:
            target = self._runtime.find(request, name, caller)
            output = target.endpoint.spec.asynchronous
            if output is None:
                raise _invalid(f"Endpoint {target.endpoint.name} is not configured for asynchronous inference.")
            self._check(request.headers, request.body)
            for fault in target.faults:
                if (response := fault.front_door()) is not None:
                    return response
            return self._run(request, target, output.rstrip("/"))
        except Refused as refused:
            return aws_error(refused.code, refused.status, refused.message)

    def _check(self, headers: Mapping[str, str], body: bytes) -> None:
        if bool(body) == (f"{_PREFIX}inputlocation" in headers):
            raise _invalid("Exactly one of Body and InputLocation must be given.")
        if len(body) > MAX_INLINE:
            raise _invalid(f"The inline payload must not be larger than {MAX_INLINE} bytes.")
        _between(headers, "requestttlseconds", 60, 21_600)
        _between(headers, "invocationtimeoutseconds", 1, 3_600)
        if not _EXTENSION.fullmatch(headers.get(f"{_PREFIX}s3outputpathextension", "")):
            raise _invalid("Value at 's3OutputPathExtension' failed to satisfy constraint")

    def _run(self, request: Request, target: Target, output: str) -> Response:
        headers, key = request.headers, str(uuid.uuid4())
        inference_id = headers.get(f"{_PREFIX}inference-id") or str(uuid.uuid4())
        folder = headers.get(f"{_PREFIX}s3outputpathextension", "").strip("/")
        name = headers.get(f"{_PREFIX}filename") or f"{key}.out"
        location = "/".join(part for part in (output, folder, name) if part)
        failures = target.endpoint.spec.failures
        failure = f"{failures}/{key}-error.out" if failures else ""
        answer, seconds = self._ask(request, target)
        body, waited, _ = whole(body_steps(answer))
        took = target.running.spec.latency + seconds + waited
        content_type = answer.headers.get("Content-Type", "application/octet-stream")
        allowed = float(headers.get(f"{_PREFIX}invocationtimeoutseconds", DEFAULT_SECONDS))
        if took > allowed:
            text = f"The model did not answer within {allowed:g} seconds."
            answer, body, content_type, took = Response(424), text.encode(), "text/plain", allowed
        if 200 <= answer.status < 300:
            self._storage.put(location, body, content_type, delay=took)
        elif failure:
            self._storage.put(failure, body, content_type, delay=took)
        locations = {"OutputLocation": location, **({"FailureLocation": failure} if failure else {})}
        sent = {f"X-Amzn-SageMaker-{key}": value for key, value in locations.items()}
        return json_response(202, {"InferenceId": inference_id}, **sent)

    def _ask(self, request: Request, target: Target) -> tuple[Response, float]:
        data, given = request.body, {}
        source = request.headers.get(f"{_PREFIX}inputlocation")
        if source is not None:
            stored = self._storage.get(source)
            if stored is None:
                text = f"Failed to download the input from {source}: the object does not exist or cannot be read."
                return Response(400, {"Content-Type": "text/plain"}, text.encode()), 0.0
            data = stored.data
            # AWS's own AsyncPredictor names the type only here.
            given["content-type"] = stored.content_type
        # On this API the container's own headers travel under their own names.
        for own, name in (("content-type", "content-type"), ("accept", "accept")):
            if (value := request.headers.get(_PREFIX + own)) is not None:
                given[name] = value
        if (attributes := request.headers.get(f"{_PREFIX}custom-attributes")) is not None:
            given[f"{_PREFIX}custom-attributes"] = attributes
        answer = self._runtime.ask(Request("POST", "/invocations", given, data), target)
        return answer, answer.delay


def _between(headers: Mapping[str, str], name: str, low: int, high: int) -> None:
    value = headers.get(_PREFIX + name)
    if value is not None and not (value.isdigit() and low <= int(value) <= high):
        raise _invalid(f"Value '{value}' at '{name}' must be between {low} and {high}")


def _invalid(message: str) -> Refused:
    return Refused("ValidationError", 400, f"1 validation error detected: {message}")
