"""Each style on answers of its own, and what is delivered when."""

import json
import re

import pytest

from sagewire.errors import UsageError
from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, OutputSyntax, get_output_parser
from sagewire.streaming.accumulate import fold
from sagewire.types import TextDelta, ThinkingDelta, Tool, ToolCallDelta

from ...cases import each

PLACE = Tool(
    "place",
    parameters={
        "type": "object",
        "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "properties": {
            "city": {"type": "string"},
            "count": {"type": "integer"},
            "ratio": {"type": ["number", "null"]},
            "open": {"type": "boolean"},
            "point": {"$ref": "#/$defs/Point"},
            "tags": {"anyOf": [{"type": "array"}, {"type": "null"}]},
            "level": {"enum": [1, 2, 3]},
        },
    },
)


def deltas(style, raw, tools=None, **options):
    reader = get_output_parser(style, tools, **options)
    return reader.feed(raw) + reader.close()


def read(style, raw, tools=None, **options):
    whole = fold(deltas(style, raw, tools, **options))
    reader = get_output_parser(style, tools, **options)
    assert fold([delta for character in raw for delta in reader.feed(character)] + reader.close()) == whole
    calls = [(call.name, json.loads(call.arguments)) for call in whole.tool_calls]
    return whole.text, whole.thinking, calls


SAME = [("place", {"city": "Rome", "count": 2})]

