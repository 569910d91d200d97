"""SageMaker Runtime: InvokeEndpoint and InvokeEndpointWithResponseStream, from request value to response value."""

from __future__ import annotations

import hashlib
import math
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from sagewire.emulator.aws.front_door import (
    EVENT_STREAM,
    MAX_MESSAGE,
    aws_error,
    deliver,
    model_error_text,
    not_found_text,
)
from sagewire.emulator.aws.identity import Credentials, Identities
from sagewire.emulator.endpoints import ContainerCall, Endpoint, Running, find_endpoint
from sagewire.emulator.faults import FaultInjection, Refused, asked_in_header
from sagewire.emulator.faults.refusals import NO_CAPACITY
from sagewire.emulator.http_values import Request, Response
from sagewire.errors import UsageError

__all__ = ["Runtime", "Target"]

VARIANT = "AllTraffic"
SESSION_SECONDS = 1200
# A container has to answer InvokeEndpoint within this time (API_runtime_InvokeEndpoint).
RESPONSE_SECONDS = 60.0
# Of a serverless endpoint, both ways (serverless-endpoints-invoke).
SERVERLESS_BYTES = 4 * 1024 * 1024
_PREFIX = "x-amzn-sagemaker-"
_VISIBLE = re.compile(r"[\x21-\x7e\x20]{0,1024}")
# Everything else a client sends stays at the front door.
_FORWARDED = (
    "content-type",
    "accept",
    *(_PREFIX + name for name in ("custom-attributes", "target-model", "session-id")),
)


@dataclass(frozen=True, slots=True)
class Target:
    """The container for a request, and the faults on the way to it."""

    endpoint: Endpoint
    running: Running
    component: str | None
    faults: tuple[FaultInjection, ...]

    @property
    def container_name(self) -> str:
        """The name the container has in error messages: an opaque one for inference components."""
        if self.component is None:
            return "primary"
        return hashlib.sha256(self.component.encode()).hexdigest()[:20]


