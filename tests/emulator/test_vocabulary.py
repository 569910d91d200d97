"""Special tokens, as servers deal with them: left out of answers, and put before every prompt."""

import pytest

from sagewire.emulator import Scripted
from sagewire.emulator.vocabulary import vocabulary_of

from .containers import Container

CALL = '[TOOL_CALLS] [{"name": "f", "arguments": {}}]</s>'
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_tgi_flags_them_and_leaves_them_out_of_the_text():
    container = Container("tgi", Scripted([CALL], loop=True))
    body = {"inputs": "Hi", "parameters": {"details": True, "return_full_text": False, "max_new_tokens": 50}}
    answer = container.ask(body).json[0]
    assert answer["generated_text"] == ' [{"name": "f", "arguments": {}}]'
    flagged = [token["text"] for token in answer["details"]["tokens"] if token["special"]]
    assert flagged == ["[TOOL_CALLS]", "</s>", "</s>"]
    events = container.ask(body | {"stream": True}).documents
    assert events[0]["token"]["special"]
    assert events[-1]["generated_text"] == answer["generated_text"]


@pytest.mark.parametrize(
    ("dialect", "text_of"),
    [
        ("openai_completions", lambda answer: answer["choices"][0]["text"]),
        ("lmi", lambda answer: answer["generated_text"]),
        ("lmi_async", lambda answer: answer["generated_text"]),
    ],
)
@pytest.mark.parametrize(("asked", "said"), [({}, "Hello"), ({"skip_special_tokens": False}, "<|python_tag|>Hello")])
def test_vllm_drops_them_unless_told_otherwise(dialect, text_of, asked, said):
    container = Container(dialect, Scripted(["<|python_tag|>Hello"]), model_id=LLAMA)
    body = {"prompt": "Hi", **asked} if dialect == "openai_completions" else {"inputs": "Hi", "parameters": asked}
    assert text_of(container.ask(body).json) == said


def test_a_special_stop_string_is_seen_by_tgi_and_not_by_vllm():
    for dialect, said in (("openai_chat", "one two"), ("tgi_chat", "one"), ("tgi", "one")):
        container = Container(dialect, Scripted(["one</s> two"]), model_id="mistralai/Mistral-7B-Instruct-v0.3")
        if dialect == "tgi":
            body = {"inputs": "x", "parameters": {"stop": ["</s>"], "return_full_text": False, "max_new_tokens": 9}}
            assert container.ask(body).json[0]["generated_text"] == said
        else:
            body = {"messages": [{"role": "user", "content": "x"}], "stop": ["</s>"]}
            assert container.ask(body).json["choices"][0]["message"]["content"] == said


@pytest.mark.parametrize(
    ("model", "bos", "tokens"),
    [
        (LLAMA, "<|begin_of_text|>", (2, 3)),
        ("mistralai/Mistral-7B-Instruct-v0.3", "<s>", (2, 3)),
        ("google/gemma-3-4b-it", "<bos>", (2, 3)),
        ("CohereLabs/c4ai-command-r-v01", "<BOS_TOKEN>", (2, 3)),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "<｜begin▁of▁sentence｜>", (2, 3)),
        ("Qwen/Qwen3-8B", "<|im_start|>", (1, 2)),
        ("openai/gpt-oss-20b", "<|start|>", (1, 2)),
    ],
)
def test_a_beginning_that_the_prompt_has_already_is_counted_twice(model, bos, tokens):
    container = Container("openai_completions", model_id=model)
    counted = [container.ask({"prompt": text}).json["usage"]["prompt_tokens"] for text in ("Hello", f"{bos}Hello")]
    assert tuple(counted) == tokens
    assert vocabulary_of(model).special.fullmatch(bos)


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_completions", "openai_embeddings", "lmi_async"])
def test_a_model_that_is_not_served_is_not_found(dialect):
    container = Container(dialect, adapters=["mine"])
    body = (
        {"messages": [{"role": "user", "content": "x"}]} if dialect in ("openai_chat", "lmi_async") else {"prompt": "x"}
    )
    body = {"input": "x"} if dialect == "openai_embeddings" else body
    refused = container.ask({**body, "model": "gpt-4"})
    assert refused.status == (500 if dialect == "lmi_async" else 404)
    assert "The model `gpt-4` does not exist." in refused.body.decode()
    assert container.ask({**body, "model": "mine"}).status == 200


@pytest.mark.parametrize("dialect", ["tgi_chat", "sglang", "llamacpp", "nova", "lmi"])
def test_other_servers_take_any_name(dialect):
    body = {"messages": [{"role": "user", "content": "x"}], "model": "gpt-4"}
    assert Container(dialect).ask(body).status == 200