ONE_CALL = {
    "apertus": '<|tools_prefix|>[{"place": {"city": "Rome", "count": 2}}]<|tools_suffix|>',
    "apriel": '<tool_calls>[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]</tool_calls>',
    "command_r": 'Action:\n```json\n[{"tool_name": "place", "parameters": {"city": "Rome", "count": 2}}]\n```',
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>place\n```json\n"
    '{"city": "Rome", "count": 2}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "deepseek_v3": "<｜tool▁call▁begin｜>function<｜tool▁sep｜>place\n```\n"
    '{"city": "Rome", "count": 2}\n```<｜tool▁call▁end｜>',
    "deepseek_v31": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>place<｜tool▁sep｜>"
    '{"city": "Rome", "count": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>',
    "deepseek_v32": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="place">\n'
    '<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="count" string="false">2</｜DSML｜parameter>\n'
    "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    "dots": '<dots_function_call>\n<invoke name="place">\n<parameter name="city">Rome</parameter>\n'
    '<parameter name="count">2</parameter>\n</invoke>\n</dots_function_call>',
    "ernie45": '<tool_call>\n{"name": "place", "arguments": {"city": "Rome", "count": 2}}\n</tool_call>',
    "function_gemma": "<start_function_call>call:place{city:<escape>Rome<escape>,count:<escape>2<escape>}"
    "<end_function_call>",
    "functionary": '<function=place>{"city": "Rome", "count": 2}</function><|eom_id|>',
    "gemma4": '<|tool_call>call:place{city:<|"|>Rome<|"|>,count:2}<tool_call|>',
    "gigachat3": "<|message_sep|>\n\nfunction call<|role_sep|>\n"
    '{"name": "place", "arguments": {"city": "Rome", "count": 2}}<|message_sep|>',
    "gigachat35": '<｜GCML｜tool_calls>\n<｜GCML｜invoke name="place">\n'
    '<｜GCML｜parameter name="city" string="true">Rome</｜GCML｜parameter>\n'
    '<｜GCML｜parameter name="count" string="false">2</｜GCML｜parameter>\n'
    "</｜GCML｜invoke>\n</｜GCML｜tool_calls>",
    "glm": "<tool_call>place\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>count</arg_key>\n"
    "<arg_value>2</arg_value>\n</tool_call>",
    "gpt_oss": "<|channel|>commentary to=functions.place <|constrain|>json<|message|>"
    '{"city": "Rome", "count": 2}<|call|>',
    "granite": '<|tool_call|>[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]<|end_of_text|>',
    "hermes": '<tool_call>\n{"name": "place", "arguments": {"city": "Rome", "count": 2}}\n</tool_call>',
    "hunyuan_a13b": '<tool_calls>[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]</tool_calls>',
    "hy3": "<tool_calls:x1>\n<tool_call:x1>place<tool_sep:x1>\n<arg_key:x1>city</arg_key:x1>\n<arg_value:x1>Rome"
    "</arg_value:x1>\n<arg_key:x1>count</arg_key:x1>\n<arg_value:x1>2</arg_value:x1>\n</tool_call:x1>\n</tool_calls:x1>",
    "hy4": "<tool_calls:x1><tool_call:x1>place<arg_key:x1>city</arg_key:x1><arg_value:x1>Rome</arg_value:x1>"
    "<arg_key:x1>count</arg_key:x1><arg_value:x1>2</arg_value:x1></tool_call:x1></tool_calls:x1>",
    "inkling": "<|message_model|>place<|content_invoke_tool_json|>"
    '{"name": "place", "args": {"city": "Rome", "count": 2}}<|end_message|>',
    "internlm2": "<|action_start|><|plugin|>\n"
    '{"name": "place", "parameters": {"city": "Rome", "count": 2}}<|action_end|>',
    "iquest_q1": "<iquest_tool_call>place\n<arg_key>city</arg_key><arg_value>Rome</arg_value>\n<arg_key>count</arg_key>"
    "<arg_value>2</arg_value></iquest_tool_call>",
    "jamba": "<tool_calls>[\n"
    '{"name": "place", "arguments": "{\\"city\\": \\"Rome\\", \\"count\\": 2}"}\n]</tool_calls>',
    "k2_horizon": "<ifm|tool_calls><ifm|tool_call>place<ifm|arg_key>city</ifm|arg_key><ifm|arg_value>Rome"
    "</ifm|arg_value><ifm|arg_key>count</ifm|arg_key><ifm|arg_value>2</ifm|arg_value></ifm|tool_call></ifm|tool_calls>",
    "kimi_k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.place:0<|tool_call_argument_begin|>"
    '{"city": "Rome", "count": 2}<|tool_call_end|><|tool_calls_section_end|>',
    "kimi_k3": '<|open|>tools<|sep|><|open|>call tool="place" index="1"<|sep|>'
    '<|open|>argument key="city" type="string"<|sep|>Rome<|close|>argument<|sep|>'
    '<|open|>argument key="count" type="number"<|sep|>2<|close|>argument<|sep|>'
    "<|close|>call<|sep|><|close|>tools<|sep|>",
    "lfm2": "<|tool_call_start|>[place(city='Rome', count=2)]<|tool_call_end|>",
    "llama3_json": '{"type": "function", "name": "place", "parameters": {"city": "Rome", "count": 2}}<|eot_id|>',
    "longcat": '<longcat_tool_call>{"name": "place", "arguments": {"city": "Rome", "count": 2}}</longcat_tool_call>',
    "mimo": "<tool_call>\n<function=place>\n<parameter=city>Rome</parameter>\n<parameter=count>2</parameter>\n"
    "</function>\n</tool_call>",
    "minicpm5": '<function name="place"><param name="city">Rome</param><param name="count">2</param></function>',
    "minimax": '<minimax:tool_call>\n<invoke name="place">\n<parameter name="city">Rome</parameter>\n'
    '<parameter name="count">2</parameter>\n</invoke>\n</minimax:tool_call>',
    "minimax_m3": ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="place">]<]minimax[>[<city>Rome'
    "]<]minimax[>[</city>]<]minimax[>[<count>2]<]minimax[>[</count>]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>",
    "mistral": '[TOOL_CALLS]place[CALL_ID]123456789[ARGS]{"city": "Rome", "count": 2}</s>',
    "muse": '<|start|>assistant to=place<|message|><atem:function_calls>\n<atem:invoke name="place">\n'
    '<atem:parameter name="city">Rome</atem:parameter>\n<atem:parameter name="count">2</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls><|eot|>",
    "nemotron_v2": '<TOOLCALL>[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]</TOOLCALL>',
    "olmo3": "<function_calls>place(city='Rome', count=2)</function_calls>",
    "phi4_mini": 'functools[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]',
    "plamo3": "<|plamo:begin_tool_requests:plamo|><|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>"
    "place<|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>"
    '{"city": "Rome", "count": 2}<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|>'
    "<|plamo:end_tool_requests:plamo|>",
    "pythonic": "<|python_start|>[place(city='Rome', count=2)]<|python_end|><|eot|>",
    "qwen3_coder": "<tool_call>\n<function=place>\n<parameter=city>\nRome\n</parameter>\n<parameter=count>\n2\n"
    "</parameter>\n</function>\n</tool_call>",
    "seed_oss": "<seed:tool_call>\n<function=place>\n<parameter=city>Rome</parameter>\n<parameter=count>2"
    "</parameter>\n</function>\n</seed:tool_call>",
    "solar_open": "<|begin|>assistant<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>place"
    '<|tool_call:args|>{"city": "Rome", "count": 2}<|tool_call:end|><|calls|>',
    "step3": '<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="place">'
    '<steptml:parameter name="city">Rome</steptml:parameter><steptml:parameter name="count">2</steptml:parameter>'
    "</steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>",
    "xlam": '```json\n[{"name": "place", "arguments": {"city": "Rome", "count": 2}}]\n```',
}


# Every pair of tags that a family thinks between; messages and prompts frame the thinking of the others.
TAGS = [
    pytest.param(name, tags, id=f"{name}-{tags.open}")
    for name in OUTPUT_PARSERS
    for tags in OUTPUT_PARSERS[name].thinking
    if not (tags.prose or tags.prefilled)
]
CALL_TAGS = [param for param in TAGS if param.values[0] in ONE_CALL]


def test_every_style_with_calls_has_a_case_here():
    assert {name for name, style in OUTPUT_PARSERS.items() if style.blocks} == set(ONE_CALL)


@each("style", ONE_CALL)
def test_a_call_is_read(style):
    assert read(style, ONE_CALL[style], [PLACE]) == ("", None, SAME)


def test_calls_in_the_shape_of_openai():
    function = '{"name": "place", "arguments": {"city": "Rome", "count": 2}}'
    raw = f'<tool_call>[{{"id": "a1", "type": "function", "function": {function}}}]</tool_call>'
    assert read("hermes", raw, [PLACE]) == ("", None, SAME)
    assert read("llama3_json", f'{{"type": "function", "function": {function}}}', [PLACE]) == ("", None, SAME)
    raw = '{"type": "function", "function": "place", "parameters": {"city": "Rome", "count": 2}}'
    assert read("llama3_json", raw, [PLACE]) == ("", None, SAME)
    deep = '<tool_call>{"name": "place", ' + '"function": {' * 3000
    assert read("hermes", deep, [PLACE])[2] == []


def test_a_llama_writes_what_its_prompt_asks_for():
    for raw in (
        "[place(city='Rome', count=2)]",
        '{"name": "place", "parameters": {"city": "Rome", "count": 2}}',
        '<|python_tag|>{"name": "place", "parameters": {"city": "Rome", "count": 2}}',
        '<|python_start|><|python_end|>{"name": "place", "parameters": {"city": "Rome", "count": 2}}',
    ):
        assert read("pythonic", raw, [PLACE]) == ("", None, SAME)
    for raw in ('{"name": "Rome", "parameters": {"count": 2}}', "[Rome(count=2)]", "[1, 2]", '{"city": "Rome"}'):
        assert read("pythonic", raw, [PLACE]) == (raw, None, [])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("minicpm5", "<function name='place'><param name='city'>Rome</param><param name='count'>2</param></function>"),
        ("dots", "<dots_function_call><invoke name=place><parameter name=city>Rome</parameter>"
         "<parameter name='count'>2</parameter></invoke></dots_function_call>"),
        ("minimax_m3", "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name='place'>]<]minimax[>[<city>Rome"
         "]<]minimax[>[</city>]<]minimax[>[<count>2]<]minimax[>[</count>]<]minimax[>[</invoke>]<]minimax[>[</tool_call>"),
    ],
)  # fmt: skip
def test_names_between_other_quotation_marks_or_none(name, call):
    assert read(name, call, [PLACE]) == ("", None, SAME)