class Runtime:
    """The runtime API over a set of endpoints.

    Args:
        endpoints: By name.
        identities: The callers that are allowed.
        region: The region it pretends to be in.
        clock: Seconds since the epoch.
        record: Is told of every request that reaches a container.
    """

    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        identities: Identities,
        region: str,
        clock: Callable[[], float],
        record: Callable[[ContainerCall], None],
    ) -> None:
        self._endpoints = endpoints
        self._identities = identities
        self._region = region
        self._clock = clock
        self.record = record

    def invoke(self, request: Request, name: str, caller: Credentials, *, stream: bool) -> Response:
        """Answer `/invocations` or, with `stream`, `/invocations-response-stream`."""
        try:
            target = self.find(request, name, caller)
            self._check_headers(request, target, stream)
            for fault in target.faults:
                if (response := fault.front_door()) is not None:
                    return response
            return self._invoke(request, target, caller, stream)
        except Refused as refused:
            error = aws_error(refused.code, refused.status, refused.message)
            return replace(error, headers={**error.headers, **refused.headers})

    def find(self, request: Request, name: str, caller: Credentials, component: str | None = None) -> Target:
        """Return who answers.

        Raises:
            Refused: No container does.
        """
        endpoint, suffix = find_endpoint(self._endpoints, name)
        if endpoint is None or endpoint.account != caller.account or not endpoint.serving:
            raise Refused("ValidationError", 400, not_found_text(name, caller.account))
        if not self._identities.may_invoke(caller):
            arn = f"arn:aws:sagemaker:{self._region}:{endpoint.account}:endpoint/{endpoint.name}"
            text = f"User: {caller.arn} is not authorized to perform: sagemaker:InvokeEndpoint on resource: {arn}"
            raise Refused(
                "AccessDeniedException",
                403,
                f"{text} because no identity-based policy allows the sagemaker:InvokeEndpoint action",
            )
        component = component or request.headers.get(f"{_PREFIX}inference-component")
        running = _running(endpoint, component)
        if running.spec.copies < 1:
            raise Refused("ValidationError", 400, NO_CAPACITY)
        asked = asked_in_header(request.headers.get(f"{_PREFIX}custom-attributes", ""))
        try:
            extra = [endpoint.fault(text) for text in (*asked, *([suffix] if suffix else []))]
        except UsageError as error:
            raise Refused("ValidationError", 400, str(error)) from None
        own = [endpoint.fault(fault) for fault in running.spec.faults] if component else []
        return Target(endpoint, running, component, (*endpoint.spec_faults, *own, *extra))

    def _check_headers(self, request: Request, target: Target, stream: bool) -> None:
        headers, endpoint = request.headers, target.endpoint
        if not _VISIBLE.fullmatch(headers.get(f"{_PREFIX}custom-attributes", "")):
            raise _invalid(
                "1 validation error detected: Value at 'customAttributes' failed to satisfy constraint: Member must "
                "have length less than or equal to 1024 and satisfy regular expression pattern: \\p{ASCII}*"
            )
        if endpoint.spec.asynchronous:
            raise _invalid(f"Endpoint {endpoint.name} takes asynchronous invocations only; use InvokeEndpointAsync.")
        if endpoint.spec.serverless and len(request.body) > SERVERLESS_BYTES:
            raise _invalid(f"Request {uuid.uuid4()} has oversize body.")
        if len(request.body) > endpoint.spec.payload_bytes:
            text = f"HTTP content length exceeded {endpoint.spec.payload_bytes} bytes."
            raise Refused("RequestEntityTooLarge", 413, text)
        if endpoint.spec.serverless and stream:
            raise _invalid(f"Endpoint {endpoint.name} is serverless, which response streaming does not support.")
        if f"{_PREFIX}target-container-hostname" in headers:
            raise _invalid(f"Endpoint {endpoint.name} is not configured for direct invocation of its containers.")
        variant = headers.get(f"{_PREFIX}target-variant", VARIANT)
        if variant != VARIANT:
            raise _invalid(f"Variant {variant} not found for endpoint {endpoint.name}.")
        _check_model(endpoint, headers.get(f"{_PREFIX}target-model"), stream)

    def forwarded(self, request: Request, target: Target, *, stream: bool) -> Request:
        """Return the request as the container sees it."""
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        if stream:
            # Here `Accept` is that of the event stream; the container's comes in its own header.
            headers.pop("accept", None)
            if (accept := request.headers.get(f"{_PREFIX}accept")) is not None:
                headers["accept"] = accept
            headers[f"{_PREFIX}forwarded-api"] = "InvokeEndpointWithResponseStream"
        if target.running.spec.base is not None and target.component is not None:
            headers[f"{_PREFIX}adapter-identifier"] = target.component
        return Request("POST", "/invocations", headers, request.body)

    def _invoke(self, request: Request, target: Target, caller: Credentials, stream: bool) -> Response:
        session = self._session(request, target)
        if isinstance(session, Response):
            answer = session
        else:
            answer = self.ask(self.forwarded(request, target, stream=stream), target)
        if not 200 <= answer.status < 300:
            return self.model_error(answer, target)
        headers = {"x-Amzn-Invoked-Production-Variant": VARIANT, "x-amzn-RequestId": str(uuid.uuid4())}
        headers |= {name: value for name, value in answer.headers.items() if name.startswith("X-Amzn-SageMaker-")}
        if (attributes := request.headers.get(f"{_PREFIX}custom-attributes")) is not None:
            headers.setdefault("X-Amzn-SageMaker-Custom-Attributes", attributes)
        sent = replace(answer, delay=answer.delay + target.running.spec.latency)
        sent = deliver(sent, target.faults, framed=stream, stream=stream)
        if not stream and RESPONSE_SECONDS < sent.delay < math.inf:
            return replace(self.model_error(Response(0), target), delay=RESPONSE_SECONDS)
        if not stream and self._exceeds(sent, target):
            return self.model_error(Response(500), target, lost=True)
        content_type = sent.headers.get("Content-Type", "application/octet-stream")
        if stream:
            headers |= {"Content-Type": EVENT_STREAM, "X-Amzn-SageMaker-Content-Type": content_type}
        else:
            headers["Content-Type"] = content_type
        return replace(sent, headers=headers)

    def _exceeds(self, sent: Response, target: Target) -> bool:
        spec = target.endpoint.spec
        limit = SERVERLESS_BYTES if spec.serverless else spec.payload_bytes
        return isinstance(sent.body, bytes) and len(sent.body) > limit

    def ask(self, request: Request, target: Target) -> Response:
        """Let the container answer a request, and remember that it was asked."""
        call = ContainerCall(
            target.endpoint.name, request.path, request.headers, request.body, target.component, request.method
        )
        self.record(call)
        adapter = request.headers.get(f"{_PREFIX}adapter-identifier")
        if adapter is not None:
            request = replace(request, body=_with_adapter(request.body, adapter))
        return target.running.handle_with(request, target.faults)

    def model_error(self, answer: Response, target: Target, *, lost: bool = False) -> Response:
        """Return the container's error as SageMaker wraps it; its headers are lost, and with `lost` its body, too."""
        body = None if lost else answer.body if isinstance(answer.body, bytes) else b""
        account, name = target.endpoint.account, target.endpoint.name
        text = model_error_text(
            answer.status, body, container=target.container_name, endpoint=name, account=account, region=self._region
        )
        original = (
            (body or b"").decode("utf-8", "replace")
            if answer.status
            else text.partition('"')[2].rpartition('". See ')[0]
        )
        return aws_error(
            "ModelError",
            424,
            text[:MAX_MESSAGE],
            OriginalStatusCode=answer.status,
            OriginalMessage=original[:MAX_MESSAGE],
            LogStreamArn=f"arn:aws:logs:{self._region}:{account}:log-group:/aws/sagemaker/Endpoints/{name}",
        )

    def _session(self, request: Request, target: Target) -> Response | None:
        """Open, check or close a sticky session; `None` goes on to the model."""
        session_id, now = request.headers.get(f"{_PREFIX}session-id"), self._clock()
        if session_id is None:
            return None
        ends = target.endpoint.session_ends
        if not target.running.spec.sessions:
            return Response(400, {"Content-Type": "text/plain"}, b"stateful sessions not enabled")
        if session_id == "NEW_SESSION":
            for ended in [key for key, end in ends.items() if end <= now]:
                del ends[ended]
            new = str(uuid.uuid4())
            ends[new] = now + SESSION_SECONDS
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends[new]))
            headers = {"Content-Type": "text/plain", "X-Amzn-SageMaker-New-Session-Id": f"{new}; Expires={until}"}
            return Response(200, headers, f"Session {new} created".encode())
        if ends.get(session_id, 0.0) <= now:
            return Response(400, {"Content-Type": "text/plain"}, f"session not found: {session_id}".encode())
        if _request_type(request.body) == "CLOSE":
            del ends[session_id]
            headers = {"Content-Type": "text/plain", "X-Amzn-SageMaker-Closed-Session-Id": session_id}
            return Response(200, headers, f"Session {session_id} closed".encode())
        return None


