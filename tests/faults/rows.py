"""The table: what goes wrong, and the one right outcome for a whole answer and for a stream."""

from __future__ import annotations

from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    FrameError,
    ModelError,
    ModelStreamError,
    NotReady,
    StreamTruncated,
    Throttled,
    UsageError,
    WireError,
)

from .outcomes import WHOLE, Broken, Row
from .raw_answers import RAW_ROWS

__all__ = ["ROWS"]

SSE, TGI, LINES = "openai_chat", "tgi", "lmi"
# The pieces of a stream before the one a fault hits. The first piece of an OpenAI stream names the role only.
BEGUN = {SSE: "Grüße,", TGI: "Grüße, 世", LINES: "Grüße, 世"}
IMPATIENT = 0.25
LOST = Broken(EndpointError, "connection_lost", says="resend=True", calls=0)


def harmless(name: str, *faults: str, wires: tuple[str, ...] = (SSE, TGI, LINES), **more: object) -> list[Row]:
    return [Row(f"{name} ({wire})", WHOLE, WHOLE, faults, wire, frameworks=wire == SSE, **more) for wire in wires]


def refused(name: str, fault: str, kind: type[EndpointError], code: str | None, **attributes: object) -> Row:
    """A refusal is the same for both, and no refused call reached the container."""
    outcome = Broken(kind, code, calls=0, attributes=attributes)
    return Row(name, outcome, outcome, (fault,))


def mid_stream(name: str, fault: str, kind: type[WireError | EndpointTimeout], **more: object) -> list[Row]:
    """What hits a stream in the middle carries what was read, on each kind of wire, and is never tried again."""
    patience = IMPATIENT if kind is EndpointTimeout else 10.0
    return [
        Row(
            f"{name} ({wire})",
            None,
            Broken(kind, partial=BEGUN[wire], calls=1, **more),
            (f"{fault}:3",),
            wire,
            patience=patience,
            frameworks=wire == SSE,
        )
        for wire in (SSE, TGI, LINES)
    ]


def before_the_first(name: str, fault: str, kind: type[WireError | EndpointTimeout], **more: object) -> Row:
    patience = IMPATIENT if kind is EndpointTimeout else 10.0
    return Row(name, None, Broken(kind, partial="", calls=1, **more), (fault,), patience=patience)


CUTS = [
    *harmless("one byte in each frame", "split_bytes"),
    *harmless("three bytes in each frame", "split_bytes:3"),
    *harmless("events cut anywhere", "split_random:7"),
    *harmless("three records in a frame", "merge:3"),
    *harmless("every record in one frame: usage and [DONE] too", "merge:100"),
    *harmless("characters cut into bytes", "cut_utf8"),
    *harmless("no last newline", "no_final_newline"),
    *harmless("Windows line ends", "crlf"),
    *harmless("keep-alive comments", "keep_alive", wires=(SSE, TGI)),
    *harmless("all of it in the pieces of one byte a network may make", "slow_loris:0", wires=(SSE, LINES)),
    *harmless("cut anywhere, with comments and no last newline", "keep_alive", "split_random:3", "no_final_newline"),
    *harmless("a pause before every piece", "slow_tokens:0.002", wires=(SSE,)),
    *harmless("named text/html though it is not", "wrong_content_type"),
    *harmless("named bytes of no kind", "wrong_content_type:application/octet-stream", wires=(SSE, LINES)),
]

