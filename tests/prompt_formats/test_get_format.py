"""Finding a format: by name, by model id, or what the user brings along."""

import pytest

from sagewire.errors import UsageError
from sagewire.prompt_formats import FORMATS, HUB_ONLY, LITELLM_BUILDERS, get_format
from sagewire.prompt_formats.model_ids import RULES, format_of_model

from ..cases import each

MODELS = {
    "meta-llama/Llama-2-7b-chat-hf": "llama2",
    "meta-textgeneration-llama-2-7b-f": "llama2",
    "codellama/CodeLlama-7b-Instruct-hf": "llama2",
    "codellama/CodeLlama-70b-Instruct-hf": "codellama_70b",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama3",
    "meta-textgeneration-llama-3-8b-instruct": "llama3",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3_1",
    "meta-textgeneration-llama-3-1-8b-instruct": "llama3_1",
    "meta-llama/Llama-3.2-3B-Instruct": "llama3_2",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3_3",
    "meta-vlm-llama-4-scout-17b-16e-instruct": "llama4",
    "huggingface-llm-mistral-7b-instruct": "mistral_v1",
    "mistralai/Mistral-7B-Instruct-v0.2": "mistral_v1",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral_v3",
    "mistralai/Mistral-Nemo-Instruct-2407": "mistral_nemo",
    "mistralai/Mistral-Small-24B-Instruct-2501": "mistral_small3",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506": "mistral_small3_2",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral",
    "huggingface-llm-mixtral-8x7b-instruct": "mixtral",
    "Qwen/Qwen1.5-4B-Chat": "qwen1_5",
    "Qwen/Qwen2-7B-Instruct": "qwen2",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2_5",
    "huggingface-llm-qwen2-5-7b-instruct": "qwen2_5",
    "Qwen/Qwen3-0.6B": "qwen3",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": "qwen3_coder",
    "Qwen/QwQ-32B": "qwq_32b",
    "deepseek-ai/deepseek-llm-7b-chat": "deepseek_llm",
    "deepseek-ai/DeepSeek-V2-Lite-Chat": "deepseek_v2",
    "deepseek-ai/deepseek-coder-6.7b-instruct": "deepseek_coder",
    "deepseek-ai/DeepSeek-V3-0324": "deepseek_v3_0324",
    "deepseek-ai/DeepSeek-V3.1": "deepseek_v3_1_tools",
    "deepseek-ai/DeepSeek-R1": "deepseek_r1",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": "deepseek_r1_distill_llama",
    "deepseek-llm-r1-distill-qwen-32b": "deepseek_r1",
    "google/gemma-7b-it": "gemma",
    "google/gemma-2-2b-it": "gemma2",
    "google/gemma-3-1b-it": "gemma3",
    "microsoft/Phi-3-mini-4k-instruct": "phi3_mini",
    "microsoft/Phi-3.5-mini-instruct": "phi3_5",
    "microsoft/phi-4": "phi4",
    "microsoft/Phi-4-mini-instruct": "phi4_mini",
    "microsoft/Phi-4-reasoning": "phi4_reasoning",
    "tiiuae/falcon-7b-instruct": "falcon_instruct",
    "huggingface-llm-falcon-7b-instruct-bf16": "falcon_instruct",
    "tiiuae/falcon-180B-chat": "falcon_180b",
    "tiiuae/falcon-11B": "falcon_11b",
    "tiiuae/Falcon3-7B-Instruct": "falcon3",
    "HuggingFaceH4/zephyr-7b-beta": "zephyr",
    "HuggingFaceH4/zephyr-7b-gemma-v0.1": "zephyr_gemma",
    "HuggingFaceH4/starchat-beta": "starchat",
    "HuggingFaceTB/SmolLM3-3B": "smollm3_hub",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "tinyllama",
    "NousResearch/Hermes-2-Pro-Llama-3-8B": "hermes_2_pro",
    "NousResearch/Hermes-3-Llama-3.1-8B": "hermes_3",
    "teknium/OpenHermes-2.5-Mistral-7B": "chatml",
    "lmsys/vicuna-7b-v1.5": "vicuna",
    "openchat/openchat-3.5-0106": "openchat",
    "OpenAssistant/llama2-13b-orca-8k-3319": "open_assistant",
    "stabilityai/StableBeluga2": "stablebeluga",
    "stabilityai/stablelm-zephyr-3b": "stablelm_zephyr",
    "WizardLMTeam/WizardLM-13B-V1.2": "wizardlm",
    "CohereLabs/c4ai-command-r-v01": "command_r",
    "ibm-granite/granite-3.3-8b-instruct": "granite_3_3",
    "ibm-granite/granite-4.0-h-small": "granite_4",
    "allenai/OLMo-7B-Instruct": "olmo",
    "allenai/OLMo-2-1124-7B-Instruct": "olmo2",
    "upstage/SOLAR-10.7B-Instruct-v1.0": "solar",
    "01-ai/Yi-1.5-34B-Chat": "yi_1_5",
    "THUDM/glm-4-9b-chat-hf": "glm4",
    "moonshotai/Kimi-K2-Instruct": "kimi_k2",
    "openai/gpt-oss-120b": "gpt_oss",
    "openai-reasoning-gpt-oss-20b": "gpt_oss",
    "meetkai/functionary-medium-v3.1": "functionary_v3_1",
    "ai21labs/AI21-Jamba-Mini-1.6": "jamba_1_6",
}


@each("model_id", MODELS)
def test_by_model_id(model_id):
    assert get_format(model_id=model_id).name == MODELS[model_id]


@pytest.mark.parametrize("model_id", ["meta-llama/Llama-3.1-8B", "tiiuae/falcon-7b", "someone/unheard-of", ""])
def test_base_and_unknown_models_have_none(model_id):
    assert format_of_model(model_id) is None
    with pytest.raises(UsageError, match="format='template'"):
        get_format(model_id=model_id)


def test_every_rule_leads_somewhere():
    assert {name for _, name in RULES} <= set(FORMATS) | set(HUB_ONLY)


def test_names():
    assert all(fmt.name == name for name, fmt in FORMATS.items())
    assert all(fmt.name == name for name, fmt in LITELLM_BUILDERS.items())
    assert get_format("llama3_1") is FORMATS["llama3_1"]
    assert get_format("llama_2_chat_pt") is LITELLM_BUILDERS["llama_2_chat_pt"]


@pytest.mark.parametrize(
    ("name", "close"), [("llama31", "llama3_1"), ("Qwen/Qwen2.5-7B-Instruct", "qwen2_5"), ("gema3", "gemma3")]
)
def test_close_names_are_listed(name, close):
    with pytest.raises(UsageError, match=close):
        get_format(name)


@pytest.mark.parametrize("name", HUB_ONLY)
def test_what_is_not_written_points_to_the_template(name):
    with pytest.raises(UsageError, match="format='template'"):
        get_format(name)


def test_a_format_is_returned_as_it_is():
    fmt = get_format("chatml", special_tokens="error", strict=False)
    assert get_format(fmt) is fmt
    assert get_format(fmt, strict=True).policy == "error"


@pytest.mark.parametrize("bad", [5, b"chatml", ["chatml"]])
def test_what_is_no_format(bad):
    with pytest.raises(UsageError):
        get_format(bad)


def test_choices_are_checked():
    with pytest.raises(UsageError, match="neutralise"):
        get_format("chatml", special_tokens="neutralize")
    with pytest.raises(UsageError, match="callable"):
        get_format(str, special_tokens="allow")
    with pytest.raises(UsageError, match="model_id"):
        get_format()
