"""The answers of each transformers pipeline: the shapes are the pipelines' own, the content comes from simple rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sagewire.emulator import vectors
from sagewire.emulator.dialects.base import Container
from sagewire.emulator.engines.base import Turn, sampling_of
from sagewire.emulator.engines.extractive import answer
from sagewire.types import Message

__all__ = ["TASKS", "PipelineError"]

JSON = dict[str, Any]
_GENERATION = frozenset(
    """
    max_new_tokens max_length min_new_tokens min_length do_sample temperature top_k top_p typical_p min_p num_beams
    num_return_sequences repetition_penalty length_penalty no_repeat_ngram_size early_stopping
    return_text clean_up_tokenization_spaces eos_token_id pad_token_id use_cache penalty_alpha stop_strings
    diversity_penalty encoder_no_repeat_ngram_size prefix handle_long_generation truncation src_lang tgt_lang
    """.split()  # noqa: SIM905 - a paragraph reads better than thirty quoted words
)
# Settings of a search, which only engines that search look at.
_SEARCH = ("num_beams", "length_penalty", "no_repeat_ngram_size", "penalty_alpha", "diversity_penalty")
_GOOD = frozenset("good great love loved excellent happy wonderful best like amazing nice fantastic".split())  # noqa: SIM905
_BAD = frozenset("bad terrible hate hated awful sad worst poor horrible boring wrong broken not".split())  # noqa: SIM905
_MASK = re.compile(r"\[MASK\]|<mask>")
_ENTITY = re.compile(r"\b[A-Z][a-z]+(?:'[a-z]+)?\b")


class PipelineError(Exception):
    """An exception in a pipeline."""


def _check(parameters: Mapping[str, Any]) -> None:
    unknown = [name for name in parameters if name not in _GENERATION]
    if unknown:
        # transformers/generation/utils.py, _validate_model_kwargs
        raise PipelineError(
            f"The following `model_kwargs` are not used by the model: {unknown} (note: typos in the generate "
            "arguments will also show up in this list)"
        )
    temperature = parameters.get("temperature")
    if temperature is not None and temperature <= 0 and parameters.get("do_sample"):
        # transformers/generation/logits_process.py, TemperatureLogitsWarper
        cure = "" if temperature else " If you're looking for greedy decoding strategies, set `do_sample=False`."
        raise PipelineError(
            f"`temperature` (={temperature}) has to be a strictly positive float, otherwise your next token scores "
            f"will be invalid.{cure}"
        )


def _texts(inputs: Any) -> list[str]:
    texts = inputs if isinstance(inputs, list) else [inputs]
    if not texts or not all(isinstance(text, str) for text in texts):
        # transformers/tokenization_utils_base.py
        raise PipelineError(
            "text input must be of type `str` (single example), `List[str]` (batch or single pretokenized example) or "
            "`List[List[str]]` (batch of pretokenized examples)."
        )
    return texts


def _prompts(inputs: Any) -> list[str]:
    # transformers/pipelines/text_generation.py puts a prefix in front before anyone looks at the type.
    for text in inputs if isinstance(inputs, list) else [inputs]:
        if not isinstance(text, str):
            raise PipelineError(f'can only concatenate str (not "{type(text).__name__}") to str')
    return _texts(inputs)


def _generate(container: Container, text: str, parameters: Mapping[str, Any], default: int) -> list[str]:
    _check(parameters)
    stops = parameters.get("stop_strings") or ()
    said = []
    for choice in range(parameters.get("num_return_sequences") or 1):
        turn = Turn(
            prompt=text,
            max_tokens=parameters.get("max_new_tokens") or parameters.get("max_length") or default,
            stop=(stops,) if isinstance(stops, str) else tuple(stops),
            temperature=0 if parameters.get("do_sample") is False else parameters.get("temperature"),
            top_p=parameters.get("top_p"),
            sampling=sampling_of(parameters) | {name: parameters[name] for name in _SEARCH if parameters.get(name)},
            choice=choice,
        )
        said.append(container.generation(turn, keep_stop=True).collect().text)
    return said


def _text_generation(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    parameters = {**parameters}
    whole = parameters.pop("return_full_text", None) is not False
    answers = [
        [{"generated_text": (text if whole else "") + said} for said in _generate(container, text, parameters, 256)]
        for text in _prompts(inputs)
    ]
    return answers if isinstance(inputs, list) else answers[0]


def _seq2seq(key: str) -> Callable[[Any, Mapping[str, Any], Container], Any]:
    def task(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
        return [{key: said} for text in _texts(inputs) for said in _generate(container, text, parameters, 128)]

    return task


def _question_answering(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    if isinstance(inputs, str | list):
        # transformers/pipelines/question_answering.py takes text for a list, and complains of its first letter.
        raise PipelineError(f"{next(iter(inputs), '')} argument needs to be of type (SquadExample, dict)")
    if not isinstance(inputs, dict) or not {"question", "context"} <= inputs.keys():
        raise PipelineError("Questions in SQuAD format need the keys `question` and `context`")
    context, question = str(inputs["context"]), str(inputs["question"])
    found = answer([Message("user", f"{context}\n\nQuestion: {question}\nAnswer:")])
    start = max(0, context.find(found))
    found = context[start : start + len(found)] if found in context else context[:20]
    return {"score": 0.9, "start": start, "end": start + len(found), "answer": found}


def _feature_extraction(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    # Each text is a batch of one (1 x tokens x dimensions), so a list of texts is answered one level deeper.
    answers = [[rows] for rows in container.token_vectors(_texts(inputs))]
    return answers if isinstance(inputs, list) else answers[0]


def _classification(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    answers = []
    for text in _texts(inputs):
        words = re.findall(r"[a-z]+", text.lower())
        balance = sum(word in _GOOD for word in words) - sum(word in _BAD for word in words)
        answers.append({"label": "POSITIVE" if balance >= 0 else "NEGATIVE", "score": 0.9 if balance else 0.5})
    return answers


def _token_classification(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    answers = [
        [
            {
                "entity": "I-PER",
                "score": 0.9,
                "index": number + 1,
                "word": match[0],
                "start": match.start(),
                "end": match.end(),
            }
            for number, match in enumerate(_ENTITY.finditer(text))
        ]
        for text in _texts(inputs)
    ]
    return answers if isinstance(inputs, list) else answers[0]


def _zero_shot(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    labels = parameters.get("candidate_labels")
    if labels is None:
        raise PipelineError("object of type 'NoneType' has no len()")
    if isinstance(labels, str):
        labels = [label.strip() for label in labels.split(",")]
    if not labels:
        raise PipelineError("You must include at least one label and at least one sequence.")
    answers = []
    for text in _texts(inputs):
        scores = [vectors.relevance(label, text) + 0.01 for label in labels]
        ranked = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
        total = sum(scores)
        answers.append(
            {
                "sequence": text,
                "labels": [label for _, label in ranked],
                "scores": [round(score / total, 6) for score, _ in ranked],
            }
        )
    return answers if isinstance(inputs, list) else answers[0]


def _fill_mask(inputs: Any, parameters: Mapping[str, Any], container: Container) -> Any:
    answers = []
    for text in _texts(inputs):
        if not _MASK.search(text):
            raise PipelineError("No mask_token ([MASK]) found on the input")
        words = ("good", "great", "new")[: parameters.get("top_k") or 3]
        answers.append(
            [
                {
                    "score": round(0.5 / (rank + 1), 4),
                    "token": rank,
                    "token_str": word,
                    "sequence": _MASK.sub(word, text),
                }
                for rank, word in enumerate(words)
            ]
        )
    return answers if isinstance(inputs, list) else answers[0]


TASKS: dict[str, Callable[[Any, Mapping[str, Any], Container], Any]] = {
    "feature-extraction": _feature_extraction,
    "fill-mask": _fill_mask,
    "question-answering": _question_answering,
    "summarization": _seq2seq("summary_text"),
    "text-classification": _classification,
    "text-generation": _text_generation,
    "text2text-generation": _seq2seq("generated_text"),
    "token-classification": _token_classification,
    "translation": _seq2seq("translation_text"),
    "zero-shot-classification": _zero_shot,
}
