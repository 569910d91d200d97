"""What `sagewire gateway check` says of a LiteLLM proxy file, and the file in sagewire's own form."""

import json

import pytest
from typer.testing import CliRunner

from sagewire.cli import app
from sagewire.gateway.config import parse_config
from tests.cases import each

FILE = """
model_list:
  - model_name: llama
    litellm_params:
      model: sagemaker/my-llama
      aws_region_name: us-east-1
      aws_access_key_id: os.environ/MY_KEY
      aws_secret_access_key: not-to-be-printed
      temperature: 0.2
      langfuse_secret: not-to-be-printed
      top_a: 3
  - model_name: hf
    litellm_params: {model: huggingface/Qwen/Qwen3-8B, api_key: os.environ/HF_TOKEN}
litellm_settings:
  drop_params: true
  success_callback: [langfuse, presidio]
router_settings: {routing_strategy: least-busy, fallbacks: [{llama: [hf]}]}
general_settings:
  master_key: os.environ/MASTER
  allowed_ips: [10.0.0.1]
  store_model_in_db: true
environment_variables: {THEIR_TOKEN: not-to-be-printed}
"""
ENVIRONMENT = dict.fromkeys(("MY_KEY", "HF_TOKEN", "MASTER", "MODELS_LLAMA_AWS_SECRET_ACCESS_KEY"), "value")


@pytest.fixture
def check(tmp_path):
    def check(text, *options):
        path = tmp_path / "litellm.yaml"
        path.write_text(text, "utf-8")
        return CliRunner().invoke(app, ["gateway", "check", str(path), *options])

    return check


def test_every_key_is_explained(check):
    done = check(FILE, "--json")
    assert done.exit_code == 1
    assert "not-to-be-printed" not in done.output
    told = {one["key"].rpartition(".")[2]: (one["effect"], one["line"]) for one in json.loads(done.output)["keys"]}
    refused = {name for name, (effect, _) in told.items() if effect == "refused"}
    assert refused == {"success_callback", "allowed_ips"}
    assert {name for name, (effect, _) in told.items() if effect == "no effect"} == {
        "langfuse_secret",
        "store_model_in_db",
    }
    assert told["allowed_ips"][1] == 20
    assert {"model", "temperature", "top_a", "drop_params", "master_key", "fallbacks"} <= told.keys() - refused


def test_own_form_is_the_same_configuration(check):
    kept = FILE.replace(", presidio", "").replace("  allowed_ips: [10.0.0.1]\n", "")
    done = check(kept)
    assert done.exit_code == 0, done.output
    assert "not-to-be-printed" not in done.output
    own = done.output.partition("# The same in sagewire's own form:\n")[2]
    assert len(own.splitlines()) < 30
    variables = ENVIRONMENT | {"THEIR_TOKEN": "value"}
    ours = parse_config(own, "own", variables)
    theirs = parse_config(kept.replace("not-to-be-printed", "value"), "theirs", variables)
    assert ours.models == theirs.models
    assert ours.server == theirs.server
    assert ours.environment == theirs.environment


def test_models_of_other_providers_are_named(check):
    text = FILE.replace(", presidio", "").replace("  allowed_ips: [10.0.0.1]\n", "")
    text = text.replace(
        "litellm_settings:", "  - {model_name: far, litellm_params: {model: azure/x}}\nlitellm_settings:"
    )
    done = check(text, "--json")
    assert done.exit_code == 0, done.output
    (told,) = [one for one in json.loads(done.output)["keys"] if one["effect"] == "not served"]
    assert (told["key"], told["line"]) == ("model_list.2.litellm_params.model", 14)
    assert "'azure'" in told["reason"]
    own = parse_config(json.loads(done.output)["own"], "own", ENVIRONMENT | {"THEIR_TOKEN": "value"})
    assert list(own.not_served) == ["far"]


def test_what_else_is_wrong_is_said(check):
    done = check("model_list:\n  - model_name: a\n    litellm_params: {model: vertex_ai/gemini}\n")
    assert done.exit_code == 1
    assert "vertex_ai" in done.output
    assert check("models:\n  llama: {endpoint: a}\n").exit_code == 2
    assert check("model_list: 3\n").exit_code in (1, 2)


@each(
    ("more", "says"),
    [
        ("litellm_settings: [drop_params]\n", "line 4: litellm_settings: should be a mapping"),
        ("  - m\n", "line 4: model_list.1: should be a mapping"),
        ("  - {model_name: n, litellm_params: m}\n", "line 4: model_list.1.litellm_params: should be a mapping"),
        ("router_settings: 3\n", "line 4: router_settings: should be a mapping"),
        ("litellm_settings: {callbacks: [hooks.guard]}\n", "hooks.guard, code of your own, is not run"),
        ("    model_info: {team_id: a}\n", "sagewire has no teams"),
        ("    model_info: {enable_tag_filtering: true}\n", "deployments by tags"),
        ("    model_info: {blocked: true}\n", "it is blocked"),
        ("    model_info: {supported_environments: [production]}\n", "it is for production"),
        ("    model_info: {supported_environments: production}\n", "should be a list"),
        ("litellm_settings:\n", "own form"),
    ],
)
def test_files_of_other_shapes(check, more, says):
    entry = "model_list:\n  - model_name: m\n    litellm_params: {model: hosted_vllm/m, api_base: 'http://h/v1'}\n"
    done = check(entry + more)
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert says in " ".join(done.output.split())
