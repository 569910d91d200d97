"""Configuration files: sagewire's form, LiteLLM's, and what is said of mistakes."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sagewire.errors import UsageError
from sagewire.gateway.config import load_config, parse_config

OWN = """
models:
  llama:
    endpoint: my-llama
    region: us-east-1
    options: {temperature: 0.2, extra: {guided: x}}
  both:
    routing: least_busy
    affinity: conversation
    fallbacks: [llama]
    deployments:
      - {endpoint: a, weight: 3, max_concurrency: 8, role_arn: "arn:aws:iam::1:role/r", external_id: os.environ/SECRET}
      - {url: "http://localhost:8000", token: os.environ/SECRET, timeouts: {first_byte: 5}}
aliases: {gpt-4o: llama}
keys:
  - {name: team, key: os.environ/SECRET, models: [llama], expires: 2027-01-31, requests_per_minute: 5}
server: {master_key: os.environ/SECRET, cors_origins: ["https://x"]}
"""


def test_own_form() -> None:
    config = parse_config(OWN, environment={"SECRET": "s3cret"})
    first, second = config.models["both"].deployments
    assert (first.weight, first.max_concurrency, first.external_id.get_secret_value()) == (3, 8, "s3cret")
    assert (second.timeouts.first_byte, second.timeouts.idle) == (5, 70)
    assert config.models["llama"].deployments[0].options["temperature"] == 0.2
    assert config.canonical("gpt-4o") == "llama"
    assert config.keys[0].expires.isoformat() == "2027-01-31T23:59:59.999999+00:00"
    assert config.has_keys
    assert "s3cret" not in repr(config)
    assert "s3cret" not in config.model_dump_json()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models:\n  m:\n    endpont: a", r"line 3: models\.m\.endpont: unknown key; did you mean 'endpoint'\?"),
        ("models:\n  m: {endpoint: a}\nsever: {}", r"line 3: sever: unknown key; did you mean 'server'\?"),
        ("models:\n  m: {endpoint: a}\nserver:\n  masterkey: x", r"line 4: .*did you mean 'master_key'\?"),
        ("models:\n  m:\n    deployments:\n      - endpoint: a\n        wieght: 1", r"line 5: .*'weight'\?"),
        ("models:\n  m:\n    endpoint: a\n    timeouts:\n      frist_byte: 1", r"line 5: .*'first_byte'\?"),
        ("models:\n  m:\n    endpoint: a\n    weight: much", r"line 4: models\.m\.deployments\.0\.weight: .*number"),
        ("models:\n  m:\n    endpoint: a\n    url: http://b", "line 2: .*either `endpoint`"),
        (
            "models:\n  m:\n    endpoint: a\n    session_tags: {team: x}",
            "line 4: .*session_tags would .* without role_arn",
        ),
        ("models:\n  m:\n    url: http://a\n    region: eu-west-1", "line 4: .*region would have no effect"),
        ("models:\n  m:\n    url: http://a\n    inference_component: c", "line 4: .*_component would have no effect"),
        (
            "models:\n  m:\n    url: http://a\n    aws_access_key_id: a\n    aws_secret_access_key: b",
            "would have no effect",
        ),
        ("models:\n  m:\n    endpoint: a\n    token: t", "line 4: .*token would have no effect"),
        ("models:\n  m:\n    endpoint: a\n    role_arn: r\n    session_tags: [x]", "line 5: .*a mapping of names"),
        (
            "models:\n  m:\n    endpoint: a\n    role_arn: r\n    web_identity_token_file: f\n    external_id: x",
            "line 6: .*not part of",
        ),
        ("models:\n  m: {}", "line 2: models.m.deployments: Field required"),
        ("models: {}", "at least 1"),
        ("models:\n  m: {endpoint: a}\n  m: {endpoint: b}", "line 3: 'm' is there twice"),
        ("models:\n  m: {endpoint: a, fallbacks: [n]}", r"unknown model 'n'"),
        ("models:\n  m: {endpoint: a, options: {temprature: 1}}", r"line 2: .*did you mean 'temperature'"),
        ("models:\n  m: {endpoint: a}\naliases: {x: y}", "alias 'x': unknown model 'y'"),
        ("models:\n  m: {endpoint: a}\nserver:\n  master_key: os.environ/NO_SUCH", "line 4: .*NO_SUCH is not set"),
        ("models:\n  m: {endpoint: a}\nserver:\n  master_key: ''", "line 4: .*the key is empty"),
        ("models:\n  m: {endpoint: a}\nkeys:\n  - {name: k}", "line 4: .*either `key` or `sha256`"),
        ("models: [", "line 1: not valid YAML|line 2: not valid YAML"),
        ("- a", "expected a mapping"),
        ("", "expected a mapping"),
        ("y: 1\nx: &a [*a]", "line 2: an alias contains itself"),
        ("y: 1\nx: 2027-13-45", "line 2: a value cannot be read: month must be"),
        ("y: 1\nx: " + "[" * 300 + "]" * 300, "line 2: nested too deeply"),
    ],
)
def test_mistakes_name_the_line_and_the_nearest_key(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_config(text, "gateway.yaml", {})
    assert "gateway.yaml" in str(caught.value)


def test_secrets_are_in_no_message() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config("models:\n  m: {endpoint: a, aws_secret_access_key: hush}\n", "x", {})
    assert "hush" not in str(caught.value)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("models: {m: {endpoint: a}}")
    assert list(load_config(path).models) == ["m"]
    with pytest.raises(UsageError, match="cannot read"):
        load_config(tmp_path / "none.yaml")


LITELLM = """
model_list:
  - model_name: llama
    litellm_params:
      model: sagemaker/jumpstart-dft-hf-llm
      aws_region_name: us-west-2
      aws_access_key_id: os.environ/KEY_ID
      aws_secret_access_key: os.environ/SECRET
      aws_session_token: os.environ/NOT_SET
      hf_model_name: meta-llama/Llama-3.1-8B-Instruct
      model_id: my-component
      aws_sagemaker_allow_zero_temp: true
      temperature: 0
      top_k: 5
      rpm: 6
      details: true
      cache_read_input_token_cost: 0.1
    model_info: {id: first}
  - model_name: llama
    litellm_params: {model: sagemaker_chat/other, aws_role_name: "arn:aws:iam::1:role/r", aws_session_name: s, rpm: 2,
      aws_session_tags: [{Key: team, Value: search}]}
  - model_name: plain
    litellm_params:
      model: sagemaker/unknown-family
      roles: {user: {pre_message: "U:", post_message: "\\n"}}
      final_prompt_value: "A:"
  - model_name: bare
    litellm_params: {model: sagemaker/unknown-family, timeout: 30, stream_timeout: 5, num_retries: 4}
  - model_name: hf
    litellm_params:
      model: huggingface/org/model
      api_base: https://x.endpoints.huggingface.cloud
      api_key: os.environ/SECRET
  - model_name: routed
    litellm_params: {model: huggingface/together/deepseek-ai/DeepSeek-R1, api_key: os.environ/SECRET}
  - model_name: vllm
    litellm_params: {model: hosted_vllm/served, api_base: "http://localhost:8000/v1"}
  - model_name: embed
    litellm_params: {model: sagemaker/embedder}
    model_info: {mode: embedding}
