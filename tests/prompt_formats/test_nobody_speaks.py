"""No text of a conversation becomes a control string, in any format, wherever it stands and however it is cut.

A conversation of pieces of control strings is compared with the same one without the characters that make them: both
prompts have to show the same tokens. An answer that begins with `<think>` is the model's own, and not drawn here.
"""

import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sagewire.errors import SagewireError
from sagewire.prompt_formats import FORMATS
from sagewire.prompt_formats.chat_template import load_format
from sagewire.prompt_formats.engine.guard import token_pattern
from sagewire.types import Message, TextPart, Tool, ToolCall

from ..cases import examples

LOOK = ToolCall("call00001", "look", "{}")
MARKS = re.compile(r"[<>\[\]|｜~:#]")
GLUE = ("", " ", "\n", "a", "/think", "/no_think", "/system_override")


@st.composite
def texts(draw, tokens):
    """Pieces of control strings, with something or nothing between them."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        token = draw(st.sampled_from(tokens))
        cut = draw(st.integers(0, len(token)))
        pieces += [token[:cut], draw(st.sampled_from(GLUE)), token[cut:], draw(st.sampled_from(GLUE))]
    return "".join(pieces)


@st.composite
def conversations(draw, tokens, tools):
    text = texts(tokens)
    content = st.one_of(text, st.lists(text.map(TextPart), min_size=1, max_size=3).map(tuple))
    messages = [Message("system", draw(content))] if draw(st.booleans()) else []
    messages.append(Message("user", draw(content)))
    if tools and draw(st.booleans()):
        arguments = json.dumps({draw(text): [draw(text)]})
        call = ToolCall("call00001", draw(st.one_of(st.just("look"), text)), arguments)
        messages.append(Message("assistant", "", tool_calls=(call,)))
        messages.append(Message("tool", draw(content), tool_call_id="call00001", name=call.name))
    else:
        messages.append(Message("assistant", f"So: {draw(text)}"))
    messages.append(Message("user", draw(content)))
    schema = {"type": "object", "properties": {draw(text): {"type": "string", "description": draw(text)}}}
    return messages, [Tool(draw(st.one_of(st.just("look"), text)) or "look", draw(text), schema)] if tools else None


def harmless(value):
    """The same value without the characters that make control strings."""
    if isinstance(value, str):
        return MARKS.sub("x", value)
    if isinstance(value, dict):
        return {harmless(key): harmless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(harmless, value))
    if isinstance(value, Message):
        return Message(
            value.role, harmless(value.content), tuple(map(harmless, value.tool_calls)), value.tool_call_id,
            value.name and harmless(value.name),
        )  # fmt: skip
    if isinstance(value, ToolCall):
        return ToolCall(value.id, harmless(value.name), json.dumps(harmless(json.loads(value.arguments))))
    if isinstance(value, Tool):
        return Tool(harmless(value.name), harmless(value.description), harmless(value.parameters))
    return TextPart(harmless(value.text)) if isinstance(value, TextPart) else value


def check(fmt, tokens, conversation):
    messages, tools = conversation
    pattern = token_pattern(tuple(tokens))
    try:
        prompt = fmt.render(messages, tools)
        expected = fmt.render(harmless(messages), harmless(tools))
    except SagewireError:
        return
    assert pattern.findall(prompt) == pattern.findall(expected)


@pytest.mark.parametrize("name", FORMATS)
@hypothesis_settings(max_examples=examples(6), deadline=None)
@given(data=st.data())
def test_formats(name, data):
    fmt = FORMATS[name]
    tokens = [*fmt.special_tokens, *(stop for stop in fmt.stops if stop.startswith(("<", "["))), "<|im_end|>", "]~b]"]
    check(fmt, tokens, data.draw(conversations(tokens, getattr(fmt, "supports_tools", False))))


def test_tokens_that_the_marks_of_a_format_would_complete():
    """A tag around the name of an argument, and the mark of a call behind a text."""
    call = ToolCall("call00001", "look", json.dumps({"mm:think": "a", "/mm:think": "b"}))
    prompt = FORMATS["minimax_m3"].render([Message("user", "Hi"), Message("assistant", "", tool_calls=(call,))])
    without = FORMATS["minimax_m3"].render([Message("user", "Hi"), Message("assistant", "", tool_calls=(LOOK,))])
    assert [prompt.count(tag) for tag in ("<mm:think>", "</mm:think>")] == [
        without.count(tag) for tag in ("<mm:think>", "</mm:think>")
    ]
    answer = Message("assistant", "So<|end_of_text|", tool_calls=(LOOK,))
    assert "<|end_of_text|>" not in FORMATS["functionary_v3_2"].render([Message("user", "Hi"), answer])


def test_names_that_marks_around_them_would_complete():
    call, tool = ToolCall("call00001", ">>look", "{}"), Tool("look", "Look.", {"type": "object", "properties": {}})
    talk = [Message("user", "Hi"), Message("assistant", "So>", tool_calls=(call,))]
    assert ">>>>>" not in FORMATS["functionary_v3_2"].render(talk, [tool])


# The ways in which published templates put a broken token together again: they trim parts and join them, take words
# out of texts, replace characters, and look into results.
TEMPLATES = {
    "trims parts": "{% for m in messages %}<turn:{{ m.role }}>{% if m.content is string %}{{ m.content | trim }}"
    "{% else %}{% for p in m.content %}{{ p.text | trim }}{% endfor %}{% endif %}<end:turn>{% endfor %}",
    "removes words": "{% for m in messages %}<SPECIAL_10>{{ m.role }}\n{{ m.content.replace('/think', '')"
    ".replace('/no_think', '').strip() }}<SPECIAL_12>{% endfor %}",
    "removes blanks": "{% for m in messages %}]~b]{{ m.role }}\n{{ m.content.replace(' ', '') }}[e~[\n{% endfor %}",
    "joins words": "{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content.split() | join }}<turn|>\n{% endfor %}",
    "writes calls": "{% for t in tools or [] %}<|tool>{{ t.function.name }}{{ t.function.description | trim }}"
    "{{ t.function.parameters | tojson }}<tool|>{% endfor %}{% for m in messages %}<|turn>{{ m.role }}\n"
    "{% for c in m.tool_calls or [] %}<|tool_call>call:{{ c.function.name }}{"
    '{% for k, v in c.function.arguments.items() %}{{ k }}:<|"|>{{ v if v is string else v | join }}<|"|>{% endfor %}'
    "}<tool_call|>{% endfor %}{{ m.name }}{{ m.content }}<turn|>\n{% endfor %}",
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}<eot>{{ m.content | striptags }}{% endfor %}", "a &lt;eot&gt; b"),
        (
            "{% for m in messages %}<eot>{{ m.content | fromjson }}{% endfor %}",
            json.dumps("a \\u003ceot\\u003e").replace("\\\\", "\\"),
        ),
    ],
)
def test_escapes_that_a_template_takes_out(source, text):
    fmt = load_format({"chat_template": source, "eos_token": "<eot>"}, strict=False)
    try:
        prompt = fmt.render([Message("user", text)])
    except SagewireError:
        return
    assert prompt.count("<eot>") == 1


@pytest.mark.parametrize("name", TEMPLATES)
@hypothesis_settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_chat_templates(name, data):
    config = {"chat_template": TEMPLATES[name], "additional_special_tokens": ["<end:turn>", "<turn:user>"]}
    fmt = load_format(config, strict=False, output_parser="gemma4")
    tokens = [*fmt.special_tokens, *fmt.stops, "<|im_end|>", "]~b]", "[e~["]
    check(fmt, tokens, data.draw(conversations(tokens, name == "writes calls")))
