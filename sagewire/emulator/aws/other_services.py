"""The rest of AWS: services that are not emulated refuse in their own protocol, so that clients raise typed errors.

The protocols are those of the Smithy specification (https://smithy.io/2.0/aws/protocols/).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from sagewire.emulator.aws.front_door import aws_error
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["refuse", "service_of"]

HERE = "SageMaker, SageMaker Runtime, STS and S3"
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/,\s]+/([^/,\s]+)/aws4_request")
# Paths that OpenAI's clients ask for, with and without a version, and the address itself.
_OPENAI = re.compile(r"/|(/openai)?(/v\d+)?/(chat/completions|completions|responses|embeddings|rerank|models(/.*)?)")
# Services whose errors are XML though their requests are paths and not forms, by the names they sign for.
_REST_XML = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda", "cloudfront", "route53"})


def service_of(request: Request) -> str:
    """Return the name of the service that a request is signed for; empty if it is not signed."""
    match = _SCOPE.search(request.headers.get("authorization", ""))
    return match[1] if match else ""


def refuse(request: Request) -> Response:
    """Return the refusal of an operation that the emulator does not have."""
    service = service_of(request) or "this service"
    target = request.headers.get("x-amz-target", "").rpartition(".")[2]
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _cbor(_message(service, request.path.rpartition("/")[2]))
    if target:
        return _json(request, _message(service, target))
    if action := _action(request):
        return _ec2(_message(service, action)) if service == "ec2" else _xml(400, "InvalidAction", service, action)
    if service in _REST_XML:
        return _xml(404, "UnknownOperation", service, f"{request.method} {request.path}")
    return aws_error("UnknownOperationException", 404, _message(service, f"{request.method} {request.path}"))


def not_openai(request: Request, endpoints: Iterable[str]) -> Response | None:
    """Return what to do instead, for a request that an OpenAI client or a browser sends here; else `None`.

    Args:
        request: The request.
        endpoints: The names of the endpoints.
    """
    of_aws = service_of(request) or "x-amz-target" in request.headers or "smithy-protocol" in request.headers
    if of_aws or not _OPENAI.fullmatch(request.path) or (request.path == "/" and request.method == "POST"):
        return None
    name = next(iter(endpoints), "my-endpoint")
    host = request.headers.get("host", "127.0.0.1")
    message = (
        f"This is a local SageMaker, not an OpenAI server: it has no {request.method} {request.path}. Use "
        f"sagewire.integrations.openai.openai_client({name!r}), run `sagewire gateway --endpoint {name}`, or give the "
        f"container's own address, base_url='http://{host}/containers/{name}/v1'."
    )
    return json_response(404, {"error": {"message": message, "type": "invalid_request_error", "code": "not_found"}})


def _message(service: str, operation: str) -> str:
    return f"The emulator does not have {operation} of {service}: it emulates {HERE}."


def _action(request: Request) -> str:
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    body = request.body.decode("utf-8", "replace") if form else ""
    return parse_qs(body).get("Action", [request.query.get("Action", "")])[0]


def _json(request: Request, message: str) -> Response:
    response = json_response(400, {"__type": "UnknownOperationException", "message": message})
    kind = request.headers.get("content-type", "application/x-amz-json-1.0")
    return Response(400, {"Content-Type": kind, "x-amzn-RequestId": str(uuid.uuid4())}, response.body)


def _xml(status: int, code: str, service: str, operation: str) -> Response:
    text = escape(_message(service, operation))
    request_id = str(uuid.uuid4())
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Response(status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())


def _ec2(message: str) -> Response:
    request_id = str(uuid.uuid4())
    body = (
        f"<Response><Errors><Error><Code>InvalidAction</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
    return Response(400, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())


def _cbor(message: str) -> Response:
    """Return a map of two texts in CBOR (RFC 8949), which needs no more than lengths in front."""
    fields = {"__type": "UnknownOperationException", "message": message}
    body = bytes([0xA0 + len(fields)]) + b"".join(_cbor_text(text) for pair in fields.items() for text in pair)
    headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
    return Response(400, headers, body)


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    return b"\x79" + len(data).to_bytes(2, "big") + data
