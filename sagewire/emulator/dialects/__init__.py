"""The serving containers the emulator can be, and the visible table of their names."""

from __future__ import annotations

from sagewire.emulator.dialects.base import Container, Dialect
from sagewire.emulator.dialects.cohere import Cohere, CohereEmbed, CohereRerank
from sagewire.emulator.dialects.hf_pipeline import HfPipeline, pipeline
from sagewire.emulator.dialects.jumpstart import (
    JumpStartDialog,
    JumpStartEmbedding,
    JumpStartLlama2,
    JumpStartText2Text,
    JumpStartTextGeneration,
)
from sagewire.emulator.dialects.jurassic import Jurassic2
from sagewire.emulator.dialects.llamacpp import LlamaCpp
from sagewire.emulator.dialects.lmi import Lmi, LmiAsync, LmiSse
from sagewire.emulator.dialects.nova import Jamba, Nova
from sagewire.emulator.dialects.pooling import LmiEmbedding, LmiRerank, LmiVllmEmbedding, VllmPooling, VllmRerank
from sagewire.emulator.dialects.sglang import Sglang
from sagewire.emulator.dialects.tei import Tei, TeiClassify, TeiRerank
from sagewire.emulator.dialects.tgi import Tgi, Tgi1, TgiChat
from sagewire.emulator.dialects.triton import Triton, TritonEmbedding, TritonInfer, TritonLlmApi, TritonStream
from sagewire.emulator.dialects.vllm import OpenAiChat, OpenAiCompletions
from sagewire.errors import UsageError, unknown_name

__all__ = ["DIALECTS", "Container", "Dialect", "get_dialect"]

# The names are the wires', as those of the content handlers are.
DIALECTS: dict[str, type[Dialect]] = {
    "ai21_j2": Jurassic2,
    "ai21_jamba": Jamba,
    "cohere": Cohere,
    "cohere_embed": CohereEmbed,
    "cohere_rerank": CohereRerank,
    "hf_classification": pipeline("text-classification", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"),
    "hf_feature_extraction": pipeline("feature-extraction", "sentence-transformers/all-MiniLM-L6-v2"),
    "hf_fill_mask": pipeline("fill-mask", "google-bert/bert-base-uncased"),
    "hf_pipeline": HfPipeline,
    "hf_question_answering": pipeline("question-answering", "distilbert/distilbert-base-cased-distilled-squad"),
    "hf_summarization": pipeline("summarization", "facebook/bart-large-cnn"),
    "hf_text2text": pipeline("text2text-generation", "google/flan-t5-base"),
    "hf_token_classification": pipeline("token-classification", "dslim/bert-base-NER"),
    "hf_translation": pipeline("translation_en_to_fr", "google-t5/t5-base"),
    "hf_zero_shot": pipeline("zero-shot-classification", "facebook/bart-large-mnli"),
    "jumpstart_dialog": JumpStartDialog,
    "jumpstart_embedding": JumpStartEmbedding,
    "jumpstart_llama2": JumpStartLlama2,
    "jumpstart_text2text": JumpStartText2Text,
    "jumpstart_textgeneration": JumpStartTextGeneration,
    "llamacpp": LlamaCpp,
    "lmi": Lmi,
    "lmi_async": LmiAsync,
    "lmi_embedding": LmiEmbedding,
    "lmi_rerank": LmiRerank,
    "lmi_tgi_compat": LmiSse,
    "lmi_vllm_embedding": LmiVllmEmbedding,
    "nova": Nova,
    "openai_chat": OpenAiChat,
    "openai_completions": OpenAiCompletions,
    "sglang": Sglang,
    "tei": Tei,
    "tei_classify": TeiClassify,
    "tei_rerank": TeiRerank,
    "tgi": Tgi,
    "tgi_1": Tgi1,
    "tgi_chat": TgiChat,
    "triton": Triton,
    "triton_embedding": TritonEmbedding,
    "triton_infer": TritonInfer,
    "triton_llm_api": TritonLlmApi,
    "triton_stream": TritonStream,
    "vllm_pooling": VllmPooling,
    "vllm_rerank": VllmRerank,
}
# Other names by which handlers know the same containers.
DIALECTS |= {
    "jumpstart_xtext": DIALECTS["jumpstart_text2text"],
    "lmi_chat": DIALECTS["lmi_async"],
    "mistral": DIALECTS["openai_chat"],
    "openai_embeddings": DIALECTS["vllm_pooling"],
}


def get_dialect(dialect: str | Dialect) -> Dialect:
    """Return the dialect of a name; objects pass through.

    Raises:
        UsageError: The name is unknown.
    """
    if not isinstance(dialect, str):
        return dialect
    if dialect not in DIALECTS:
        raise UsageError(unknown_name(dialect, DIALECTS, "dialect"))
    return DIALECTS[dialect]()