def test_strings_of_lfm2_are_not_escaped():
    for city in ("It's Rome", 'The "Rome"', "Ro\nme", "a's b's", "It\\'s"):
        for quote in "'\"":
            raw = f"<|tool_call_start|>[place(city={quote}{city}{quote}, count=2)]<|tool_call_end|>"
            wanted = {"city": city.replace("\\'", "'"), "count": 2}
            assert read("lfm2", raw, [PLACE]) == ("", None, [("place", wanted)])
    assert read("lfm2", "<|tool_call_start|>[place(city='Rome', count=2)] Done.", [PLACE]) == ("Done.", None, SAME)


@pytest.mark.parametrize("text", ["['a', 'b']", '["a", "b"]', "[ 'a' , \"b\" ]"])
def test_lists_as_python_prints_them(text):
    raw = f"<seed:tool_call><function=place><parameter=tags>{text}</parameter></function></seed:tool_call>"
    assert read("seed_oss", raw, [PLACE])[2] == [("place", {"tags": ["a", "b"]})]
    for broken in ("['a'", "[a, b]", "['a'] + ['b']", "('a', 'b', (", "__import__('os')"):
        raw = f"<seed:tool_call><function=place><parameter=tags>{broken}</parameter></function></seed:tool_call>"
        assert read("seed_oss", raw, [PLACE])[2] == [("place", {"tags": broken})]


