"""The transports to any HTTP server, Hugging Face's above all: paths, tokens, errors, sync and async."""

import json

import pytest

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    ModelError,
    NotReady,
    PayloadTooLarge,
    StreamTruncated,
    Throttled,
    UsageError,
)
from sagewire.transports.base import Retries
from sagewire.transports.http import AsyncHttpTransport, HttpTarget, HttpTransport, join_path
from sagewire.transports.http.http_errors import http_error
from sagewire.transports.http.hugging_face import find_token, is_hugging_face, wait_of
from sagewire.types import Invocation

CALL = Invocation(b'{"messages": []}', accept="application/json", path="/v1/chat/completions")
ONCE = Retries(attempts=1)
QUICK = Retries(base_delay=0.001)


@pytest.fixture
def carry(carry_kinds, server):
    def make(path="", **options):
        return carry_kinds(HttpTransport, AsyncHttpTransport, server.url + path, **{"retries": QUICK, **options})

    return make


def test_invoke(server, carry):
    server.script = lambda peer, seen: peer.answer(b"[1]", x_request_id="r-7")
    body = carry(token="local-key", headers={"X-Team": "ml"}).invoke(CALL)
    assert body.data == b"[1]"
    assert (body.info.content_type, body.info.request_id, body.info.event_stream) == ("application/json", "r-7", False)
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", CALL.body)
    assert seen.headers["authorization"] == "Bearer local-key"
    assert seen.headers["x-team"] == "ml"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"


def test_stream(server, carry):
    def script(peer, seen):
        peer.start_chunks("text/event-stream; charset=utf-8")
        peer.chunk(b"data: 1\n\n")
        peer.chunk(b"data: 2\n\n")
        peer.end_chunks()

    server.script = script
    info, pieces = carry().stream(CALL)
    assert b"".join(pieces) == b"data: 1\n\ndata: 2\n\n"
    assert info.content_type == "text/event-stream; charset=utf-8"
    assert info.event_stream is False


def test_a_stream_that_breaks_off(server, carry):
    def script(peer, seen):
        peer.start_chunks("text/event-stream")
        peer.chunk(b"data: 1\n\n")
        peer.close()

    server.script = script
    with pytest.raises(StreamTruncated):
        carry().stream(CALL)


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("", "", "/"),
        ("/", "", "/"),
        ("", "/generate", "/generate"),
        ("/generate", "", "/generate"),
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1", "/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions"),
        ("/a/b/v1", "/v1/embeddings", "/a/b/v1/embeddings"),
        ("/v1", "/v1alpha/x", "/v1/v1alpha/x"),
        ("/models/x", "/models/", "/models/x/models/"),
        ("/a%20b", "/c", "/a%20b/c"),
    ],
)
def test_join_path(base, path, joined):
    assert join_path(base, path) == joined


def test_path_and_query_of_the_url_are_kept(server, carry):
    carry("/tenant/v1?version=3").invoke(CALL)
    assert server.seen[0].path == "/tenant/v1/chat/completions?version=3"


def test_a_token_is_asked_for_each_request(server, carry):
    tokens = iter(["one", "two"])
    carrier = carry(token=lambda: next(tokens))
    carrier.invoke(CALL)
    carrier.invoke(CALL)
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer one", "Bearer two"]


def test_a_token_never_follows_a_redirect(server, carry):
    server.script = lambda peer, seen: peer.answer(b"", 307, location="https://elsewhere.example/v1")
    with pytest.raises(EndpointError, match=r"elsewhere\.example.*give that URL"):
        carry(token="t").invoke(CALL)
    assert len(server.seen) == 1


def authorization(url, token=None):
    return HttpTarget(url, token).request(CALL, None, stream=False).headers.get("Authorization")


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HF_TOKEN_PATH", "HF_HOME"]
)
def test_the_users_token_goes_to_hugging_face_only(monkeypatch, tmp_path, name):
    if name.endswith("TOKEN"):
        monkeypatch.setenv(name, " hf_mine ")
    else:
        monkeypatch.delenv("HF_TOKEN_PATH")
        (tmp_path / "token").write_text("hf_mine\n")
        monkeypatch.setenv(name, str(tmp_path / "token" if name == "HF_TOKEN_PATH" else tmp_path))
    for url in (
        "https://router.huggingface.co/v1",
        "https://x.eu-west-1.aws.endpoints.huggingface.cloud",
        "https://huggingface.co",
    ):
        assert authorization(url) == "Bearer hf_mine"
        assert authorization(url, "hf_given") == "Bearer hf_given"
    for url in (
        "http://router.huggingface.co/v1",
        "http://localhost:8080",
        "https://huggingface.co.evil.example",
        "https://nothuggingface.co",
        "https://evil.example/huggingface.co",
    ):
        assert authorization(url) is None
        assert authorization(url, "given") == "Bearer given"


