"""What a plain server's own words tell about it, beyond what the emulator's containers say."""

import json

import pytest

from sagewire.client.finding import handler_of
from sagewire.discovery.http_server import detect_server
from sagewire.errors import EndpointError

from ..cases import each


def server(**answers):
    def ask(path, body=b""):
        if path.rpartition("/")[2] not in answers:
            raise EndpointError("Not Found", status=404)
        return json.dumps(answers[path.rpartition("/")[2]]).encode()

    return ask


@pytest.mark.parametrize("models", [[], [{"id": "tiny", "owned_by": "someone"}]])
def test_whoever_lists_models_also_completes_text(models):
    # `transformers serve` with a model out of a folder lists none.
    dialect = detect_server(server(models={"object": "list", "data": models}))
    assert (dialect.chat, dialect.complete) == ("openai_chat", "openai_completions")
    assert dialect.model_id == (models[0]["id"] if models else None)


def test_a_server_without_a_list_is_asked_for_chat_only():
    dialect = detect_server(server())
    assert (dialect.chat, dialect.complete) == ("openai_chat", None)


@pytest.mark.parametrize(
    ("owner", "version", "field"),
    [
        ("vllm", {"version": "0.11.0"}, "reasoning_content"),
        ("vllm", {"version": "0.12.1.dev3"}, "reasoning"),
        ("vllm", None, "reasoning"),
        ("sglang", None, "reasoning_content"),
        ("library", None, "reasoning"),
        ("llamacpp", None, "reasoning_content"),
        ("someone", None, None),
    ],
)
def test_where_a_server_takes_earlier_reasoning(owner, version, field):
    said = {"models": {"data": [{"id": "m", "owned_by": owner}]}} | ({"version": version} if version else {})
    assert detect_server(server(**said)).thinking_field == field


@pytest.mark.parametrize(
    ("empty", "adds"),
    [({"tokens": [1]}, True), ({"tokens": []}, False), ({"error": {"code": 501}}, None), ([], None), (None, None)],
)
def test_llamacpp_is_asked_which_token_it_puts_before_a_text(empty, adds):
    said = {"models": {"data": [{"id": "m", "owned_by": "llamacpp"}]}} | ({} if empty is None else {"tokenize": empty})
    profile = detect_server(server(**said))
    assert profile.adds_bos is adds
    assert handler_of(profile, profile.complete).adds_bos is (adds is not False)


ODD = [None, True, 5, -1, 1.5, "x", "", [], {}, [1], [None], {"a": 1}, "9" * 5000, "1." + "9" * 5000, [{"id": 5}]]
INFO = ("model_type", "version", "model_id", "max_total_tokens", "max_input_length", "max_client_batch_size")


@each(
    "said",
    [{"info": {kind: "x", name: odd}} for kind in ("model_type", "docker_label") for name in INFO for odd in ODD]
    + [
        {"models": {"data": [{"id": "m", "owned_by": owner, name: odd}]}, "version": {"version": odd}}
        for owner in ("vllm", "llamacpp", "someone")
        for name in ("id", "owned_by", "max_model_len", "meta")
        for odd in ODD
    ]
    + [
        {"models": {"data": [{"owned_by": "llamacpp"}]}, "props": {name: odd}, "tokenize": {"tokens": odd}}
        for name in ("default_generation_settings", "chat_template_caps")
        for odd in ODD
    ]
    + [{name: odd} for name in ("info", "models") for odd in ODD],
)
def test_other_servers_answer_with_what_they_like(said):
    profile = detect_server(server(**said))
    assert profile.model_id is None or isinstance(profile.model_id, str)
    assert len(profile.container) < 100
    for size in (profile.limits.context_window, profile.limits.max_batch):
        assert size is None or (type(size) is int and size > 0)