MID_STREAM = [
    *mid_stream("SageMaker reports a broken stream", "model_stream_error", ModelStreamError, code="StreamBroken"),
    *mid_stream(
        "SageMaker reports its own failure",
        "internal_stream_failure",
        ModelStreamError,
        code="InternalStreamFailure",
    ),
    *mid_stream("an error frame of no known shape", "unmodelled_error", ModelStreamError, code="InternalError"),
    *mid_stream("a bad checksum", "bad_crc", FrameError, says="checksum"),
    *mid_stream("closed inside a frame", "close_mid_frame", StreamTruncated, says="broke off"),
    *mid_stream("reset between frames", "reset_mid_stream", StreamTruncated, says="broke off"),
    *mid_stream("ended early as if complete", "truncate_stream", StreamTruncated, says="before the answer did"),
    *mid_stream("ended inside a frame as if complete", "truncate_frame", StreamTruncated, says="inside an event-"),
    *mid_stream("nothing more comes", "hang", EndpointTimeout, code="idle"),
    before_the_first(
        "the time for a stream is over before it began",
        "model_stream_error:0,ModelInvocationTimeExceeded",
        ModelStreamError,
        code="ModelInvocationTimeExceeded",
    ),
    before_the_first("SageMaker fails before the first piece", "internal_stream_failure:0", ModelStreamError),
    before_the_first("a bad checksum in the first frame", "bad_crc:0", FrameError),
    before_the_first("closed inside the first frame", "close_mid_frame:0", StreamTruncated),
    before_the_first("reset before the first frame", "reset_mid_stream:0", StreamTruncated),
    before_the_first("ended before the first piece", "truncate_stream:0", StreamTruncated),
    before_the_first("headers, then silence", "hang:0", EndpointTimeout, code="idle"),
    *(
        Row(
            f"the model fails and says so in its stream ({wire})",
            Broken(ModelError, says="illegal memory access", attributes={"original_status": status}, calls=1),
            Broken(ModelStreamError, code, partial="Grüße, 世", says="illegal memory access", calls=1),
            ("error_mid_stream:3",),
            wire,
        )
        for wire, status, code in (
            (SSE, 500, "InternalServerError"),
            (TGI, 424, "generation"),
            (LINES, 500, "error"),
        )
    ),
]

WHOLE_ANSWERS = [
    Row(
        "an empty body",
        Broken(WireError, says="an empty body", calls=1),
        Broken(StreamTruncated, partial="", calls=1),
        ("empty_body",),
    ),
    Row(
        "truncated JSON",
        Broken(WireError, says="invalid JSON", calls=1),
        Broken(StreamTruncated, partial="", says="inside an event", calls=1),
        ("truncated_json",),
    ),
    Row("the connection closes inside a whole answer", Broken(StreamTruncated, calls=1), None, ("close_mid_frame",)),
    Row("the connection is reset inside a whole answer", Broken(StreamTruncated, calls=1), None, ("reset_mid_stream",)),
    Row(
        "a whole answer stops half-way",
        Broken(EndpointTimeout, "idle", calls=1),
        None,
        ("hang:3",),
        patience=IMPATIENT,
    ),
    Row(
        "slow loris: a byte now and then",
        Broken(EndpointTimeout, "idle", calls=1),
        Broken(EndpointTimeout, "idle", partial="", calls=1),
        ("slow_loris:30",),
        patience=IMPATIENT,
    ),
]

REFUSALS = [
    *harmless("throttled once", "throttle:1", wires=(SSE,)),
    *harmless("throttled twice, with a time to wait", "throttle:2,0.01", wires=(SSE,)),
    *harmless("too many requests once", "too_many_requests:1", wires=(SSE,)),
    *harmless("not ready twice", "not_ready:2", wires=(SSE,)),
    *harmless("no capacity once", "no_capacity:1", wires=(SSE,)),
    *harmless("an internal failure once", "internal_failure:1", wires=(SSE,)),
    *harmless("unavailable twice", "unavailable:2", wires=(SSE,)),
    *harmless("a dependency fails once", "dependency_failure:1", wires=(SSE,)),
    *harmless("an HTML 502 once", "html_502:1", wires=(SSE,)),
    *harmless("reset before the answer once", "reset:1", wires=(SSE,)),
    # The retry takes the connection of the refusal: whether the server acts on what is sent on it, nobody knows.
    Row("throttled, then reset", LOST, LOST, ("throttle:1", "reset:1")),
    refused("throttled for good", "throttle", Throttled, "ThrottlingException", status=400, retry_safe=True),
    refused("throttled thrice is once too often", "throttle:3", Throttled, "ThrottlingException"),
    refused("too many requests for good", "too_many_requests", Throttled, "ThrottlingException", status=429),
    refused("never ready", "not_ready", NotReady, "ModelNotReadyException", status=429, retry_safe=True),
    refused("scaled to zero", "no_capacity", NotReady, "ValidationError", status=400, retry_safe=True),
    refused("internal failures for good", "internal_failure", EndpointError, "InternalFailure", status=500),
    refused("unavailable for good", "unavailable", EndpointError, "ServiceUnavailable", status=503),
    refused("a dependency fails for good", "dependency_failure", EndpointError, "InternalDependencyException"),
    refused("an HTML 502 for good", "html_502", EndpointError, None, status=502),
    refused("reset before every answer", "reset", EndpointError, "connection_lost", status=None),
    refused("not allowed", "access_denied", AccessDenied, "AccessDeniedException", status=403, retry_safe=False),
    *(
        Row(name, outcome, outcome, (fault,), patience=IMPATIENT)
        for name, fault in (("no answer ever comes", "never_answer"), ("the answer starts too late", "slow_start:30"))
        for outcome in [Broken(EndpointTimeout, "first_byte", attributes={"retry_safe": False})]
    ),
]

