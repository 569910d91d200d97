"""Raw outputs from the tests of other servers, read whole, by character and cut in two."""

import json
from pathlib import Path

from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, get_output_parser
from sagewire.streaming.accumulate import fold

from ...cases import each

FOLDER = Path(__file__).parents[2] / "vectors" / "model_outputs"
FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
CASES = [(name, file["tools"], case) for name, file in FILES.items() for case in file["cases"]]


def read(name, tools, case, pieces, **options):
    reader = get_output_parser(
        name,
        tools[case["tools"]] if "tools" in case else None,
        stops=case.get("stops", ()),
        prompt=case.get("prompt", ""),
        prompt_opened_thinking=case.get("prompt_opened_thinking"),
        **options,
    )
    return fold([delta for piece in pieces for delta in reader.feed(piece)] + reader.close())


@each(("name", "tools", "case"), CASES)
def test_the_output_is_read(name, tools, case):
    raw, wanted = case["raw"], case.get("calls", [])
    whole = read(name, tools, case, [raw])
    assert (whole.text, whole.thinking) == (case["text"], case.get("thinking"))
    assert [(call.name, json.loads(call.arguments)) for call in whole.tool_calls] == [
        (call["name"], call["arguments"]) for call in wanted
    ]
    for call, expected in zip(whole.tool_calls, wanted, strict=True):
        assert expected.get("id") in (None, call.id)
    assert read(name, tools, case, raw) == whole
    assert read(name, tools, case, [raw], stream_arguments=False).text == whole.text
    # By character is every cut already; in two pieces, long ones are cut at some hundred places.
    for cut in range(1, len(raw), 1 + len(raw) // 100):
        assert read(name, tools, case, [raw[:cut], raw[cut:]]) == whole


def test_every_file_belongs_to_a_parser():
    assert FILES.keys() <= OUTPUT_PARSERS.keys()
