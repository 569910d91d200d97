"""Which format a model's id stands for: names on the Hugging Face Hub, in SageMaker JumpStart, and of GGUF files.

A rule describes a whole name. Words that no rule knows make it another model, whose template nobody here has seen, so
such an id has no format: a wrong one is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

__all__ = ["RULES", "format_of_mistral_library", "format_of_model", "likely_format_of_model", "may_think"]

# How large a model is: 7b, 1-5b, 270m, 8x22b, 30b-a3b, 17b-16e, 2-4t-a95b.
SIZE = r"(?:\d+x)?\d+(?:-\d)?[bmt](?:-a\d+(?:-\d)?[bm])?(?:-\d+e)?"
# Publishers, where their name is repeated in the model's: `bartowski/Qwen_Qwen3-8B-GGUF`.
PUBLISHED = (
    r"^(?:qwen|google|meta-llama|mistralai|microsoft|deepseek-ai|thudm|zai-org|nvidia|ibm(?:-granite(?=-granite))?|tiiuae|allenai|openai"
    r"|moonshotai|minimaxai|lgai-exaone|cohereforai|coherelabs|ai21labs|huggingfacetb|huggingfaceh4|bytedance-seed|baidu"
    r"|liquidai|internlm|01-ai|upstage|nousresearch|teknium|thebloke|unsloth)-"
)
# JumpStart's `huggingface-llm-`, `meta-textgeneration-`, `deepseek-llm-`, `openai-reasoning-` ...
TASKED = r"^(?:huggingface|meta|openai|deepseek|mistral|model)-(?:llm|vlm|reasoning|textgeneration(?:1|neuron)?)-"
# How the weights are stored, which changes nothing about the prompt.
STORED = (
    r"(?:-(?:awq|gptq|gguf|ggml|exl[23]|aqlm|hqq|bnb|mlx|dwq(?:-v\d|-\d{6})?|onnx|marlin|autoround|auto-round|torchao|quip|eetq|u?int[48]"
    r"|fp(?:4(?:-v\d)?|8|16|32)|nvfp4(?:-v\d)?|mxfp[468]|bf16|f16|f32|w\d+a\d+|\d-?bits?|q\d(?:-[01k](?:-(?:s|m|l|xl))?|f16)?"
    r"|iq\d-(?:xxs|xs|s|m|nl)|ud|\d{5}-of-\d{5}"
    r"|imatrix|i1|dynamic|quantized|quantised|block|kv|g\d+|gs\d+|gb\d+|hf|neuron|smoothquant|static|per-tensor|qat|unquantized|\db-\d+g"
    r"|tensorrt|trtllm|ov|openvino|actorder|sym|asym|safetensors|unsloth|(?:fp|int)\d+mix))+$"
)

# What a name looks like when only letters, digits and "-" are left of it, and the format of its own template. A rule
# without a format is about a model whose template would be taken for another's.
RULES: tuple[tuple[str, str], ...] = (
    # Llama.
    (rf"llama-?2-{SIZE}-(?:chat|f)", "llama2"),
    (r"(?:llama-)?code-?llama-70b-instruct", "codellama_70b"),
    (rf"(?:llama-)?code-?llama-{SIZE}-instruct", "llama2"),
    (r"(?:meta-)?llama-?3-(?:8b|70b)-instruct", "llama3"),
    (r"(?:meta-)?llama-?3-1-(?:8b|70b|405b)-instruct", "llama3_1"),
    (r"llama-3-1-nemotron-70b-instruct", "llama3_1_nemotron"),
    (r"(?:meta-)?llama-?3-2-(?:1b|3b)-instruct", "llama3_2"),
    (r"(?:meta-)?llama-?3-2-(?:11b|90b)-vision-instruct", "llama3_2_vision"),
    (r"(?:meta-)?llama-?3-3-70b-instruct", "llama3_3"),
    (r"llama-?4-(?:scout|maverick)-17b-\d+e-instruct", "llama4"),
    # Qwen.
    (rf"(?:code)?qwen1-5-(?:moe-)?(?:{SIZE}|a2-7b)-chat", "qwen1_5"),
    (r"qwen-?2-(?:0-5b|1-5b|7b|72b|57b-a14b)-instruct", "qwen2"),
    (rf"qwen-?2(?:-5)?-vl-{SIZE}-instruct", "qwen2"),
    (rf"qwen-?2-5-(?:coder-)?{SIZE}-instruct", "qwen2_5"),
    (r"qwq-32b", "qwq_32b"),
    (r"qwen3-(?:0-?6b|1-7b|4b|8b|14b|32b|30b-a3b|235b-a22b)", "qwen3"),
    (r"qwen3-(?:(?:4b|30b-a3b|235b-a22b)-instruct-2507|next-80b-a3b-instruct)", "qwen3_instruct"),
    (r"qwen3-(?:(?:4b|30b-a3b|235b-a22b)-thinking-2507|next-80b-a3b-thinking)", "qwen3_thinking"),
    (rf"qwen3-vl-{SIZE}-instruct", "qwen3_vl"),
    (rf"qwen3-vl-{SIZE}-thinking", "qwen3_thinking"),
    (r"qwen3-coder-(?:30b-a3b|480b-a35b)-instruct", "qwen3_coder"),
    (r"qwen3-5-(?:0-8b|2b)", "qwen3_5_small"),
    (r"qwen3-5-(?:4b|9b|27b|35b-a3b|122b-a10b|397b-a17b)", "qwen3_5"),
    (r"qwen3-6-(?:27b|35b-a3b)", "qwen3_6"),
    (r"qwen3-8-(?:27b|flash-next)", "qwen3_8"),
    (r"qwen3-8-2-4t-a95b", "qwen3_8_max"),
    # DeepSeek. The distilled Qwen models have the template of R1 itself.
    (r"deepseek-(?:llm-)?r1", "deepseek_r1"),
    (r"deepseek-(?:llm-)?r1-0528", "deepseek_r1_0528"),
    (r"deepseek-(?:llm-)?r1-0528-qwen3-8b", "deepseek_r1_0528_qwen3"),
    (rf"deepseek-(?:llm-)?r1-distill-qwen-{SIZE}", "deepseek_r1"),
    (rf"deepseek-(?:llm-)?r1-distill-llama-{SIZE}", "deepseek_r1_distill_llama"),
    (r"deepseek-(?:llm-)?v3", "deepseek_v3"),
    (rf"deepseek-(?:llm-)?v3-0324|deepseek-prover-v2-{SIZE}", "deepseek_v3_0324"),
    (r"deepseek-(?:llm-)?v3-1(?:-terminus)?", "deepseek_v3_1_tools"),
    (r"deepseek-(?:llm-)?v3-2-exp", "deepseek_v3_2_exp"),
    (r"deepseek-(?:llm-)?v3-2", "deepseek_v3_2"),
    (r"deepseek-(?:llm-)?v4-(?:flash|pro)", "deepseek_v4"),
    (r"deepseek-(?:llm-)?v4-flash-0731", "deepseek_v4_0731"),
    (r"deepseek-v2-5", "deepseek_v2_5"),
    (r"deepseek-(?:coder-)?v2(?:-lite)?-(?:chat|instruct)", "deepseek_v2"),
    (rf"deepseek-coder-{SIZE}-instruct(?:-v1-5)?", "deepseek_coder"),
    (rf"deepseek-(?:llm-{SIZE}-chat|math-7b-(?:rl|instruct))", "deepseek_llm"),
    # Mistral.
    (r"mistral-7b-instruct(?:-v0?-?[12])?", "mistral_v1"),
    (r"mistral-7b-instruct-v0?-?3", "mistral_v3"),
    (r"mixtral-8x7b-instruct(?:-v0-?1)?", "mixtral"),
    (r"mixtral-8x22b-instruct(?:-v0-?1)?", "mistral_v3"),
    (r"mistral-nemo-instruct-2407", "mistral_nemo"),
    (r"mistral-large-instruct-2407", "mistral_v3"),
    (r"mistral-large-instruct-2411", "mistral_v7"),
    (r"mistral-small-24b-instruct-2501|mistral-small-3-1-24b-instruct-2503", "mistral_small3"),
    (r"mistral-small-3-2-24b-instruct-2506", "mistral_small3_2"),
    (r"ministral-3-3b-instruct-2512", "ministral3_3b"),
    (r"ministral-3-8b-instruct-2512", "ministral3_8b"),
    (r"ministral-3-14b-instruct-2512", "ministral3_14b"),
    (rf"ministral-3-{SIZE}-reasoning-2512", "ministral3_reasoning"),
    # Google.
    (r"gemma-(?:1-1-)?(?:2b|7b)-(?:it|instruct)", "gemma"),
    (r"gemma-?2-(?:2b|9b|27b)-(?:it|instruct)", "gemma2"),
    (r"gemma-?3-(?:270m|1b|4b|12b|27b)-(?:it|instruct)|gemma-?3n-e[24]b-it", "gemma3"),
    (r"gemma-?4-(?:12b|31b|26b-a4b)-it", "gemma4_0709"),
    (r"gemma-?4-e[24]b-it", "gemma4_small"),
    (r"functiongemma-270m-it", "function_gemma"),
    (r"diffusiongemma-26b-a4b-it", "diffusion_gemma"),
    # Z.ai.
    (r"glm-4-9b-chat(?:-1m)?", "glm4"),
    (r"glm-4-(?:9b|32b)-0414", "glm4_0414"),
    (r"glm-4-5(?:-air)?|glm-4-6", "glm4_5"),
    (r"glm-4-7(?:-flash)?|glm-5", "glm4_7"),
    (r"glm-5-1", "glm5_1"),
    (r"glm-5-2", "glm5_2"),
    (r"glm-5-3(?:-flash)?", "glm5_3"),
    # Moonshot, MiniMax, OpenAI.
    (r"kimi-k2-instruct", "kimi_k2"),
    (r"kimi-k2-instruct-0905", "kimi_k2_0905"),
    (r"kimi-k2-thinking", "kimi_k2_thinking"),
    (r"kimi-k2-5", "kimi_k2_5"),
    (r"kimi-k3", "kimi_k3"),
    (r"minimax-m2", "minimax_m2"),
    (r"minimax-m2-5", "minimax_m2_5"),
    (r"minimax-m2-7", "minimax_m2_7"),
    (r"minimax-m3", "minimax_m3"),
    (r"gpt-oss-(?:20b|120b)", "gpt_oss"),
    # Microsoft.
    (r"phi-?3-mini-(?:4k|128k)-instruct", "phi3_mini"),
    (r"phi-?3-small-(?:8k|128k)-instruct", "phi3_small"),
    (r"phi-?3-medium-(?:4k|128k)-instruct", "phi3_medium"),
    (r"phi-?3-5-mini-instruct", "phi3_5"),
    (r"phi-?4", "phi4"),
    (r"phi-?4-mini-instruct", "phi4_mini"),
    (r"phi-?4-mini-reasoning", "phi4_mini_reasoning"),
    (r"phi-?4-reasoning(?:-plus)?", "phi4_reasoning"),
    # IBM.
    (rf"granite-3-0-{SIZE}-instruct", "granite_3_0"),
    (rf"granite-3-1-{SIZE}-instruct", "granite_3_1"),
    (rf"granite-3-2-{SIZE}-instruct", "granite_3_2"),
    (rf"granite-3-3-{SIZE}-instruct", "granite_3_3"),
    (rf"granite-4-0-(?:h-)?(?:micro|tiny|small|{SIZE})", "granite_4"),
    (rf"granite-4-1-{SIZE}", "granite_4_1"),
    # NVIDIA.
    (rf"(?:nvidia-)?nemotron-3-nano-{SIZE}", "nemotron_3_nano"),
    (rf"(?:nvidia-)?nemotron-3-super-{SIZE}", "nemotron_3_super"),
    (rf"(?:nvidia-)?nemotron-3-ultra-{SIZE}", "nemotron_3_ultra"),
    (rf"(?:nvidia-)?nemotron-3-5-lightning-{SIZE}", "nemotron_3_5_lightning"),
    # TII.
    (rf"falcon3-{SIZE}-instruct", "falcon3"),
    (r"falcon-?11b", "falcon_11b"),
    (r"falcon-180b-chat", "falcon_180b"),
    (r"falcon-(?:7b|40b)-instruct", "falcon_instruct"),
    (rf"falcon-h1-{SIZE}(?:-deep)?-instruct", "falcon_h1"),
    # Cohere.
    (r"(?:c4ai-)?command-r-(?:v01|08-2024)", "command_r"),
    (rf"aya-(?:expanse|23)-{SIZE}", "command_r"),
    (r"(?:c4ai-)?command-(?:a-03-2025|r7b-12-2024)", "command_a"),
    (r"(?:c4ai-)?command-r-plus", "command_r_plus"),
    # Others.
    (r"olmo-(?:1b|7b)(?:-0724)?-instruct", "olmo"),
    (rf"olmo-2-\d{{4}}-{SIZE}-instruct", "olmo2"),
    (rf"llama-3-1-tulu-3(?:-1)?-{SIZE}", "tulu_3"),
    (r"olmo-3-7b-instruct(?:-sft|-dpo)?", "olmo3_instruct"),
    (r"olmo-3-7b-think(?:-dpo)?", "olmo3_think"),
    (r"olmo-3-32b-think", "olmo3_32b_think"),
    (rf"tulu-2-(?:dpo-)?{SIZE}", "tulu_2"),
    (rf"exaone-3-5-{SIZE}-instruct", "exaone3_5"),
    (rf"exaone-4-0-{SIZE}", "exaone4"),
    (r"exaone-deep-(?:2-4b|7-8b|32b)", "exaone_deep"),
    (r"ai21-jamba-(?:mini|large)-1-6", "jamba_1_6"),
    (r"smollm2-(?:135m|360m|1-7b)-instruct", "smollm2"),
    (r"smollm3-3b", "smollm3_hub"),
    (r"seed-oss-36b-instruct", "seed_oss"),
    (r"apertus-(?:8b|70b)-instruct-2509", "apertus"),
    (r"ernie-4-5-(?:0-3b|21b-a3b|300b-a47b)-pt", "ernie_4_5"),
    (r"lfm2-(?:350m|700m|2-6b|8b-a1b)", "lfm2"),
    (r"lfm2-1-2b", "lfm2_v2"),
    (r"lfm2-5-(?:230m|8b-a1b)", "lfm2_5"),
    (r"lfm2-5-1-2b-instruct", "lfm2_5_instruct"),
    (rf"internlm2-chat-{SIZE}|internlm3-8b-instruct", "internlm2"),
    (rf"yi-1-5-{SIZE}-chat(?:-16k)?", "yi_1_5"),
    (rf"yi-{SIZE}-chat", "yi"),
    (r"solar-10-7b-instruct-v1-0", "solar"),
    (r"tinyllama-1-1b-chat-v(?:0-[3-6]|1-0)", "tinyllama"),
    (r"zephyr-7b-(?:alpha|beta)", "zephyr"),
    (r"zephyr-7b-gemma(?:-v0-1|-sft-v0-1)?", "zephyr_gemma"),
    (r"stablelm-zephyr-3b", "stablelm_zephyr"),
    (r"stable-?beluga-?(?:2|7b|13b)", "stablebeluga"),
    (r"starchat-(?:alpha|beta)", "starchat"),
    (r"openchat-3-5(?:-\d{4})?", "openchat"),
    (rf"vicuna-{SIZE}-v1-[35](?:-16k)?", "vicuna"),
    (r"wizardlm-2-7b", "wizardlm_2_7b"),
    (r"wizardlm-2-8x22b", "wizardlm_2"),
    (rf"wizardlm-{SIZE}-v1-[0-2]", "wizardlm"),
    (r"llama2-13b-orca-8k-3319", "open_assistant"),
    (r"oasst-sft-\d-pythia-12b(?:-epoch-3-5)?", "open_assistant_pythia"),
    (r"openhermes-2-5-mistral-7b|dolphin-2-5-mixtral-8x7b", "chatml"),
    (r"nous-hermes-2-mixtral-8x7b-(?:dpo|sft)", "nous_hermes_2"),
    (r"hermes-2-pro-(?:llama-3-8b|mistral-7b)", "hermes_2_pro"),
    (r"hermes-3-llama-3-1-70b", "hermes_3_70b"),
    (rf"hermes-3-llama-3-[12]-{SIZE}", "hermes_3"),
    (r"functionary-(?:small|medium)-v2-5", "functionary_v2_5"),
    (r"functionary-(?:small|medium)-v3-1", "functionary_v3_1"),
    (r"functionary-(?:small|medium)-v3-2", "functionary_v3_2"),
)
# Models whose Hub templates add a system text of their own, and the format their maker's library mistral-common writes,
# which adds none. Versions: `test_mistral.py` and `mistral/test_reasoning.py` of vLLM 0.33, issue 1041 of mlx-lm
# (Devstral Small 2); `reasoning_effort` came with v15.
MISTRAL_LIBRARY = (
    (r"magistral-small-2506", "mistral_v11"),
    (r"magistral-small-2509|devstral-small-2-24b-instruct-2512", "mistral_v13"),
    (r"mistral-small-4-119b-2603|mistral-medium-3-5-128b", "mistral_v15"),
)
# Words by which reasoning models without their own rule are named.
THINKING_NAMES = re.compile(
    r"(?:^|-)(?:think(?:ing|er)?|reason(?:ing|er)?|cot|r1|z1|o1|qwq|magistral|nemotron|hunyuan-a13b|deepseek-v4|kimi-k2-6"
    r"|gemma-4|glm-5-3)(?:-|$)"
)
SEPARATORS = re.compile(r"[^a-z0-9]+")
# What stands behind a name: the file of a GGUF repository, as in `Qwen3-8B-GGUF:Q4_K_M`, or a tag of Ollama's library.
TAG = re.compile(r"(?<=[^/:]):([\w.-]+)/?$")
# Hosts where a tag `latest` means any of a repository's files.
HUB = re.compile(r"^(?:https?://)?(?:hf\.co|huggingface\.co)/")
# A folder of the Hub's cache: `models--Qwen--Qwen3-8B`, or one of the snapshots in it.
CACHED = re.compile(r"(?:^|/)models--(?:[^/]*--)?([^/]+?)(?:/snapshots/[^/]+)?$")


def format_of_model(model_id: str) -> str | None:
    """Return the name of the format a model's id stands for; `None` if no rule knows it.

    The organisation does not count, and neither does how the weights are stored. Base models have no format. Neither
    have names of Ollama's library such as `qwen3:4b`: it moves them on to newer models, and writes prompts with
    templates of its own. A pinned revision of a repository (`@`, but for `@main`) may hold an older template, and has
    none either.

    >>> format_of_model("Qwen/Qwen2.5-7B-Instruct-AWQ")
    'qwen2_5'
    >>> format_of_model("meta-textgeneration-llama-3-1-8b-instruct")
    'llama3_1'
    """
    untagged = _without_tag(model_id)
    for name in _bare_names(untagged) if untagged is not None else ():
        match = _all_rules().fullmatch(name)
        if match is not None and match.lastindex is not None:
            return RULES[match.lastindex - 1][1]
    return None


def likely_format_of_model(model_id: str) -> str | None:
    """Return the format of the model that this one seems to have been made from; `None` if its name tells none.

    >>> likely_format_of_model("acme/Llama-3.1-8B-Instruct-support")
    'llama3_1'
    """
    name = _plain(model_id)
    found = [
        (match.end() - match.start(), fmt)
        for rule, fmt in RULES
        if (match := re.search(rf"(?:^|-)(?:{rule})(?:-|$)", name)) is not None
    ]
    return max(found)[1] if found else None


def format_of_mistral_library(model_id: str) -> str | None:
    """Return the format in which mistral-common writes a model that has no built-in format; `None` if not known.

    >>> format_of_mistral_library("mistralai/Mistral-Small-4-119B-2603")
    'mistral_v15'
    """
    names = list(_bare_names(model_id))
    return next((fmt for rule, fmt in MISTRAL_LIBRARY for name in names if re.fullmatch(rule, name)), None)


def may_think(model_id: str) -> bool:
    """Return whether a model's id says that its answers may open with reasoning; `False` if it tells nothing.

    >>> may_think("Qwen/Qwen3-8B"), may_think("acme/Qwen3-8B-Support"), may_think("google/gemma-2-9b-it")
    (True, True, False)
    """
    from sagewire.prompt_formats import FORMATS

    name = format_of_model(model_id) or likely_format_of_model(model_id)
    return (name is not None and FORMATS[name].may_think) or bool(THINKING_NAMES.search(_plain(model_id)))


@cache
def _all_rules() -> re.Pattern[str]:
    """Return all rules as one pattern with a group for each, which compiles much faster than a pattern for each."""
    return re.compile("|".join(f"({rule})" for rule, _ in RULES))


def _without_tag(model_id: str) -> str | None:
    """Return an id without a tag that names one of the model's files; `None` if its tag tells which model it is."""
    model_id = model_id.removesuffix("@main")
    found = TAG.search(model_id)
    if found is None:
        return model_id
    name, tag = model_id[: found.start()], SEPARATORS.sub("-", found[1].lower())
    if HUB.match(model_id) and tag == "latest":
        return name
    stored = re.fullmatch(STORED, f"-{tag}") is not None
    # A name of Ollama's library has the size in its tag; a bare name that has it itself is that of the model's files.
    return name if stored and ("/" in name or re.search(rf"(?:^|-){SIZE}(?:-|$)", _plain(name))) else None


def _bare_names(model_id: str) -> Iterable[str]:
    """Return the name, and what is left of it without publisher, task and storage."""
    names = [_plain(model_id)]
    for what in (STORED, PUBLISHED, TASKED, PUBLISHED):
        names += [bare for name in names if (bare := re.sub(what, "", name)) and bare not in names]
    return names


def _plain(model_id: str) -> str:
    """Return the last part of an id or path, in lower case with every separator a "-".

    That of `models--Qwen--Qwen3-8B`, a folder of the Hub's cache, is `qwen3-8b`.
    """
    path = model_id.replace("\\", "/").rstrip("/")
    cached = CACHED.search(path)
    name = (cached[1] if cached else path.rpartition("/")[2]).lower().removesuffix(".gguf")
    return SEPARATORS.sub("-", name).strip("-")
