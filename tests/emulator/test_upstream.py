"""The `upstream` engine: what a container is asked for reaches the real server, or is refused."""

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import pytest

from sagewire import Client, ModelError
from sagewire.emulator import Emulator
from sagewire.errors import EndpointError

from ..cases import each

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WANTED = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
LONG = "one two three four five six seven eight"


class Server:
    """A model server that records what it is asked."""

    def __init__(self, owner):
        self.calls = []
        self.events = []
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
                if not self.path.startswith("/v1/"):
                    self.send_error(404)
                    return
                self.send(json.dumps({"data": [{"id": "real-model", "owned_by": owner}]}).encode())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not self.path.startswith(("/v1/", "/api/")):
                    self.send_error(404)
                    return
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
                    events = outer.events or [{"choices": [choice]}, {"choices": [], "usage": usage}]
                    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
                    self.send(data + b"data: [DONE]\n\n", "text/event-stream")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

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
        return answer.read()


def test_vectors_are_the_servers(server):
    with served(server, "tei") as emulator:
        found = client(emulator, "tei").embed(["a", "b"], normalize=False).vectors
    assert found == [[0.6, 0.8, 0.0], [0.6, 0.8, 1.0]]
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
        # TGI answers greedily where no sampling is asked for, and so does the server behind it.
        assert server.calls[-1][1]["options"] == {"num_predict": 2, "repeat_penalty": 1.1, "temperature": 0}


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


THINKING_OFF = {"enable_thinking": False}


@each(
    ("owner", "body", "sent"),
    [
        ("vllm", {"chat_template_kwargs": THINKING_OFF}, {"chat_template_kwargs": THINKING_OFF}),
        ("vllm", {"logit_bias": {"5": 1}, "min_tokens": 4}, {"logit_bias": {"5": 1}, "min_tokens": 4}),
        ("sglang", {"add_generation_prompt": False, "ignore_eos": True},
         {"add_generation_prompt": False, "ignore_eos": True}),
        ("llamacpp", {"reasoning_effort": "low"}, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        ("library", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ("somebody", {"logit_bias": {"5": 1}}, {"logit_bias": {"5": 1}}),
        ("somebody", {"skip_special_tokens": False, "ignore_eos": False}, {}),
        ("somebody", {"chat_template_kwargs": THINKING_OFF}, "no field for chat_template_kwargs"),
        ("library", {"logit_bias": {"5": 1}}, "no field for logit_bias"),
        ("llamacpp", {"min_tokens": 4}, "no field for min_tokens"),
        ("vllm", {"prompt_logprobs": 1}, "no field for prompt_logprobs"),
    ],
)  # fmt: skip
def test_further_settings_reach_the_servers_that_have_them(owner, body, sent):
    server = Server(owner)
    asked = {"messages": [{"role": "user", "content": "Hi"}], **body}
    try:
        with served(server, "openai_chat") as emulator:
            if isinstance(sent, str):
                with pytest.raises(HTTPError) as refused:
                    invoke(emulator, asked)
                assert sent in refused.value.read().decode()
                return
            invoke(emulator, asked)
        known = {"model", "messages", "stream", "stream_options", "max_tokens"}
        assert {name: value for name, value in server.calls[-1][1].items() if name not in known} == sent
    finally:
        server.close()


@each(
    ("parameters", "words"),
    [
        ({"truncate": 5, "best_of": 2}, "no field for best_of"),
        ({"watermark": True}, "no field for watermark"),
        ({"decoder_input_details": True, "details": True}, "no field for decoder_input_details"),
    ],
)
def test_what_tgis_own_model_server_does_is_refused(server, parameters, words):
    with served(server, "tgi") as emulator, pytest.raises(HTTPError) as refused:
        invoke(emulator, {"inputs": "Once", "parameters": {**parameters, "do_sample": True}})
    assert words in refused.value.read().decode()


@each(
    ("parameters", "temperature"),
    [
        ({}, 0),
        ({"do_sample": False}, 0),
        ({"temperature": 1.0}, 0),
        ({"do_sample": True}, None),
        ({"do_sample": True, "temperature": 0.7}, 0.7),
        ({"temperature": 0.7}, 0.7),
        ({"top_p": 0.9}, None),
        ({"top_k": 5}, None),
    ],
)
def test_tgi_samples_only_if_it_is_asked_to(server, parameters, temperature):
    with served(server, "tgi") as emulator:
        invoke(emulator, {"inputs": "Once", "parameters": parameters})
    assert server.calls[-1][1].get("temperature") == temperature


def test_log_probabilities_of_tgis_details_are_not_made_up(server):
    with served(server, "tgi") as emulator:
        body = {"inputs": "Once", "parameters": {"details": True}}
        (answer,) = json.loads(invoke(emulator, body))
        streamed = invoke(emulator, {**body, "stream": True}).decode()
    assert {token["logprob"] for token in answer["details"]["tokens"]} == {None}
    tokens = [json.loads(line[5:])["token"] for line in streamed.splitlines() if line.startswith("data:")]
    assert {token["logprob"] for token in tokens} == {None}


def test_a_prompt_of_token_numbers_is_refused(server):
    with served(server, "openai_completions") as emulator, pytest.raises(HTTPError) as refused:
        invoke(emulator, {"prompt": [1, 2]})
    assert "token numbers" in refused.value.read().decode()


def test_media_details_and_reasoning_of_a_conversation_reach_the_server(server):
    audio = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    image = {"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}}
    turns = [
        {"role": "user", "content": [audio, image]},
        {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"},
        {"role": "user", "content": "Hi"},
    ]
    with served(server, "openai_chat") as emulator:
        invoke(emulator, {"messages": turns})
    asked, answered, _ = server.calls[-1][1]["messages"]
    assert asked["content"] == [audio, image]
    assert answered["reasoning_content"] == answered["reasoning"] == "2 + 2"


def test_what_a_request_says_of_schemas_reaches_the_server(server):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "strict": True, "schema": schema}}
    functions = [
        {"name": "f", "description": "", "parameters": schema, "strict": True},
        {"name": "g", "description": "", "parameters": schema},
    ]
    tools = [{"type": "function", "function": function} for function in functions]
    with served(server, "openai_chat") as emulator:
        invoke(emulator, {"messages": [{"role": "user", "content": "Hi"}], "response_format": wanted})
        assert server.calls[-1][1]["response_format"] == wanted
        invoke(emulator, {"messages": [{"role": "user", "content": "Hi"}], "tools": tools, "tool_choice": "auto"})
        assert server.calls[-1][1]["tools"] == tools


def test_a_named_prompt_is_refused(server):
    with served(server, "tei") as emulator, pytest.raises(EndpointError, match="`prompt_name` 'query'"):
        client(emulator, "tei").embed(["x"], extra={"prompt_name": "query"})


def piece(name, arguments, **more):
    return {"function": {"name": name, "arguments": arguments}, **more}


@each(
    ("pieces", "calls"),
    [
        ([piece("f", '{"a": 1}', id="1", index=0), piece("g", "{}", id="2", index=0)],
         [("f", '{"a": 1}'), ("g", "{}")]),
        ([piece("f", '{"a": 1}', id="1"), piece("g", "{}", id="2")], [("f", '{"a": 1}'), ("g", "{}")]),
        ([piece("f", '{"a": 1}'), piece("f", '{"a": 2}')], [("f", '{"a": 1}'), ("f", '{"a": 2}')]),
        ([piece("f", '{"a"', id="1", index=0), piece("f", ": 1}", id="1", index=0)], [("f", '{"a": 1}')]),
        ([piece("f", "", id="1", index=0), piece(None, '{"a": 1}', index=0)], [("f", '{"a": 1}')]),
        ([piece("f", '{"a"'), piece(None, ": 1}"), piece("g", "{}")], [("f", '{"a": 1}'), ("g", "{}")]),
        ([piece("f", {"a": 1}, index=0)], [("f", '{"a": 1}')]),
    ],
)  # fmt: skip
def test_calls_are_never_glued_together(server, pieces, calls):
    server.events = [{"choices": [{"index": 0, "delta": {"tool_calls": [one]}}]} for one in pieces]
    server.events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {}})
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "fg"]
    with served(server, "openai_chat") as emulator:
        answer = json.loads(invoke(emulator, {"messages": [{"role": "user", "content": "Hi"}], "tools": tools}))
    made = [call["function"] for call in answer["choices"][0]["message"]["tool_calls"]]
    assert [(function["name"], function["arguments"]) for function in made] == calls


