"""A configuration file of LiteLLM's proxy, unchanged, in front of the endpoints it names."""

import openai
import pytest

from sagewire.emulator import EndpointSpec
from sagewire.errors import UsageError
from sagewire.gateway.config import parse_config
from tests.cases import each

CONFIG = """
model_list:
  - model_name: text
    litellm_params:
      model: sagemaker/tgi
      hf_model_name: Qwen/Qwen2.5-7B-Instruct
      aws_region_name: us-east-1
      aws_access_key_id: os.environ/AWS_ACCESS_KEY_ID
      aws_secret_access_key: os.environ/AWS_SECRET_ACCESS_KEY
      temperature: 0
      top_k: 5
  - model_name: text-zero
    litellm_params: {model: sagemaker/tgi, aws_sagemaker_allow_zero_temp: true, aws_region_name: us-east-1}
  - model_name: chat
    litellm_params: {model: sagemaker_chat/served, hf_model_name: served-name, rpm: 10}
  - model_name: chat
    litellm_params: {model: sagemaker_chat/facts, rpm: 1}
  - model_name: embed
    litellm_params: {model: sagemaker/embedding}
    model_info: {mode: embedding}
  - model_name: failing
    litellm_params: {model: sagemaker_chat/chat--container-error-500}
litellm_settings:
  drop_params: true
  num_retries: 0
router_settings:
  fallbacks: [{failing: [text]}]
  model_group_alias: {gpt-4: text}
general_settings:
  master_key: sk-1234
"""
HI = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(start, upstream):
    upstream.add("served", EndpointSpec("openai_chat", "echo", model_id="served-name"))
    gateway = start(CONFIG)
    with openai.OpenAI(base_url=gateway.url, api_key="sk-1234", max_retries=0) as client:
        yield client


def test_text_models_get_their_own_prompt_and_settings(client: openai.OpenAI, upstream) -> None:
    client.chat.completions.create(model="gpt-4", messages=HI, max_tokens=5, presence_penalty=1.5)
    sent = upstream.calls[-1].json
    assert sent["inputs"].startswith("<|im_start|>system")
    assert sent["inputs"].endswith("<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n")
    parameters = sent["parameters"]
    assert (parameters["max_new_tokens"], parameters["do_sample"]) == (5, False)
    assert "presence_penalty" not in parameters
    # Zero is what TGI refuses; only who says so gets it through.
    assert "temperature" not in parameters
    with pytest.raises(openai.UnprocessableEntityError, match="strictly positive"):
        client.chat.completions.create(model="text-zero", messages=HI, temperature=0)
    assert upstream.calls[-1].json["parameters"]["temperature"] == 0
    # Neither the file nor the name says which family it is: the bare text, as LiteLLM sends it then.
    assert upstream.calls[-1].json["inputs"] == "Hello there"


def test_chat_models_get_messages_and_the_served_name(client: openai.OpenAI, upstream) -> None:
    for _ in range(12):
        client.chat.completions.create(model="chat", messages=HI)
    bodies = {call.endpoint: call.json for call in upstream.calls}
    assert bodies["served"]["messages"] == HI
    assert bodies["served"]["model"] == "served-name"


def test_embeddings_fallbacks_and_the_key(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="embed", input=["a", "b"]).data) == 2
    answer = client.chat.completions.with_raw_response.create(model="failing", messages=HI)
    assert answer.headers["x-sagewire-model"] == "text"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-12345").models.list()


LAYOUTS = """
credential_list:
  - credential_name: team
    credential_values: {aws_access_key_id: AKID, aws_secret_access_key: os.environ/SECRET, aws_region_name: eu-west-1}
model_list:
  - model_name: by-credential
    litellm_params:
      model: sagemaker_chat/chat
      litellm_credential_name: team
      aws_region_name: us-west-2
      extra_body: {top_k: 3}
      extra_headers: {x-team: a}
      metadata: {a: b}
      request_timeout: 7
  - model_name: by-url
    litellm_params: {model: huggingface/https://mine.endpoints.huggingface.cloud, api_key: hf_1}
  - model_name: by-task
    litellm_params: {model: huggingface/conversational/org/model, api_base: "http://127.0.0.1:8080"}
router_settings: {redis_host: cache, redis_password: "p@ss/w:rd"}
"""