CONTAINERS = {
    # wire: the status the container answers with when its model is out of memory
    "openai_chat": 500,
    "sglang": 500,
    "tgi_chat": 424,
    "tgi": 424,
    "lmi": 500,
    "lmi_chat": 500,
    "hf_pipeline": 400,
    "triton": 500,
    "jumpstart_llama2": 500,
    "jumpstart_dialog": 500,
    "ai21_jamba": 500,
    "cohere": 500,
    "nova": 500,
}


def container_said(name: str, fault: str, status: int | None, says: str, wire: str = SSE) -> Row:
    outcome = Broken(ModelError, "ModelError", says=says, attributes={"original_status": status, "fault": "model"})
    return Row(name, outcome, outcome, (fault,), wire)


CONTAINER_ROWS = [
    *(
        container_said(f"424 with the container's own body ({wire})", "container_error", status, "out of memory", wire)
        for wire, status in CONTAINERS.items()
    ),
    container_said("the container is overloaded", "container_error:503,busy", 503, "busy"),
    container_said("the container throttles", "container_error:429,slow down", 429, "slow down"),
    container_said("the container refuses the request", "container_error:400,too long", 400, "too long"),
    container_said("the proxy in the container sends a page", "container_html", 502, "502 Bad Gateway"),
    container_said("original status 0: SageMaker gave up waiting", "invocation_timeout", 0, "stream instead"),
]

PLACES = [
    Row(name, outcome, outcome, place=place)
    for name, place, outcome in (
        ("the host has no address", "no_such_host", Broken(EndpointError, "connection", says="cannot connect")),
        ("nobody listens", "closed_port", Broken(EndpointError, "connection", says="cannot connect")),
        ("TLS to a server without it", "tls_to_plain_server", Broken(EndpointError, "tls", says="TLS")),
        ("an expired token", "expired_token", Broken(CredentialsExpired, says="renew them", calls=0)),
        ("an unknown key", "unknown_key", Broken(AccessDenied, calls=0, attributes={"status": 403})),
        ("a wrong secret", "wrong_secret", Broken(AccessDenied, calls=0, attributes={"status": 403})),
        ("no credentials anywhere", "no_credentials", Broken(AccessDenied, says="credentials", calls=0)),
        ("no region anywhere", "no_region", Broken(UsageError, says="region", calls=0)),
        ("no endpoint of that name", "no_such_endpoint", Broken(EndpointNotFound, calls=0)),
    )
] + [
    Row("an endpoint still being created", outcome, outcome, endpoint={"status": "Creating"})
    for outcome in [Broken(EndpointNotFound, calls=0, attributes={"retry_safe": False})]
]

ROWS = [*CUTS, *MID_STREAM, *WHOLE_ANSWERS, *REFUSALS, *CONTAINER_ROWS, *PLACES, *RAW_ROWS]
