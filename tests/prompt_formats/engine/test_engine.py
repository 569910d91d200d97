"""What every format shares: the shapes of messages, prefilled answers, refusals, variables, speed."""

import pickle
from datetime import datetime

import pytest

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, Block, TurnFormat, get_format
from sagewire.types import ImagePart, Message, TextPart, Tool, ToolCall

from ...cases import each

ASK = {"role": "user", "content": "Hi"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "abcdefghi", "function": {"name": "f"}}]}


def with_arguments(arguments):
    return {"role": "assistant", "tool_calls": [{"id": "abcdefghi", "function": {"name": "f", "arguments": arguments}}]}


def test_messages_and_dicts_are_the_same():
    fmt = get_format("qwen3")
    own = [
        Message("system", "Be brief."),
        Message("user", (TextPart("a"), TextPart("b"))),
        Message("assistant", "", tool_calls=(ToolCall("1", "f", '{"x":1}'),), thinking="hm"),
        Message("tool", "done", tool_call_id="1", name="f"),
    ]
    dicts = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, "b"]},
        {
            "role": "assistant",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "function", "name": "f", "tool_call_id": "1", "content": "done"},
    ]
    tool = Tool("f", "d", {"type": "object", "properties": {}})
    shape = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    expected = fmt.render(own, [tool])
    assert "<think>\nhm\n</think>" in expected
    assert fmt.render(dicts, [{"type": "function", "function": shape}]) == expected
    assert fmt.render(dicts, [shape]) == expected


def test_arguments_as_text_as_object_or_missing():
    fmt = get_format("hermes_3")
    tools = [Tool("f")]
    spaced = fmt.render([ASK, with_arguments('{"a":  1}')], tools)
    assert '"arguments": {"a": 1}' in spaced
    assert fmt.render([ASK, with_arguments({"a": 1})], tools) == spaced
    assert '"arguments": {}' in fmt.render([ASK, CALLED], tools)
    assert '"arguments": {}' in fmt.render([ASK, with_arguments("")], tools)
    # What is no JSON is still shown, as the string it is.
    assert '"arguments": "oops"' in fmt.render([ASK, with_arguments("oops")], tools)


def test_arguments_stay_as_the_model_wrote_them_where_the_family_writes_text():
    prompt = get_format("deepseek_r1").render([ASK, with_arguments('{"a":1}')])
    assert '```json\n{"a":1}\n```' in prompt


def test_a_tools_own_keys_keep_their_order():
    tool = {"function": {"parameters": {"b": 1, "a": 2}, "name": "f"}, "type": "function"}
    prompt = get_format("qwen2_5").render([ASK], [tool])
    assert '{"function": {"parameters": {"b": 1, "a": 2}, "name": "f"}, "type": "function"}' in prompt


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "Hi",
        {"role": "user", "content": "Hi"},
        Message("user", "Hi"),
        ["Hi"],
        [None],
        [{"content": "Hi"}],
        [{"role": "", "content": "Hi"}],
        [{"role": 5, "content": "Hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": b"Hi"}],
        [ASK, {"role": "assistant", "content": "", "tool_calls": [{"name": 5}]}],
        [ASK, {"role": "assistant", "content": "", "tool_calls": ["f"]}],
        [ASK, {"role": "bad\nrole<x>", "content": "Hi"}],
    ],
)
def test_what_is_no_conversation(messages):
    with pytest.raises(UsageError):
        get_format("chatml").render(messages)


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "x"}}, ImagePart("x"), 5])
def test_images_are_refused(part):
    with pytest.raises(UnsupportedFeature, match="part"):
        get_format("chatml").render([{"role": "user", "content": [part]}])
    if isinstance(part, ImagePart):
        with pytest.raises(UnsupportedFeature, match="messages"):
            get_format("chatml").render([Message("user", (part,))])


@pytest.mark.parametrize("tools", [["f"], [{"type": "function"}], [{"function": 5}]])
def test_what_is_no_tool(tools):
    with pytest.raises(UsageError):
        get_format("qwen3").render([ASK], tools)


