"""What each wire makes of the neutral options: mapped, repaired, or refused."""

import json

import pytest

from sagewire.client.prepared_call import prepare
from sagewire.content_handlers import HANDLERS, OpenAiChatHandler, TgiHandler, TritonInferHandler, get_handler
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.testing import check_handler
from sagewire.types import ChatRequest, ImagePart, Message, Options, PromptRequest, TextPart, Tool, ToolCall

HI = (Message("user", "Hi"),)


def body(handler, options=None, *, prompt=None, **request):
    handler = get_handler(handler) if isinstance(handler, str) else handler
    options = options or Options()
    extra = {"context": "c", "candidate_labels": ["a"]} if handler.name.startswith("hf_") else {}
    if extra:
        options = Options(**options.given(), extra={**extra, **options.extra})
    if handler.speaks == "prompt":
        return prepare(PromptRequest(prompt or "Hi", options, **request), handler).invocation.body
    return prepare(ChatRequest(request.pop("messages", HI), options, **request), handler).invocation.body


def parameters(handler, **options):
    return json.loads(body(handler, Options(**options)))["parameters"]


@pytest.mark.parametrize("name", HANDLERS)
def test_what_is_declared_is_carried_and_all_else_is_refused(name):
    handler = get_handler(name)
    needed = Options(extra={"context": "c", "candidate_labels": ["a"]} if name.startswith("hf_") else {})
    check_handler(handler, request=PromptRequest("Hi", needed) if handler.speaks == "prompt" else ChatRequest(HI))


@pytest.mark.parametrize("name", HANDLERS)
def test_capabilities_and_options_say_the_same(name):
    handler = get_handler(name)
    for option in ("n", "logprobs", "response_format"):
        assert getattr(handler.can, option) == (option in handler.option_names)
    assert handler.can.tools or not (handler.can.tool_choice or handler.can.parallel_tool_calls)


@pytest.mark.parametrize("name", HANDLERS)
def test_extra_reaches_the_wire_under_its_own_name(name):
    handler = get_handler(name)
    if name == "jumpstart_xtext":
        with pytest.raises(UnsupportedFeature, match="extra: own_name"):
            body(handler, Options(extra={"own_name": 3}))
        return
    sent = json.loads(body(handler, Options(extra={"own_name": 3})))
    if name == "triton_infer":
        (tensor,) = (tensor for tensor in sent["inputs"] if tensor["name"] == "own_name")
        assert tensor == {"name": "own_name", "shape": [1, 1], "datatype": "INT32", "data": [3]}
        return
    assert {**sent, **sent.get("parameters", {})}["own_name"] == 3


@pytest.mark.parametrize("name", HANDLERS)
def test_a_caller_s_extra_is_never_changed(name):
    extra = {"context": "c", "candidate_labels": ["a"]} if name.startswith("hf_") else {"temperature": 0, "stop": "x"}
    if name == "jumpstart_xtext":
        extra = {}
    before = json.dumps(extra)
    body(name, Options(max_tokens=None, extra=extra))
    assert json.dumps(extra) == before


@pytest.mark.parametrize("name", ["tgi", "lmi", "openai_chat", "cohere_generate", "triton"])
def test_what_is_no_json_is_refused(name):
    with pytest.raises(UnsupportedFeature, match="as JSON"):
        body(name, Options(extra={"a": object()}))
    with pytest.raises(UsageError, match="half of a surrogate pair"):
        body(name, prompt="\ud800", **({"messages": (Message("user", "\ud800"),)} if name == "openai_chat" else {}))


@pytest.mark.parametrize("temperature", [0, 0.0, -0.0])
def test_tgi_zero_temperature_is_greedy_however_it_was_given(temperature):
    greedy = {"do_sample": False, "return_full_text": False, "details": True}
    assert parameters("tgi", temperature=temperature, top_p=0.9, top_k=3, typical_p=0.5) == greedy
    assert parameters("tgi", extra={"temperature": temperature, "do_sample": True}) == greedy
    kept = parameters(TgiHandler(allow_zero_temperature=True), temperature=temperature)
    assert kept["temperature"] == 0


def test_tgi_leaves_out_what_the_server_refuses():
    sent = parameters("tgi", temperature=0.7, top_p=1.0, top_k=0, typical_p=1, stop=tuple("abcdef"))
    assert sent == {
        "temperature": 0.7,
        "stop": ["a", "b", "c", "d"],
        "do_sample": True,
        "return_full_text": False,
        "details": True,
    }