def test_settings_reach_what_they_are_for() -> None:
    config = parse_config(LAYOUTS, "config.yaml", {"SECRET": "s3cret"})
    first = config.models["by-credential"].deployments[0]
    assert (first.aws_access_key_id.get_secret_value(), first.aws_secret_access_key.get_secret_value()) == (
        "AKID",
        "s3cret",
    )
    assert first.region == "us-west-2"
    assert first.timeouts.first_byte == 7
    # What LiteLLM keeps for itself is not sent to the model, and said.
    assert first.options == {"extra": {"top_k": 3}}
    for line, name in ((12, "extra_headers"), (13, "metadata")):
        assert any(f"line {line}: " in note and name in note for note in config.notes)
    second = config.models["by-url"].deployments[0]
    assert (second.url, second.served_model) == ("https://mine.endpoints.huggingface.cloud", None)
    assert config.models["by-task"].deployments[0].served_model == "org/model"
    assert config.server.redis_url.get_secret_value() == "redis://:p%40ss%2Fw%3Ard@cache:6379/0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("litellm_credential_name: taem", "line 9: .*no credential 'taem'.*did you mean 'team'"),
        ("guardrails: [pii]", "line 9: .*guardrails: sagewire has nothing like it"),
        ("max_tokens: 3\n      extra_body: [top_k]", "line 10: .*extra_body: should be a mapping"),
    ],
)
def test_settings_that_cannot_be_kept(text: str, says: str) -> None:
    changed = LAYOUTS.replace("      extra_body: {top_k: 3}\n", "").replace("litellm_credential_name: team", text)
    with pytest.raises(UsageError, match=says):
        parse_config(changed, "config.yaml", {"SECRET": "s"})


ENTRY = "model_list:\n  - model_name: m\n    litellm_params: {model: hosted_vllm/m, api_base: 'http://h/v1'}\n"


@each(
    ("text", "says"),
    [
        # In LiteLLM only the team's keys may use such a model.
        (ENTRY + "    model_info: {id: one, team_id: team-a}\n", "line 4: model_list.0.model_info.team_id: .*no teams"),
        (ENTRY.replace("'http", "os.environ/NOT_THERE, x: 'http"), "line 3: .*not set: .* NOT_THERE"),
        (ENTRY.replace("'http://h/v1'", "x, default_api_key_rpm_limit: 3"), "line 3: .*where it is made"),
        (ENTRY.replace("m\n", "1\n", 1), "line 2: .*should be a text; put it in quotes"),
        (ENTRY + "router_settings: [a]\n", "line 4: router_settings: should be a mapping, each line"),
        ("model_list: m\n", "line 1: model_list: should be a list, each entry"),
    ],
)
def test_what_is_refused_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config(text, "proxy.yaml", {})


def test_a_setting_without_a_value_leaves_that_of_the_other_section() -> None:
    text = ENTRY + "router_settings: {num_retries: null, timeout: null}\n"
    config = parse_config(text + "litellm_settings: {num_retries: 6, request_timeout: 9}\n", "proxy.yaml", {})
    assert (config.models["m"].attempts, config.models["m"].deployments[0].timeouts.first_byte) == (7, 9)


@each(
    ("text", "notes"),
    [
        # All of their keys are commented out.
        ("litellm_settings:\nrouter_settings:\ngeneral_settings:\nenvironment_variables:\ncredential_list:\n", []),
        ("    model_info:\n", []),
        (
            "    model_info: {id: null, team_id: null, blocked: null, access_groups: null}\n",
            [],
        ),
        (
            "litellm_settings: {callbacks: null, guardrails: null, fallbacks: null, content_policy_fallbacks: null}\n",
            [],
        ),
        ("router_settings: {routing_strategy: null, optional_pre_call_checks: null, model_group_alias: null}\n", []),
        ("x-common: &c {a: os.environ/NOT_THERE}\nx-other: *c\n", []),
        ("litellm_settings: {success_callback: [langfuse, s3]}\n", ["langfuse, s3: no callback has an effect"]),
        ("litellm_settings: {callbacks: hooks.guard}\n", ["hooks.guard, code of your own, is not run"]),
        ("litellm_settings: {callbacks: [otel, hooks.guard]}\n", ["otel, hooks.guard: no", "; hooks.guard, code"]),
    ],
)
def test_what_is_read_and_noted(text: str, notes: list[str]) -> None:
    config = parse_config(ENTRY + text, "proxy.yaml", {})
    assert len(config.notes) == bool(notes)
    assert all(note in config.notes[0] for note in notes)