@each(
    ("choice", "text", "reason"),
    [
        ({"message": {"content": "whole"}, "finish_reason": "stop"}, "whole", "stop"),
        ({"delta": {"refusal": "No."}, "finish_reason": "stop"}, "No.", "stop"),
        ({"delta": {"content": "cut"}, "finish_reason": "content_filter"}, "cut", "content_filter"),
    ],
)
def test_answers_in_other_forms_arrive(server, choice, text, reason):
    server.events = [{"choices": [{"index": 0, **choice}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}]
    with served(server, "openai_chat") as emulator:
        reply = client(emulator, "openai_chat").chat("Hi")
    assert (reply.text, reply.finish_reason) == (text, reason)


def test_vectors_of_tei_have_length_one_unless_asked_otherwise(server):
    with served(server, "tei") as emulator:
        assert client(emulator, "tei").embed(["a", "b"], normalize=False).vectors[1] == [0.6, 0.8, 1.0]
        normal = client(emulator, "tei").embed(["a", "b"]).vectors[1]
    assert sum(x * x for x in normal) == pytest.approx(1)


def test_a_size_the_server_ignores_is_refused(server):
    with served(server, "openai_embeddings") as emulator, pytest.raises(EndpointError, match="vectors of 2 numbers"):
        client(emulator, "openai_embeddings").embed(["a"], dimensions=2)


def test_an_address_without_its_version_is_explained(server):
    address = server.url.removesuffix("/v1")
    with Emulator({"e": f"openai_chat:upstream={address},m"}) as emulator, pytest.raises(HTTPError) as refused:
        invoke(emulator, {"messages": [{"role": "user", "content": "Hi"}]})
    assert "usually ends with /v1" in refused.value.read().decode()
