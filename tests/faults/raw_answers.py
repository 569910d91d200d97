"""Rows whose server is a raw socket, because no well-behaved server would send this."""

from __future__ import annotations

import json

from sagewire.errors import EndpointError, ModelError, ModelStreamError, PayloadTooLarge, StreamTruncated, WireError
from sagewire.streaming.eventstream import encode_payload_part

from .outcomes import TEXT, WHOLE, Broken, Row

__all__ = ["RAW_ROWS"]


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    named = {"content-type": "application/json", "content-length": str(len(body)), "x-amzn-requestid": "r-1"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + body


def framed(*parts: bytes) -> bytes:
    """An answer of SageMaker's streaming route."""
    return http(
        b"".join(encode_payload_part(part) for part in parts),
        content_type="application/vnd.amazon.eventstream",
        x_amzn_sagemaker_content_type="text/event-stream",
    )


def failed(body: str, status: int = 500, **fields: object) -> bytes:
    """A container's error in SageMaker's words, where the container said `body`."""
    message = f'Received server error ({status}) from primary with message "{body}". See https://x in account 1'
    document = {"Message": message, "OriginalStatusCode": status, "OriginalMessage": body, "LogStreamArn": "arn"}
    data = json.dumps({name: value for name, value in (document | fields).items() if value is not None}).encode()
    return http(data, 424, x_amzn_errortype="ModelError")


def event(**document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def token(text: str, finish: str | None = None) -> bytes:
    return event(id="c", model="m", choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


USAGE = event(id="c", model="m", choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
DONE = b"data: [DONE]\n\n"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
COMPLETION = json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [CHOICE]}).encode()
LOST = Broken(EndpointError, "connection_lost")
STRANGE = Broken(EndpointError, "protocol", says="did not answer in HTTP", attributes={"retry_safe": False})

# What a container said, and what the user must be told of it.
BODIES = {
    "a JSON string": ('"CUDA out of memory"', "answered 500: CUDA out of memory"),
    "plain text": ("CUDA out of memory", "answered 500: CUDA out of memory"),
    "nothing": ("", "the container answered 500"),
    "FastAPI's list of details": ('{"detail":[{"loc":["body"],"msg":"field required"}]}', "500: field required"),
    "MMS": ('{"code":400,"type":"InternalServerException","message":"no GPU"}', "500: no GPU"),
    "quotes in quotes": ('{"error":{"message":"say \\"please\\"","type":"x"}}', '500: say "please"'),
    "JSON cut at 2 kB": ('{"error":"' + "x" * 2000, "500: "),
}

RAW_ROWS = [
    Row("bytes that are not HTTP", STRANGE, STRANGE, raw=(b"SSH-2.0-OpenSSH_9.6\r\n\r\n",)),
    Row("closed without an answer", LOST, LOST, raw=(b"",)),
    Row("closed without an answer, once", WHOLE, None, raw=(b"", http(COMPLETION))),
    Row("closed inside the headers", LOST, LOST, raw=(b"HTTP/1.1 200 OK\r\ncontent-ty",)),
    Row(
        "a body shorter than announced",
        Broken(StreamTruncated, says="broke off"),
        Broken(StreamTruncated, partial="Gr", says="broke off"),
        raw=(
            http(
                encode_payload_part(token("Gr")),
                content_length="9999",
                content_type="application/vnd.amazon.eventstream",
            ),
        ),
    ),
    Row(
        "a page with status 200",
        Broken(WireError, says="<html>"),
        Broken(WireError, partial="", says="<html>"),
        raw=(http(b"<html><body>Please sign in</body></html>", content_type="text/html"),),
    ),
    Row(
        "an error object with status 200",
        Broken(ModelError, says="out of memory"),
        None,
        raw=(http(b'{"error":{"message":"out of memory","type":"InternalServerError","code":500}}'),),
    ),
    Row(
        "an error object in the stream, then [DONE]",
        None,
        Broken(ModelStreamError, "BadRequestError", partial="Gr", says="no more"),
        raw=(framed(token("Gr"), event(error={"message": "no more", "type": "BadRequestError", "code": 400}), DONE),),
    ),
    Row("usage and [DONE] in one part", None, WHOLE, raw=(framed(token(TEXT, "stop"), USAGE + DONE),)),
    Row("everything in one part", None, WHOLE, raw=(framed(token(TEXT) + token("", "stop") + USAGE + DONE),)),
    Row("no [DONE], but a finish reason", None, WHOLE, raw=(framed(token(TEXT, "stop")),)),
    Row("a container that ignores the wish to stream", None, WHOLE, raw=(framed(COMPLETION),)),
    Row(
        "bytes that are not UTF-8",
        Broken(WireError, says="UTF-8"),
        Broken(WireError, partial="Gr", says="UTF-8"),
        raw=(framed(token("Gr"), b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n'),),
    ),
    Row(
        "an event that is no JSON",
        None,
        Broken(WireError, partial="Gr", says="JSON"),
        raw=(framed(token("Gr"), b"data: {oops}\n\n", DONE),),
    ),
    Row(
        "a status of no use without a body",
        *(2 * [Broken(EndpointError, says="without a body", attributes={"status": 418, "retry_safe": False})]),
        raw=(http(b"", 418, content_type=""),),
    ),
    Row(
        "an unknown refusal",
        *(2 * [Broken(EndpointError, "NewlyInventedException", says="not today", attributes={"fault": "client"})]),
        raw=(http(b'{"Message":"not today"}', 400, x_amzn_errortype="NewlyInventedException:http://x"),),
    ),
    Row(
        "a request that is too large",
        *(2 * [Broken(PayloadTooLarge, attributes={"status": 413, "retry_safe": False})]),
        raw=(http(b"<html>413 Request Entity Too Large</html>", 413, content_type="text/html"),),
    ),
    *(
        Row(
            f"a container's error that is {name}",
            *(2 * [Broken(ModelError, "ModelError", says=words, attributes={"original_status": 500})]),
            raw=(failed(body),),
        )
        for name, (body, words) in BODIES.items()
    ),
    Row(
        "a container's error in the sentence alone",
        *(2 * [Broken(ModelError, says="500: no GPU", attributes={"original_status": 500})]),
        raw=(failed('{"error":"no GPU"}', OriginalStatusCode=None, OriginalMessage=None),),
    ),
]
