"""Hugging Face's inference toolkit behind multi-model-server, as in its images; and the emulator beside it."""

import json
import urllib.error
import urllib.request

import pytest

from sagewire import Client
from sagewire.content_handlers import HfPipelineHandler
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import EndpointError
from sagewire.types import PromptRequest, make_options

pytestmark = pytest.mark.slow

PAGE = "Anna sells tickets in Lisbon. The office closes at five in the afternoon."
SHORT = {"max_tokens": 8}
# Task -> the emulator's dialect, what is asked, and how.
TASKS = {
    "text-generation": ("hf_pipeline", PAGE, {"max_tokens": 8, "temperature": 0}),
    "text2text-generation": ("hf_text2text", PAGE, SHORT),
    "summarization": ("hf_summarization", PAGE, SHORT),
    "translation": ("hf_translation", PAGE, {**SHORT, "extra": {"src_lang": "en", "tgt_lang": "fr"}}),
    "question-answering": ("hf_question_answering", "When does it close?", {"extra": {"context": PAGE}}),
    "text-classification": ("hf_classification", "I love it", {}),
    "token-classification": ("hf_token_classification", PAGE, {}),
    "zero-shot-classification": ("hf_zero_shot", PAGE, {"extra": {"candidate_labels": ["travel", "sports", "food"]}}),
    "fill-mask": ("hf_fill_mask", "The office <mask> at five.", {}),
}


def post(url, body, content_type="application/json", accept="application/json"):
    """Return status and body as they came."""
    headers = {"Content-Type": content_type, "Accept": accept}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def shape(value):
    """Return the structure: names and types, an array by its first element."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.fixture(scope="module")
def emulated():
    """Return what gives the URL of the emulator's container for a dialect."""
    dialects = {"hf_feature_extraction", *(dialect for dialect, _, _ in TASKS.values())}
    with Emulator({name.replace("_", "-"): EndpointSpec(name, engine="echo") for name in dialects}) as emulator:
        yield lambda dialect: f"{emulator.container_url(dialect.replace('_', '-'))}/invocations"


@pytest.mark.parametrize("task", TASKS)
def test_the_toolkit_takes_our_bodies_and_we_read_its_answers(task, toolkit, clean_environment):
    _, prompt, options = TASKS[task]
    with Client(url=toolkit(task), handler=HfPipelineHandler(task)) as client:
        reply = client.complete(prompt, **options)
    assert reply.usage is None
    result = reply.extra.get("result")
    match task:
        case "text-generation":
            assert reply.text
            assert not reply.text.startswith(PAGE)
        case "question-answering":
            assert reply.text in PAGE
            assert result["answer"] == reply.text
        case "text-classification":
            assert reply.text in {"POSITIVE", "NEGATIVE"}
        case "token-classification":
            assert json.loads(reply.text) == result
        case "zero-shot-classification":
            assert reply.text == result["labels"][0]
            assert sorted(result["labels"]) == ["food", "sports", "travel"]
        case "fill-mask":
            assert len(result) == 5
            assert reply.text == result[0]["sequence"]
        case _:
            # What a model of random numbers writes may be special tokens alone, which the pipeline leaves out.
            assert reply.choices


@pytest.mark.parametrize("task", TASKS)
def test_the_emulator_answers_in_the_toolkits_shape(task, toolkit, emulated):
    dialect, prompt, options = TASKS[task]
    body = HfPipelineHandler(task).transform_input(PromptRequest(prompt, make_options(**options)))
    status, real = post(toolkit(task), body)
    assert status == 200
    status, ours = post(emulated(dialect), body)
    assert status == 200
    assert shape(json.loads(ours)) == shape(json.loads(real))


@pytest.mark.parametrize("task", TASKS)
def test_the_task_is_found_by_trying(task, toolkit, clean_environment):
    with Client(url=toolkit(task), probe=True) as client:
        assert client.profile().complete == TASKS[task][0]


def test_several_answers_are_told_apart(toolkit, clean_environment):
    with Client(url=toolkit("text-generation"), handler="hf_pipeline") as client:
        reply = client.complete("The ferry", max_tokens=8, n=3, temperature=1.0)
    assert len(reply.choices) == 3
    assert len({choice.text for choice in reply.choices}) > 1


def test_a_token_vector_matrix_is_pooled_to_one_vector_per_text(toolkit, clean_environment):
    url, texts = toolkit("feature-extraction"), ["The harbour opens at six.", "No."]
    with Client(url=url, handler="hf_feature_extraction") as client:
        together = client.embed(texts).vectors
        alone = [client.embed([text]).vectors[0] for text in texts]
    assert [len(row) for row in together] == [32, 32]
    assert together == alone
    tokens = json.loads(post(url, json.dumps({"inputs": texts[0]}).encode())[1])[0]
    assert len(tokens) > 1
    assert together[0] == pytest.approx([sum(column) / len(tokens) for column in zip(*tokens, strict=True)])


@pytest.mark.parametrize("inputs", ["One text.", ["One text.", "And another, longer one."]])
def test_the_emulator_nests_token_vectors_as_the_pipeline_does(inputs, toolkit, emulated):
    body = json.dumps({"inputs": inputs}).encode()
    theirs = json.loads(post(toolkit("feature-extraction"), body)[1])
    ours = json.loads(post(emulated("hf_feature_extraction"), body)[1])
    assert shape(ours) == shape(theirs)
    assert len(ours) == len(theirs)


BAD = {
    "a typing error in a parameter": {"inputs": "Hi", "parameters": {"max_new_token": 4}},
    "an impossible temperature": {"inputs": "Hi", "parameters": {"temperature": -1.0, "do_sample": True}},
    "no inputs": {"parameters": {}},
    "inputs of another type": {"inputs": ["Hi", 5]},
    "temperature 0": {"inputs": "Hi", "parameters": {"temperature": 0.0, "do_sample": True}},
    "no JSON": b"{",
}


@pytest.mark.parametrize("case", BAD)
def test_the_emulator_refuses_with_the_servers_bytes(case, toolkit, emulated):
    body = BAD[case] if isinstance(BAD[case], bytes) else json.dumps(BAD[case]).encode()
    assert post(emulated("hf_pipeline"), body) == post(toolkit("text-generation"), body)


def test_a_refusal_is_an_error_in_the_containers_words(toolkit, clean_environment):
    with (
        Client(url=toolkit("text-generation"), handler="hf_pipeline") as client,
        pytest.raises(EndpointError, match="bogus") as caught,
    ):
        client.complete("Hi", extra={"bogus": 1})
    assert caught.value.status == 400
    assert "model_kwargs" in caught.value.message


@pytest.mark.parametrize(("body", "settings"), [(b"x", {"content_type": "text/plain"}), (None, {"accept": "text/x"})])
def test_media_types_the_toolkit_does_not_know_are_refused_in_its_words(body, settings, toolkit, emulated):
    data = body or b'{"inputs": "Hi"}'
    status, answer = post(toolkit("text-generation"), data, **settings)
    assert status == 400
    assert next(iter(settings.values())) in json.loads(answer)["message"]
    assert post(emulated("hf_pipeline"), data, **settings) == (status, answer)