@each("style", ONE_CALL)
def test_text_before_and_two_calls(style):
    call = ONE_CALL[style].removesuffix("</s>").removesuffix("<｜end▁of▁sentence｜>")
    call = re.sub(r"<\|(eom_id|eot_id|eot|end_of_text)\|>$", "", call)
    text, _, calls = read(style, f"I look.\n\n{call}\n{call}", [PLACE], prompt="x")
    assert (text, calls) == ("I look.", SAME * 2)


@each("style", ONE_CALL)
@each("share", [0.2, 0.5, 0.7, 0.85])
def test_a_call_that_is_cut_off_stays_text(style, share):
    raw = ONE_CALL[style]
    # Cut before the arguments are complete.
    cut = raw[: int(raw.index("2") * share)]
    text, thinking, calls = read(style, cut, [PLACE], prompt="x")
    assert (thinking, calls) == (None, [])
    # Tokens that frame messages are no text.
    if "<|message|>" in cut or style not in ("gpt_oss", "solar_open"):
        assert text == cut.strip()


@pytest.mark.parametrize(("style", "tags"), CALL_TAGS)
def test_thinking_comes_before_a_call(style, tags):
    raw = f"{tags.open}\nRome, I think.\n{tags.close}\n\n{ONE_CALL[style]}"
    assert read(style, raw, [PLACE]) == ("", "Rome, I think.", SAME)


@pytest.mark.parametrize(("style", "tags"), CALL_TAGS)
def test_a_call_inside_closed_thinking_is_none(style, tags):
    raw = f"{tags.open}Say {ONE_CALL[style]}?{tags.close}No."
    assert read(style, raw, [PLACE]) == ("No.", f"Say {ONE_CALL[style]}?", [])


@pytest.mark.parametrize(("style", "opened"), TAGS)
def test_a_prompt_that_opened_the_thinking(style, opened):
    raw = f"So it is.\n{opened.close}\n\nYes."
    assert read(style, raw, prompt=f"<|assistant|>{opened.open}\n") == ("Yes.", "So it is.", [])
    if opened == OUTPUT_PARSERS[style].thinking[0]:
        assert read(style, raw, prompt_opened_thinking=True) == ("Yes.", "So it is.", [])
    # Not known: everything before the closing tag is thinking all the same.
    if not opened.paired:
        assert read(style, raw) == ("Yes.", "So it is.", [])


@pytest.mark.parametrize("style", ["hermes", "thinking", "deepseek", "qwen3_coder"])
def test_a_prompt_that_opened_no_thinking(style):
    raw = "The tag </think> ends it."
    assert read(style, raw, prompt="<think>a</think>") == (raw, None, [])
    assert read(style, raw, prompt="What does <think> mean?<|im_end|><|im_start|>assistant\n") == (raw, None, [])
    assert read(style, raw, prompt_opened_thinking=False) == (raw, None, [])


def test_a_continued_answer_goes_on_inside_the_thinking():
    prompt = "<|im_start|>assistant\n<think>\nFirst,"
    assert read("thinking", " then.</think>Yes.", prompt=prompt) == ("Yes.", "then.", [])


def test_text_is_delivered_as_it_comes():
    reader = get_output_parser("hermes")
    assert reader.feed("Hello ") == [TextDelta("Hello")]
    assert reader.feed("you <") == [TextDelta(" you")]
    assert reader.feed("b> and <tool") == [TextDelta(" <b> and")]
    assert reader.feed("box>") == [TextDelta(" <toolbox>")]
    assert reader.close() == []


