"""Which output parser a chat template gets, and that tools are refused where none is known."""

import json

import pytest

from sagewire.errors import UnsupportedFeature
from sagewire.prompt_formats.chat_template import load_format
from sagewire.streaming.accumulate import fold
from sagewire.types import Message, Tool

LOOK = Tool(
    "look", "Look.", {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
)
HELLO = [Message("user", "Hello")]


def conversation(turn, opening="<|a|>", ending="<|eot|>"):
    """A template of turns that writes the calls of an answer with `turn`."""
    return (
        "{% if tools %}<|system|>{{ tools | tojson }}" + ending + "{% endif %}{% for m in messages %}"
        "{% if m.role == 'assistant' %}" + opening + "{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{% set f = c.function %}" + turn + "{% endfor %}" + ending + "{% else %}<|{{ m.role }}|>{{ m.content }}"
        + ending + "{% endif %}{% endfor %}{% if add_generation_prompt %}" + opening + "{% endif %}"
    )  # fmt: skip


ITEMS = "{% for k, v in f.arguments.items() %}"
JSON = '{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}'
WRITINGS = {
    "hermes": f"<tool_call>\n{JSON}\n</tool_call>",
    "jamba": f"<tool_calls>[{JSON}]</tool_calls>",
    "xlam": f"[{JSON}]",
    "mistral": f"[TOOL_CALLS][{JSON}]",
    "nemotron_v2": f"<TOOLCALL>[{JSON}]</TOOLCALL>",
    "longcat": f"<longcat_tool_call>{JSON}</longcat_tool_call>",
    "gigachat3": f"<|function_call|>{JSON}",
    "apertus": '<|tools_prefix|>[{"{{ f.name }}": {{ f.arguments | tojson }}}]<|tools_suffix|>',
    "llama3_json": '{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}',
    "functionary": "<function={{ f.name }}>{{ f.arguments | tojson }}</function>",
    "qwen3_coder": "<tool_call><function={{ f.name }}>" + ITEMS
    + "<parameter={{ k }}>\n{{ v }}\n</parameter>{% endfor %}</function></tool_call>",
    "mimo": "<tool_call>\n<function={{ f.name }}>\n" + ITEMS
    + "<parameter={{ k }}>{{ v }}</parameter>\n{% endfor %}</function>\n</tool_call>",
    "seed_oss": "<seed:tool_call><function={{ f.name }}>" + ITEMS
    + "<parameter={{ k }}>{{ v }}</parameter>{% endfor %}</function></seed:tool_call>",
    "glm": "<tool_call>{{ f.name }}\n" + ITEMS
    + "<arg_key>{{ k }}</arg_key><arg_value>{{ v }}</arg_value>{% endfor %}</tool_call>",
    "hy3": "<tool_calls:x>{{ '<tool_call{}>'.format(':x') }}{{ f.name }}<tool_sep:x>" + ITEMS
    + "<arg_key:x>{{ k }}</arg_key:x><arg_value:x>{{ v }}</arg_value:x>{% endfor %}</tool_call:x>"
    "</tool_calls:x>",
    "hy4": "{% set x = ':5f' %}<tool_calls{{ x }}><tool_call{{ x }}>{{ f.name }}" + ITEMS
    + "<arg_key{{ x }}>{{ k }}</arg_key{{ x }}><arg_value{{ x }}>{{ v }}</arg_value{{ x }}>{% endfor %}"
    "</tool_call{{ x }}></tool_calls{{ x }}>",
    "iquest_q1": "<iquest_tool_call>{{ f.name }}\n" + ITEMS
    + "<arg_key>{{ k }}</arg_key><arg_value>{{ v }}</arg_value>\n{% endfor %}</iquest_tool_call>",
    "k2_horizon": "<ifm|tool_calls><ifm|tool_call>{{ f.name }}" + ITEMS
    + "<ifm|arg_key>{{ k }}</ifm|arg_key><ifm|arg_value>{{ v }}</ifm|arg_value>{% endfor %}</ifm|tool_call>"
    "</ifm|tool_calls>",
    "plamo3": "{% macro b(x) %}<|plamo:begin_{{ x }}:plamo|>{% endmacro %}{% macro e(x) %}<|plamo:end_{{ x }}:plamo|>"
    "{% endmacro %}{{ b('tool_requests') }}{{ b('tool_request') }}{{ b('tool_name') }}{{ f.name }}{{ e('tool_name') }}"
    "{{ b('tool_arguments') }}<|plamo:constrain|>json<|plamo:msg|>{{ f.arguments | tojson }}{{ e('tool_arguments') }}"
    "{{ e('tool_request') }}{{ e('tool_requests') }}",
    "inkling": '<|message_model|>{{ f.name }}<|content_invoke_tool_json|>{"name": "{{ f.name }}", "args": '
    "{{ f.arguments | tojson }}}<|end_message|>",
    "gigachat35": '<｜GCML｜tool_calls>\n<｜GCML｜invoke name="{{ f.name }}">\n' + ITEMS
    + "<｜GCML｜parameter name=\"{{ k }}\" string=\"{{ 'true' if v is string else 'false' }}\">{{ v }}"
    "</｜GCML｜parameter>\n{% endfor %}</｜GCML｜invoke>\n</｜GCML｜tool_calls>",
    "minicpm5": '<function name="{{ f.name }}">' + ITEMS
    + '<param name="{{ k }}">{{ v }}</param>{% endfor %}</function>',
    "deepseek_v32": "{% set d = '｜DSML' ~ '｜' %}<{{ d }}tool_calls><{{ d }}invoke name=\"{{ f.name }}\">" + ITEMS
    + "<{{ d }}parameter name=\"{{ k }}\" string=\"{{ 'true' if v is string else 'false' }}\">{{ v }}"
    "</{{ d }}parameter>{% endfor %}</{{ d }}invoke></{{ d }}tool_calls>",
    "gemma4": "<|tool_call>call:{{ f.name }}{{ '{' }}" + ITEMS
    + "{{ k }}:{% if v is string %}<|\"|>{{ v }}<|\"|>{% else %}{{ v }}{% endif %}{% if not loop.last %},{% endif %}"
    "{% endfor %}}<tool_call|>",
    "pythonic": "[{{ f.name }}(" + ITEMS
    + "{% if not loop.first %}, {% endif %}{{ k }}={{ v | tojson }}{% endfor %})]",
    "lfm2": "<|tool_call_start|>[{{ f.name }}(" + ITEMS
    + "{% if not loop.first %}, {% endif %}{{ k }}={{ v | tojson }}{% endfor %})]<|tool_call_end|>",
    "olmo3": "<function_calls>{{ f.name }}(" + ITEMS
    + "{% if not loop.first %}, {% endif %}{{ k }}={{ v | tojson }}{% endfor %})</function_calls>",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITINGS)
def test_the_parser_that_reads_what_the_template_writes(name):
    fmt = load_format({"chat_template": conversation(WRITINGS[name]), "eos_token": "<|eot|>"})
    assert fmt.output_parser == name
    prompt = fmt.render(HELLO, [LOOK])
    function = {"name": "look", "arguments": '{"city": "Rome", "days": 2}'}
    call = {"id": "call00001", "type": "function", "function": function}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    said = fmt.render([{"role": "user", "content": "Hello"}, turn], [LOOK], add_generation_prompt=False)
    parser = fmt.make_parser([LOOK], prompt=prompt)
    reply = fold(parser.feed(said.removeprefix(prompt)) + parser.close())
    [call] = reply.tool_calls
    assert (reply.text, call.name, json.loads(call.arguments)) == ("", "look", {"city": "Rome", "days": 2})


def test_a_template_that_opens_the_next_answer_in_any_case():
    source = conversation("<|tool_call>call:{{ f.name }}{{ '{}' }}<tool_call|>") + "<|a|>"
    assert load_format({"chat_template": source, "eos_token": "<|eot|>"}).output_parser == "gemma4"


UNKNOWN = {
    "a tag nobody knows": f"<call>{JSON}</call>",
    "the tag of a family, and something else in it": "<tool_call>{{ f.name }}: {{ f.arguments }}</tool_call>",
    "YAML": "<tool_call>\nname: {{ f.name }}\n</tool_call>",
    "keys nobody knows": '<tool_call>{"fn": "{{ f.name }}", "args": {{ f.arguments | tojson }}}</tool_call>',
    "arguments that are wrong": '<tool_call>{"name": "{{ f.name }}", "arguments": {"city": "Oslo!"}}</tool_call>',
    "words": "I call {{ f.name }} with {{ f.arguments }}.",
    "nothing": "",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_tools_are_refused_where_no_parser_is_known(name):
    config = {"chat_template": conversation(UNKNOWN[name]), "eos_token": "<|eot|>"}
    with pytest.raises(UnsupportedFeature, match=r"tools.*output parser"):
        load_format(config).render(HELLO, [LOOK])
    assert "Hello" in load_format(config).render(HELLO)
    assert "look" in load_format(config, output_parser="hermes").render(HELLO, [LOOK])


def test_a_template_that_never_mentions_tools_refuses_them():
    fmt = load_format({"chat_template": "{% for m in messages %}<tool_call>{{ m.content }}{% endfor %}"})
    with pytest.raises(UnsupportedFeature, match="never mentions"):
        fmt.render(HELLO, [LOOK])


@pytest.mark.parametrize(
    ("sign", "name"),
    [
        ("<|tool_list_start|>", "lfm2"), ("<|tool_calls_section_begin|>", "kimi_k2"),
        ("<｜tool▁calls▁begin｜>", "deepseek"),
        ("functools[", "phi4_mini"), ("<|start_of_role|>", "granite"), ("<|START_ACTION|>", "command_r"),
    ],
)  # fmt: skip
def test_a_family_whose_template_writes_no_calls_is_known_by_its_markers(sign, name):
    fmt = load_format({"chat_template": sign + conversation("")})
    assert fmt.output_parser == name
    assert "look" in fmt.render(HELLO, [LOOK])


def test_thinking_alone():
    assert load_format({"chat_template": conversation("") + "<think>"}).output_parser == "thinking"
    assert load_format({"chat_template": conversation("")}).output_parser == "plain"


def test_families_whose_messages_end_without_ending_the_answer():
    for sign, ending in (
        ("<atem:", "<|eom|>"),
        ("<|tool_call:begin|>", "<|end|>"),
        ("<|role_sep|>", "<|message_sep|>"),
    ):
        fmt = load_format({"chat_template": f"{sign}{ending}<|eot|>{{{{ messages }}}}"})
        assert fmt.stops == ("<|eot|>",)
