"""Which format every id of the list gets: its model's own, or none at all."""

from pathlib import Path

import pytest

from sagewire.errors import UsageError
from sagewire.prompt_formats import FORMATS, HUB_ONLY, get_format
from sagewire.prompt_formats.catalogue import MODELS, family_of
from sagewire.prompt_formats.model_ids import RULES, format_of_model, likely_format_of_model

from ..cases import each

VECTORS = Path(__file__).parents[1] / "vectors"
LISTED = (VECTORS / "model_ids.txt").read_text(encoding="utf-8").split()
# Ids whose model's own template a built-in format writes.
BUILT_IN = {
    "swiss-ai/Apertus-8B-Instruct-2509": "apertus",
    "MiniMaxAI/MiniMax-M3": "minimax_m3",
    "moonshotai/Kimi-K3": "kimi_k3",
    "zai-org/GLM-4.5": "glm4_5",
    "zai-org/GLM-4.6": "glm4_5",
    "zai-org/GLM-4.7-Flash": "glm4_7",
    "zai-org/GLM-5": "glm4_7",
    "zai-org/GLM-5.3-Flash": "glm5_3",
    "THUDM/GLM-4-9B-0414": "glm4_0414",
    "zai-org/GLM-4-32B-0414": "glm4_0414",
    "THUDM/glm-4-9b-chat": "glm4",
    "zai-org/glm-4-9b-chat-hf": "glm4",
    "Qwen/Qwen3-Next-80B-A3B-Instruct": "qwen3_instruct",
    "Qwen/Qwen3-Next-80B-A3B-Thinking": "qwen3_thinking",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3_vl",
    "Qwen/Qwen3-VL-8B-Thinking": "qwen3_thinking",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "qwen3_instruct",
    "Qwen/Qwen3-30B-A3B-Thinking-2507": "qwen3_thinking",
    "Qwen/Qwen3-235B-A22B-Thinking-2507": "qwen3_thinking",
    "Qwen/Qwen3.5-4B": "qwen3_5",
    "Qwen/Qwen3.5-397B-A17B": "qwen3_5",
    "Qwen/Qwen3.6-35B-A3B": "qwen3_6",
    "Qwen/Qwen3.8-27B": "qwen3_8",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": "qwen3_coder",
    "Qwen/Qwen2.5-VL-7B-Instruct": "qwen2",
    "Qwen/QwQ-32B": "qwq_32b",
    "Qwen/Qwen2.5-Coder-32B-Instruct": "qwen2_5",
    "deepseek-ai/DeepSeek-V3": "deepseek_v3",
    "deepseek-ai/DeepSeek-V3-0324": "deepseek_v3_0324",
    "deepseek-ai/DeepSeek-V3.1": "deepseek_v3_1_tools",
    "deepseek-ai/DeepSeek-V3.1-Terminus": "deepseek_v3_1_tools",
    "deepseek-ai/DeepSeek-V3.2-Exp": "deepseek_v3_2_exp",
    "deepseek-ai/DeepSeek-V3.2": "deepseek_v3_2",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": "deepseek_r1",
    "deepseek-ai/DeepSeek-Prover-V2-7B": "deepseek_v3_0324",
    "moonshotai/Kimi-K2-Instruct": "kimi_k2",
    "moonshotai/Kimi-K2-Thinking": "kimi_k2_thinking",
    "moonshotai/Kimi-K2.5": "kimi_k2_5",
    "MiniMaxAI/MiniMax-M2": "minimax_m2",
    "MiniMaxAI/MiniMax-M2.5": "minimax_m2_5",
    "openai/gpt-oss-20b": "gpt_oss",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3_1",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3_3",
    "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF": "llama3_1_nemotron",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "llama4",
    "meta-llama/Llama-3.2-11B-Vision-Instruct": "llama3_2_vision",
    "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8": "llama3_1",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "nemotron_3_nano",
    "google/gemma-2-9b-it": "gemma2",
    "google/gemma-3-27b-it": "gemma3",
    "google/gemma-3n-E4B-it": "gemma3",
    "google/gemma-3-270m-it": "gemma3",
    "google/gemma-4-31B-it": "gemma4_0709",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral_v3",
    "mistralai/Mistral-Small-24B-Instruct-2501": "mistral_small3",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": "mistral_small3",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506": "mistral_small3_2",
    "mistralai/Mistral-Large-Instruct-2407": "mistral_v3",
    "mistralai/Mistral-Large-Instruct-2411": "mistral_v7",
    "mistralai/Ministral-3-14B-Reasoning-2512": "ministral3_reasoning",
    "mistralai/Mixtral-8x22B-Instruct-v0.1": "mistral_v3",
    "mistralai/Mistral-Nemo-Instruct-2407": "mistral_nemo",
    "mistral-community/Mixtral-8x22B-Instruct": "mistral_v3",
    "ibm-granite/granite-4.0-h-small": "granite_4",
    "ibm-granite/granite-4.1-8b": "granite_4_1",
    "ibm-granite/granite-3.3-8b-instruct": "granite_3_3",
    "ibm-granite/granite-3.2-8b-instruct": "granite_3_2",
    "ibm-granite/granite-3.1-8b-instruct": "granite_3_1",
    "microsoft/Phi-4-mini-instruct": "phi4_mini",
    "microsoft/phi-4": "phi4",
    "microsoft/Phi-4-reasoning-plus": "phi4_reasoning",
    "tiiuae/Falcon-H1-34B-Instruct": "falcon_h1",
    "tiiuae/Falcon3-10B-Instruct": "falcon3",
    "allenai/OLMo-2-1124-7B-Instruct": "olmo2",
    "allenai/Olmo-3-7B-Instruct": "olmo3_instruct",
    "allenai/Olmo-3-7B-Think": "olmo3_think",
    "google/functiongemma-270m-it": "function_gemma",
    "google/diffusiongemma-26B-A4B-it": "diffusion_gemma",
    "LGAI-EXAONE/EXAONE-4.0-32B": "exaone4",
    "LGAI-EXAONE/EXAONE-Deep-7.8B": "exaone_deep",
    "CohereLabs/c4ai-command-r-08-2024": "command_r",
    "CohereLabs/aya-expanse-8b": "command_r",
    "CohereLabs/c4ai-command-a-03-2025": "command_a",
    "CohereLabs/c4ai-command-r7b-12-2024": "command_a",
    "HuggingFaceTB/SmolLM3-3B": "smollm3_hub",
    "ByteDance-Seed/Seed-OSS-36B-Instruct": "seed_oss",
    "baidu/ERNIE-4.5-21B-A3B-PT": "ernie_4_5",
    "LiquidAI/LFM2-8B-A1B": "lfm2",
    "internlm/internlm3-8b-instruct": "internlm2",
    "NousResearch/Hermes-3-Llama-3.1-8B": "hermes_3",
    "01-ai/Yi-1.5-34B-Chat": "yi_1_5",
    "deepseek-llm-r1-distill-llama-8b": "deepseek_r1_distill_llama",
    "meta-vlm-llama-4-scout-17b-16e-instruct": "llama4",
    "huggingface-reasoning-qwen3-06b": "qwen3",
    "huggingface-llm-mistral-small-24B-Instruct-2501": "mistral_small3",
    "openai-reasoning-gpt-oss-20b": "gpt_oss",
    "huggingface-vlm-gemma-3-27b-instruct": "gemma3",
    "deepseek-llm-v3-2": "deepseek_v3_2",
    "TheBloke/OpenHermes-2.5-Mistral-7B-AWQ": "chatml",
    "unsloth/Qwen3.5-9B-GGUF": "qwen3_5",
    "casperhansen/llama-3.3-70b-instruct-awq": "llama3_3",
    "RedHatAI/Qwen3-Next-80B-A3B-Thinking-FP8": "qwen3_thinking",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8": "qwen3_coder",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "smollm2",
    "mistralai/Ministral-3-14B-Instruct-2512": "ministral3_14b",
    "google/gemma-4-E4B-it": "gemma4_small",
    "moonshotai/Kimi-K2-Instruct-0905": "kimi_k2_0905",
    "deepseek-ai/DeepSeek-R1-0528": "deepseek_r1_0528",
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B": "deepseek_r1_0528_qwen3",
    "deepseek-ai/DeepSeek-V2.5": "deepseek_v2_5",
    "deepseek-ai/DeepSeek-V4-Flash": "deepseek_v4",
    "deepseek-ai/DeepSeek-V4-Pro": "deepseek_v4",
}
# Ids that are refused, and why: their own chat template has to be loaded.
REFUSED = {
    "zai-org/GLM-Z1-9B-0414": "thinks; unseen",
    "Qwen/Qwen3-Coder-Next": "unseen",
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": "speech and images",
    "Qwen/Qwen3Guard-Gen-8B": "a classifier",
    "Qwen/Qwen3-Embedding-0.6B": "embeddings",
    "Qwen/Qwen3-Reranker-0.6B": "a reranker",
    "Qwen/Qwen2.5-Math-7B-Instruct": "another system text",
    "Qwen/Qwen-7B-Chat": "unseen",
    "Qwen/Qwen3-8B-Base": "a base model",
    "Qwen/Qwen2.5-7B": "a base model",
    "deepseek-ai/DeepSeek-V3.2-Speciale": "thinks always, knows no tools",
    "deepseek-ai/DeepSeek-V3-Base": "a base model",
    "deepseek-ai/DeepSeek-OCR": "images",
    "moonshotai/Kimi-K2.6": "unseen",
    "moonshotai/Kimi-Linear-48B-A3B-Instruct": "unseen",
    "moonshotai/Kimi-VL-A3B-Instruct": "images",
    "MiniMaxAI/MiniMax-M1-80k": "own notation",
    "openai/gpt-oss-safeguard-20b": "unseen",
    "meta-llama/Llama-Guard-4-12B": "a classifier",
    "nvidia/Llama-3_3-Nemotron-Super-49B-v1_5": "own system text",
    "nvidia/Llama-3.1-Nemotron-Nano-8B-v1": "own system text",
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2": "own notation",
    "nvidia/Mistral-NeMo-Minitron-8B-Instruct": "own notation",
    "google/medgemma-27b-text-it": "unseen",
    "google/txgemma-9b-chat": "unseen",
    "google/codegemma-7b-it": "unseen",
    "google/recurrentgemma-2b-it": "unseen",
    "google/shieldgemma-2b": "a classifier",
    "google/t5gemma-2b-2b-ul2-it": "unseen",
    "mistralai/Mistral-Small-Instruct-2409": "unseen",
    "mistralai/Mistral-Large-3-675B-Instruct-2512": "a system text of its own",
    "mistralai/Mistral-Small-4-119B-2603": "a system text of its own",
    "mistralai/Mistral-Medium-3.5-128B": "a system text of its own",
    "mistralai/Ministral-8B-Instruct-2410": "unseen",
    "mistralai/Magistral-Small-2507": "a system text of its own",
    "mistralai/Magistral-Small-2509": "a system text of its own",
    "mistralai/Devstral-Small-2507": "a system text of its own",
    "mistralai/Devstral-2-123B-Instruct-2512": "a system text of its own",
    "mistralai/Devstral-Small-2-24B-Instruct-2512": "a system text of its own",
    "mistralai/Voxtral-Mini-3B-2507": "speech",
    "mistralai/Pixtral-12B-2409": "images",
    "mistralai/Codestral-22B-v0.1": "unseen",
    "mistralai/Mathstral-7B-v0.1": "unseen",
    "ibm-granite/granite-guardian-3.3-8b": "a classifier",
    "ibm-granite/granite-20b-functioncalling": "own notation",
    "microsoft/Phi-4-multimodal-instruct": "own system text",
    "microsoft/Phi-4-mini-flash-reasoning": "unseen",
    "microsoft/Phi-3.5-MoE-instruct": "unseen",
    "microsoft/Phi-3-vision-128k-instruct": "images",
    "tiiuae/Falcon-H1R-7B": "unseen",
    "tiiuae/falcon-mamba-7b-instruct": "unseen",
    "tiiuae/Falcon-E-3B-Instruct": "unseen",
    "allenai/Olmo-3.1-32B-Think": "another opening of the answer",
    "allenai/OLMoE-1B-7B-0924-Instruct": "unseen",
    "allenai/Olmo-3-32B-Base": "a base model",
    "LGAI-EXAONE/K-EXAONE-236B-A23B": "unseen",
    "LGAI-EXAONE/EXAONE-4.5-33B": "unseen",
    "ai21labs/AI21-Jamba-Large-1.7": "unseen",
    "ai21labs/AI21-Jamba-Reasoning-3B": "unseen",
    "ai21labs/AI21-Jamba2-3B": "unseen",
    "ai21labs/Jamba-v0.1": "a base model",
    "CohereLabs/command-a-reasoning-08-2025": "prose of its own",
    "CohereLabs/tiny-aya-global": "unseen",
    "tencent/Hunyuan-A13B-Instruct": "unseen",
    "stepfun-ai/Step-3.5-Flash": "own notation",
    "XiaomiMiMo/MiMo-V2-Flash": "unseen",
    "inclusionAI/Ling-flash-2.0": "unseen",
    "internlm/internlm2_5-7b-chat": "unseen",
    "internlm/Intern-S1": "unseen",
    "NousResearch/Hermes-4-70B": "unseen",
    "NousResearch/Hermes-4-14B": "unseen",
    "upstage/solar-pro-preview-instruct": "unseen",
    "upstage/Solar-Open-100B": "own notation",
    "arcee-ai/Trinity-Large-Preview": "unseen",
    "servicenow/Apriel-1.6-15b-Thinker": "another opening of the answer",
    "cognitivecomputations/Dolphin3.0-R1-Mistral-24B": "unseen",
    "Salesforce/Llama-xLAM-2-8b-fc-r": "own notation",
    "Team-ACE/ToolACE-2-Llama-3.1-8B": "own notation",
}
# Quantised, repackaged and JumpStart spellings.
SPELLINGS = dict(
    line.split("\t") for line in (VECTORS / "model_id_spellings.txt").read_text(encoding="utf-8").splitlines()
)
# Embeddings, rerankers, judges and guards, base models, and fine-tunes whose names hold one family or two.
OTHER_MODELS = (VECTORS / "other_model_ids.txt").read_text(encoding="utf-8").split()
# Fine-tunes, unheard-of versions, base models and paths.
UNKNOWN = [
    "acme/Llama-3.1-8B-Instruct-remix",
    "acme/Llama-3.1-8B-Instruct-awq-support",
    "acme/Llama-3.1-8B-Instruct-support",
    "acme/Qwen2.5-7B-Instruct-finetuned-v2",
    "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated",
    "mistralai/anything",
    "mistralai/Mistral-Next-7B-Instruct-2701",
    "Qwen/Qwen4-8B",
    "meta-llama/Llama-5-8B-Instruct",
    "google/gemma-5-9b-it",
    "deepseek-ai/DeepSeek-V3.3",
    "Qwen/Qwen3.9-8B",
    "nvidia/Llama-3.1-Nemotron-Ultra-253B-v1",
    "meta-textgeneration-llama-3-1-8b",
    "huggingface-llm-mistral-7b",
    "/opt/ml/model",
    "s3://bucket/model/",
]