def test_the_order_of_tokens(monkeypatch):
    assert find_token() is None
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "third")
    assert find_token() == "third"
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "second")
    assert find_token() == "second"
    monkeypatch.setenv("HF_TOKEN", "first")
    assert find_token() == "first"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert find_token() is None


def test_hugging_faces_hosts():
    assert is_hugging_face("HuggingFace.co.")
    assert is_hugging_face("a.b.endpoints.huggingface.cloud")
    assert not is_hugging_face("huggingface.com")
    assert not is_hugging_face("xhuggingface.co")


def test_secrets_are_not_shown(server, carry, caplog):
    with caplog.at_level("DEBUG", "sagewire"):
        carrier = carry(token="the-secret")
        carrier.invoke(CALL)
        assert "the-secret" not in repr(carrier.transport)
        server.script = lambda peer, seen: peer.answer(b"{}", 401)
        with pytest.raises(AccessDenied) as caught:
            carrier.invoke(CALL)
    assert "the-secret" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://api-inference.huggingface.co/models/x", r"router\.huggingface\.co/v1"),
        ("localhost:8080", "http"),
        ("ftp://x", "http"),
        ("http://", "host"),
        ("https://user:pw@host", "token="),
    ],
)
def test_urls_that_cannot_work(url, said):
    with pytest.raises(UsageError, match=said) as caught:
        HttpTransport(url)
    assert "pw" not in str(caught.value)


def test_parameters_of_sagemaker_are_refused(server, carry):
    with pytest.raises(UsageError, match="TargetVariant"):
        carry().invoke(Invocation(b"{}", parameters={"TargetVariant": "x"}))
    assert server.seen == []


FAULTS = [
    (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, EndpointError, "bad"),
    (401, {"error": "Invalid credentials"}, AccessDenied, "token="),
    (402, {"error": "exceeded"}, AccessDenied, "credits"),
    (403, {"error": "forbidden"}, AccessDenied, "forbidden"),
    (404, {"error": {"message": "The model `x` does not exist."}}, EndpointNotFound, "does not exist"),
    (413, {"error": "too large"}, PayloadTooLarge, "too large"),
    (422, {"error": "`temperature` must be strictly positive", "error_type": "validation"}, EndpointError, "strictly"),
    (424, {"error": "Request failed", "error_type": "generation"}, ModelError, "Request failed"),
    (429, {"error": "Model is overloaded", "error_type": "overloaded"}, Throttled, "overloaded"),
    (500, {"error": "CUDA out of memory"}, ModelError, "CUDA"),
    (502, "<html>Bad Gateway</html>", EndpointError, "Bad Gateway"),
    (503, {"error": "Model x is currently loading", "estimated_time": 20.0}, NotReady, "loading"),
    (503, "no healthy upstream", EndpointError, "upstream"),
    (504, "", EndpointError, "no reason"),
]


@pytest.mark.parametrize(("status", "fields", "kind", "said"), FAULTS)
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_faults(server, carry, status, fields, kind, said, how):
    body = fields if isinstance(fields, str) else json.dumps(fields)
    server.script = lambda peer, seen: peer.answer(body.encode(), status, x_request_id="r-9")
    with pytest.raises(kind, match=said) as caught:
        getattr(carry(retries=ONCE), how)(CALL)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.request_id) == (status, "r-9")
    assert error.retry_safe == (status >= 500 or status == 429)
    if kind is ModelError:
        assert (error.original_status, error.fault) == (status, "model")


def test_a_sleeping_endpoint():
    error = http_error(503, {}, b"503 Service Unavailable", url="https://x", may_sleep=True)
    assert isinstance(error, NotReady)


def test_loading_takes_its_estimated_time(server, carry):
    body = b'{"error": "Model x is currently loading", "estimated_time": 0.05}'
    server.script = lambda peer, seen: peer.answer(
        body if len(server.seen) < 3 else b"ok", 503 if len(server.seen) < 3 else 200
    )
    assert carry().invoke(CALL).data == b"ok"


@pytest.mark.parametrize(
    ("headers", "estimated", "seconds"),
    [
        ({"retry-after": "3"}, None, 3.0),
        ({"ratelimit": '"api";r=0;t=55'}, None, 55.0),
        ({"ratelimit": '"api";r=12;t=55'}, None, None),
        ({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, 20, 3.0),
        ({}, 20.5, 20.5),
        ({}, "soon", None),
        ({}, -1, None),
        ({}, True, 1.0),
    ],
)
def test_how_long_to_wait(headers, estimated, seconds):
    assert wait_of(headers, estimated) == seconds
