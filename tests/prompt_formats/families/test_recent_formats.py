"""The formats of recent families, byte for byte what their own templates wrote; see `tests/vectors/README.md`."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, get_format

from ...cases import each

FOLDER = Path(__file__).parents[2] / "vectors" / "recent_formats"
CONVERSATIONS = {each["name"]: each for each in json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8"))}
FILES = sorted(path for path in FOLDER.glob("*.json") if path.stem != "conversations")
NOW = datetime(2025, 1, 15, 12)


def renders(path):
    return json.loads(path.read_text(encoding="utf-8"))["renders"]


def render(fmt, row):
    conversation = CONVERSATIONS[row["conversation"]]
    return fmt.render(
        conversation["messages"],
        None if row.get("without_tools") else conversation["tools"],
        add_generation_prompt=conversation["add_generation_prompt"],
        continue_final_message=conversation["continue_final_message"],
        now=NOW,
        **row.get("variables", {}),
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_writes_what_the_template_writes(path):
    fmt = get_format(path.stem, special_tokens="allow", strict=False)
    rows = renders(path)
    assert len(rows) >= 12
    for row in rows:
        if row["expected"] is None:
            with pytest.raises(UsageError):
                render(fmt, row)
        else:
            assert render(fmt, row) == row["expected"], (row["conversation"], row.get("variables"))


@each("path", FILES)
def test_the_defaults_differ_only_by_refusing_a_loss(path):
    for row in renders(path):
        # A family that does not think treats thinking tags as anybody's text.
        if row["expected"] is None or row["conversation"].startswith("thinking_inline"):
            continue
        try:
            prompt = render(FORMATS[path.stem], row)
        except UnsupportedFeature:
            continue
        assert prompt == row["expected"], row["conversation"]


@each("path", FILES)
def test_says_where_it_comes_from(path):
    origin = json.loads(path.read_text(encoding="utf-8"))
    assert origin["source"]
    assert origin["date"]
    assert len(origin["template_sha256"] or "0" * 64) == 64


def test_command_r7b_without_tools_has_the_template_of_command_a():
    file = json.loads((FOLDER.parent / "prompt_formats" / "command_r7b.json").read_text(encoding="utf-8"))
    cases = [
        case for case in file["cases"] if not case["tools"] and case["expected"] and not case.get("template_kwargs")
    ]
    fmt = get_format("command_a", special_tokens="allow", strict=False)
    alike = [
        case["name"]
        for case in cases
        if not any("tool_calls" in message or message["role"] == "tool" for message in case["messages"])
    ]
    assert len(alike) >= 12
    for case in cases:
        if case["name"] in alike:
            prompt = fmt.render(
                case["messages"],
                add_generation_prompt=case["add_generation_prompt"],
                continue_final_message=case["continue_final_message"],
            )
            assert prompt == case["expected"], case["name"]


# Formats whose prompts open the thinking in any case: what a server sent back holds only the closing tag.
OPENED = (
    "deepseek_r1",
    "deepseek_v3_1",
    "deepseek_v3_2_exp",
    "exaone_deep",
    "qwen3_5",
    "qwen3_6",
    "qwen3_thinking",
    "qwq",
)


@each("name", [name for name in FORMATS if not name.startswith(OPENED) or name == "qwen3_5_small"])
@each("tag", ["<think>", "</think>", "<|channel>", "<channel|>", "</mm:think>", "</seed:think>", "</thought>"])
def test_a_tag_of_thinking_inside_an_answer_loses_none_of_it(name, tag):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Alpha {tag} omega."}]
    for last in ([], [{"role": "user", "content": "Bye"}]):
        try:
            prompt = FORMATS[name].render([*talk, *last])
        except (UnsupportedFeature, UsageError):
            continue
        assert "Alpha" in prompt
        assert "omega." in prompt