def test_tgi_takes_the_stop_name_of_other_servers():
    assert parameters("tgi", extra={"stop_sequences": "END"})["stop"] == ["END"]
    assert parameters("tgi", stop=("a",), extra={"stop_sequences": ["b", "a"]})["stop"] == ["b", "a"]


def test_tgi_settings_of_the_user_win():
    sent = parameters("tgi", temperature=0.5, extra={"do_sample": False, "return_full_text": True, "details": False})
    assert (sent["do_sample"], sent["return_full_text"], sent["details"]) == (False, True, False)


@pytest.mark.parametrize(
    ("response_format", "grammar"),
    [
        ({"type": "json_object"}, {"type": "json", "value": {"type": "object"}}),
        ({"type": "json_schema", "json_schema": {"schema": {"a": 1}}}, {"type": "json", "value": {"a": 1}}),
        ({"type": "regex", "value": "a+"}, {"type": "regex", "value": "a+"}),
        ({"type": "text"}, None),
    ],
)
def test_tgi_grammar(response_format, grammar):
    assert parameters("tgi", response_format=response_format).get("grammar") == grammar


def test_a_response_format_that_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="json_schema"):
        parameters("tgi", response_format={"type": "json_schema"})
    with pytest.raises(UnsupportedFeature, match="xml"):
        parameters("tgi", response_format={"type": "xml"})


def test_lmi_names_stops_for_both_of_its_engines():
    sent = parameters("lmi", stop=("a", "b"))
    assert sent["stop"] == sent["stop_sequences"] == ["a", "b"]
    assert parameters("lmi", extra={"stop_sequences": ["c"]})["stop"] == ["c"]


@pytest.mark.parametrize(
    ("options", "do_sample"),
    [({"temperature": 0.5}, True), ({"top_k": 4}, True), ({"temperature": 0}, False), ({"max_tokens": 4}, None)],
)
def test_lmi_sampling_switch(options, do_sample):
    assert parameters("lmi", **options).get("do_sample") is do_sample


def test_messages_of_every_kind():
    messages = (
        Message("system", "Be brief."),
        Message("user", (TextPart("What is this?"), ImagePart(url="https://e.org/a.png", detail="low")), name="ann"),
        Message("user", (ImagePart(data=b"\x00\x01", media_type="image/jpeg"),)),
        Message("assistant", "Looking.", tool_calls=(ToolCall("c1", "look", ""),), thinking="Hm."),
        Message("tool", "a cat", tool_call_id="c1", name="look"),
    )
    image = {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}}
    inline = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAE="}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert json.loads(body("openai_chat", messages=messages))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image], "name": "ann"},
        {"role": "user", "content": [inline]},
        {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
        {"role": "tool", "content": "a cat", "name": "look", "tool_call_id": "c1"},
    ]
    asked = json.loads(body(OpenAiChatHandler(thinking_field="reasoning_content"), messages=messages))["messages"]
    assert asked[3]["reasoning_content"] == "Hm."
    # TGI would drop the calls of a turn that has text as well.
    split = json.loads(body("tgi_chat", messages=messages))["messages"]
    assert split[3] == {"role": "assistant", "content": "Looking."}
    assert split[4] == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tool_choice(choice, sent):
    assert json.loads(body("openai_chat", tools=(Tool("f"),), tool_choice=choice)).get("tool_choice") == sent


def test_tool_choice_that_cannot_be_met():
    with pytest.raises(UsageError, match="did you mean 'weather'"):
        body("openai_chat", tools=(Tool("weather"),), tool_choice="wether")
    with pytest.raises(UsageError, match="needs tools"):
        body("openai_chat", tool_choice="required")
    assert "tool_choice" not in json.loads(body("openai_chat", tool_choice="auto"))


def test_strict_tools_and_parallel_calls():
    sent = json.loads(
        body("openai_chat", tools=(Tool("f", "does", {"type": "object"}, True),), parallel_tool_calls=False)
    )
    assert sent["tools"][0]["function"] == {
        "name": "f",
        "description": "does",
        "parameters": {"type": "object"},
        "strict": True,
    }
    assert sent["parallel_tool_calls"] is False


def test_usage_of_a_stream_is_asked_for_unless_unwanted():
    assert json.loads(body("openai_chat", stream=True))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in json.loads(body("openai_chat", stream=True, include_usage=False))