def test_every_listed_id_has_a_row():
    assert sorted(LISTED) == sorted([*BUILT_IN, *REFUSED])


@each("model_id", [*BUILT_IN, *SPELLINGS])
def test_built_in(model_id):
    assert get_format(model_id=model_id) is FORMATS[{**BUILT_IN, **SPELLINGS}[model_id]]


@each("model_id", [*REFUSED, *OTHER_MODELS, *UNKNOWN])
def test_refused(model_id):
    with pytest.raises(UsageError, match="format='template'"):
        get_format(model_id=model_id)


@each("model_id", BUILT_IN)
def test_a_further_word_makes_it_another_model(model_id):
    assert format_of_model(f"{model_id}-Sunbeam") is None
    assert likely_format_of_model(f"acme/{model_id.rpartition('/')[2]}-Sunbeam") is not None


@pytest.mark.parametrize("organisation", ["mistralai", "Qwen", "google", "meta-llama", "deepseek-ai", "microsoft"])
def test_the_organisation_does_not_count(organisation):
    assert format_of_model(f"{organisation}/Some-7B-Instruct") is None
    assert format_of_model(f"{organisation}/Llama-3.1-8B-Instruct") == "llama3_1"


def test_the_hint_of_a_fine_tune():
    with pytest.raises(UsageError, match="may be 'llama3_1'"):
        get_format(model_id="acme/Llama-3.1-8B-Instruct-support")


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("mistralai/Magistral-Small-2506", "mistral_v11"),
        ("mistralai/Magistral-Small-2509-GGUF", "mistral_v13"),
        ("mistralai/Devstral-Small-2-24B-Instruct-2512", "mistral_v13"),
        ("unsloth/Mistral-Small-4-119B-2603-GGUF", "mistral_v15"),
    ],
)
def test_the_hint_of_mistrals_own_library(model_id, name):
    with pytest.raises(UsageError, match=f"library writes it as '{name}'"):
        get_format(model_id=model_id)


@each("name", MODELS)
def test_models_named_as_examples_have_the_format(name):
    assert [format_of_model(model) for model in MODELS[name]] == [name] * len(MODELS[name])
    assert name in FORMATS


def test_each_format_has_one_family_and_each_rule_an_example():
    assert all(family_of(name) for name in FORMATS)
    assert {name for _, name in RULES} - set(HUB_ONLY) == set(MODELS)
