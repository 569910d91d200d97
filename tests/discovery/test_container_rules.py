"""The decision table: image, tag, environment and tags in, handler names out."""

import pytest

from sagewire.discovery.container_rules import ContainerProfile, detect
from sagewire.discovery.describe import Container, Description
from sagewire.errors import NotReady, UsageError

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


def seen(
    image: str = "", env: dict[str, str] | None = None, package: str | None = None, **tags: str
) -> ContainerProfile:
    container = Container(f"{REGISTRY}/{image}" if image else "", env or {}, model_package=package)
    prefixed = {f"sagemaker-sdk:jumpstart-{name.replace('_', '-')}": value for name, value in tags.items()}
    return detect(Description("e", "InService", (container,), tags=prefixed))


@pytest.mark.parametrize(
    ("image", "env", "chat", "complete"),
    [
        ("huggingface-pytorch-tgi-inference:2.0.1-tgi1.1.0-gpu-py39-cu118-ubuntu20.04", {}, "tgi", "tgi"),
        ("huggingface-pytorch-tgi-inference:2.1.1-tgi1.4.2-gpu-py310", {}, "tgi", "tgi"),
        (
            "huggingface-pytorch-tgi-inference:2.1.1-tgi1.4.2-gpu-py310",
            {"MESSAGES_API_ENABLED": "true"},
            "tgi_chat",
            None,
        ),
        ("huggingface-pytorch-tgi-inference:2.4.0-tgi2.3.1-gpu-py311", {}, "tgi", "tgi"),
        ("huggingface-pytorch-tgi-inference:2.6.0-tgi3.2.3-gpu-py311", {}, "tgi_chat", "tgi"),
        # The flag decides only for 1.4 to 2.3: before, it did not exist.
        ("huggingface-pytorch-tgi-inference:2.0.1-tgi1.1.0-gpu", {"MESSAGES_API_ENABLED": "true"}, "tgi", "tgi"),
        ("djl-inference:0.33.0-lmi15.0.0-cu128", {}, "lmi_chat", "lmi"),
        ("djl-inference:0.33.0-lmi15.0.0-cu128", {"OPTION_TGI_COMPAT": "true"}, "lmi_chat", "tgi"),
        ("djl-inference:0.26.0-deepspeed0.12.6-cu121", {}, "lmi", "lmi"),
        ("djl-inference:0.30.0-tensorrtllm0.12.0-cu125", {}, "lmi_chat", "lmi"),
        ("vllm:0.11.2-gpu-py312-cu129-ubuntu22.04-sagemaker", {}, "openai_chat", "openai_completions"),
        ("huggingface-vllm-inference-neuronx:0.9.1", {}, "openai_chat", "openai_completions"),
        ("sglang:0.5.5-gpu-py312-cu129-sagemaker", {}, "sglang", None),
        ("huggingface-llamacpp:b6000-cpu", {}, "llamacpp", None),
        ("nova-inference-repo:SM-Inference-latest", {}, "nova", "nova"),
        (
            "huggingface-pytorch-inference:2.1.0-transformers4.37.0-gpu",
            {"HF_TASK": "summarization"},
            "hf_summarization",
            "hf_summarization",
        ),
        ("sagemaker-tritonserver:24.09-py3", {"SAGEMAKER_TRITON_INFERENCE_TYPE": "generate"}, "triton", "triton"),
        ("sagemaker-tritonserver:24.09-py3", {}, None, "triton_infer"),
    ],
)
def test_text_containers(image, env, chat, complete):
    dialect = seen(image, env)
    assert (dialect.chat, dialect.complete) == (chat, complete)


@pytest.mark.parametrize(
    ("image", "env", "embed", "rerank"),
    [
        ("tei:2.0.1-tei1.8.2-gpu-py310-cu122-ubuntu22.04", {}, "tei", "tei_rerank"),
        ("vllm:0.11.2-gpu-sagemaker", {"SM_VLLM_RUNNER": "pooling"}, "openai_embeddings", "vllm_rerank"),
        ("sagemaker-tritonserver:24.09-py3", {}, "triton_embedding", None),
        ("djl-inference:0.33.0-lmi15.0.0-cu128", {"OPTION_TASK": "text_embedding"}, "lmi_embedding", None),
        (
            "huggingface-pytorch-inference:2.1.0-transformers4.37.0-cpu",
            {"HF_TASK": "feature-extraction"},
            "hf_feature_extraction",
            None,
        ),
    ],
)
def test_vector_containers(image, env, embed, rerank):
    dialect = seen(image, env)
    assert (dialect.embed, dialect.rerank, dialect.chat) == (embed, rerank, None)