def test_adapters_per_wire():
    adapter = Options(adapter="tone", model="base")
    assert json.loads(body("openai_chat", adapter))["model"] == "tone"
    assert json.loads(body("sglang", adapter))["model"] == "base:tone"
    assert json.loads(body("lmi_chat", adapter))["adapters"] == "tone"
    assert json.loads(body("tgi_chat", adapter))["model"] == "tone"
    with pytest.raises(UnsupportedFeature, match="lora"):
        body("llamacpp", adapter)


def test_route_of_vllm_images():
    request = ChatRequest(HI)
    assert OpenAiChatHandler(route="/v1/chat/completions").parameters(request) == {
        "CustomAttributes": "route=/v1/chat/completions"
    }
    assert OpenAiChatHandler().parameters(request) == {}


@pytest.mark.parametrize(
    "roles", [(), ("system",), ("user", "user"), ("user", "assistant"), ("user", "system", "user"), ("assistant",)]
)
def test_dialog_turns_that_llama2_cannot_take(roles):
    with pytest.raises(UnsupportedFeature, match="user last"):
        body("jumpstart_dialog", messages=tuple(Message(role, "x") for role in roles))


def test_pipelines_say_what_they_need():
    with pytest.raises(UsageError, match="context"):
        get_handler("hf_question_answering").transform_input(PromptRequest("Where?"))
    with pytest.raises(UsageError, match="candidate_labels"):
        get_handler("hf_zero_shot").transform_input(PromptRequest("Nice"))
    with pytest.raises(UsageError, match="summarization"):
        type(get_handler("hf_pipeline"))("sumarize")
    assert repr(type(get_handler("hf_pipeline"))("translation_en_to_de")) == "HfPipelineHandler('translation')"


def test_tensors_have_the_types_of_the_model_or_of_their_values():
    def tensors(handler=None, **extra):
        handler = handler or TritonInferHandler(default_max_tokens=None)
        sent = json.loads(body(handler, Options(extra=extra)))["inputs"][1:]
        return [(tensor["datatype"], tensor["shape"], tensor["data"]) for tensor in sent]

    assert tensors(temperature=0, lora_task_id=7) == [("FP32", [1, 1], [0.0]), ("UINT64", [1, 1], [7])]
    assert tensors(a=True, b=0.5, c="x", d=[1, 2]) == [
        ("BOOL", [1, 1], [True]),
        ("FP32", [1, 1], [0.5]),
        ("BYTES", [1, 1], ["x"]),
        ("INT32", [1, 2], [1, 2]),
    ]
    whole = {"datatype": "FP16", "shape": [2], "data": [1, 2]}
    assert tensors(e=whole) == [("FP16", [2], [1, 2])]
    assert tensors(TritonInferHandler(batched=False, default_max_tokens=None), top_k=5) == [("INT32", [1], [5])]
    for value in ([], None, [1, "a"]):
        with pytest.raises(UsageError, match="tensor 'e' does not follow"):
            tensors(e=value)


# What says "all tokens": 0 to some servers, -1 to others, and nothing at all to TGI.
ALL_TOKENS = {
    "cohere": ("k", 0),
    "cohere_generate": ("k", 0),
    "hf_pipeline": ("top_k", 0),
    "jumpstart_text2text": ("top_k", 0),
    "sglang": ("top_k", -1),
    "tgi": ("top_k", None),
    "triton": ("top_k", 0),
    "triton_llm_api": ("sampling_param_top_k", 0),
}


@pytest.mark.parametrize("top_k", [0, -1])
@pytest.mark.parametrize("name", ALL_TOKENS)
def test_sampling_from_all_tokens_is_written_in_the_wire_s_way(name, top_k):
    field, value = ALL_TOKENS[name]
    sent = json.loads(body(name, Options(top_k=top_k)))
    assert {**sent, **sent.get("parameters", {})}.get(field) == value
    assert json.loads(body("triton_infer", Options(top_k=top_k)))["inputs"][1]["data"] == [0]


@pytest.mark.parametrize("name", ["cohere", "cohere_generate"])
def test_cohere_is_asked_for_no_more_than_it_takes(name):
    assert json.loads(body(name, Options(top_p=1.0)))["p"] == 0.99
    assert json.loads(body(name, Options(top_p=0.5)))["p"] == 0.5


@pytest.mark.parametrize("name", ["nova", "ai21_jamba"])
def test_models_without_adapters_say_so(name):
    with pytest.raises(UnsupportedFeature, match="adapter"):
        body(name, Options(adapter="tone"))
