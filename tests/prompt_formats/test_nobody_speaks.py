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
MARKS = re.compile(r"[<>\[\]|｜~:#＜＞［］：～_▁\u200b-\u200d\u2060\ufeff\xad]")
# Words that templates take out or look for, blanks that they strip, and characters that tokenizers drop.
GLUE = ("", " ", "\n", "\t", "\r", "\u2028", "\x00", "a", "\u200b", "\u200d", "\u2060", "\ufeff", "\xad")
WORDS = ("/think", "/no_think", "/nothink", "/system_override", "<tool_sep>", "detailed thinking on", '{{ "" }}')
SWITCHES = re.compile("(/no_think|/system_override)")
FULL_WIDTH = str.maketrans("<>|[]:~", "＜＞｜［］：～")
# Ways of writing a text that something later may undo.
DISGUISES = (
    str, str, str, lambda text: text.translate(FULL_WIDTH), json.dumps, lambda text: json.dumps({text: text}),
    lambda text: f"<tool_response>{text}</tool_response>", lambda text: f"<![CDATA[{text}]]>", str.upper,
    lambda text: f"\n {text}\t", lambda text: f"system\n{text}assistant\n",
)  # fmt: skip
NAMES = ("role", "content", "name", "arguments", "tool_calls", "type")


@st.composite
def texts(draw, tokens):
    """Pieces of control strings, with something or nothing between them."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        token = draw(st.sampled_from(tokens))
        cut = draw(st.integers(0, len(token)))
        pieces += [token[:cut], draw(st.sampled_from((*GLUE, *WORDS))), token[cut:], draw(st.sampled_from(GLUE))]
    return draw(st.sampled_from(DISGUISES))("".join(pieces))


@st.composite
def halves(draw, tokens):
    """Two messages with a control string cut over them, the second by the same speaker or by the other."""
    token = draw(st.sampled_from(tokens))
    cut = draw(st.integers(1, max(1, len(token) - 1)))
    roles = draw(st.sampled_from((("user", "user"), ("user", "assistant"), ("system", "user"))))
    return [Message(role, text) for role, text in zip(roles, (token[:cut], token[cut:]), strict=True)]


@st.composite
def conversations(draw, tokens, tools):
    text = texts(tokens)
    content = st.one_of(text, st.lists(text.map(TextPart), min_size=1, max_size=3).map(tuple))
    messages = [Message("system", draw(content))] if draw(st.booleans()) else []
    if draw(st.integers(0, 3)) == 0:
        messages = draw(halves(tokens))
    messages.append(Message("user", draw(content)))
    if tools and draw(st.booleans()):
        name = st.one_of(st.sampled_from(NAMES), text)
        arguments = json.dumps(
            {draw(name): draw(st.one_of(text, st.just({draw(name): [{draw(text): draw(text)}, 1]})))}
        )
        identity = draw(st.one_of(st.just("call00001"), text))
        call = ToolCall(identity, draw(st.one_of(st.just("look"), text)), arguments)
        thinking = draw(st.one_of(st.none(), text))
        messages.append(Message("assistant", "", tool_calls=(call,), thinking=thinking))
        messages.append(Message("tool", draw(content), tool_call_id=identity, name=call.name))
    else:
        messages.append(Message("assistant", f"So: {draw(text)}"))
    messages.append(Message("user", draw(content)))
    field = {"type": "string", "description": draw(text), "enum": [draw(text)], "default": draw(text)}
    schema = {"type": "object", "properties": {draw(text): field}, "required": [draw(text)]}
    if draw(st.booleans()):
        schema["properties"]["nested"] = {"type": "object", "properties": {draw(text): field}}
    return messages, [Tool(draw(st.one_of(st.just("look"), text)) or "look", draw(text), schema)] if tools else None


def harmless(value):
    """The same value without the characters that make control strings."""
    if isinstance(value, str):
        value = value.replace("\\u2581", "x").replace("\\uff5c", "x")
        # Words that a template acts upon stay as they are.
        return "".join(part if part in WORDS else MARKS.sub("x", part) for part in SWITCHES.split(value))
    if isinstance(value, dict):
        return {harmless(key): harmless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(harmless, value))
    if isinstance(value, Message):
        return Message(
            value.role, harmless(value.content), tuple(map(harmless, value.tool_calls)),
            value.tool_call_id and harmless(value.tool_call_id), value.name and harmless(value.name),
            value.thinking and harmless(value.thinking),
        )  # fmt: skip
    if isinstance(value, ToolCall):
        return ToolCall(harmless(value.id), harmless(value.name), json.dumps(harmless(json.loads(value.arguments))))
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
    assert tokens_in(prompt, tokens, pattern) == tokens_in(expected, tokens, pattern)


def tokens_in(prompt, tokens, pattern):
    """The control strings in a prompt; the format's own ones also where text stands around them as if it were one."""
    found, at = [], 0
    while match := pattern.search(prompt, at):
        outer = any(token in match[0][1:] for token in tokens)
        found += [] if outer else [match[0]]
        at = match.start() + 1 if outer else match.end()
    return found


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


def test_names_in_gemmas_notation_that_the_colon_behind_them_would_complete():
    schema = {"type": "object", "properties": {"x<think": {"type": "object", "properties": {"</think": {}}}}}
    call = ToolCall("call00001", "look", json.dumps({"<think": {"</think": 1}}))
    for name in ("gemma4", "function_gemma"):
        prompt = FORMATS[name].render(
            [Message("user", "Hi"), Message("assistant", "", (call,))], [Tool("look", "", schema)]
        )
        assert "think:" in prompt
        assert "<think:" not in prompt
        assert "</think:" not in prompt


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
