"""How model families write a conversation, and how their answers are read back.

`FORMATS` is a plain dict: look into it, add your own format to it.

>>> from sagewire.prompt_formats import get_format
>>> get_format("llama2").render([{"role": "user", "content": "Hello"}])
'<s>[INST] Hello [/INST]'
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagewire import _plugins
from sagewire._names import missing
from sagewire.errors import UsageError, close_names
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.custom import CallableFormat, TemplateFormat, check_template
from sagewire.prompt_formats.drop_in import easyllm_llama_index as compat
from sagewire.prompt_formats.drop_in import litellm as litellm_templates
from sagewire.prompt_formats.drop_in.litellm import LITELLM_BUILDERS
from sagewire.prompt_formats.engine.guard import Policy
from sagewire.prompt_formats.engine.turns import Block, TurnFormat
from sagewire.prompt_formats.families import (
    apertus,
    chatml,
    cohere,
    deepseek,
    deepseek_v3_1,
    deepseek_v4,
    exaone,
    falcon,
    function_gemma,
    functionary,
    gemma,
    gemma4,
    glm,
    gpt_oss,
    granite,
    hermes,
    jamba,
    kimi,
    kimi_k3,
    lfm,
    ling,
    llama,
    minimax,
    mistral,
    mistral_tekken,
    nemotron,
    olmo3,
    phi,
    plain_text,
    qwen,
    qwen3_5,
    seed,
    tagged,
)
from sagewire.prompt_formats.model_ids import format_of_mistral_library, format_of_model, likely_format_of_model

__all__ = [
    "FORMATS",
    "LITELLM_BUILDERS",
    "OWN_TEMPLATE",
    "Block",
    "CallableFormat",
    "PromptFormat",
    "TemplateFormat",
    "TurnFormat",
    "get_format",
    "known_formats",
]


# The format that is the model's own template.
OWN_TEMPLATE = "template"
TO_OWN_TEMPLATE = (
    "Use the model's own chat template: format='template' takes it from the Hub or from the model's files on S3; "
    "format='s3://bucket/prefix' or a pathlib.Path names its folder."
)
# Families whose prompts are mostly prose or a schema language of their own: their templates are loaded, not rewritten.
HUB_ONLY = {
    "command_r7b": "CohereLabs/c4ai-command-r7b-12-2024",
    "command_r_plus": "CohereLabs/c4ai-command-r-plus",
    "devstral": "mistralai/Devstral-Small-2507",
}

FORMATS: dict[str, PromptFormat] = {
    "alpaca": plain_text.ALPACA,
    "alpaca_chujie": plain_text.ALPACA_CHUJIE,
    "alpaca_fastchat": plain_text.ALPACA_FASTCHAT,
    "alpaca_vllm": plain_text.ALPACA_VLLM,
    "apertus": apertus.APERTUS,
    "chatml": chatml.CHATML,
    "codellama_70b": llama.CODELLAMA_70B,
    "command_a": cohere.COMMAND_A,
    "command_r": cohere.COMMAND_R,
    "deepseek_coder": deepseek.DEEPSEEK_CODER,
    "deepseek_llm": deepseek.DEEPSEEK_LLM,
    "deepseek_r1": deepseek.DEEPSEEK_R1,
    "deepseek_r1_0528": deepseek.DEEPSEEK_R1_0528,
    "deepseek_r1_0528_qwen3": deepseek.DEEPSEEK_R1_0528_QWEN3,
    "deepseek_r1_distill_llama": deepseek.DEEPSEEK_R1_DISTILL_LLAMA,
    "deepseek_r1_distill_qwen": deepseek.DEEPSEEK_R1_DISTILL_QWEN,
    "deepseek_r1_rev1": deepseek.DEEPSEEK_R1_REV1,
    "deepseek_v2": deepseek.DEEPSEEK_V2,
    "deepseek_v2_5": deepseek.DEEPSEEK_V2_5,
    "deepseek_v3": deepseek.DEEPSEEK_V3,
    "deepseek_v3_0324": deepseek.DEEPSEEK_V3_0324,
    "deepseek_v3_1": deepseek_v3_1.DEEPSEEK_V3_1,
    "deepseek_v3_1_tools": deepseek_v3_1.DEEPSEEK_V3_1_TOOLS,
    "deepseek_v3_2": deepseek_v3_1.DEEPSEEK_V3_2,
    "deepseek_v3_2_exp": deepseek_v3_1.DEEPSEEK_V3_2_EXP,
    "deepseek_v4": deepseek_v4.DEEPSEEK_V4,
    "deepseek_v4_0731": deepseek_v4.DEEPSEEK_V4_0731,
    "diffusion_gemma": gemma4.DIFFUSION_GEMMA,
    "easyllm_anthropic": compat.EASYLLM_ANTHROPIC,
    "easyllm_chatml_falcon": compat.EASYLLM_CHATML_FALCON,
    "easyllm_chatml_starchat": compat.EASYLLM_CHATML_STARCHAT,
    "easyllm_falcon": compat.EASYLLM_FALCON,
    "easyllm_llama2": compat.EASYLLM_LLAMA2,
    "easyllm_open_assistant": compat.EASYLLM_OPEN_ASSISTANT,
    "easyllm_stablebeluga": compat.EASYLLM_STABLEBELUGA,
    "easyllm_vicuna": compat.EASYLLM_VICUNA,
    "easyllm_wizardlm": compat.EASYLLM_WIZARDLM,
    "ernie_4_5": plain_text.ERNIE_4_5,
    "exaone3_5": exaone.EXAONE3_5,
    "exaone4": exaone.EXAONE4,
    "exaone_deep": exaone.EXAONE_DEEP,
    "falcon3": falcon.FALCON3,
    "falcon_11b": falcon.FALCON_11B,
    "falcon_180b": falcon.FALCON_180B,
    "falcon_chat_fastchat": falcon.FALCON_CHAT_FASTCHAT,
    "falcon_h1": falcon.FALCON_H1,
    "falcon_instruct": falcon.FALCON_INSTRUCT,
    "falcon_vllm": falcon.FALCON_VLLM,
    "function_gemma": function_gemma.FUNCTION_GEMMA,
    "functionary_v2_5": functionary.FUNCTIONARY_V2_5,
    "functionary_v3_1": functionary.FUNCTIONARY_V3_1,
    "functionary_v3_2": functionary.FUNCTIONARY_V3_2,
    "gemma": gemma.GEMMA,
    "gemma2": gemma.GEMMA2,
    "gemma3": gemma.GEMMA3,
    "gemma4": gemma4.GEMMA4,
    "gemma4_0709": gemma4.GEMMA4_0709,
    "gemma4_small": gemma4.GEMMA4_SMALL,
    "glm4": glm.GLM4,
    "glm4_0414": glm.GLM4_0414,
    "glm4_5": glm.GLM4_5,
    "glm4_7": glm.GLM4_7,
    "glm5_1": glm.GLM5_1,
    "glm5_2": glm.GLM5_2,
    "glm5_3": glm.GLM5_3,
    "gpt_oss": gpt_oss.GPT_OSS,
    "granite_3_0": granite.GRANITE_3_0,
    "granite_3_1": granite.GRANITE_3_1,
    "granite_3_2": granite.GRANITE_3_2,
    "granite_3_3": granite.GRANITE_3_3,
    "granite_4": granite.GRANITE_4,
    "granite_4_1": granite.GRANITE_4_1,
    "granite_vllm_tools": granite.GRANITE_VLLM_TOOLS,
    "hermes_2_pro": hermes.HERMES_2_PRO,
    "hermes_3": hermes.HERMES_3,
    "hermes_3_70b": hermes.HERMES_3_70B,
    "internlm2": chatml.INTERNLM2,
    "jamba_1_6": jamba.JAMBA_1_6,
    "kimi_k2": kimi.KIMI_K2,
    "kimi_k2_0905": kimi.KIMI_K2_0905,
    "kimi_k2_5": kimi.KIMI_K2_5,
    "kimi_k2_thinking": kimi.KIMI_K2_THINKING,
    "kimi_k3": kimi_k3.KIMI_K3,
    "lfm2": lfm.LFM2,
    "lfm2_5": lfm.LFM2_5,
    "lfm2_5_instruct": lfm.LFM2_5_INSTRUCT,
    "lfm2_v2": lfm.LFM2_V2,
    "ling_3": ling.LING_3,
    "litellm_builtin": litellm_templates.LITELLM_BUILTIN,
    "litellm_custom": litellm_templates.LITELLM_CUSTOM,
    "llama2": llama.LLAMA2,
    "llama3": llama.LLAMA3,
    "llama3_1": llama.LLAMA3_1,
    "llama3_1_nemotron": llama.LLAMA3_1_NEMOTRON,
    "llama3_2": llama.LLAMA3_2,
    "llama3_2_vision": llama.LLAMA3_2_VISION,
    "llama3_3": llama.LLAMA3_3,
    "llama4": llama.LLAMA4,
    "llama_index_llama2": compat.LLAMA_INDEX_LLAMA2,
    "llama_index_llama3": compat.LLAMA_INDEX_LLAMA3,
    "minimax_m2": minimax.MINIMAX_M2,
    "minimax_m2_5": minimax.MINIMAX_M2_5,
    "minimax_m2_7": minimax.MINIMAX_M2_7,
    "minimax_m3": minimax.MINIMAX_M3,
    "ministral3_14b": mistral.MINISTRAL3_14B,
    "ministral3_3b": mistral.MINISTRAL3_3B,
    "ministral3_8b": mistral.MINISTRAL3_8B,
    "ministral3_reasoning": mistral.MINISTRAL3_REASONING,
    "mistral_nemo": mistral.MISTRAL_NEMO,
    "mistral_small3": mistral.MISTRAL_SMALL3,
    "mistral_small3_2": mistral.MISTRAL_SMALL3_2,
    "mistral_v1": mistral.MISTRAL_V1,
    "mistral_v11": mistral_tekken.MISTRAL_V11,
    "mistral_v13": mistral_tekken.MISTRAL_V13,
    "mistral_v15": mistral_tekken.MISTRAL_V15,
    "mistral_v1_legacy": mistral.MISTRAL_V1_LEGACY,
    "mistral_v3": mistral.MISTRAL_V3,
    "mistral_v3_early": mistral.MISTRAL_V3_EARLY,
    "mistral_v7": mistral.MISTRAL_V7,
    "mixtral": mistral.MIXTRAL,
    "nemotron_3_5_lightning": nemotron.NEMOTRON_3_5_LIGHTNING,
    "nemotron_3_nano": nemotron.NEMOTRON_3_NANO,
    "nemotron_3_super": nemotron.NEMOTRON_3_SUPER,
    "nemotron_3_ultra": nemotron.NEMOTRON_3_ULTRA,
    "nous_hermes_2": chatml.NOUS_HERMES_2,
    "olmo": tagged.OLMO,
    "olmo2": tagged.OLMO2,
    "olmo2_tulu3": tagged.OLMO2_TULU3,
    "olmo3": chatml.OLMO3,
    "olmo3_32b_think": olmo3.OLMO3_32B_THINK,
    "olmo3_instruct": olmo3.OLMO3_INSTRUCT,
    "olmo3_think": chatml.OLMO3_THINK,
    "open_assistant": tagged.OPEN_ASSISTANT,
    "open_assistant_pythia": tagged.OPEN_ASSISTANT_PYTHIA,
    "openchat": tagged.OPENCHAT,
    "orca_vicuna": plain_text.ORCA_VICUNA,
    "phi3_5": phi.PHI3_5,
    "phi3_medium": phi.PHI3_MEDIUM,
    "phi3_mini": phi.PHI3_MINI,
    "phi3_small": phi.PHI3_SMALL,
    "phi4": phi.PHI4,
    "phi4_mini": phi.PHI4_MINI,
    "phi4_mini_reasoning": phi.PHI4_MINI_REASONING,
    "phi4_reasoning": phi.PHI4_REASONING,
    "phi4_rev1": phi.PHI4_REV1,
    "qwen1_5": qwen.QWEN1_5,
    "qwen2": qwen.QWEN2,
    "qwen2_5": qwen.QWEN2_5,
    "qwen3": qwen.QWEN3,
    "qwen3_5": qwen3_5.QWEN3_5,
    "qwen3_5_small": qwen3_5.QWEN3_5_SMALL,
    "qwen3_6": qwen3_5.QWEN3_6,
    "qwen3_8": qwen3_5.QWEN3_8,
    "qwen3_8_max": qwen3_5.QWEN3_8_MAX,
    "qwen3_coder": qwen.QWEN3_CODER,
    "qwen3_instruct": qwen.QWEN3_INSTRUCT,
    "qwen3_thinking": qwen.QWEN3_THINKING,
    "qwen3_vl": qwen.QWEN3_VL,
    "qwq": qwen.QWQ,
    "qwq_32b": qwen.QWQ_32B,
    "seed_oss": seed.SEED_OSS,
    "smollm2": chatml.SMOLLM2,
    "smollm3": chatml.SMOLLM3,
    "smollm3_hub": chatml.SMOLLM3_HUB,
    "solar": plain_text.SOLAR,
    "stablebeluga": plain_text.STABLEBELUGA,
    "stablelm_zephyr": tagged.STABLELM_ZEPHYR,
    "starchat": tagged.STARCHAT,
    "tinyllama": tagged.TINYLLAMA,
    "tulu_2": tagged.TULU_2,
    "tulu_3": tagged.TULU_3,
    "vicuna": plain_text.VICUNA,
    "vicuna_chujie": plain_text.VICUNA_CHUJIE,
    "vicuna_newline": plain_text.VICUNA_NEWLINE,
    "wizardlm": plain_text.WIZARDLM,
    "wizardlm_2": plain_text.WIZARDLM_2,
    "wizardlm_2_7b": plain_text.WIZARDLM_2_7B,
    "yi": chatml.YI,
    "yi_1_5": chatml.YI_1_5,
    "zephyr": tagged.ZEPHYR,
    "zephyr_gemma": chatml.ZEPHYR_GEMMA,
}


def known_formats() -> list[str]:
    """Return the names of all formats, those of plug-ins too, sorted."""
    return sorted({*FORMATS, *_plugins.plugin_names(_plugins.PROMPT_FORMATS)})


def get_format(
    name: str | Path | PromptFormat | Callable[..., str] | Mapping[str, Any] | None = None,
    *,
    model_id: str | None = None,
    special_tokens: Policy | None = None,
    strict: bool | None = None,
    completion_to_prompt: Callable[..., str] | None = None,
) -> PromptFormat:
    """Return a prompt format.

    Args:
        name: A key of `FORMATS` (or one of LiteLLM's builders, for example `llama_2_chat_pt`), or the name of a plug-in
            (an entry point in the group `sagewire.prompt_formats`); `package.module:Name`; a `PromptFormat`; a callable
            `messages_to_prompt(messages) -> str`; or a template in LiteLLM's way of writing, a mapping with `roles`,
            `initial_prompt_value`, `final_prompt_value`, `bos_token` and `eos_token`. For a model's own chat template:
            `template` with `model_id`, or the folder of the model's files as a `Path` or `s3://bucket/folder`; see
            `chat_template.load_format`.
        model_id: A model's id on the Hugging Face Hub or in JumpStart, where the name is not known.
        special_tokens: What happens to control strings in foreign text: `neutralise` (the default), `allow` or
            `error`.
        strict: Refuse content that the family's own template would silently drop or misplace; `True` by default.
        completion_to_prompt: Beside a `messages_to_prompt` callable: the same for single instructions.

    Raises:
        UsageError: There is no such format; the message lists close names.

    >>> get_format(model_id="Qwen/Qwen2.5-7B-Instruct").name
    'qwen2_5'
    """
    if name is None:
        if model_id is None:
            raise UsageError("Name a prompt format, or the model's id with model_id='...'.")
        found = _of_model(model_id)
    elif name == OWN_TEMPLATE or isinstance(name, Path) or (isinstance(name, str) and name.startswith("s3://")):
        found = _own_template(name, model_id)
    elif isinstance(name, str):
        found = _named(name)
    elif isinstance(name, PromptFormat):
        found = name
    elif isinstance(name, Mapping):
        found = TemplateFormat(template=check_template(name))
    elif callable(name):
        found = CallableFormat(name, completion_to_prompt)
    else:
        raise UsageError(f"A prompt format is a name, a PromptFormat, a callable or a mapping, not {name!r:.100}.")
    return _with_choices(found, special_tokens, strict)


def check_format_argument(name: Any) -> None:
    """Check that a client's `format=` names a prompt format, or is one; nothing is loaded from a folder or the Hub.

    Raises:
        UsageError: There is no such format; the message lists close names.
    """
    if isinstance(name, Path) or (isinstance(name, str) and (name == OWN_TEMPLATE or name.startswith("s3://"))):
        return
    get_format(name)


def _with_choices(found: PromptFormat, special_tokens: Policy | None, strict: bool | None) -> PromptFormat:
    if special_tokens not in (None, "neutralise", "allow", "error"):
        raise UsageError(f"special_tokens is 'neutralise', 'allow' or 'error', not {special_tokens!r}.")
    choices: dict[str, Any] = {}
    if special_tokens is not None:
        choices["policy"] = special_tokens
    if strict is not None:
        choices["strict"] = strict
    if not choices:
        return found
    if isinstance(found, TurnFormat):
        return replace(found, **choices)
    raise UsageError(f"The format {found.name!r} does not know special_tokens and strict.")


def _own_template(name: str | Path, model_id: str | None) -> PromptFormat:
    from sagewire.prompt_formats.chat_template import load_format

    source = model_id if name == OWN_TEMPLATE else name
    if source is None:
        raise UsageError(
            f"{OWN_TEMPLATE!r} is a model's own chat template. A client finds the model itself; here, pass model_id=."
        )
    return load_format(source)


def _named(name: str) -> PromptFormat:
    if _plugins.is_import_path(name):
        return _of_plugin(name, _plugins.load_import_path(name))
    added = _plugins.find(name, _plugins.PROMPT_FORMATS, built_in=name in FORMATS or name in LITELLM_BUILDERS)
    if added is not None:
        return _of_plugin(name, added)
    found = FORMATS.get(name) or LITELLM_BUILDERS.get(name)
    if found is not None:
        return found
    if name in HUB_ONLY:
        raise UsageError(f"The format {name!r} is not built in. {TO_OWN_TEMPLATE} (for example of {HUB_ONLY[name]!r})")
    close = close_names(name, [*known_formats(), *LITELLM_BUILDERS], 1)
    if close and re.sub(r"[\W_]", "", name).lower() == close[0].replace("_", ""):
        raise UsageError(f"There is no prompt format {name!r}; did you mean {close[0]!r}?")
    close = difflib.get_close_matches(name.lower(), [*known_formats(), *LITELLM_BUILDERS], n=5, cutoff=0.5)
    by_model = format_of_model(name)
    if by_model in FORMATS and by_model not in close:
        close.insert(0, str(by_model))
    raise UsageError(
        f"There is no prompt format {name!r}. Close names: {', '.join(close) or 'none'}. {TO_OWN_TEMPLATE}"
    )


def _of_plugin(name: str, found: Any) -> PromptFormat:
    if isinstance(found, type):
        found = found()
    if isinstance(found, str) or not (isinstance(found, PromptFormat | Mapping) or callable(found)):
        raise UsageError(f"{name!r} is not a prompt format, but of type {type(found).__name__}.")
    return get_format(found)


def _of_model(model_id: str) -> PromptFormat:
    name = format_of_model(model_id)
    if name in FORMATS:
        return FORMATS[name]
    likely = likely_format_of_model(model_id)
    hint = f" If it kept the template of the model it was made from, that may be {likely!r}." if likely else ""
    if written := format_of_mistral_library(model_id):
        hint = f" Mistral's own library writes it as {written!r}, without the system text that the Hub's template adds."
    raise UsageError(
        f"No built-in prompt format is known to be that of the model {model_id!r}. {TO_OWN_TEMPLATE} Or name a format, "
        f"or send plain text with `complete`, which needs none.{hint}"
    )


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
