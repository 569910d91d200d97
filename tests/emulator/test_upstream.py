"""The `upstream` engine: what a container is asked for reaches the real server, or is refused."""

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sagewire import Client, ModelError
from sagewire.emulator import Emulator
from sagewire.errors import EndpointError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WANTED = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
LONG = "one two three four five six seven eight"


class Server:
    """A model server that records what it is asked."""

    def __init__(self, owner):
        self.calls = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def send(self, data, kind="application/json"):
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                self.send(json.dumps({"data": [{"id": "real-model", "owned_by": owner}]}).encode())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.calls.append((self.path, body))
                if self.path == "/v1/embeddings":
                    rows = [{"index": n, "embedding": [0.6, 0.8, float(n)]} for n, _ in enumerate(body["input"])]
                    self.send(json.dumps({"data": rows[::-1]}).encode())
                elif self.path == "/v1/rerank":
                    found = [{"index": n, "relevance_score": n / 4} for n, _ in enumerate(body["documents"])]
                    self.send(json.dumps({"results": found[::-1]}).encode())
                elif self.path == "/api/generate":
                    events = [{"response": LONG}, {"done": True, "prompt_eval_count": 3, "eval_count": 2}]
                    self.send(b"".join(json.dumps(event).encode() + b"\n" for event in events))
                else:
                    choice = {"index": 0, "delta": {"content": LONG}, "text": LONG, "finish_reason": "stop"}
                    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                    events = [{"choices": [choice]}, {"choices": [], "usage": usage}]
                    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
                    self.send(data + b"data: [DONE]\n\n", "text/event-stream")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["vllm"])
def server(request):
    server = Server(request.param)
    yield server
    server.close()


def served(server, dialect):
    return Emulator({"e": f"{dialect}:upstream={server.url}"})


def client(emulator, handler, **arguments):
    return Client(url=emulator.container_url("e"), handler=handler, **arguments)


def invoke(emulator, body):
    headers = {"content-type": "application/json", "x-amzn-sagemaker-custom-attributes": "accept_eula=true"}
    url = emulator.container_url("e") + "/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
        answer.read()


def test_vectors_are_the_servers(server):
    with served(server, "tei") as emulator:
        assert client(emulator, "tei").embed(["a", "b"]).vectors == [[0.6, 0.8, 0.0], [0.6, 0.8, 1.0]]
    assert server.calls == [("/v1/embeddings", {"model": "real-model", "input": ["a", "b"]})]


def test_rankings_are_the_servers(server):
    with served(server, "tei_rerank") as emulator:
        ranking = client(emulator, "tei_rerank").rerank("q", ["a", "b", "c"])
    assert [(found.index, found.score) for found in ranking.results] == [(2, 0.5), (1, 0.25), (0, 0.0)]


def test_vectors_per_token_are_refused(server):
    with served(server, "hf_feature_extraction") as emulator, pytest.raises(EndpointError, match="one per token"):
        client(emulator, "hf_feature_extraction").embed(["a"])


def test_limits_counts_and_settings_are_the_models_own(server):
    options = {"max_tokens": 2, "seed": 5, "temperature": 0.5, "top_k": 7, "repetition_penalty": 1.1}
    with served(server, "openai_chat") as emulator:
        reply = client(emulator, "openai_chat").chat("Hi", response_format=WANTED, **options)
    # The server keeps the limit in its own tokens; the emulator does not cut the answer by its own.
    assert reply.text == LONG
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 2)
    body = server.calls[-1][1]
    assert options.items() <= body.items()
    assert body["response_format"] == WANTED


def test_several_answers_have_several_seeds(server):
    with served(server, "openai_chat") as emulator:
        client(emulator, "openai_chat").chat("Hi", n=2, seed=5)
    assert sorted(body["seed"] for _, body in server.calls) == [5, 6]


@pytest.mark.parametrize(
    ("server", "path", "place"),
    [
        ("vllm", "/v1/completions", {"response_format": WANTED, "repetition_penalty": 1.1, "prompt": "Once"}),
        ("llamacpp", "/v1/completions", {"json_schema": SCHEMA, "repeat_penalty": 1.1, "prompt": "Once"}),
        ("library", "/api/generate", {"format": SCHEMA, "raw": True, "prompt": "Once"}),
    ],
    indirect=["server"],
)
def test_prompts_are_continued_as_they_are(server, path, place):
    with served(server, "tgi") as emulator:
        reply = client(emulator, "tgi").complete("Once", response_format=WANTED, repetition_penalty=1.1, max_tokens=2)
    assert reply.text == LONG
    assert server.calls[-1][0] == path
    assert place.items() <= server.calls[-1][1].items()
    if path == "/api/generate":
        assert server.calls[-1][1]["options"] == {"num_predict": 2, "repeat_penalty": 1.1}


@pytest.mark.parametrize(
    ("server", "options", "words"),
    [
        ("vllm", {"logprobs": True}, "log probabilities"),
        ("vllm", {"typical_p": 0.5}, "no field for typical_p"),
        ("library", {"logprobs": True}, "log probabilities"),
        ("somebody", {"top_k": 5}, "no field for top_k"),
        ("somebody", {"response_format": WANTED}, "cannot be held to a JSON schema"),
    ],
    indirect=["server"],
)
def test_what_the_server_has_no_place_for_is_refused(server, options, words):
    with served(server, "tgi") as emulator, pytest.raises((EndpointError, ModelError), match=words):
        client(emulator, "tgi").complete("Once", **options)
    assert server.calls == []


@pytest.mark.parametrize(
    ("dialect", "body", "sent"),
    [
        ("cohere", {"message": "Hi", "k": 5, "frequency_penalty": 0.2, "seed": 3}, {"top_k": 5, "seed": 3}),
        ("ai21_j2", {"prompt": "Hi", "presencePenalty": {"scale": 0.4}}, {"presence_penalty": 0.4}),
        (
            "jumpstart_textgeneration",
            {"text_inputs": "Hi", "top_k": 9, "do_sample": False},
            {"top_k": 9, "temperature": 0},
        ),
        ("jumpstart_llama2", {"inputs": "Hi", "parameters": {"repetition_penalty": 1.2}}, {"repetition_penalty": 1.2}),
        ("hf_pipeline", {"inputs": "Hi", "parameters": {"top_k": 4}}, {"top_k": 4}),
    ],
)
def test_settings_of_every_container_reach_the_server(server, dialect, body, sent):
    with served(server, dialect) as emulator:
        invoke(emulator, body)
    assert sent.items() <= server.calls[-1][1].items()


def test_a_search_is_refused(server):
    with served(server, "hf_pipeline") as emulator, pytest.raises(EndpointError, match="no field for num_beams"):
        client(emulator, "hf_pipeline").complete("Hi", extra={"num_beams": 4})