@each("name", [name for name, fmt in FORMATS.items() if not getattr(fmt, "supports_tools", False)])
def test_tools_are_never_dropped(name):
    for fmt in (get_format(name), get_format(name, strict=False)):
        with pytest.raises(UnsupportedFeature, match="tools"):
            fmt.render([ASK], [Tool("f")])


@each("name", [name for name in FORMATS if not name.startswith("litellm")])
def test_tool_calls_are_written_or_refused(name):
    fmt = FORMATS[name]
    result = {"role": "tool", "tool_call_id": "abcdefghi", "name": "frobnicate", "content": "xyzzy"}
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "frobnicate", "arguments": {"plugh": 1}}}
    messages = [ASK, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    try:
        prompt = fmt.render(messages, [Tool("other")] if fmt.supports_tools else None)
    except (UnsupportedFeature, UsageError):
        return
    assert all(word in prompt for word in ("frobnicate", "plugh", "xyzzy"))


class TestPrefill:
    def test_ends_right_after_the_text(self):
        messages = [ASK, {"role": "assistant", "content": "The answer is "}]
        assert get_format("chatml").render(messages, continue_final_message=True).endswith("assistant\nThe answer is ")

    def test_a_trimmed_text_keeps_its_blanks_where_the_format_goes_on_with_one(self):
        messages = [ASK, {"role": "assistant", "content": "x\n\n"}]
        assert get_format("llama2").render(messages, continue_final_message=True) == "<s>[INST] Hi [/INST] x\n\n"
        assert get_format("llama3").render(messages, continue_final_message=True).endswith("\n\nx")

    @each("name", [name for name in FORMATS if not name.startswith(("litellm", "easyllm"))])
    def test_every_family(self, name):
        prompt = FORMATS[name].render(
            [ASK, {"role": "assistant", "content": "Well, it"}], continue_final_message=True, now=datetime(2025, 1, 15)
        )
        assert prompt.endswith("Well, it")

    def test_needs_an_answer(self):
        with pytest.raises(UsageError, match="assistant"):
            get_format("chatml").render([ASK], continue_final_message=True)

    def test_a_text_that_is_not_written_cannot_be_continued(self):
        fmt = get_format("glm4", strict=False)
        with pytest.raises(UsageError, match="continued"):
            fmt.render([ASK, {"role": "assistant", "content": ""}], continue_final_message=True)


class TestStrict:
    def test_names_what_would_be_lost(self):
        messages = [{"role": "system", "content": "Be brief."}, ASK]
        with pytest.raises(UnsupportedFeature, match="'system'") as caught:
            get_format("tulu_2").render(messages)
        assert "strict=False" in str(caught.value)
        assert "tulu_2" in str(caught.value)
        assert get_format("tulu_2", strict=False).render(messages) == "<|user|>\nHi\n<|assistant|>\n"

    def test_an_empty_message_is_no_loss(self):
        assert get_format("tulu_2").render([{"role": "system", "content": " "}, ASK])

    def test_a_system_message_before_the_last_question(self):
        messages = [{"role": "system", "content": "Be brief."}, ASK, {"role": "assistant", "content": "x"}]
        with pytest.raises(UnsupportedFeature, match="strict=False"):
            get_format("mistral_v3").render(messages, continue_final_message=True)

    def test_unknown_variables(self):
        with pytest.raises(UnsupportedFeature, match="enable_thinking"):
            get_format("qwen3").render([ASK], enable_thinkin=True)
        with pytest.raises(UnsupportedFeature, match="none"):
            get_format("llama3").render([ASK], enable_thinking=True)
        assert get_format("llama3", strict=False).render([ASK], enable_thinking=True)


class TestVariables:
    def test_dates(self):
        now = datetime(2025, 1, 15)
        assert "Today Date: 15 Jan 2025" in get_format("llama3_1").render([ASK], now=now)
        assert "Today Date: 26 Jul 2024" in get_format("llama3_1").render([ASK])
        assert "Today Date: May" in get_format("llama3_1").render([ASK], date_string="May")
        assert "2025-01-15" in get_format("gpt_oss").render([ASK], now=now)
        assert datetime.now().strftime("%Y") in get_format("gpt_oss").render([ASK])

    def test_thinking(self):
        assert get_format("qwen3").render([ASK], enable_thinking=False).endswith("<think>\n\n</think>\n\n")
        assert get_format("smollm3").render([ASK], enable_thinking=False).endswith("<think>\n\n</think>\n")
        assert get_format("deepseek_v3_1").render([ASK], thinking=True).endswith("<think>")
        assert "Reasoning: high" in get_format("gpt_oss").render([ASK], reasoning_effort="high")


def test_completion():
    assert get_format("llama2").render_completion("Hi", "Be brief.") == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"
    )
    assert get_format("llama2").render_completion("Hi") == "<s>[INST] Hi [/INST]"


