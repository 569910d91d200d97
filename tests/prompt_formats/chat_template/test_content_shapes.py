"""Texts in several parts, and no text at all, as each template takes them."""

import pytest

from sagewire.prompt_formats.chat_template import load_format
from sagewire.types import Message, TextPart

PARTS = (TextPart("One."), TextPart(" Two."))
CALL = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": "{}"}}

TEMPLATES = {
    # As Llama 3.1 to 3.3 do: only results are looked into.
    "asks of results only": (
        "{% for m in messages %}{% if m.role == 'tool' and m.content is iterable %}{{ m.content | tojson }}"
        "{% else %}({{ m.content | trim }}){% endif %}{% endfor %}",
        "(One. Two.)", '"One. Two."',
    ),
    # As Qwen 3, Seed-OSS and Ling do: a content that is no text fails.
    "adds": ("{% for m in messages %}{{ '(' + m.content + ')' }}{% endfor %}", "(One. Two.)", "(One. Two.)"),
    "writes parts": (
        "{% for m in messages %}({% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        "{{ p.text | trim }};{% endfor %}{% endif %}){% endfor %}",
        "(One.;Two.;)", "(One.;Two.;)",
    ),
    "through a macro": (
        "{% macro say(x) %}{% if x is string %}{{ x }}{% else %}{% for p in x %}{{ p.text }}|{% endfor %}{% endif %}"
        "{% endmacro %}{% for m in messages %}({{ say(m.content) }}){% endfor %}",
        "(One.| Two.|)", "(One.| Two.|)",
    ),
    "only parts": (
        "{% for m in messages %}({% for p in m['content'] %}{% if p.type == 'text' %}{{ p.text }}{% endif %}"
        "{% endfor %}){% endfor %}",
        "(One. Two.)", "(One. Two.)",
    ),
    "parts of users only": (
        "{% for m in messages %}{% if m.role == 'user' and m.content is not string %}{% for p in m.content %}"
        "<{{ p.text }}>{% endfor %}{% else %}({{ m.content }}){% endif %}{% endfor %}",
        "<One.>< Two.>", "(One. Two.)",
    ),
    "as JSON": ("{% for m in messages %}{{ m.content | tojson }}{% endfor %}", '"One. Two."', '"One. Two."'),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_texts_in_several_parts(name):
    source, user, result = TEMPLATES[name]
    fmt = load_format({"chat_template": source}, strict=False)
    assert fmt.render([Message("user", PARTS)]) == user
    assert (
        fmt.render([{"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": " Two."}]}])
        == user
    )
    call = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    answer = {"role": "tool", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": " Two."}]}
    assert fmt.render([{"role": "user", "content": "x"}, call, answer]).endswith(result)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_single_text_is_never_lost(name):
    fmt = load_format({"chat_template": TEMPLATES[name][0]})
    assert "Hello" in fmt.render([Message("user", "Hello")])


@pytest.mark.parametrize("missing", [{"content": None}, {}])
def test_no_content_is_an_empty_text(missing):
    template = (
        "{% for m in messages %}[{{ m.content }}]{{ '' + m.content }}"
        "{% for c in m.tool_calls %}f{% endfor %}{% endfor %}"
    )
    messages = [{"role": "assistant", **missing, "tool_calls": [CALL]}]
    assert load_format({"chat_template": template}).render(messages) == "[]f"


@pytest.mark.parametrize("arguments", ["", "null", "[]", None, "{}"])
def test_no_arguments_are_an_empty_object(arguments):
    template = (
        "{% for c in messages[0].tool_calls %}{{ c.function.arguments }}"
        "{% for k in c.function.arguments.items() %}x{% endfor %}{% endfor %}"
    )
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    assert (
        load_format({"chat_template": template}, strict=False).render(
            [{"role": "assistant", "content": "", "tool_calls": [call]}]
        )
        == "{}"
    )


def test_a_token_that_is_split_over_parts():
    source = TEMPLATES["writes parts"][0].replace(";", "")
    fmt = load_format({"chat_template": source, "eos_token": "<end>"})
    parts = tuple(map(TextPart, ("a<e", "n", " d> b <en", "d>c")))
    assert "<end>" not in fmt.render([Message("user", parts)])
    assert fmt.render([Message("user", (TextPart("a <e"), TextPart("m> b")))]) == "(a <em> b)"