def test_arguments_are_delivered_as_they_come():
    reader = get_output_parser("hermes", [PLACE])
    assert reader.feed('Here.<tool_call>\n{"name": "place", "arg') == [TextDelta("Here.")]
    assert reader.feed('uments": {"city": "Ro') == [
        ToolCallDelta(0, None, "place"),
        ToolCallDelta(0, arguments='{"city": "Ro'),
    ]
    assert reader.feed('me"}') == [ToolCallDelta(0, arguments='me"}')]
    assert reader.feed("}\n</tool_call>") == []
    assert reader.close() == []


def test_a_call_to_a_tool_nobody_offered_is_delivered_when_complete():
    reader = get_output_parser("hermes", [PLACE])
    assert reader.feed('<tool_call>{"name": "plaice", "arguments": {"a": 1}') == []
    assert reader.feed("}") == [ToolCallDelta(0, None, "plaice", '{"a": 1}')]


def test_parameters_in_tags_are_delivered_one_by_one():
    reader = get_output_parser("qwen3_coder", [PLACE])
    found = reader.feed("<tool_call><function=place><parameter=count>1</parameter>")
    assert found == [ToolCallDelta(0, None, "place"), ToolCallDelta(0, arguments='{"count": 1')]
    assert reader.feed("</function></tool_call>") == [ToolCallDelta(0, arguments="}")]


def test_a_call_that_was_begun_is_taken_back():
    found = deltas("mistral", 'Well. [TOOL_CALLS]place{"city": "Ro')
    assert found == [
        TextDelta("Well."),
        ToolCallDelta(0, None, "place"),
        ToolCallDelta(0, arguments='{"city": "Ro'),
        ToolCallDelta(0, cancelled=True),
        TextDelta(' [TOOL_CALLS]place{"city": "Ro'),
    ]
    whole = deltas("mistral", 'Well. [TOOL_CALLS]place{"city": "Ro', stream_arguments=False)
    assert whole == [TextDelta("Well."), TextDelta(' [TOOL_CALLS]place{"city": "Ro')]


def test_an_id_that_comes_last_still_arrives():
    found = deltas("mistral", '[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abcdefghi"}]')
    assert found == [ToolCallDelta(0, None, "f"), ToolCallDelta(0, arguments="{}"), ToolCallDelta(0, "abcdefghi")]
    assert fold(found).tool_calls[0].id == "abcdefghi"
    assert fold(deltas("kimi_k2", ONE_CALL["kimi_k2"])).tool_calls[0].id == "functions.place:0"
    assert fold(deltas("mistral", ONE_CALL["mistral"])).tool_calls[0].id == "123456789"


def test_reasoning_that_only_shows_at_its_end_takes_the_text():
    reader = get_output_parser("hermes")
    assert reader.feed("Hm, ") == [TextDelta("Hm,")]
    assert reader.feed("so.</think>Yes") == [
        TextDelta(" so."),
        ThinkingDelta("", takes_text=True),
        TextDelta("Yes"),
    ]


def test_where_prompts_often_open_the_reasoning_text_waits_for_the_prompt_to_be_known():
    assert get_output_parser("deepseek").feed("Hm, so") == []
    assert get_output_parser("deepseek", prompt="<｜Assistant｜><think>\n").feed("Hm, so") == [ThinkingDelta("Hm, so")]
    assert get_output_parser("deepseek", prompt="<｜Assistant｜></think>").feed("Hm, so") == [TextDelta("Hm, so")]


@pytest.mark.parametrize(
    ("style", "raw"),
    [
        ("llama3_json", '{"name": "Bob", "parameters": {"age": 3}}'),
        ("granite", '[{"name": "Bob", "arguments": {"age": 3}}]'),
        ("pythonic", "[bob(age=3)]"),
    ],
)
def test_what_no_marker_announces_counts_only_for_offered_tools(style, raw):
    assert read(style, raw, [PLACE]) == (raw, None, [])
    assert read(style, raw, []) == (raw, None, [])
    assert len(read(style, raw)[2]) == 1