def _invalid(message: str) -> Refused:
    return Refused("ValidationError", 400, message)


def _check_model(endpoint: Endpoint, model: str | None, stream: bool) -> None:
    models = endpoint.spec.models
    if models and stream:
        raise _invalid("Response streaming is not supported for multi-model endpoints.")
    if models and not model:
        raise _invalid("A multi-model endpoint needs the header X-Amzn-SageMaker-Target-Model.")
    if model and not models:
        raise _invalid(
            f"Endpoint {endpoint.name} is not a multi-model endpoint and does not support target model header."
        )
    if model and model not in models:
        raise _invalid(
            f"Failed to download model data(bucket: emulator, key: {model}). Please ensure that there is an object "
            "located at the URL and that the role passed to CreateModel has permissions to download the model."
        )


def _running(endpoint: Endpoint, component: str | None) -> Running:
    if endpoint.main is not None:
        if component:
            raise _invalid(
                f"Inference Component Name header is not allowed: {endpoint.name} hosts no inference components."
            )
        return endpoint.main
    if not component:
        raise _invalid(
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components. Please include Inference Component Name header or consider using SageMaker models."
        )
    if component not in endpoint.components:
        raise _invalid(f"Inference Component {component} of endpoint {endpoint.name} not found.")
    return endpoint.components[component]


def _request_type(body: bytes) -> str | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document.get("requestType") if isinstance(document, dict) else None


def _with_adapter(body: bytes, adapter: str) -> bytes:
    """Write the adapter's name into the body, as the vLLM and SGLang images do."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps(document | {"model": adapter}) if isinstance(document, dict) else body
