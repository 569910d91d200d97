"""Detects the handlers of an endpoint's container from its description. Pure; the first rule that matches wins.

Images are matched by repository name, never by account (the same image lives in many), then by tag, then by
environment. `SAGEMAKER_PROGRAM=inference.py` decides nothing: JumpStart sets it on every image.
Sources: the AWS deep-learning-containers image lists, the djl-serving and text-generation-inference release notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sagewire._short_repr import ShortRepr
from sagewire.discovery.describe import Container, Description, first_tag
from sagewire.errors import UsageError

__all__ = ["ContainerLimits", "ContainerProfile", "detect", "vllm_thinking_field"]

# No container is configured with longer numbers.
_DIGITS = 20
_JUMPSTART_ID = ("sagemaker-sdk:jumpstart-model-id",)
_JUMPSTART_VERSION = ("sagemaker-sdk:jumpstart-model-version",)
# The environment variables in which containers are told which model to load.
_MODEL_ID = ("HF_MODEL_ID", "OPTION_MODEL_ID", "SM_VLLM_MODEL", "SM_SGLANG_MODEL_PATH", "MODEL_ID")
_CONTEXT = (
    "MAX_TOTAL_TOKENS",
    "OPTION_MAX_MODEL_LEN",
    "SM_VLLM_MAX_MODEL_LEN",
    "SM_SGLANG_CONTEXT_LENGTH",
    "CONTEXT_LENGTH",
)
_TOOL_PARSERS = ("SM_VLLM_TOOL_CALL_PARSER", "OPTION_TOOL_CALL_PARSER", "SM_SGLANG_TOOL_CALL_PARSER")
_REASONING_PARSERS = ("SM_VLLM_REASONING_PARSER", "OPTION_REASONING_PARSER", "SM_SGLANG_REASONING_PARSER")


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """Sizes the container was configured with; `None` if unknown."""

    context_window: int | None = None
    max_batch: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ContainerProfile(ShortRepr):
    """The handlers of a container by task, as names in `HANDLERS`; `None` if it has no such route.

    Args:
        container: Its name and version: `TGI 2.3.1`.
        chat: The handler for conversations.
        complete: The handler for raw text.
        embed: The handler for embeddings.
        rerank: The handler for reranking.
        model_id: The model's hub or JumpStart id, from which the prompt format follows.
        model_files: Hub id or S3 address of the model's files, including its chat template.
        tools: Whether the server has a tool-call parser; `None` if that cannot be seen.
        adds_bos: Whether the tokenizer puts the beginning-of-text token before a text; `None` if that cannot be seen.
        reasoning: Whether the server has a reasoning parser; `None` if that cannot be seen.
        thinking_field: The message field for an assistant's earlier reasoning; `None` if there is no such field.
        limits: Configured sizes.
        reasons: Which facts led to this, in order.
        parameters: InvokeEndpoint parameters that every call needs (the container's hostname).
    """

    container: str
    chat: str | None = None
    complete: str | None = None
    embed: str | None = None
    rerank: str | None = None
    model_id: str | None = None
    model_files: str | None = None
    tools: bool | None = None
    adds_bos: bool | None = None
    reasoning: bool | None = None
    thinking_field: str | None = None
    limits: ContainerLimits = ContainerLimits()
    reasons: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Clues:
    """One container's facts in the form the rules ask for them."""

    repository: str
    tag: str
    env: Mapping[str, str]
    package: str
    jumpstart_id: str
    jumpstart_version: str

    def setting(self, *names: str) -> str:
        return next((self.env[name] for name in names if self.env.get(name)), "")

    def on(self, name: str) -> bool:
        return self.env.get(name, "").lower() in {"true", "1", "yes", "on"}


def detect(found: Description, hostname: str | None = None) -> ContainerProfile:
    """Return the profile of an endpoint's container.

    Args:
        found: The control plane's description.
        hostname: The container to talk to, in a multi-container endpoint whose caller picks one.

    Raises:
        UsageError: The endpoint has several components or containers and none was named, or the container is not
            known; the message says what was seen and how to name the handler.
    """
    if not found.containers and len(found.components) > 1:
        raise UsageError(
            f"endpoint '{found.endpoint}' has several inference components; give inference_component_name=, "
            f"one of: {', '.join(sorted(found.components))}"
        )
    container = _speaking_container(found, hostname)
    clues = _clues(container, found.tags)
    for matches, rule in _RULES:
        if matches(clues):
            profile = rule(clues)
            break
    else:
        seen = container.image or container.model_package or "; ".join(("no image is visible", *found.incomplete))
        raise UsageError(
            f"endpoint '{found.endpoint}' runs a container sagewire does not know ({seen}); name its handler, "
            "for example handler='openai_chat' (`sagewire handlers` lists them)"
        )
    return _complete_facts(profile, clues, container, found)


def _speaking_container(found: Description, hostname: str | None) -> Container:
    containers = found.containers or (Container(),)
    if hostname is not None:
        for container in containers:
            if container.hostname == hostname:
                return container
    if found.direct and len(containers) > 1:
        known = ", ".join(container.hostname or "(unnamed)" for container in containers)
        raise UsageError(
            f"endpoint '{found.endpoint}' has several containers; pick one with "
            f"endpoint_kwargs={{'TargetContainerHostname': ...}}, one of: {known}"
        )
    # A serial pipeline answers in the words of its last container.
    return containers[-1]


def _clues(container: Container, tags: Mapping[str, str]) -> _Clues:
    name, _, digest = container.image.partition("@")
    path, _, tag = name.partition(":")
    return _Clues(
        repository=path.rsplit("/", 1)[-1],
        tag=tag or digest,
        env=container.environment,
        package=(container.model_package or "").rsplit("/", 1)[-1],
        jumpstart_id=first_tag(tags, _JUMPSTART_ID) or "",
        jumpstart_version=first_tag(tags, _JUMPSTART_VERSION) or "",
    )


def _complete_facts(
    profile: ContainerProfile, clues: _Clues, container: Container, found: Description
) -> ContainerProfile:
    reasons = [f"image {clues.repository}:{clues.tag}" if clues.repository else f"model package {clues.package}"]
    if clues.jumpstart_id:
        reasons.append(f"JumpStart model {clues.jumpstart_id} {clues.jumpstart_version}".strip())
    parameters: list[tuple[str, str]] = []
    if found.inference_component:
        # Calls to an endpoint with components must name one, also if there is only one.
        parameters.append(("InferenceComponentName", found.inference_component))
    if found.direct and container.hostname:
        parameters.append(("TargetContainerHostname", container.hostname))
    return replace(
        profile,
        model_id=profile.model_id or _model_id(clues),
        model_files=_model_files(clues, container),
        tools=profile.tools if profile.tools is not None else _switched_on(clues, _TOOL_PARSERS, profile),
        reasoning=_switched_on(clues, _REASONING_PARSERS, profile),
        limits=ContainerLimits(_number(clues.setting(*_CONTEXT)), _number(clues.setting("MAX_CLIENT_BATCH_SIZE"))),
        reasons=(*reasons, *profile.reasons),
        parameters=tuple(parameters),
    )


def _model_id(clues: _Clues) -> str | None:
    configured = clues.setting(*_MODEL_ID)
    # A path (/opt/ml/model, s3://...) is the location of the weights, not the model's name.
    if configured and not configured.startswith(("/", "s3:")):
        return configured
    return clues.jumpstart_id or None


def _model_files(clues: _Clues, container: Container) -> str | None:
    configured = clues.setting(*_MODEL_ID)
    # A local path (/opt/ml/model) is where SageMaker puts the artifacts.
    return configured if configured and not configured.startswith("/") else container.model_data


def _switched_on(clues: _Clues, names: tuple[str, ...], profile: ContainerProfile) -> bool | None:
    if clues.setting(*names):
        return True
    return False if profile.chat in {"openai_chat", "lmi_chat", "sglang"} else None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def _version(tag: str, marker: str) -> tuple[int, ...]:
    found = re.search(marker + r"(\d{1,9}(?:\.\d{1,9})*)", tag)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "of unknown version"


# ----------------------------------------------------------------------------------------------------------- rules


def _nova(clues: _Clues) -> ContainerProfile:
    return ContainerProfile("Amazon Nova", chat="nova", complete="nova")


def _vllm(clues: _Clues) -> ContainerProfile:
    task = clues.setting("SM_VLLM_TASK", "SM_VLLM_CONVERT").lower()
    name = f"vLLM {clues.tag.partition('-')[0]}".strip()
    if task in {"score", "rerank", "reward", "classify"}:
        return ContainerProfile(name, rerank="vllm_rerank", reasons=(f"SM_VLLM_TASK={task}",))
    if task.startswith("embed") or clues.setting("SM_VLLM_RUNNER").lower() == "pooling":
        return ContainerProfile(name, embed="openai_embeddings", rerank="vllm_rerank", reasons=("a pooling model",))
    field = vllm_thinking_field(_version(clues.tag, r"^v?"))
    return ContainerProfile(name, chat="openai_chat", complete="openai_completions", thinking_field=field)


def vllm_thinking_field(version: tuple[int, ...]) -> str:
    """Return the field in which a release of vLLM looks for earlier reasoning; 0.12 renamed it."""
    return "reasoning_content" if version and version < (0, 12) else "reasoning"


def _sglang(clues: _Clues) -> ContainerProfile:
    return ContainerProfile("SGLang", chat="sglang", thinking_field="reasoning_content")


def _llamacpp(clues: _Clues) -> ContainerProfile:
    return ContainerProfile("llama.cpp", chat="llamacpp", tools=None, thinking_field="reasoning_content")


def _tgi(clues: _Clues) -> ContainerProfile:
    version = _version(clues.tag, r"tgi")
    name = f"TGI {_dotted(version)}"
    if version >= (2, 4):
        # From 2.4.0 one route takes inputs, messages and prompt alike.
        return ContainerProfile(
            name, chat="tgi_chat", complete="tgi", tools=True, reasons=("2.4 or newer takes messages",)
        )
    if version >= (1, 4) and clues.on("MESSAGES_API_ENABLED"):
        return ContainerProfile(name, chat="tgi_chat", reasons=("MESSAGES_API_ENABLED",))
    return ContainerProfile(name, chat="tgi", complete="tgi", tools=False)


def _tei(clues: _Clues) -> ContainerProfile:
    # The server binds /invocations to the model's task at start, so both handlers are offered.
    return ContainerProfile(f"TEI {_dotted(_version(clues.tag, r'tei'))}", embed="tei", rerank="tei_rerank")


def _lmi(clues: _Clues) -> ContainerProfile:
    djl = _version(clues.tag, r"^")
    name = f"LMI {_dotted(djl)}"
    task = clues.setting("OPTION_TASK").lower().replace("_", "-")
    if task in {"text-embedding", "embed", "embedding", "feature-extraction"}:
        return ContainerProfile(name, embed="lmi_embedding", reasons=(f"OPTION_TASK={task}",))
    if task in {"rerank", "reranking", "text-rerank", "score", "text-classification"}:
        return ContainerProfile(name, rerank="lmi_rerank", reasons=(f"OPTION_TASK={task}",))
    generate = "tgi" if clues.on("OPTION_TGI_COMPAT") else "lmi"
    notes = ("OPTION_TGI_COMPAT",) if generate == "tgi" else ()
    if "deepspeed" in clues.tag or "fastertransformer" in clues.tag or "cpu-full" in clues.tag:
        return _jumpstart_llama2(clues) or ContainerProfile(name, chat="lmi", complete="lmi", tools=False)
    if djl and djl < (0, 27):
        return ContainerProfile(
            name, chat=generate, complete=generate, tools=False, reasons=(*notes, "no chat route before 0.27")
        )
    # 0.36 (LMI 18) came with vLLM 0.12.
    field = "reasoning_content" if djl and djl < (0, 36) else "reasoning"
    return ContainerProfile(name, chat="lmi_chat", complete=generate, reasons=notes, thinking_field=field)


def _jumpstart_llama2(clues: _Clues) -> ContainerProfile | None:
    old = clues.jumpstart_version.startswith(("1.", "2."))
    if not (old and re.search(r"llama-2-\d+b", clues.jumpstart_id)):
        return None
    if clues.jumpstart_id.endswith("-f"):
        return ContainerProfile("JumpStart Llama 2", chat="jumpstart_dialog", tools=False, reasons=("dialog schema",))
    return ContainerProfile("JumpStart Llama 2", chat="jumpstart_llama2", complete="jumpstart_llama2", tools=False)


# HF_TASK of the Hugging Face toolkit -> handler. Translation tasks carry their languages: translation_en_to_fr.
_PIPELINES = {
    "fill-mask": "hf_fill_mask",
    "question-answering": "hf_question_answering",
    "summarization": "hf_summarization",
    "text-classification": "hf_classification",
    "text-generation": "hf_pipeline",
    "text2text-generation": "hf_text2text",
    "token-classification": "hf_token_classification",
    "translation": "hf_translation",
    "zero-shot-classification": "hf_zero_shot",
}


def _toolkit(clues: _Clues) -> ContainerProfile:
    task = clues.setting("HF_TASK").lower()
    if not task and clues.jumpstart_id:
        return _jumpstart_script(clues)
    if task in {"feature-extraction", "sentence-similarity"}:
        return ContainerProfile("HF inference toolkit", embed="hf_feature_extraction", reasons=(f"HF_TASK={task}",))
    reason = f"HF_TASK={task}" if task else "no HF_TASK: text-generation is assumed"
    name = _PIPELINES.get("translation" if task.startswith("translation") else task or "text-generation")
    if name is None:
        raise UsageError(
            f"this container runs the pipeline HF_TASK={task}, for which sagewire has no handler; pass your own"
        )
    return ContainerProfile("HF inference toolkit", chat=name, complete=name, tools=False, reasons=(reason,))


def _jumpstart_script(clues: _Clues) -> ContainerProfile:
    model = clues.jumpstart_id
    if "embedding" in model or "sentencesimilarity" in model:
        return ContainerProfile("JumpStart script", embed="jumpstart_embedding")
    if "text2text" in model:
        name = "jumpstart_text2text"
    else:
        name = "jumpstart_textgeneration" if "textgeneration" in model else "jumpstart_xtext"
    return ContainerProfile("JumpStart script", chat=name, complete=name, tools=False)


def _triton(clues: _Clues) -> ContainerProfile:
    mode = clues.setting("SAGEMAKER_TRITON_INFERENCE_TYPE") or "infer"
    if mode == "infer":
        # The names of its tensors are in the model's configuration, which cannot be read from outside.
        return ContainerProfile(
            "Triton",
            complete="triton_infer",
            embed="triton_embedding",
            tools=False,
            reasons=("mode infer: tensors named text_input and text_output are assumed",),
        )
    return ContainerProfile("Triton", chat="triton", complete="triton", tools=False, reasons=(f"mode {mode}",))


def _cohere(clues: _Clues) -> ContainerProfile:
    if "rerank" in clues.package:
        return ContainerProfile("Cohere", rerank="cohere_rerank")
    if "embed" in clues.package:
        return ContainerProfile("Cohere", embed="cohere_embed")
    return ContainerProfile("Cohere", chat="cohere")


def _in_repository(*names: str) -> Callable[[_Clues], bool]:
    return lambda clues: any(name in clues.repository for name in names)


def _in_package(*prefixes: str) -> Callable[[_Clues], bool]:
    return lambda clues: clues.package.startswith(prefixes)


_RULES: tuple[tuple[Callable[[_Clues], bool], Callable[[_Clues], ContainerProfile]], ...] = (
    (_in_repository("nova-inference-repo"), _nova),
    (_in_repository("vllm"), _vllm),
    (_in_repository("sglang"), _sglang),
    (_in_repository("llamacpp", "llama-cpp"), _llamacpp),
    (_in_repository("tgi-inference"), _tgi),
    (lambda clues: clues.repository in {"tei", "tei-cpu"} or "huggingface-tei" in clues.repository, _tei),
    (_in_repository("djl-inference"), _lmi),
    (_in_repository("huggingface-pytorch-inference", "huggingface-tensorflow-inference"), _toolkit),
    (_in_repository("sagemaker-tritonserver"), _triton),
    (
        lambda clues: (
            bool(clues.jumpstart_id)
            and clues.repository.startswith(("pytorch-inference", "tensorflow-inference", "mxnet-inference"))
        ),
        _jumpstart_script,
    ),
    (_in_package("cohere-"), _cohere),
    (
        _in_package("j2-"),
        lambda _: ContainerProfile("AI21 Jurassic-2", chat="ai21_j2", complete="ai21_j2", tools=False),
    ),
    (_in_package("jamba-"), lambda _: ContainerProfile("AI21 Jamba", chat="ai21_jamba")),
)