@pytest.mark.parametrize(
    "raw",
    [
        "Open it with `<think>` and close it with `</think>`.",
        "Like so:\n```\n<think>\nhm\n</think>\n```\nDone.",
        'It prints "<think>" first.',
    ],
)
def test_a_tag_that_is_spoken_about_opens_nothing(raw):
    assert read("hermes", raw) == (raw, None, [])
    assert read("thinking", raw, prompt="x") == (raw, None, [])


def test_a_second_thought_after_the_answer_began_is_text():
    assert read("hermes", "<think>a</think>b <think>c</think>") == ("b <think>c</think>", "a", [])
    assert read("hermes", "<think>a</think>\n<think>c</think>b") == ("b", "a\n\nc", [])


@each("end", ["</s>", "<|eot_id|>", "<|im_end|>", " <|end|>\n", "</s></s>", "<｜end▁of▁sentence｜>"])
@each("style", sorted(OUTPUT_PARSERS.keys() - {"gpt_oss"}))
def test_special_tokens_at_the_very_end_are_removed(style, end):
    assert read(style, f"  Hello </s> you{end}")[0] == "Hello </s> you"


def test_a_special_token_that_is_cut_off_is_text():
    assert read("plain", "Hello <|im_e")[0] == "Hello <|im_e"


@pytest.mark.parametrize(
    ("value", "parameter", "expected"),
    [
        ("12", "count", 12),
        ("twelve", "count", "twelve"),
        ("true", "count", "true"),
        ("1.5", "ratio", 1.5),
        ("null", "ratio", None),
        ("True", "open", True),
        ('{"x": 1}', "point", {"x": 1}),
        ("[1, 2]", "tags", [1, 2]),
        ("2", "level", 2),
        ("12", "city", "12"),
        ("12", "unknown", "12"),
        ("NaN", "ratio", "NaN"),
        ("1" + 5000 * "0", "count", "1" + 5000 * "0"),
    ],
)
def test_untyped_values_get_the_types_of_the_schema(value, parameter, expected):
    raw = f"<tool_call><function=place><parameter={parameter}>\n{value}\n</parameter></function></tool_call>"
    assert read("qwen3_coder", raw, [PLACE])[2] == [("place", {parameter: expected})]


def test_a_forgotten_closing_tag_ends_a_value_where_the_next_tag_begins_a_line():
    raw = "<tool_call>\n<function=f>\n<parameter=a>\nx\n<parameter=b>\ny\n</function>\n</tool_call>"
    assert read("qwen3_coder", raw)[2] == [("f", {"a": "x", "b": "y"})]


def test_a_broken_call_does_not_swallow_the_next_one():
    good = "<tool_call>\n<function=g>\n<parameter=b>\ny\n</parameter>\n</function>\n</tool_call>"
    broken = "<tool_call>\n<function=f>\n<parameter=a>\nx\n</tool_call>"
    assert read("qwen3_coder", f"{broken}\n{good}") == (broken, None, [("g", {"b": "y"})])
    good = '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
    broken = '<tool_call>\n{"name": "f", "argum\n</tool_call>'
    assert read("hermes", f"{broken}\n{good}") == (broken, None, [("g", {})])
    assert read("mistral", '[TOOL_CALLS]f{"a[TOOL_CALLS]g{}') == ('[TOOL_CALLS]f{"a[TOOL_CALLS]g{}', None, [])


def test_what_follows_complete_calls_stays_text():
    raw = '[TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "g", "argu'
    assert read("mistral", raw) == (', {"name": "g", "argu', None, [("f", {})])
    raw = '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {"a'
    assert read("llama3_json", raw) == ('; {"name": "g", "parameters": {"a', None, [("f", {})])


@each(
    "arguments",
    ['{"a": 1 1}', '{"a": NaN}', '{"a": 01}', "[1]", '"[1]"', '"text"', "3", '{"a": Infinity}', "{'a': 1}",
     '{"a": "\\x"}', '{"a": 1,}', "[" * 200 + "]" * 200, '{"a": ' + "9" * 6000 + "}"],
)  # fmt: skip
def test_arguments_that_are_no_object_make_no_call(arguments):
    raw = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'
    assert read("hermes", raw) == (raw, None, [])


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "f", "name": "g", "arguments": {}}',
        '{"name": "f", "arguments": {}, "parameters": {}}',
        '{"name": 3, "arguments": {}}',
        '{"name": " ", "arguments": {}}',
        '{"name": "\\ud800", "arguments": {}}',
    ],
)
def test_a_call_that_could_mean_two_things_is_none(call):
    assert read("hermes", f"<tool_call>{call}") == (f"<tool_call>{call}", None, [])


