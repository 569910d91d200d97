"""Every reference conversation of every family, byte for byte."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, HUB_ONLY, get_format

from ...cases import each

FOLDER = Path(__file__).parents[2] / "vectors" / "prompt_formats"
RECENT = FOLDER.parent / "recent_formats"
FILES = sorted(FOLDER.glob("*.json"))


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def render(fmt, case):
    if case.get("prompt") is not None:
        return fmt.render_completion(case["prompt"], case.get("system_prompt"))
    variables = dict(case.get("template_kwargs") or {})
    for name in ("builder", "custom_template", "system_prompt"):
        if case.get(name) is not None:
            variables[name] = case[name]
    if case.get("date_format"):
        variables["now"] = datetime(2025, 1, 15, 12)
    elif case.get("date_string"):
        variables["date_string"] = case["date_string"]
    return fmt.render(
        case["messages"],
        case["tools"],
        add_generation_prompt=case["add_generation_prompt"],
        continue_final_message=case["continue_final_message"],
        **variables,
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_follows_the_reference(path):
    family = load(path)
    if path.stem in HUB_ONLY:
        with pytest.raises(UsageError, match="format='template'"):
            get_format(path.stem)
        return
    fmt = get_format(path.stem, special_tokens="allow", strict=False)
    for case in family["cases"]:
        if case["error"] is not None:
            with pytest.raises(UsageError):
                render(fmt, case)
        else:
            assert render(fmt, case) == case["expected"], case["name"]


# SmolLM3's template drops a text that is given in parts; the default keeps it, which is neither a loss nor a refusal.
KEPT = {("smollm3", "content_parts")}


@each("path", FILES)
def test_the_defaults_differ_only_by_refusing_a_loss(path):
    if path.stem in HUB_ONLY:
        return
    fmt = get_format(path.stem)
    for case in load(path)["cases"]:
        if case["injection"] or case["error"] is not None or (path.stem, case["name"]) in KEPT:
            continue
        try:
            prompt = render(fmt, case)
        except UnsupportedFeature:
            continue
        assert prompt == case["expected"], case["name"]


@each("path", FILES)
def test_the_defaults_lose_nothing(path):
    if path.stem in HUB_ONLY:
        return
    fmt = get_format(path.stem)
    for case in load(path)["cases"]:
        if case["injection"] or case["error"] is not None or not case["messages"]:
            continue
        try:
            prompt = render(fmt, case)
        except UnsupportedFeature:
            continue
        for message in case["messages"]:
            assert all(text in prompt for text in said(message)), (case["name"], message)


def said(message):
    """What of a message must be found in any prompt: answers without their thinking, tools' results as JSON or not."""
    content = message["content"]
    if isinstance(content, list):
        texts = [part["text"].strip() for part in content if part["type"] == "text"]
    else:
        texts = [(content or "").strip()]
    if message["role"] == "assistant":
        texts = [text.rpartition("</think>")[2].strip() for text in texts]
    if message["role"] == "tool":
        texts = [min((text, json.dumps(text, ensure_ascii=False)[1:-1]), key=len) for text in texts if '"' not in text]
    texts += [call["function"]["name"] for call in message.get("tool_calls") or ()]
    # Falcon Instruct takes a blank line out of each message on purpose.
    return [text for text in texts if "\n\n" not in text.replace("\r\n", "\n")]


@each("path", FILES)
def test_stops_and_control_strings(path):
    family = load(path)
    fmt = FORMATS.get(path.stem)
    if fmt is None or family["kind"] == "compat":
        return
    assert fmt.stops == tuple(family["stop"])
    assert fmt.special_tokens == tuple(family["special_tokens"])
    # Its own template knows no tools; mistral-common, which trains and serves the model, does.
    assert fmt.supports_tools == (bool(family["supports_tools"]) or path.stem == "mistral_v7")


def test_every_file_has_a_format_or_a_pointer():
    recent = {path.stem for path in RECENT.glob("*.json")} - {"conversations"}
    assert {path.stem for path in FILES} | recent == set(FORMATS) | set(HUB_ONLY)
