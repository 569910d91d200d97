"""Which format a model's id stands for: names on the Hugging Face Hub and in SageMaker JumpStart."""

from __future__ import annotations

import re

__all__ = ["format_of_model"]

# Ids are compared in lower case with every separator a "-": `Qwen/Qwen2.5-7B-Instruct` is `qwen-qwen2-5-7b-instruct`.
# The first rule that matches counts, so fine-tunes come before the families they were made from.
RULES: tuple[tuple[str, str], ...] = (
    # Fine-tunes that brought a format of their own.
    (r"deepseek-(llm-)?r1-distill-llama", "deepseek_r1_distill_llama"),
    (r"deepseek-(llm-)?r1-distill-qwen", "deepseek_r1_distill_qwen"),
    (r"hermes-2-pro", "hermes_2_pro"),
    (r"hermes-3", "hermes_3"),
    (r"nous-hermes-2", "nous_hermes_2"),
    (r"open-?hermes|dolphin", "chatml"),
    (r"functionary-(small|medium)-v3-1", "functionary_v3_1"),
    (r"functionary-(small|medium)-v3-2", "functionary_v3_2"),
    (r"functionary-(small|medium)-v2-5", "functionary_v2_5"),
    (r"zephyr-7b-gemma", "zephyr_gemma"),
    (r"stablelm-zephyr", "stablelm_zephyr"),
    (r"zephyr", "zephyr"),
    (r"tinyllama.*chat", "tinyllama"),
    (r"tulu-2", "tulu_2"),
    (r"tulu-3|olmo-2.*instruct", "olmo2_tulu3"),
    (r"olmo-3.*(instruct|think)", "olmo3"),
    (r"olmo.*instruct", "olmo"),
    (r"openchat", "openchat"),
    (r"starchat", "starchat"),
    (r"stable-?beluga", "stablebeluga"),
    (r"wizardlm-2-7b", "wizardlm_2_7b"),
    (r"wizardlm-2", "wizardlm_2"),
    (r"wizardlm", "wizardlm"),
    (r"orca-vicuna|orca-2-13b-vicuna", "orca_vicuna"),
    (r"vicuna", "vicuna"),
    (r"solar-10-7b-instruct", "solar"),
    (r"oasst.*pythia", "open_assistant_pythia"),
    (r"oasst.*llama|llama2-.*-orca|openassistant", "open_assistant"),
    (r"alpaca", "alpaca"),
    # DeepSeek.
    (r"deepseek-(llm-)?v3-1", "deepseek_v3_1"),
    (r"deepseek-(llm-)?v3(-|$)", "deepseek_v3"),
    (r"deepseek-(llm-)?r1", "deepseek_r1"),
    (r"deepseek-(coder-)?v2", "deepseek_v2"),
    (r"deepseek-coder.*instruct", "deepseek_coder"),
    (r"deepseek-llm.*chat", "deepseek_llm"),
    # Llama.
    (r"code-?llama-70b-instruct", "codellama_70b"),
    (r"code-?llama.*instruct", "llama2"),
    (r"llama-4-(scout|maverick).*instruct", "llama4"),
    (r"llama-?3-3.*instruct", "llama3_3"),
    (r"llama-?3-2.*instruct", "llama3_2"),
    (r"llama-?3-1.*instruct", "llama3_1"),
    (r"llama-?3.*instruct", "llama3"),
    (r"llama-?2-.*(chat|-f$|-f-)", "llama2"),
    # Qwen.
    (r"qwq", "qwq"),
    (r"qwen3-coder", "qwen3_coder"),
    (r"qwen3", "qwen3"),
    (r"qwen-?2-5", "qwen2_5"),
    (r"qwen-?2", "qwen2"),
    (r"qwen-?1-5", "qwen1_5"),
    # Mistral.
    (r"ministral-3-.*reasoning", "ministral3_reasoning"),
    (r"mistral-small-3-2|mistral-small.*-2506", "mistral_small3_2"),
    (r"mistral-small-(3|24b)|mistral-small.*-2501", "mistral_small3"),
    (r"mistral-nemo.*instruct", "mistral_nemo"),
    (r"mistral-large-instruct-2411", "mistral_v7"),
    (r"mixtral.*instruct", "mixtral"),
    (r"mistral-7b-instruct-v0-3|mistral-large-instruct-2407", "mistral_v3"),
    (r"mistral.*instruct", "mistral_v1"),
    # Google.
    (r"gemma-?4.*-it", "gemma4"),
    (r"gemma-?3.*(-it|instruct)", "gemma3"),
    (r"gemma-?2-(2b|9b|27b).*(-it|instruct)", "gemma2"),
    (r"gemma.*(-it|instruct)", "gemma"),
    # Microsoft.
    (r"phi-?4-mini", "phi4_mini"),
    (r"phi-?4.*reasoning", "phi4_reasoning"),
    (r"phi-?4", "phi4"),
    (r"phi-?3-5", "phi3_5"),
    (r"phi-?3-small", "phi3_small"),
    (r"phi-?3-medium", "phi3_medium"),
    (r"phi-?3", "phi3_mini"),
    # Others.
    (r"falcon-?3.*instruct", "falcon3"),
    (r"falcon-?11b|falcon2", "falcon_11b"),
    (r"falcon-180b-chat", "falcon_180b"),
    (r"falcon.*instruct", "falcon_instruct"),
    (r"c4ai-command-r7b", "command_r7b"),
    (r"c4ai-command-r-plus", "command_r_plus"),
    (r"c4ai-command-r", "command_r"),
    (r"granite-4", "granite_4"),
    (r"granite-3-3", "granite_3_3"),
    (r"granite-3-0", "granite_3_0"),
    (r"exaone-4", "exaone4"),
    (r"exaone-3-5", "exaone3_5"),
    (r"jamba", "jamba_1_6"),
    (r"kimi-k2", "kimi_k2"),
    (r"glm-4-9b-chat", "glm4"),
    (r"smollm3", "smollm3"),
    (r"gpt-oss", "gpt_oss"),
    (r"internlm2", "internlm2"),
    (r"yi-1-5.*chat", "yi_1_5"),
    (r"yi-.*chat", "yi"),
    (r"devstral", "devstral"),
)
SEPARATORS = re.compile(r"[^a-z0-9]+")


def format_of_model(model_id: str) -> str | None:
    """Return the name of the format a model's id stands for, `None` where no rule knows it.

    Base models have no format, which is why many rules ask for `instruct`, `chat` or `it` in the id.

    >>> format_of_model("Qwen/Qwen2.5-7B-Instruct")
    'qwen2_5'
    >>> format_of_model("meta-textgeneration-llama-3-1-8b-instruct")
    'llama3_1'
    """
    normal = SEPARATORS.sub("-", model_id.lower()).strip("-")
    return next((name for pattern, name in RULES if re.search(rf"(?:^|-)(?:{pattern})", normal)), None)