def test_a_format_is_a_value():
    fmt = get_format("llama3_1", special_tokens="allow")
    assert fmt == get_format("llama3_1", special_tokens="allow") != get_format("llama3_1")
    assert pickle.loads(pickle.dumps(fmt)) == fmt
    with pytest.raises(AttributeError):
        fmt.bos = "x"


def test_a_family_of_your_own():
    fmt = TurnFormat(
        name="mine",
        bos="^",
        roles={"user": Block("U:", "\n", trim=True), "assistant": Block("A:", "\n")},
        generation="A:",
    )
    assert fmt.render([{"role": "user", "content": " x "}]) == "^U:x\nA:"
    with pytest.raises(UnsupportedFeature):
        fmt.render([{"role": "system", "content": "x"}])


def test_nothing_is_changed_in_place():
    messages = [{"role": "system", "content": "s"}, ASK, {"role": "assistant", "content": "<think>\nx</think>y"}, ASK]
    before = repr(messages)
    for name, fmt in FORMATS.items():
        if not name.startswith("litellm"):
            first = get_format(name, strict=False)
            try:
                assert first.render(messages, now=datetime(2025, 1, 15)) == first.render(
                    messages, now=datetime(2025, 1, 15)
                )
            except UsageError:
                continue
        assert repr(messages) == before, fmt


def test_an_answer_is_read_back():
    fmt = get_format("qwen3")
    prompt = fmt.render([ASK], [Tool("f")])
    reader = fmt.make_parser([Tool("f")], prompt=prompt)
    deltas = [
        *reader.feed('<think>hm</think>Yes.\n<tool_call>\n{"name": "f", "arguments": {}}\n'),
        *reader.feed("</tool_call>"),
    ]
    deltas += reader.close()
    assert {type(delta).__name__ for delta in deltas} == {"ThinkingDelta", "TextDelta", "ToolCallDelta"}


@each("name", FORMATS)
def test_every_family_has_a_reader(name):
    reader = FORMATS[name].make_parser(prompt="x")
    deltas = [*reader.feed("Hello"), *reader.close()]
    assert "".join(delta.text for delta in deltas if hasattr(delta, "text")) == "Hello"


def test_a_long_text_costs_linear_time():
    import time

    fmt = get_format("chatml")

    def seconds(size):
        text = "a <b> <|x " * size
        best = 1.0
        for _ in range(3):
            start = time.perf_counter()
            fmt.render([{"role": "user", "content": text}])
            best = min(best, time.perf_counter() - start)
        return best

    # Twenty times the text; a quadratic rule would take four hundred times as long.
    assert seconds(40_000) < 100 * seconds(2_000)


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("null", "{}"), ('"null"', "{}"), ('""', "{}"), ("[]", "{}"), ("  ", "{}"), (None, "{}"),
        ('"{\\"a\\": 1}"', '{"a": 1}'), ('{"a": 12345678901234567890123}', '{"a": 12345678901234567890123}'),
        ('{"a": "cut', '"{\\"a\\": \\"cut"'), ("[1]", '"[1]"'),
    ],
)  # fmt: skip
def test_arguments_of_an_earlier_call_never_spoil_the_request(arguments, written):
    call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": "call00001", "content": "r"}, {"role": "user", "content": "y"}]
    assert written in get_format("qwen2_5").render(messages)
    # A family that writes each argument by itself.
    assert "f" in get_format("qwen3_coder").render(messages)
