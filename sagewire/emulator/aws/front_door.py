"""SageMaker's front door: errors in AWS's words, and the way of a container's answer back to the client."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import orjson

from sagewire.emulator.faults import FaultInjection
from sagewire.emulator.faults.streams import WrongContentType
from sagewire.emulator.http_values import Response, Step, StreamFailure, Wait, json_response
from sagewire.streaming.eventstream import encode_exception, encode_payload_part

__all__ = ["aws_error", "body_steps", "deliver", "frame", "model_error_text", "not_found_text", "whole"]

EVENT_STREAM = "application/vnd.amazon.eventstream"
MAX_MESSAGE = 2048
# A whole answer is sent in so many pieces if a fault needs a middle.
WHOLE_PIECES = 8


def aws_error(code: str, status: int, message: str, **fields: object) -> Response:
    """Return an error as SageMaker's JSON services write it: the code is in a header, never in the body."""
    headers = {"x-amzn_errortype": code, "x-amzn_RequestId": str(uuid.uuid4())}
    return json_response(status, {"Message": message} | fields, **headers)


def not_found_text(endpoint: str, account: str) -> str:
    """Return what SageMaker says of an endpoint it does not know, or does not show to this account."""
    return f"Endpoint {endpoint} of account {account} not found."


def model_error_text(
    status: int, body: bytes | None, *, container: str, endpoint: str, account: str, region: str
) -> str:
    """Return the message SageMaker wraps a container's error in; without a body, that it could not be read."""
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    log = f"{console}#logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint}"
    tail = f"See {log} in account {account} for more information."
    if status == 0:
        text = (
            f"Your invocation timed out while waiting for a response from container {container}. Review the latency "
            "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
        )
        return f'Received server error (0) from {container} with message "{text}". {tail}'
    kind = "client" if 400 <= status < 500 else "server"
    if body is None:
        return f"Received {kind} error ({status}) from {container} and could not load the entire response body. {tail}"
    return f'Received {kind} error ({status}) from {container} with message "{body.decode("utf-8", "replace")}". {tail}'


def body_steps(response: Response) -> Iterator[Step]:
    """Return a response's body as steps."""
    if isinstance(response.body, bytes):
        return iter([response.body] if response.body else [])
    return iter(response.body)


def whole(steps: Iterator[Step]) -> tuple[bytes, float, list[Step]]:
    """Read steps to the end as the front door reads a container: the bytes, the time it took, and the failure."""
    body: list[bytes] = []
    seconds, wrong = 0.0, list[Step]()
    for step in steps:
        if isinstance(step, bytes):
            body.append(step)
        elif isinstance(step, Wait):
            seconds += step.seconds
        else:
            wrong.append(step)
            break
    return b"".join(body), seconds, wrong


def frame(steps: Iterator[Step]) -> Iterator[Step]:
    """Put every piece of a container's stream into its own event."""
    for step in steps:
        if isinstance(step, bytes):
            if step:
                yield encode_payload_part(step)
        elif isinstance(step, StreamFailure):
            fields = {"Message": step.message} | ({"ErrorCode": step.code} if step.code else {})
            yield encode_exception(step.kind, orjson.dumps(fields))
            return
        else:
            yield step


def deliver(response: Response, faults: Sequence[FaultInjection], *, framed: bool, stream: bool) -> Response:
    """Return a container's answer as it goes to the client.

    Args:
        response: The container's answer, with status 200.
        faults: The faults on the way.
        framed: Pieces become event-stream frames.
        stream: Pieces are sent as they come; otherwise the body is read first, as the front door does.
    """
    steps = body_steps(response)
    for fault in faults:
        steps = fault.chunks(steps)
        if isinstance(fault, WrongContentType):
            response = replace(response, headers={**response.headers, "Content-Type": fault.content_type})
    seconds = 0.0
    if framed:
        steps = frame(steps)
    elif not stream:
        body, seconds, wrong = whole(steps)
        if not wrong and not any(_touches_wire(fault) for fault in faults):
            response = replace(response, body=body, delay=response.delay + seconds)
            return _finish(response, faults)
        size = max(1, len(body) // WHOLE_PIECES)
        steps = iter([*(body[at : at + size] for at in range(0, len(body), size)), *wrong])
    for fault in faults:
        steps = fault.wire(steps)
    return _finish(replace(response, body=steps, delay=response.delay + seconds), faults)


def _touches_wire(fault: FaultInjection) -> bool:
    return type(fault).wire is not FaultInjection.wire


def _finish(response: Response, faults: Sequence[FaultInjection]) -> Response:
    for fault in faults:
        response = fault.response(response)
    return response
