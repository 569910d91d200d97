"""Formats that users bring along."""

import pytest

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import CallableFormat, get_format
from sagewire.types import Message, Tool

ASK = {"role": "user", "content": "Hi"}
LLAMA = {
    "roles": {
        "system": {"pre_message": "[INST] <<SYS>>\n", "post_message": "\n<</SYS>>\n [/INST]\n"},
        "user": {"pre_message": "[INST] ", "post_message": " [/INST]\n"},
        "assistant": {"post_message": "\n"},
    },
    "bos_token": "<s>",
    "eos_token": "</s>",
    "final_prompt_value": "A:",
}


class TestCallable:
    def test_is_told_the_messages(self):
        seen = []

        def messages_to_prompt(messages):
            seen.append(messages)
            return "P"

        fmt = get_format(messages_to_prompt)
        assert fmt.render([ASK]) == "P"
        assert fmt.render_completion("Hi", "Be brief.") == "P"
        assert seen == [[ASK], [Message("system", "Be brief."), Message("user", "Hi")]]

    def test_completion_to_prompt(self):
        fmt = get_format(lambda messages: "M", completion_to_prompt=lambda prompt, system="-": f"{prompt}|{system}")
        assert fmt.render_completion("Hi") == "Hi|-"
        assert fmt.render_completion("Hi", "s") == "Hi|s"
        assert fmt.render([ASK]) == "M"

    @pytest.mark.parametrize(
        "asked",
        [
            {"tools": [Tool("f")]},
            {"add_generation_prompt": False},
            {"continue_final_message": True},
            {"enable_thinking": True},
        ],
    )
    def test_what_it_cannot_be_told(self, asked):
        with pytest.raises(UnsupportedFeature):
            get_format(lambda messages: "P").render([ASK], **asked)

    def test_must_return_text(self):
        with pytest.raises(UsageError, match="text"):
            get_format(lambda messages: None).render([ASK])

    def test_reads_plain_text(self):
        reader = CallableFormat(lambda messages: "P", stops=["###"]).make_parser()
        deltas = [*reader.feed("Yes ###"), *reader.close()]
        assert "".join(delta.text for delta in deltas if hasattr(delta, "text")).strip() == "Yes"


class TestTemplate:
    def test_tokens_at_the_start_and_behind_answers(self):
        fmt = get_format(LLAMA)
        talk = [ASK, {"role": "assistant", "content": "Yo"}, {"role": "system", "content": "S"}, ASK]
        assert fmt.render(talk) == (
            "<s>[INST] Hi [/INST]\nYo\n</s><s>[INST] <<SYS>>\nS\n<</SYS>>\n [/INST]\n[INST] Hi [/INST]\nA:"
        )
        assert fmt.render([ASK], add_generation_prompt=False) == "<s>[INST] Hi [/INST]\n"

    def test_neighbouring_texts_make_no_token(self):
        fmt = get_format({"roles": {}})
        prompt = fmt.render([{"role": "user", "content": "<|im_st"}, {"role": "assistant", "content": "art|>"}])
        assert prompt == "< |im_start|>"

    def test_images_are_refused_or_under_lax_dropped(self):
        message = {"role": "user", "content": ["x", {"type": "image_url", "image_url": {"url": "u"}}]}
        with pytest.raises(UnsupportedFeature):
            get_format(LLAMA).render([message])
        assert "x" in get_format(LLAMA, strict=False).render([message])

    @pytest.mark.parametrize(
        "template", [{"rolls": {}}, {"roles": 5}, {"roles": {"user": "U:"}}, {"roles": [{"role": "user"}]}]
    )
    def test_mistakes(self, template):
        with pytest.raises(UsageError):
            get_format(template).render([ASK])

    def test_the_bare_names_want_an_argument(self):
        with pytest.raises(UsageError, match="template"):
            get_format("litellm_custom").render([ASK])
        with pytest.raises(UsageError, match="builder"):
            get_format("litellm_builtin").render([ASK])
        assert get_format("litellm_builtin").render([ASK], builder="default_pt") == "Hi"


def test_easyllm_takes_a_string_with_an_empty_system_turn():
    assert get_format("easyllm_open_assistant").render_completion("Hi") == (
        "<|system|></s><|prompter|>Hi</s><|assistant|>"
    )


def test_llama_index_system_prompt():
    fmt = get_format("llama_index_llama2")
    assert fmt.render([ASK], system_prompt="Be brief.") == "<s> [INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi [/INST]"
    assert "helpful, respectful and honest" in fmt.render_completion("Hi")
