"""Bodies of any shape: an answer in OpenAI's envelope, never a 500."""

import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagewire.gateway.config import DeploymentConfig
from sagewire.gateway.routing.deployments import Deployment

scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=5))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "messages", "prompt", "input", "tools", "tool_choice", "temperature", "max_tokens", "stop", "n", "logprobs",
    "response_format", "documents", "query", "text", "reasoning", "include", "instructions", "dimensions",
    "stream_options", "top_k", "seed", "extra", "parallel_tool_calls", "echo",
)  # fmt: skip
messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "type", "name", "output", "call_id"]),
        st.one_of(st.sampled_from(["user", "assistant", "tool", "text", "function_call"]), values),
        max_size=4,
    ),
    min_size=1,
    max_size=3,
)
bodies = st.builds(
    lambda extra, talk: {**extra, "model": "chat", **({"messages": talk, "input": talk} if talk else {})},
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=4),
    st.one_of(st.none(), messages),
)
routes = st.sampled_from(["chat/completions", "completions", "embeddings", "rerank", "responses"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(routes, st.one_of(values, bodies))
def test_any_json_gets_an_answer(everything, upstream, route: str, body: object) -> None:
    answer = urllib3.request("POST", f"{everything.url}/v1/{route}", json=body, retries=False, timeout=20)
    # 502: the emulated container may choke on what passes through, as a real one would.
    assert answer.status in (200, 400, 404, 413, 422, 502), (answer.status, body, answer.data[:300])
    if answer.status != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.json()["error"]["code"] != "internal_error"


def test_what_goes_along_with_a_call() -> None:
    plain = Deployment(DeploymentConfig(endpoint="e"))
    aware = Deployment(DeploymentConfig(endpoint="e", prefix_aware=True))
    assert plain.endpoint_kwargs("r", "p") == {"InferenceId": "r"}
    assert aware.endpoint_kwargs("r", "p") == {"InferenceId": "r", "PrefixAwareId": "p"}
    assert aware.endpoint_kwargs("r", None) == {"InferenceId": "r"}
