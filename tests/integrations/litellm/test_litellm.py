"""LiteLLM's functions: parameters, prompts, results, streams, errors."""

import asyncio
import base64
import json
import struct
from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel

from sagewire.emulator import EndpointSpec
from sagewire.errors import (
    AccessDenied,
    EndpointNotFound,
    EndpointTimeout,
    ModelError,
    SagewireError,
    Throttled,
    UnsupportedFeature,
    UsageError,
    WireError,
)
from sagewire.integrations import litellm

QUESTION = [{"role": "user", "content": "Hello there"}]
TALK = [{"role": "system", "content": "Be brief."}, *QUESTION]
LLAMA2 = "meta-llama/Llama-2-7b-chat-hf"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


def sent(emulator):
    return emulator.calls[-1].json


@pytest.mark.parametrize("model", ["sagemaker/tgi-echo", "sagemaker_chat/vllm", "sagemaker/lmi", "sagemaker/lmi-async"])
def test_a_completion_reads_both_ways(emulator, model):
    answer = litellm.completion(model=model, messages=QUESTION, temperature=0.2, max_tokens=80)
    assert answer.choices[0].message.content == answer["choices"][0]["message"]["content"] == "Hello there"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.tool_calls is None
    assert answer.model == model.partition("/")[2]
    assert answer.usage.completion_tokens == 3
    assert answer.json() == answer.model_dump() == json.loads(answer.model_dump_json())
    assert answer.info.request_id
    # The message goes back into the conversation as it is.
    again = [*QUESTION, answer.choices[0].message, {"role": "user", "content": "And now?"}]
    assert litellm.completion(model=model, messages=again).choices[0].message.content == "And now?"