def test_sagemaker_program_decides_nothing():
    # JumpStart sets it on LMI, TGI and vLLM images alike.
    env = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    assert seen("djl-inference:0.34.0-lmi16.0.0-cu128", env, model_id="openai-reasoning-gpt-oss-20b").chat == "lmi_chat"


def test_one_jumpstart_id_speaks_differently_by_version():
    old = seen("djl-inference:0.23.0-deepspeed0.9.5-cu118", model_id="m-llama-2-7b-f", model_version="2.0.4")
    new = seen("djl-inference:0.27.0-lmi9.0.0", model_id="m-llama-2-7b-f", model_version="4.1.0")
    assert (old.chat, new.chat) == ("jumpstart_dialog", "lmi_chat")


def test_marketplace_packages_are_known_by_their_name():
    arn = "arn:aws:sagemaker:us-east-1:865070037744:model-package/{}"
    assert seen(package=arn.format("cohere-command-r-v2-b1")).chat == "cohere"
    assert seen(package=arn.format("cohere-embed-multilingual-v3")).embed == "cohere_embed"
    assert seen(package=arn.format("cohere-rerank-v3")).rerank == "cohere_rerank"
    assert seen(package=arn.format("jamba-1-5-mini")).chat == "ai21_jamba"


def test_model_id_limits_and_parsers_come_from_the_environment():
    env = {
        "HF_MODEL_ID": "Qwen/Qwen2.5-7B-Instruct",
        "SM_VLLM_MAX_MODEL_LEN": "8192",
        "SM_VLLM_TOOL_CALL_PARSER": "hermes",
    }
    dialect = seen("vllm:0.11.2-gpu-sagemaker", env)
    assert (dialect.model_id, dialect.limits.context_window) == ("Qwen/Qwen2.5-7B-Instruct", 8192)
    assert (dialect.tools, dialect.reasoning) == (True, False)
    assert seen("vllm:0.11.2-gpu-sagemaker", {"HF_MODEL_ID": "/opt/ml/model"}).model_id is None


def test_a_serial_pipeline_answers_in_the_words_of_its_last_container():
    first = Container(f"{REGISTRY}/sagemaker-scikit-learn:1.2-1")
    last = Container(f"{REGISTRY}/vllm:0.11.2-gpu-sagemaker", hostname="llm")
    assert detect(Description("e", "InService", (first, last))).chat == "openai_chat"
    with pytest.raises(UsageError, match="TargetContainerHostname"):
        detect(Description("e", "InService", (first, last), direct=True))
    chosen = detect(Description("e", "InService", (first, last), direct=True), hostname="llm")
    assert chosen.parameters == (("TargetContainerHostname", "llm"),)


def test_what_is_not_known_is_named():
    with pytest.raises(UsageError, match=r"my-own-image.*handler="):
        seen("my-own-image:1")
    with pytest.raises(UsageError, match="adapter-a, base"):
        detect(Description("e", "InService", components=("adapter-a", "base")))


def test_the_environment_is_not_shown():
    container = Container(f"{REGISTRY}/vllm:1", {"HF_TOKEN": "hf_not_to_be_seen"})
    found = Description("e", "InService", (container,))
    assert "hf_not_to_be_seen" not in repr(found)
    assert "hf_not_to_be_seen" not in repr(detect(found))


def test_status_is_understood():
    for status in ("Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"):
        Description("e", status).require_serving()
    with pytest.raises(NotReady, match="'e' is Creating"):
        Description("e", "Creating").require_serving()
    with pytest.raises(NotReady, match="scaled to zero"):
        Description("e", "InService", inference_component="ic", copies=0).require_serving()
