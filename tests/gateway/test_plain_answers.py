"""Plain answers that are passed on are the ones that replies become."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagewire.content_handlers.openai.plain_replies import plain_reply, plain_text
from sagewire.gateway.plain_answers import PlainAnswer
from sagewire.openai_shapes import chat_completion
from sagewire.types import ResponseInfo

COUNTS = st.sampled_from([None, 0, 7, 2.0, -1, "3"])
USAGE = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
    optional={"prompt_tokens_details": st.sampled_from([None, {}, {"cached_tokens": 2}]), "reasoning_tokens": COUNTS},
)


@given(
    st.text(max_size=5),
    st.sampled_from(["stop", "length"]),
    st.dictionaries(st.sampled_from(["stop_reason", "matched_stop"]), st.sampled_from(["END", 7, None, ""])),
    st.none() | st.just({}) | USAGE,
    st.sampled_from([None, "", "fp_1"]),
)
def test_a_plain_answer_is_what_its_reply_becomes(
    text: str, reason: str, stop: dict[str, Any], usage: Any, fingerprint: Any
) -> None:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason, **stop}
    payload = {"id": "x", "model": "served", "choices": [choice], "usage": usage, "system_fingerprint": fingerprint}
    found, reply = plain_text(payload), plain_reply(payload)
    assert found is not None
    assert reply is not None
    relayed = PlainAnswer(found, fingerprint, ResponseInfo()).body(model="m", id="chatcmpl-1")
    assert relayed == chat_completion(reply, model="m", id="chatcmpl-1", created=relayed["created"])
    assert list(relayed) == list(chat_completion(reply, model="m"))
