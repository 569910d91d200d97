"""Model names, addresses and whose credentials: what becomes of LiteLLM's options."""

import pytest

from sagewire.errors import AccessDenied, UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.integrations import litellm
from sagewire.integrations.litellm._connections import CLIENTS
from sagewire.integrations.litellm._targets import find_target
from sagewire.transports.base import Retries

QUESTION = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(autouse=True)
def nothing_set(clean_environment):
    pass


def target(model, **options):
    found = find_target(model, options)
    assert options == {}, "everything about the server is taken"
    return found


@pytest.mark.parametrize("provider", ["sagemaker", "sagemaker_chat"])
def test_endpoints(provider):
    found = target(f"{provider}/my-llama", model_id="component-1", aws_region_name="eu-west-1")
    assert (found.provider, found.name) == (provider, "my-llama")
    assert found.parts["endpoint"] == "my-llama"
    assert found.parts["inference_component_name"] == "component-1"
    assert found.parts["region_name"] == "eu-west-1"
    assert target("my-llama", custom_llm_provider=provider) == target(f"{provider}/my-llama")
    assert target(f"{provider}/openai/embedder").parts["endpoint"] == "embedder"


@pytest.mark.parametrize("model", ["gpt-4", "bedrock/claude", "sagemaker/", "", "my-llama"])
def test_other_models_are_refused(model):
    with pytest.raises(UsageError, match="sagemaker/"):
        find_target(model, {})


def test_hugging_face(monkeypatch):
    routed = target("huggingface/together/deepseek-ai/DeepSeek-R1")
    assert routed.parts["url"] == "https://router.huggingface.co/v1"
    assert routed.served == "deepseek-ai/DeepSeek-R1:together"
    assert routed.handler == "openai_chat"
    assert target("huggingface/org/model").served == "org/model"
    own = target("huggingface/https://x.endpoints.huggingface.cloud", api_key="hf_1")
    assert (own.parts["url"], own.parts["token"]) == ("https://x.endpoints.huggingface.cloud", "hf_1")
    assert own.served is None
    named = target("huggingface/tgi", api_base="http://localhost:8080")
    assert (named.parts["url"], named.served, named.handler) == ("http://localhost:8080", "tgi", None)
    monkeypatch.setenv("HUGGINGFACE_API_KEY", "hf_2")
    assert target("huggingface/org/model").parts["token"] == "hf_2"
    assert target("huggingface/tgi", api_base="http://localhost:8080").parts["token"] is None
    hub = target("huggingface/org/model").feature_extraction
    assert hub == "https://router.huggingface.co/hf-inference/models/org/model/pipeline/feature-extraction"
    for wrong in ({"aws_region_name": "x"}, {"model_id": "x"}, {"extra_headers": {"a": "b"}}):
        with pytest.raises(UsageError):
            find_target("huggingface/org/model", wrong)
    with pytest.raises(UsageError, match="two addresses"):
        find_target("huggingface/http://a", {"api_base": "http://b"})


@pytest.mark.parametrize("option", ["sagemaker_base_url", "api_base", "base_url"])
@pytest.mark.parametrize("path", ["", "/", "/endpoints", "/endpoints/llama/invocations-response-stream"])
def test_addresses(option, path):
    found = target("sagemaker/llama", **{option: f"https://vpce-1.example{path}"})
    assert found.parts["endpoint_url"] == "https://vpce-1.example"
    assert found.parts["endpoint"] == "llama"


def test_addresses_that_contradict():
    with pytest.raises(UsageError, match="contradict"):
        find_target("sagemaker/a", {"api_base": "https://a", "sagemaker_base_url": "https://b"})
    with pytest.raises(UsageError, match="not an address"):
        find_target("sagemaker/a", {"api_base": "nonsense"})


def test_credentials():
    options = {"aws_role_name": "arn:aws:iam::1:role/r", "aws_session_name": "me", "aws_external_id": "x"}
    assert target("sagemaker/a", **options).parts["identity"] == options
    options["aws_session_tags"] = [{"Key": "team", "Value": "search"}]
    assert target("sagemaker/a", **options).client()
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "very-secret", "aws_session_token": "very-secret"}
    found = target("sagemaker/a", **keys, aws_region_name="eu-west-1")
    assert found.parts["identity"] == {**keys, "aws_region_name": "eu-west-1"}
    assert "very-secret" not in repr(found)
    assert "very-secret" not in repr(found.client())
    for name in ("aws_bedrock_runtime_endpoint", "aws_acess_key_id"):
        with pytest.raises(UsageError, match=name):
            find_target("sagemaker/a", {name: "x"})
    with pytest.raises(UsageError, match="no api_key"):
        find_target("sagemaker/a", {"api_key": "x"})
    with pytest.raises(UsageError, match="need aws_role_name"):
        find_target("sagemaker/a", {"aws_external_id": "x"}), target("sagemaker/a", aws_external_id="x").client()