litellm_settings:
  drop_params: true
  num_retries: 1
  callbacks: [prometheus]
  request_timeout: 20
  context_window_fallbacks: [{llama: [hf]}]
router_settings:
  routing_strategy: least-busy
  fallbacks: [{llama: [plain]}, {"*": [bare]}]
  model_group_alias: {gpt-4: llama, hidden: {model: hf, hidden: true}}
  allowed_fails: 2
  cooldown_time: 7
  redis_host: localhost
  redis_password: os.environ/SECRET
general_settings:
  master_key: os.environ/SECRET
  database_url: postgresql://u:p@h/d
  alerting: [slack]
environment_variables:
  EXTRA: "1"
"""


def test_a_litellm_file_runs_unchanged() -> None:
    config = parse_config(LITELLM, "config.yaml", {"KEY_ID": "AKID", "SECRET": "s3cret"})
    first, second = config.models["llama"].deployments
    assert (first.endpoint, first.handler, first.format, first.region) == (
        "jumpstart-dft-hf-llm",
        "tgi",
        "llama3_1",
        "us-west-2",
    )
    assert (first.inference_component, first.name, first.weight, first.allow_zero_temperature) == (
        "my-component",
        "first",
        1,  # `rpm` is no weight for least-busy
        True,
    )
    assert first.options == {"temperature": 0, "top_k": 5, "extra": {"details": True}}
    assert first.aws_session_token is None
    assert first.aws_secret_access_key.get_secret_value() == "s3cret"
    assert (first.breaker_failures, first.breaker_seconds, first.drop_unsupported) == (3, 7, True)
    assert second.session_tags == {"team": "search"}
    assert (second.handler, second.role_arn, second.role_session_name) == ("openai_chat", "arn:aws:iam::1:role/r", "s")
    llama = config.models["llama"]
    assert (llama.routing, llama.attempts, llama.fallbacks, llama.context_fallbacks) == (
        "least_busy",
        2,
        ["plain"],
        ["hf"],
    )
    assert config.models["plain"].deployments[0].format == {
        "roles": {"user": {"pre_message": "U:", "post_message": "\n"}},
        "final_prompt_value": "A:",
    }
    (bare,) = config.models["bare"].deployments
    limits = bare.timeouts
    assert (bare.format, limits.first_byte, limits.stream_first_byte, limits.idle) == ("default_pt", 30, 5, 30)
    assert config.models["bare"].attempts == 5
    assert config.models["hf"].deployments[0].url == "https://x.endpoints.huggingface.cloud"
    (routed,) = config.models["routed"].deployments
    assert (routed.url, routed.served_model) == ("https://router.huggingface.co/v1", "deepseek-ai/DeepSeek-R1:together")
    assert config.models["vllm"].deployments[0].served_model == "served"
    assert config.aliases == {"gpt-4": "llama", "hidden": "hf"}
    assert config.default_fallbacks == ["bare"]
    assert config.server.redis_url.get_secret_value() == "redis://:s3cret@localhost:6379/0"
    assert config.server.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert config.environment == {"EXTRA": SecretStr("1")}
    notes = "\n".join(config.notes)
    for ignored in ("callbacks", "alerting", "cache_read_input_token_cost", "NOT_SET"):
        assert ignored in notes


ENTRY = "model_list:\n  - model_name: m\n    litellm_params:\n      model: {model}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENTRY.format(model="azure/gpt-4"), "line 4: .*not 'azure'"),
        (ENTRY.format(model="sagmaker/x"), r"line 4: .*did you mean 'sagemaker'\?"),
        (ENTRY.format(model="my-endpoint"), "line 4: .*sagemaker/my-endpoint"),
        (ENTRY.format(model="openai/x"), "line 4: .*api_base"),
        (ENTRY.format(model="sagemaker/x") + "      aws_regoin_name: y", r"line 5: .*'aws_region_name'\?"),
        (ENTRY.format(model="sagemaker/x") + "      temprature: 1", r"line 5: .*'temperature'\?"),
        (ENTRY.format(model="sagemaker/x") + "    modelinfo: {}", r"line 5: .*'model_info'\?"),
        (ENTRY.format(model="sagemaker/x") + "general_settings:\n  masterkey: x", r"line 6: .*'master_key'\?"),
        (ENTRY.format(model="sagemaker/x") + "router_settings:\n  routing_strategy: best", "line 6: .*'best'"),
        (ENTRY.format(model="sagemaker/x") + "litellm_settings:\n  fallbacks: [{n: [m]}]", "line 6: .*'n'"),
        (ENTRY.format(model="sagemaker/x") + "general_settings:\n  custom_auth: a.b", "line 6: .*open to more"),
        (ENTRY.format(model="sagemaker/x") + "general_settings:\n  master_key: os.environ/NOPE", "NOPE is not set"),
        (ENTRY.format(model="sagemaker/x") + "litelm_settings: {}", r"line 5: .*'litellm_settings'\?"),
        ("model_list: []", "at least 1"),
    ],
)
def test_mistakes_in_a_litellm_file(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config(text, "config.yaml", {})


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("handler: openai_chta", "did you mean 'openai_c"),
        ("handler: tgi, format: lama3_1", "lama3_1"),
        ("handler: openai_chat, embedding_handler: teii", "did you mean 'tei"),
        ("handler: openai_chat, rerank_handler: nothing", "nothing"),
        ("handler: {thinking_field: x}", "needs its `name`"),
        ("handler: {name: openai_chat, thinking: x}", "cannot be made with thinking"),
    ],
)
def test_a_misspelt_handler_or_format_is_an_error(setting: str, says: str) -> None:
    with pytest.raises(UsageError, match=r"line 2: models\.m") as caught:
        parse_config(f"models:\n  m: {{url: 'http://x', {setting}}}")
    assert says in str(caught.value)


def test_headers_endpoint_parameters_and_handlers_with_arguments() -> None:
    config = parse_config(
        """
models:
  a: {url: "http://x", headers: {X-Key: abc}, handler: {name: openai_chat, thinking_field: reasoning_content}}
  b: {endpoint: e, endpoint_kwargs: {TargetModel: m.tar.gz}}
"""
    )
    assert config.models["b"].deployments[0].endpoint_kwargs == {"TargetModel": "m.tar.gz"}
    for wrong in (
        "endpoint: e, headers: {a: b}",
        "url: 'http://x', endpoint_kwargs: {TargetModel: m}",
        "endpoint: e, endpoint_kwargs: {TargetMdel: m}",
    ):
        with pytest.raises(UsageError):
            parse_config(f"models: {{m: {{{wrong}}}}}")


def test_variables_of_the_file_may_be_those_of_the_process() -> None:
    text = "environment: {A: os.environ/B}\nmodels: {m: {url: 'http://x', token: os.environ/A}}"
    token = parse_config(text, environment={"B": "secret"}).models["m"].deployments[0].token
    assert token is not None
    assert token.get_secret_value() == "secret"
    with pytest.raises(UsageError, match="B is not set"):
        parse_config(text, environment={})