def test_openai_parameters_reach_the_wire(emulator):
    options = {"top_p": 0.5, "seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2, "stop": ["x"]}
    # The endpoint's model reasons unasked; stop strings are only sent where it does not.
    options["reasoning_effort"] = "none"
    litellm.completion("sagemaker/vllm", QUESTION, **options, max_completion_tokens=9, logit_bias={"1": 2}, user="me")
    assert sent(emulator) == {"messages": QUESTION, **options, "max_tokens": 9, "logit_bias": {"1": 2}}


def test_provider_specific_parameters_are_passed_through(emulator):
    litellm.completion("sagemaker/vllm", QUESTION, top_k=1, guided_regex="a+", extra_body={"best": 1}, min_p=0.1)
    assert sent(emulator) == {"messages": QUESTION, "top_k": 1, "min_p": 0.1, "guided_regex": "a+", "best": 1}
    # TGI's chat route would ignore these; its other one takes them.
    litellm.completion("sagemaker/tgi-echo", QUESTION, top_k=1, watermark=True)
    assert sent(emulator)["parameters"]["top_k"] == 1
    assert sent(emulator)["parameters"]["watermark"] is True
    litellm.completion("sagemaker/tgi-echo", QUESTION, hf_model_name=LLAMA2, repetition_penalty=1.1)
    assert sent(emulator)["parameters"]["repetition_penalty"] == 1.1


def test_zero_temperature_is_greedy_unless_told_otherwise(emulator):
    litellm.completion("sagemaker/tgi-echo", QUESTION, hf_model_name=LLAMA2, temperature=0)
    assert sent(emulator)["parameters"]["do_sample"] is False
    assert "temperature" not in sent(emulator)["parameters"]
    options = {"temperature": 0, "aws_sagemaker_allow_zero_temp": True}
    with pytest.raises(ModelError, match="strictly positive"):
        litellm.completion("sagemaker/tgi-echo", QUESTION, hf_model_name=LLAMA2, **options)
    assert sent(emulator)["parameters"]["temperature"] == 0


def test_hf_model_name_is_the_prompt_format_or_the_served_name(emulator, caplog):
    litellm.completion("sagemaker/tgi-echo", TALK, hf_model_name=LLAMA2)
    assert sent(emulator)["inputs"] == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello there [/INST]"
    litellm.completion("sagemaker/tgi-echo", TALK, hf_model_name="meta-llama/Llama-2-7b")
    assert sent(emulator)["inputs"] == "Be brief. Hello there"
    assert "base model" in caplog.text
    with pytest.raises(UsageError, match="nobody/nothing"):
        litellm.completion("sagemaker/tgi-echo", TALK, hf_model_name="nobody/nothing")
    with pytest.raises(ModelError, match="does not exist"):
        litellm.completion("sagemaker_chat/vllm", TALK, hf_model_name="my-adapter")
    assert sent(emulator)["model"] == "my-adapter"


def test_templates(emulator):
    roles = {"user": {"pre_message": "Q: ", "post_message": "\n"}, "system": {"pre_message": "# "}}
    call = {"roles": roles, "initial_prompt_value": "BEGIN ", "final_prompt_value": "A:", "bos_token": "<s>"}
    litellm.completion("sagemaker/tgi-echo", TALK, **call)
    assert sent(emulator)["inputs"] == "BEGIN # Be brief.Q: Hello there\nA:"
    everything = litellm.register_prompt_template("sagemaker/tgi-echo", roles=roles, final_prompt_value="R:")
    assert everything["tgi-echo"] == everything["sagemaker/tgi-echo"]
    litellm.completion("sagemaker/tgi-echo", QUESTION, hf_model_name=LLAMA2)
    assert sent(emulator)["inputs"] == "Q: Hello there\nR:"
    litellm.register_prompt_template("my-base-model", roles=roles, final_prompt_value="B:")
    litellm.completion("sagemaker/tgi", QUESTION, hf_model_name="my-base-model")
    assert sent(emulator)["inputs"] == "Q: Hello there\nB:"
    with pytest.raises(UsageError, match="hf_model_name"):
        litellm.register_prompt_template("x", tokenizer_config={"chat_template": "..."})
    with pytest.raises(UsageError, match="pre_message"):
        litellm.register_prompt_template("x", roles={"user": "Q:"})


def test_a_template_where_the_container_takes_messages(emulator, caplog):
    emulator.add("sglang", "sglang:echo")
    with pytest.raises(UnsupportedFeature, match="prompt template"):
        litellm.completion("sagemaker/sglang", QUESTION, roles={"user": {"pre_message": "Q: "}})
    litellm.completion("sagemaker/sglang", QUESTION, hf_model_name=LLAMA2)
    assert sent(emulator)["messages"] == QUESTION
    assert "hf_model_name is not used" in caplog.text


def test_a_format_by_sagewires_name_and_a_named_handler(emulator):
    litellm.completion("sagemaker/tgi-echo", QUESTION, handler="tgi", format="chatml")
    assert sent(emulator)["inputs"].startswith("<|im_start|>user")
    litellm.completion("sagemaker/vllm", QUESTION, handler="openai_chat")
    assert sent(emulator)["messages"] == QUESTION


def test_an_unknown_model_gets_bare_texts_and_a_warning(emulator, caplog):
    emulator.add("plain", EndpointSpec("hf_pipeline", model_id="someone/base"))
    litellm.completion("sagemaker/plain", TALK)
    assert sent(emulator)["inputs"] == "Be brief. Hello there"
    assert "hf_model_name" in caplog.text
    emulator.add("my-llama-2-7b-chat", EndpointSpec("hf_pipeline", model_id="someone/base"))
    litellm.completion("sagemaker/my-llama-2-7b-chat", QUESTION)
    assert sent(emulator)["inputs"] == "[INST] Hello there [/INST]"


def test_several_answers(emulator):
    assert len(litellm.completion("sagemaker/vllm", QUESTION, n=3).choices) == 3
    assert len(emulator.calls) == 1
    answer = litellm.completion("sagemaker/tgi-echo", QUESTION, n=3, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert sorted(call.json["seed"] for call in emulator.calls[1:]) == [5, 6, 7]
    with pytest.raises(UsageError, match="one answer at a time"):
        litellm.completion("sagemaker/tgi-echo", QUESTION, n=2, stream=True)


def test_tools(emulator):
    emulator.add("tools", "openai_chat:schema")
    answer = litellm.completion("sagemaker/tools", [{"role": "user", "content": "Weather in Oslo?"}], tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments), dict)
    assert answer.choices[0].finish_reason == "tool_calls"
    result = {"role": "tool", "tool_call_id": call.id, "content": "Rain"}
    litellm.completion("sagemaker/tools", [*QUESTION, answer.choices[0].message, result], tools=[WEATHER])
    litellm.completion(
        "sagemaker/tools", QUESTION, functions=[WEATHER["function"]], function_call={"name": "get_weather"}
    )
    assert sent(emulator)["tools"] == [WEATHER]
    assert sent(emulator)["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    value: T


def test_a_pydantic_model_as_response_format(emulator):
    class Town(BaseModel):
        name: str

    litellm.completion("sagemaker/vllm", QUESTION, response_format=Town)
    asked = sent(emulator)["response_format"]
    assert asked["json_schema"]["schema"] == Town.model_json_schema()
    litellm.completion("sagemaker/vllm", QUESTION, response_format=Box[int])
    assert sent(emulator)["response_format"]["json_schema"]["name"] == "Box_int"
    with pytest.raises(UsageError, match="not a pydantic model"):
        litellm.completion("sagemaker/vllm", QUESTION, response_format=int)


def test_streams(emulator):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(litellm.completion("sagemaker_chat/vllm", QUESTION, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there"
    assert chunks[-1].usage.total_tokens == 9
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"vllm"}
    plain = list(litellm.completion("sagemaker/tgi-echo", QUESTION, hf_model_name=LLAMA2, stream=True))
    assert "".join(part["choices"][0]["delta"]["content"] or "" for part in plain).strip() == "Hello there"
    assert all(chunk.usage is None for chunk in plain)


async def test_async_functions(emulator):
    calls = [litellm.acompletion("sagemaker/tgi-echo", QUESTION, n=2) for _ in range(4)]
    assert all(len(answer.choices) == 2 for answer in await asyncio.gather(*calls))
    stream = await litellm.acompletion("sagemaker/tgi-echo", QUESTION, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello there"
    assert (await litellm.atext_completion("Ho", "sagemaker/tgi-echo", echo=True)).choices[0].text == "HoHo"
    pieces = await litellm.atext_completion("Ho ho", "sagemaker/tgi-echo", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in pieces]) == "Ho ho"
    emulator.add("tei", "tei")
    assert len((await litellm.aembedding("sagemaker/tei", ["a", "b"])).data) == 2
    with pytest.raises(EndpointNotFound) as missing:
        await litellm.acompletion("sagemaker/no-such", QUESTION)
    assert missing.value.status_code == 404


def test_text_completions(emulator):
    answer = litellm.text_completion(prompt=["a", "b"], model="sagemaker/tgi-echo", n=2, echo=True, max_tokens=5)
    assert [choice.text for choice in answer.choices] == ["aa", "aa", "bb", "bb"]
    assert answer["object"] == "text_completion"
    assert sent(emulator)["parameters"]["max_new_tokens"] == 5
    litellm.text_completion("Hi", "sagemaker/tgi-echo", hf_model_name=LLAMA2)
    assert sent(emulator)["inputs"] == "[INST] Hi [/INST]"
    chunks = list(litellm.text_completion("Ho ho", "sagemaker/tgi-echo", stream=True, echo=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Ho hoHo ho"
    with pytest.raises(UsageError, match="one answer at a time"):
        litellm.text_completion(["a", "b"], "sagemaker/tgi-echo", stream=True)
    with pytest.raises(UsageError, match="token numbers"):
        litellm.text_completion([[1, 2]], "sagemaker/tgi-echo")


def test_embeddings(emulator):
    emulator.add("tei", "tei")
    emulator.add("embedders", EndpointSpec(components={"tei-one": "tei", "tei-two": "tei"}))
    answer = litellm.embedding("sagemaker/tei", input=["good morning", "good night"])
    assert [item["index"] for item in answer.data] == [0, 1]
    assert len(answer["data"][0]["embedding"]) == 64
    assert answer.usage is None
    litellm.embedding("sagemaker/embedders", input="one", model_id="tei-two")
    assert emulator.calls[-1].component == "tei-two"
    packed = litellm.embedding("sagemaker/tei", "good morning", encoding_format="base64").data[0].embedding
    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(answer.data[0].embedding)
    litellm.embedding("sagemaker/tei", "x", truncate=True)
    assert sent(emulator)["truncate"] is True
    litellm.embedding("sagemaker/tei", [1, 2])
    assert sent(emulator)["inputs"] == [[1, 2]]
    for wrong in ([], [1, "a"], None):
        with pytest.raises(UsageError) as error:
            litellm.embedding("sagemaker/tei", wrong)
        assert error.value.status_code == 400
    with pytest.raises(UnsupportedFeature, match="embed"):
        litellm.embedding("sagemaker/tgi", "x")
    url = emulator.container_url("tei")
    assert litellm.embedding(f"huggingface/{url}", "good morning").data[0] == answer.data[0]


def test_hugging_face_servers(emulator):
    url = emulator.container_url("tgi-echo")
    assert litellm.completion(f"huggingface/{url}", QUESTION).choices[0].message.content == "Hello there"
    assert litellm.completion("huggingface/tgi", QUESTION, api_base=url).choices[0].message.content == "Hello there"


def test_where_describing_is_not_allowed_it_is_what_litellm_sends(restricted, caplog):
    litellm.completion("sagemaker/tgi", TALK, hf_model_name=LLAMA2, temperature=0.2)
    assert restricted.calls[-1].json["inputs"].startswith("[INST] <<SYS>>")
    litellm.completion("sagemaker/tgi", TALK)
    assert restricted.calls[-1].json["inputs"] == "Be brief. Hello there"
    litellm.completion("sagemaker_chat/vllm", TALK)
    assert restricted.calls[-1].json["messages"] == TALK
    litellm.text_completion("Raw", "sagemaker/tgi")
    assert restricted.calls[-1].json["inputs"] == "Raw"
    litellm.embedding("sagemaker/tei", ["a", "b"])
    assert restricted.calls[-1].json == {"inputs": ["a", "b"]}
    assert len([r for r in caplog.records if "is not allowed" in r.message and "'tgi'" in r.message]) == 1


def test_an_image_of_ones_own_is_taken_for_tgi(emulator, caplog):
    own = "111122223333.dkr.ecr.us-east-1.amazonaws.com/my-own-server:3"
    emulator.add("own", EndpointSpec("tgi_1", image=own))
    litellm.completion("sagemaker/own", QUESTION, hf_model_name=LLAMA2)
    assert sent(emulator)["inputs"] == "[INST] Hello there [/INST]"
    assert "does not know" in caplog.text
    several = {"own-one": EndpointSpec("tgi", image=own), "own-two": "tgi"}
    emulator.add("several", EndpointSpec(components=several))
    with pytest.raises(UsageError, match="inference_component_name"):
        litellm.completion("sagemaker/several", QUESTION)


def test_wrong_keys_are_not_taken_for_a_missing_permission(emulator, caplog):
    with pytest.raises(AccessDenied):
        litellm.completion(
            "sagemaker/tgi", QUESTION, aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x", num_retries=0
        )
    assert "Going on as if" not in caplog.text
    keys = emulator.issue_credentials(emulator.role_arn, seconds=-1)
    expired = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
    with pytest.raises(AccessDenied, match="expired"):
        litellm.completion("sagemaker/tgi", QUESTION, **expired, aws_session_token=keys.session_token)
    assert "Going on as if" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("throttle:9", Throttled, 429),
        ("container_error:400,bad input", ModelError, 400),
        ("container_error", ModelError, 502),
        ("truncated_json", WireError, 502),
        ("hang:0", EndpointTimeout, 504),
    ],
)
async def test_errors_have_openais_status_codes(emulator, fault, kind, status):
    emulator.add("faulty", EndpointSpec("openai_chat", faults=[fault]))
    options = {"num_retries": 0, "timeout": 0.5}
    for stream in (False, True):
        if stream and fault == "truncated_json":
            continue
        with pytest.raises(kind) as error:
            litellm.completion("sagemaker/faulty", QUESTION, stream=stream, **options)
        assert (error.value.status_code, error.value.llm_provider, error.value.model) == (status, "sagemaker", "faulty")
        assert error.value.message
        with pytest.raises(kind) as error:
            await litellm.acompletion("sagemaker/faulty", QUESTION, stream=stream, **options)
        assert error.value.status_code == status


def test_an_error_in_a_running_stream_has_one_too(emulator):
    emulator.add("breaking", EndpointSpec("tgi", faults=["truncate_stream:1"]))
    stream = litellm.completion("sagemaker/breaking", QUESTION, stream=True)
    with pytest.raises(WireError) as error:
        list(stream)
    assert error.value.status_code == 502
    assert list(stream) == []


def test_retries(emulator):
    emulator.add("busy", EndpointSpec("tgi", faults=["throttle:2"]))
    assert litellm.completion("sagemaker/busy", QUESTION, num_retries=3).choices
    emulator.add("busy", EndpointSpec("tgi", faults=["throttle:2"]))
    litellm.num_retries = 3
    assert litellm.completion("sagemaker/busy", QUESTION, timeout=20).choices


def test_dropping_parameters(emulator):
    with pytest.raises(UnsupportedFeature, match="reasoning_effort"):
        litellm.completion("sagemaker/tgi-echo", QUESTION, reasoning_effort="low")
    litellm.completion("sagemaker/tgi-echo", QUESTION, reasoning_effort="low", drop_params=True)
    assert "reasoning_effort" not in sent(emulator)
    litellm.drop_params = True
    litellm.completion("sagemaker/tgi-echo", QUESTION, reasoning_effort="low")
    litellm.completion("sagemaker/vllm", QUESTION, top_k=3, seed=1, additional_drop_params=["top_k", "seed"])
    assert sent(emulator) == {"messages": QUESTION}


def test_what_openais_wire_alone_has_is_not_sent_elsewhere(emulator):
    with pytest.raises(UnsupportedFeature, match="logit_bias"):
        litellm.completion("sagemaker/lmi", QUESTION, handler="lmi", format="chatml", logit_bias={"1": 1})
    litellm.completion("sagemaker/lmi", QUESTION, handler="lmi", format="chatml", logit_bias={"1": 1}, drop_params=True)
    assert "logit_bias" not in sent(emulator)["parameters"]


@pytest.mark.parametrize("name", ["fallbacks", "mock_response", "model_list", "web_search_options", "audio", "cache"])
def test_what_cannot_be_done_is_said(emulator, name):
    with pytest.raises(UsageError, match=name) as error:
        litellm.completion("sagemaker/tgi", QUESTION, **{name: "x"})
    assert error.value.status_code == 400


def test_bookkeeping_is_said_to_have_no_effect(emulator, caplog):
    litellm.completion("sagemaker/vllm", QUESTION, metadata={"a": "b"}, litellm_call_id="1", caching=False)
    assert sent(emulator) == {"messages": QUESTION}
    assert "'litellm_call_id' has no effect" in caplog.text
    assert "caching" not in caplog.text


@pytest.mark.parametrize("messages", [[], "Hello", [{"role": "nobody"}], [1], [{"content": "x"}]])
def test_garbage_is_a_usage_error_with_a_status(emulator, messages):
    with pytest.raises(SagewireError) as error:
        litellm.completion("sagemaker/tgi", messages)
    assert error.value.status_code == 400