def test_arguments_are_json_as_the_model_wrote_it():
    raw = '<tool_call>{"name": "f", "arguments": {"a":1.50,  "b": "\\u00e9\n"}}</tool_call>'
    [call] = fold(deltas("hermes", raw)).tool_calls
    assert call.arguments == '{"a":1.50,  "b": "\\u00e9\\u000a"}'


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("-1.5e3", -1500.0),
        ("(1, 'a')", [1, "a"]),
        (r"'\x41\u00e9\n\d'", "Aé\n\\d"),
        (r"'\ud83d\ude00'", "😀"),
        ("[None, True, false]", [None, True, False]),
        ("{'a': {'b': []}}", {"a": {"b": []}}),
        ('"it\'s"', "it's"),
    ],
)
def test_python_literals(written, value):
    assert read("pythonic", f"[f(a={written})]")[2] == [("f", {"a": value})]


@each(
    "written",
    ["1+1", "x", "f()", "lambda: 1", "[i for i in y]", "{1, 2}", "{1: 2}", "1e999", "9" * 2000, "b'x'", "f'{x}'",
     "'a' 'b'", "--1", "(1)", "[" * 150 + "]" * 150, "'a\nb'", "1, a=2", "*x", "__import__('os')", "1j"],
)  # fmt: skip
def test_python_that_is_no_literal_is_text(written):
    assert read("pythonic", f"[f(a={written})]") == (f"[f(a={written})]", None, [])


@pytest.mark.parametrize(
    ("raw", "prompt", "expected"),
    [
        ("analysis<|message|>Hm.<|end|>", "<|start|>assistant<|channel|>", ("", "Hm.", [])),
        ("Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
         "<|start|>assistant<|channel|>analysis<|message|>", ("Yes.", "Hm.", [])),
        ("<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "",
         ("I look.\n\nYes.", None, [])),
        ("<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>analysis<|message|>B.<|end|>", "",
         ("", "A.\n\nB.", [])),
        ("Just text.", "<|start|>assistant", ("Just text.", None, [])),
        ("<|channel|>commentary to=functions.f<|message|>{}<|call|>"
         "<|start|>assistant<|channel|>commentary to=functions.g<|message|>{}<|call|>", "", ("", None,
         [("f", {}), ("g", {})])),
        ("<|channel|>analysis to=python code<|message|>print(1)<|call|>", "",
         ("<|channel|>analysis to=python code<|message|>print(1)", None, [])),
        ("today is a day", "<|start|>assistant", ("today is a day", None, [])),
    ],
)  # fmt: skip
def test_harmony(raw, prompt, expected):
    assert read("gpt_oss", raw, prompt=prompt) == expected


ONE_TEXT = [
    Tool(name, parameters={"type": "object", "properties": {parameter: {"type": "string"}}})
    for name, parameter in (("get_weather", "city"), ("python", "code"), ("run", "script"))
]
CITY = '{"city": "Bergen"}'
FINAL = "<|start|>assistant<|channel|>final<|message|>Done.<|return|>"


def read_cut(header, body):
    """Read a message to a tool, whole, in single characters and cut at every place."""
    raw = f"<|channel|>commentary to={header}<|message|>{body}"
    expected = read("gpt_oss", raw, ONE_TEXT)
    for cut in range(1, len(raw)):
        reader = get_output_parser("gpt_oss", ONE_TEXT)
        answer = fold([*reader.feed(raw[:cut]), *reader.feed(raw[cut:]), *reader.close()])
        calls = [(call.name, json.loads(call.arguments)) for call in answer.tool_calls]
        assert (answer.text, answer.thinking, calls) == expected
    return expected