def test_its_environment_variables(monkeypatch):
    monkeypatch.setenv("AWS_REGION_NAME", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_NAME", "someone")
    assert target("sagemaker/a").parts["region_name"] == "eu-west-1"
    # Without a role this is another program's; with one it is ours.
    assert target("sagemaker/a").parts["identity"] == {}
    monkeypatch.setenv("AWS_ROLE_NAME", "arn:aws:iam::1:role/r")
    assert target("sagemaker/a").parts["identity"] == {
        "aws_role_name": "arn:aws:iam::1:role/r",
        "aws_session_name": "someone",
        "aws_region_name": "eu-west-1",
    }
    monkeypatch.delenv("AWS_ROLE_NAME")
    monkeypatch.setenv("AWS_PROFILE_NAME", "dev")
    assert target("sagemaker/a").parts["identity"]["aws_profile_name"] == "dev"
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "x"}
    assert "aws_profile_name" not in target("sagemaker/a", **keys).parts["identity"]
    # The standard variable wins, as there.
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert target("sagemaker/a").parts["region_name"] is None


def test_time_limits_and_retries():
    assert target("sagemaker/a", timeout=5).parts["timeout"] == Timeouts.of(5.0)
    assert target("sagemaker/a", timeout="5").parts["timeout"] == Timeouts.of(5.0)
    assert target("sagemaker/a", request_timeout=7).parts["timeout"] == Timeouts.of(7.0)
    assert target("sagemaker/a", num_retries=2).parts["retries"] == Retries(attempts=3)
    assert target("sagemaker/a", max_retries=0).parts["retries"] == Retries(attempts=1)
    assert target("sagemaker/a").parts["retries"] is None

    class HttpxTimeout:
        connect, read = 1.0, 2.0

    assert target("sagemaker/a", timeout=HttpxTimeout()).parts["timeout"] == Timeouts(1.0, 2.0, 2.0)
    for wrong in ({"timeout": "soon"}, {"timeout": []}, {"num_retries": -1}, {"num_retries": 1.5}):
        with pytest.raises(UsageError):
            find_target("sagemaker/a", wrong)


def test_headers_become_parameters():
    headers = {"X-Amzn-SageMaker-Target-Variant": "blue", "x-amzn-sagemaker-inference-id": "1"}
    found = target("sagemaker/a", extra_headers=headers)
    assert found.parts["endpoint_kwargs"] == {"TargetVariant": "blue", "InferenceId": "1"}
    with pytest.raises(UsageError, match="X-Mine"):
        find_target("sagemaker/a", {"headers": {"X-Mine": "1"}})


def test_keys_in_arguments_reach_the_endpoint(emulator, monkeypatch):
    keys = emulator.credentials
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    options = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
    answer = litellm.completion("sagemaker/tgi-echo", QUESTION, **options, aws_region_name="us-east-1")
    assert answer.choices[0].message.content == "Hello there"
    assert keys.secret_key not in f"{CLIENTS} {list(CLIENTS._entries.values())} {list(CLIENTS._entries)}"
    with pytest.raises(AccessDenied) as denied:
        litellm.completion("sagemaker/tgi-echo", QUESTION, **options | {"aws_secret_access_key": "wrong"})
    assert denied.value.status_code == 403


def test_a_role_of_another_account(emulator):
    options = {"aws_role_name": emulator.role_arn, "aws_session_name": "me", "aws_sts_endpoint": emulator.url}
    answer = litellm.completion("sagemaker/other-account", QUESTION, **options)
    assert answer.choices


def test_a_component(emulator):
    from sagewire.emulator import EndpointSpec

    emulator.add("pair", EndpointSpec(components={"pair-tgi": "tgi:echo", "pair-vllm": "openai_chat:echo"}))
    for component in ("pair-tgi", "pair-vllm"):
        litellm.completion("sagemaker/pair", QUESTION, model_id=component)
        assert emulator.calls[-1].component == component


def test_one_client_for_one_way_to_reach_it(emulator):
    options = {"temperature": 0.5, "timeout": 30, "num_retries": 1, "aws_region_name": "us-east-1"}
    litellm.completion("sagemaker/tgi-echo", QUESTION, **options)
    before = len(CLIENTS._entries)
    for temperature in (0.1, 0.2):
        litellm.completion("sagemaker/tgi-echo", QUESTION, **options | {"temperature": temperature})
    assert len(CLIENTS._entries) == before
    litellm.completion("sagemaker/tgi-echo", QUESTION, **options | {"timeout": 31})
    assert len(CLIENTS._entries) == before + 1


def test_changed_variables_mean_another_client(emulator, monkeypatch):
    litellm.completion("sagemaker/tgi-echo", QUESTION)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessDenied):
        litellm.completion("sagemaker/tgi-echo", QUESTION)
