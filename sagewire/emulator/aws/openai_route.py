"""SageMaker's OpenAI-compatible route: a bearer token instead of a signature, plain SSE instead of frames."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

from sagewire.emulator.aws.front_door import deliver, model_error_text
from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError
from sagewire.emulator.aws.runtime import Runtime, Target
from sagewire.emulator.aws.signatures import verify_query
from sagewire.emulator.endpoints import ContainerCall
from sagewire.emulator.faults import Refused
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["OpenAiRoute", "read_token"]

ROUTE = re.compile(r"/endpoints/([^/]+)(?:/inference-components/([^/]+))?/openai/v1/(.*)")
PREFIX = "sagemaker-api-key-"
HOST = "sagemaker.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()
# Headers that the front door keeps; everything else reaches the container on this route.
_KEPT = ("authorization", "host", "content-length", "transfer-encoding", "connection")


def read_token(token: str, identities: Identities, clock: Callable[[], float], region: str) -> Credentials:
    """Return the credentials of a bearer token.

    Raises:
        IdentityError: The token is unknown, expired, or for another region.
    """
    wrong = IdentityError("AccessDeniedException", "The bearer token included in the request is invalid.")
    try:
        text = base64.b64decode(token.removeprefix(PREFIX), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise wrong from None
    host, _, rest = text.partition("/")
    # The version is appended after signing, so it is not part of the signed text.
    signed = Request("POST", f"/{rest.removesuffix('&Version=1')}", {"host": host})
    if not token.startswith(PREFIX) or host != HOST or signed.query.get("Action") != "CallWithBearerToken":
        raise wrong
    caller, scope = verify_query(signed, identities, clock, payload_hash=EMPTY)
    if scope.service != "sagemaker" or scope.region != region:
        raise IdentityError("AccessDeniedException", f"The bearer token is not valid in region {region}.")
    return caller


class OpenAiRoute:
    """The route over a runtime.

    Args:
        runtime: The runtime, which finds and calls the endpoints.
        identities: The callers that are allowed.
        region: The region it pretends to be in.
        clock: Seconds since the epoch.
    """

    def __init__(self, runtime: Runtime, identities: Identities, region: str, clock: Callable[[], float]) -> None:
        self._runtime = runtime
        self._identities = identities
        self._region = region
        self._clock = clock

    def handle(self, request: Request, endpoint: str, component: str | None, route: str) -> Response:
        """Answer one request."""
        header = request.headers.get("authorization", "")
        try:
            if not header.startswith("Bearer "):
                raise IdentityError("AccessDeniedException", "Missing or invalid bearer token.")
            caller = read_token(header.removeprefix("Bearer "), self._identities, self._clock, self._region)
            if route != "chat/completions" or request.method != "POST":
                return _error(
                    404, f"The route /openai/v1/{route} is not supported.", "invalid_request_error", "not_found"
                )
            if "x-amzn-sagemaker-inference-component" in request.headers:
                text = "The header X-Amzn-SageMaker-Inference-Component is not supported on this route."
                raise Refused("ValidationError", 400, text)
            target = self._runtime.find(request, endpoint, caller, component)
            for fault in target.faults:
                if (response := fault.front_door()) is not None:
                    return response
            return self._ask(request, target)
        except IdentityError as error:
            return _error(error.status, error.message, "invalid_request_error", "access_denied")
        except Refused as refused:
            code = "validation_error" if refused.code == "ValidationError" else refused.code
            kind = "invalid_request_error" if refused.status < 500 else "server_error"
            error_response = _error(refused.status, refused.message, kind, code)
            return replace(error_response, headers={**error_response.headers, **refused.headers})

    def _ask(self, request: Request, target: Target) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _KEPT}
        inner = Request("POST", "/v1/chat/completions", headers, request.body)
        self._runtime.record(
            ContainerCall(target.endpoint.name, inner.path, headers, request.body, target.component, "POST")
        )
        answer = target.running.handle_with(inner, target.faults)
        if answer.status < 200 or answer.status >= 300:
            body = answer.body if isinstance(answer.body, bytes) else b""
            text = model_error_text(
                answer.status,
                body,
                container=target.container_name,
                endpoint=target.endpoint.name,
                account=target.endpoint.account,
                region=self._region,
            )
            return _error(answer.status or 424, text, "server_error", "model_error")
        answer = replace(answer, delay=answer.delay + target.running.spec.latency)
        return deliver(answer, target.faults, framed=False, stream=not isinstance(answer.body, bytes))


def _error(status: int, message: str, kind: str, code: str) -> Response:
    return json_response(status, {"error": {"message": message, "type": kind, "code": code}})