@each(
    ("header", "body", "arguments"),
    [
        ("functions.get_weather code", CITY, {"city": "Bergen"}),
        ("functions.get_weather <|constrain|>code", CITY, {"city": "Bergen"}),
        ("functions.get_weather", CITY, {"city": "Bergen"}),
        ("functions.get_weather <|constrain|>json", CITY, {"city": "Bergen"}),
        ("functions.run code", '{"script": "ls"}', {"script": "ls"}),
        ("functions.run code", "{}", {}),
        ("functions.run code", "null", {}),
        ("functions.run code", "ls -l\ncat x", {"script": "ls -l\ncat x"}),
        ("python", "print(1)", {"code": "print(1)"}),
        ("python", '{"code": "1"}', {"code": "1"}),
        ("python json", '{"code": "1"}', {"code": "1"}),
        ("python code", '{"code": "1"}', {"code": "1"}),
        ("python code", '{"a": 1}', {"code": '{"a": 1}'}),
        # The header says that it is code; a body that is none is an error that only Python can tell the model.
        ("python code", "I will call the tool.", {"code": "I will call the tool."}),
        ("python <|constrain|>code", "print(1", {"code": "print(1"}),
        ("python <|constrain|>code", '"Bergen"', {"code": '"Bergen"'}),
        ("functions.python code", "[1]", {"code": "[1]"}),
        ("functions.python <|constrain|>code", "{}", {"code": "{}"}),
    ],
)
def test_harmony_reads_json_unless_the_body_is_code(header, body, arguments):
    name = header.split()[0].removeprefix("functions.")
    assert read_cut(header, f"{body}<|call|>") == ("", None, [(name, arguments)])


NO_ARGUMENTS = ["", "I will call the tool.", '"Bergen"', '["Bergen"]', f"```json\n{CITY}\n```"]


@each(
    ("header", "body", "end"),
    [
        *(
            (header, body, "<|call|>")
            for header in ("functions.get_weather", "functions.get_weather code", "functions.get_weather json",
                           "functions.run", "functions.run json", "functions.python", "python json")
            for body in NO_ARGUMENTS
        ),
        *(
            (header, body, "<|call|>")
            for header in ("functions.run code", "python")
            for body in NO_ARGUMENTS
            if not body.startswith("I")
        ),
        *((header, "I will call the tool.", end) for header in ("functions.run code", "python")
          for end in ("<|end|>", "<|return|>", "")),
        ("functions.python code", "", "<|call|>"),
        ("python code", " ", "<|call|>"),
        ("functions.run <|constrain|>json", "ls", "<|call|>"),
    ],
)  # fmt: skip
def test_harmony_takes_nothing_else_for_a_call(header, body, end):
    said = f"<|channel|>commentary to={header}<|message|>{body}"
    assert read_cut(header, body + end) == (said.rstrip(), None, [])
    assert read_cut(header, body + end + FINAL) == (f"{said.rstrip()}\n\nDone.", None, [])


@pytest.mark.parametrize("version", ["Here is", "Here's"])
def test_granite_thinks_in_words(version):
    raw = f"{version} my thought process: Hm.\n\n{version} my response:\nYes."
    assert read("granite", raw) == ("Yes.", "Hm.", [])
    assert read("granite", f"Well. {raw}") == (f"Well. {raw}", None, [])


def test_unknown_styles_list_close_names():
    with pytest.raises(UsageError, match="qwen3_coder"):
        get_output_parser("qwen3_xml")
    with pytest.raises(UsageError, match="hermes"):
        get_output_parser("?")
    with pytest.raises(UsageError, match="A tool is"):
        get_output_parser("hermes", ["f"])


def test_a_style_of_ones_own():
    mine = OutputSyntax(name="mine", blocks={"CALL": OUTPUT_PARSERS["hermes"].blocks["<tool_call>"]})
    assert read(mine, 'So CALL{"name": "f"}') == ("So", None, [("f", {})])
    with pytest.raises(ValueError, match="begins with"):
        get_output_parser(OutputSyntax(name="bad", blocks={"CALL": mine.blocks["CALL"], "CALLS": mine.blocks["CALL"]}))


def test_the_number_of_calls_is_bounded():
    found = fold(deltas("mistral", "[TOOL_CALLS]f{}" * 1001))
    assert len(found.tool_calls) == 1000
    assert found.text == "[TOOL_CALLS]f{}"


def test_functionary_2_5_writes_a_token_where_3_2_writes_a_mark():
    raw = 'I look.<|reserved_special_token_249|>place\n{"city": "Rome", "count": 2}<|eot_id|>'
    assert read("functionary", raw) == ("I look.", None, SAME)
