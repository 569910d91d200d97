"""Makes the models the real servers load: a few thousand random numbers each, and a tokenizer trained on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

TEXT = """The harbour opens at six and the ferry leaves at seven. A ticket costs four euros and children travel free.
Question: when does the office close? Answer: it closes at five in the afternoon, and on Sundays at noon."""
SPECIAL = ["<|im_start|>", "<|im_end|>", "<pad>", "<mask>", "<cls>", "<sep>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Family(NamedTuple):
    """A family's control tokens and its chat template, for a file that llama.cpp reads."""

    bos: str
    tokens: tuple[str, ...]
    template: str
    adds_bos: bool = True


_LLAMA3 = Family(
    "<|begin_of_text|>",
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
)
FAMILIES = {
    "tiny": Family("<|im_start|>", (), TEMPLATE, adds_bos=False),
    "llama3": _LLAMA3,
    # As some publishers write their files, since the template has the token already.
    "llama3-without": _LLAMA3._replace(adds_bos=False),
    "gemma2": Family(
        "<bos>",
        ("<start_of_turn>", "<end_of_turn>"),
        "{{ bos_token }}{% for message in messages %}<start_of_turn>"
        "{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    "llama2": Family(
        "<s>",
        ("</s>",),
        "{% for message in messages %}{% if message.role == 'user' %}{{ bos_token }}[INST] {{ message.content }}"
        " [/INST]"
        "{% else %} {{ message.content }} </s>{% endif %}{% endfor %}",
    ),
    "chatml": Family("<|endoftext|>", (), TEMPLATE, adds_bos=False),
    # A model that was tuned on another family's prompt, and whose tokenizer adds its own token all the same.
    "chatml-with": Family("<s>", (), TEMPLATE),
}
WIDTH, LAYERS, HEADS, INNER, CONTEXT = 32, 2, 2, 64, 2048


def make_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer, as GPT-2's and Llama 3's are."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([TEXT], vocab_size=256 + len(SPECIAL) + 60, special_tokens=SPECIAL, show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        mask_token="<mask>",
        cls_token="<cls>",
        sep_token="<sep>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def save_generator(folder: Path) -> Path:
    """Write a Llama that says nothing but plain ASCII when it is greedy, and return its folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        initializer_range=0.8,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    with torch.no_grad():
        for number, word in enumerate(words):
            # Half a character or a special token would make the answer depend on who decodes it.
            if word in SPECIAL or not word.replace("Ġ", "").isalpha() or not word.replace("Ġ", "").isascii():
                model.lm_head.weight[number] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_gguf(source: Path, path: Path, family: Family) -> Path:
    """Write the Llama of `save_generator`, with a family's tokens and template, as llama.cpp reads it."""
    import json

    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]
    ids = {**vocabulary["vocab"]}
    words = sorted(ids, key=ids.__getitem__)
    words += [word for word in (family.bos, *family.tokens) if word not in ids]
    more = len(words) - len(ids)
    ids = {word: number for number, word in enumerate(words)}
    special = {*SPECIAL, family.bos, *family.tokens}
    kinds = [gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in vocabulary["merges"]])
    writer.add_bos_token_id(ids[family.bos])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<pad>"])
    writer.add_add_bos_token(family.adds_bos)
    writer.add_chat_template(family.template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, values in load_file(source / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # llama.cpp turns pairs of neighbours, transformers the two split_batch.
            half = WIDTH // HEADS // 2
            values = values.reshape(HEADS, 2, half, WIDTH).swapaxes(1, 2).reshape(values.shape)
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            # None of the new tokens is ever said.
            values = np.concatenate([values, np.zeros((more, WIDTH), values.dtype)])
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def save_for_task(task: str, folder: Path) -> Path:
    """Write a model for one of transformers' other pipelines, and return its folder."""
    import torch
    import transformers

    tokenizer = make_tokenizer()
    torch.manual_seed(11)
    if task in {"summarization", "translation", "text2text-generation"}:
        config = transformers.BartConfig(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=INNER,
            decoder_ffn_dim=INNER,
            max_position_embeddings=CONTEXT,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.bos_token_id,
            forced_eos_token_id=tokenizer.eos_token_id,
        )
    else:
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=HEADS,
            intermediate_size=INNER,
            max_position_embeddings=CONTEXT,
            pad_token_id=tokenizer.pad_token_id,
            **LABELS.get(task, {}),
        )
    model = getattr(transformers, ARCHITECTURES[task])(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


ARCHITECTURES = {
    "feature-extraction": "BertModel",
    "fill-mask": "BertForMaskedLM",
    "question-answering": "BertForQuestionAnswering",
    "summarization": "BartForConditionalGeneration",
    "text-classification": "BertForSequenceClassification",
    "text2text-generation": "BartForConditionalGeneration",
    "token-classification": "BertForTokenClassification",
    "translation": "BartForConditionalGeneration",
    "zero-shot-classification": "BertForSequenceClassification",
}


def _labels(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}


LABELS = {
    "text-classification": _labels("NEGATIVE", "POSITIVE"),
    "token-classification": _labels("O", "B-PER", "I-PER"),
    "zero-shot-classification": _labels("contradiction", "neutral", "entailment"),
}


def main(what: str, target: str, source: str | None = None) -> None:
    """Write one model; run as a script by the interpreter that has PyTorch."""
    if what == "text-generation":
        save_generator(Path(target))
    elif what.startswith("gguf-"):
        save_gguf(Path(str(source)), Path(target), FAMILIES[what.removeprefix("gguf-")])
    else:
        save_for_task(what, Path(target))


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
