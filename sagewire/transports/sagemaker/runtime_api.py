"""SageMaker Runtime's HTTP API: pure functions between `Invocation` and headers, and back to `ResponseInfo`.

Header names and what each route takes are those of botocore's model sagemaker-runtime/2017-05-13.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from urllib.parse import quote

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["PARAMETERS", "check_parameters", "check_values", "endpoint_path", "request_headers", "response_info"]

PARAMETERS: Mapping[str, str] = {
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "EnableExplanations": "X-Amzn-SageMaker-Enable-Explanations",
    "InferenceComponentName": "X-Amzn-SageMaker-Inference-Component",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "PrefixAwareId": "X-Amzn-SageMaker-Prefix-Aware-Id",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
    "TargetContainerHostname": "X-Amzn-SageMaker-Target-Container-Hostname",
    "TargetModel": "X-Amzn-SageMaker-Target-Model",
    "TargetVariant": "X-Amzn-SageMaker-Target-Variant",
}
# These are arguments of boto3's call too, but here the handler decides them.
_DECIDED = {
    "Body": "the request's body is what the content handler makes of it",
    "EndpointName": "name the endpoint when the client is made",
    "ContentType": "it is an attribute of the content handler",
    "Accept": "it is an attribute of the content handler",
}
_NOT_STREAMED = ("TargetModel", "EnableExplanations")
_MAX_CUSTOM_ATTRIBUTES = 1024


def check_parameters(parameters: Mapping[str, str], *, stream: bool = False) -> None:
    """Raise if a parameter is unknown, has an impossible value, or does not exist on the route.

    Raises:
        UsageError: Unknown name or value; the message lists the known names.
        UnsupportedFeature: The streaming route does not have the parameter.
    """
    check_values(parameters, PARAMETERS)
    if stream:
        _check_stream(parameters)


def check_values(parameters: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Raise `UsageError` if a parameter is not among `known` or cannot travel as a header."""
    for name, value in parameters.items():
        if name not in known:
            raise UsageError(_unknown(name, known))
        if not isinstance(value, str):
            raise UsageError(f"{name}={value!r} must be a string")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"{name}={value!r} travels as an HTTP header and must be visible ASCII")
        if name == "CustomAttributes" and len(value) > _MAX_CUSTOM_ATTRIBUTES:
            raise UsageError(f"CustomAttributes has {len(value)} characters; SageMaker takes {_MAX_CUSTOM_ATTRIBUTES}")


def _check_stream(parameters: Mapping[str, str]) -> None:
    where = "InvokeEndpointWithResponseStream"
    for name in _NOT_STREAMED:
        if name in parameters:
            raise UnsupportedFeature(name, where, "Ask for the whole answer instead of a stream.")
    if parameters.get("SessionId") == "NEW_SESSION":
        raise UnsupportedFeature(
            "SessionId='NEW_SESSION'", where, "Open the session with a call that does not stream, then use its id."
        )


def _unknown(name: str, known: Mapping[str, str]) -> str:
    if name in _DECIDED:
        return f"{name} is not an endpoint parameter here: {_DECIDED[name]}"
    close = difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    operation = "InvokeEndpoint" if known is PARAMETERS else "InvokeEndpointAsync"
    return f"{name!r} is not a parameter of {operation}; {hint}known are {', '.join(known)}"


def endpoint_path(endpoint_name: str, *, stream: bool) -> str:
    """Return the URL path of an endpoint's route."""
    route = "invocations-response-stream" if stream else "invocations"
    return f"/endpoints/{quote(endpoint_name, safe='-_.~')}/{route}"


def request_headers(call: Invocation, parameters: Mapping[str, str], *, stream: bool) -> dict[str, str]:
    """Return the headers of a call, without those of the signature.

    Args:
        call: The call to send.
        parameters: The parameters of this call, checked; already merged with the transport's own.
        stream: Which of the two routes.
    """
    # On the streaming route a plain Accept would refer to the event stream itself.
    headers = {"Content-Type": call.content_type, "X-Amzn-SageMaker-Accept" if stream else "Accept": call.accept}
    for name, value in parameters.items():
        headers[PARAMETERS[name]] = value
    return headers


def response_info(headers: Mapping[str, str], timings: Timings, *, stream: bool) -> ResponseInfo:
    """Return what the headers of an answer say, which have lower-case names, and how long it took to come."""
    content_type = headers.get("content-type", "")
    framed = stream and content_type.startswith("application/vnd.amazon.eventstream")
    new_session = headers.get("x-amzn-sagemaker-new-session-id")
    return ResponseInfo(
        content_type=headers.get("x-amzn-sagemaker-content-type", "") if framed else content_type,
        event_stream=framed,
        request_id=headers.get("x-amzn-requestid"),
        production_variant=headers.get("x-amzn-invoked-production-variant"),
        custom_attributes=headers.get("x-amzn-sagemaker-custom-attributes"),
        # "<id>; Expires=2026-01-02T03:04:05Z"
        new_session_id=new_session.partition(";")[0].strip() if new_session else None,
        closed_session_id=headers.get("x-amzn-sagemaker-closed-session-id"),
        timings=timings,
    )
