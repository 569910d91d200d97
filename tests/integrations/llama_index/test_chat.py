"""The eight methods on the wires that take messages, and on text wires with a prompt format."""

import asyncio
import gc
import socket
import threading
import time

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, TextBlock

from sagewire import StreamTruncated, UsageError
from sagewire.emulator import Emulator, EndpointSpec, Reply
from sagewire.errors import EndpointNotFound, EndpointTimeout, Throttled
from sagewire.integrations.llama_index import SageMakerLLM

# Releases before 0.14 keep both in `additional_kwargs`.
ThinkingBlock = getattr(types, "ThinkingBlock", None)
has_blocks = pytest.mark.skipif(ThinkingBlock is None, reason="this LlamaIndex has no such block")

HELLO = [ChatMessage(role="user", content="hello there, how are you?")]
SAID = "hello there, how are you?"


async def everything(llm: SageMakerLLM) -> list[ChatResponse | CompletionResponse]:
    """Return the last response of each of the eight methods."""
    *_, streamed = llm.stream_chat(HELLO)
    *_, completing = llm.stream_complete(SAID)
    *_, astreamed = [r async for r in await llm.astream_chat(HELLO)]
    *_, acompleting = [r async for r in await llm.astream_complete(SAID)]
    return [
        llm.chat(HELLO),
        llm.complete(SAID),
        streamed,
        completing,
        await llm.achat(HELLO),
        await llm.acomplete(SAID),
        astreamed,
        acompleting,
    ]


def text_of(response: ChatResponse | CompletionResponse) -> str:
    return response.text if isinstance(response, CompletionResponse) else response.message.content


@pytest.mark.parametrize(
    ("dialect", "given"),
    [("openai_chat", {}), ("lmi", {"prompt_format": "chatml"}), ("tgi", {"prompt_format": "chatml"})],
)
async def test_all_eight_methods_answer_alike(scripted, dialect: str, given: dict) -> None:
    llm = scripted(dialect, "Fine, thanks. ☀️", **given)
    responses = await everything(llm)
    assert [text_of(response) for response in responses] == ["Fine, thanks. ☀️"] * 8
    first = responses[0].raw
    for response in responses:
        assert response.raw["choices"] == first["choices"]
        assert response.raw.get("usage") is not None


@has_blocks
async def test_streams_hold_everything_so_far_and_what_is_new(scripted) -> None:
    llm = scripted("openai_chat", Reply("one two three", thinking="let me count"))

    def check(responses: list) -> None:
        text = thinking = ""
        for response in responses:
            text += response.delta or ""
            thinking += response.additional_kwargs.get("thinking_delta") or ""
            blocks = response.message.blocks
            assert (response.message.content or "") == text
            assert "".join(b.content for b in blocks if isinstance(b, ThinkingBlock)) == thinking
            assert [type(b) for b in blocks] == ([ThinkingBlock, TextBlock] if text else [ThinkingBlock])
        assert (thinking, text) == ("let me count", "one two three")
        assert len(responses) > 5
        assert [bool(r.raw.get("usage")) for r in responses] == [False] * (len(responses) - 1) + [True]

    check(list(llm.stream_chat(HELLO)))
    check([r async for r in await llm.astream_chat(HELLO)])
    text = ""
    for response in llm.stream_complete("count"):
        text += response.delta
        assert response.text == text
    assert text == "one two three"


@has_blocks
def test_thinking_written_as_text_is_read_by_the_format(scripted) -> None:
    llm = scripted("tgi", "<think>\nlet me see\n</think>\n\nFine.", prompt_format="qwen3")
    thought, said = llm.chat(HELLO).message.blocks
    assert (thought.content.strip(), said.text.strip()) == ("let me see", "Fine.")
    *_, last = llm.stream_chat(HELLO)
    assert last.message.blocks == [thought, said]


def test_a_stream_arrives_while_it_is_generated(scripted) -> None:
    llm = scripted("openai_chat", " ".join(map(str, range(20))), faults=("slow_tokens:0.02",))
    arrivals = [time.perf_counter() for response in llm.stream_chat(HELLO) if response.delta]
    assert arrivals[-1] - arrivals[0] > 0.2


def test_settings_are_looked_for_in_the_call_then_the_arguments_then_model_kwargs(
    emulator: Emulator,
) -> None:
    def sent(**given) -> dict:
        call = given.pop("call", {})
        SageMakerLLM("chat", content_handler="openai_chat", **given).chat(HELLO, **call)
        return {k: v for k, v in emulator.calls[-1].json.items() if k != "messages"}

    assert sent() == {"temperature": 0.5}
    assert sent(model_kwargs={"temperature": None}) == {}
    assert sent(model_kwargs={"temperature": 0.9}) == {"temperature": 0.9}
    assert sent(model_kwargs={"temperature": 0.9}, temperature=0) == {"temperature": 0}
    assert sent(temperature=0.1, call={"temperature": 0.7}) == {"temperature": 0.7}
    # Hugging Face's names, where the wire is OpenAI's.
    assert sent(model_kwargs={"max_new_tokens": 9}, temperature=0) == {"max_tokens": 9, "temperature": 0}
    assert sent(model_kwargs={"max_new_tokens": 9}, call={"max_tokens": 3})["max_tokens"] == 3
    assert sent(max_tokens=5, call={"max_new_tokens": 4})["max_tokens"] == 4
    assert sent(call={"stop": "END", "top_p": 0.5, "guided_choice": ["a"]}) == {
        "temperature": 0.5,
        "stop": ["END"],
        "top_p": 0.5,
        "guided_choice": ["a"],
    }


def test_what_the_caller_gave_is_not_changed(emulator: Emulator) -> None:
    model_kwargs, endpoint_kwargs, extra = {"top_p": 0.5, "deep": {"a": 1}}, {"InferenceId": "A"}, {"min_tokens": 1}
    llm = SageMakerLLM(
        "chat", content_handler="openai_chat", model_kwargs=model_kwargs, endpoint_kwargs=endpoint_kwargs
    )
    llm.chat(HELLO, extra=extra)
    list(llm.stream_complete("x", extra=extra))
    assert (model_kwargs, endpoint_kwargs, extra) == (
        {"top_p": 0.5, "deep": {"a": 1}},
        {"InferenceId": "A"},
        {"min_tokens": 1},
    )
    assert llm.model_kwargs == model_kwargs
    assert llm.model_kwargs is not model_kwargs


def test_endpoint_kwargs_reach_the_service_and_unknown_ones_are_refused(emulator: Emulator) -> None:
    SageMakerLLM(
        "chat", content_handler="openai_chat", endpoint_kwargs={"CustomAttributes": "a=b"}
    ).chat(HELLO)  # fmt: skip
    assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "a=b"
    llm = SageMakerLLM("chat", content_handler="openai_chat")
    llm.complete("x", endpoint_kwargs={"CustomAttributes": "c=d"})
    assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "c=d"
    assert "endpoint_kwargs" not in emulator.calls[-1].json
    with pytest.raises(UsageError, match="TargetVariant"):
        SageMakerLLM("chat", content_handler="openai_chat", endpoint_kwargs={"TargetVariante": "A"}).chat(HELLO)


def test_stop_is_sent_and_enforced(scripted, emulator: Emulator) -> None:
    llm = scripted("tgi", "one END two", prompt_format="chatml")
    assert llm.chat(HELLO, stop=["END"]).message.content.strip() == "one"
    # A model that may think first could write it there: sagewire ends the answer, the server is not told.
    assert "END" not in emulator.calls[-1].json["parameters"]["stop"]
    *_, last = llm.stream_chat(HELLO, stop=["END"])
    assert (last.message.content.strip(), last.delta) == ("one", "")


def test_complete_puts_the_system_prompt_first_and_chat_sends_what_it_is_given(emulator: Emulator) -> None:
    llm = SageMakerLLM("chat", content_handler="openai_chat", system_prompt="Be brief.")
    llm.complete("hi")
    assert emulator.calls[-1].json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    llm.chat([ChatMessage(content="hi")])
    assert emulator.calls[-1].json["messages"] == [{"role": "user", "content": "hi"}]
    llm.complete("hi", formatted=True)
    assert emulator.calls[-1].json["messages"] == [{"role": "user", "content": "hi"}]


def test_a_prompt_function_is_refused_where_the_container_has_a_chat_template() -> None:
    for name in ("messages_to_prompt", "completion_to_prompt"):
        with pytest.raises(UsageError, match=f"{name} writes a prompt, but handler 'openai_chat' takes messages"):
            SageMakerLLM("e", content_handler="openai_chat", aws_region_name="us-east-1", **{name: str})


def test_arguments_that_contradict_or_are_unknown_are_refused() -> None:
    where = {"aws_region_name": "us-east-1"}
    with pytest.raises(UsageError, match="did you mean 'endpoint_kwargs'"):
        SageMakerLLM("e", endpoint_kwarg={}, **where)
    with pytest.raises(UsageError, match="name the endpoint"):
        SageMakerLLM()
    with pytest.raises(UsageError, match="contradict"):
        SageMakerLLM("e", region_name="eu-west-1", **where)
    with pytest.raises(UsageError, match="go together"):
        SageMakerLLM("e", aws_access_key_id="AKIA", **where)
    with pytest.raises(UsageError, match="both set how"):
        SageMakerLLM("e", content_handler="tgi", prompt_format="chatml", messages_to_prompt=str, **where)
    with pytest.raises(UsageError, match="'tgy'"):
        SageMakerLLM("e", content_handler="tgy", **where)
    assert SageMakerLLM("e", region_name="eu-west-1").aws_region_name == "eu-west-1"


def test_errors_are_sagewires_own(emulator: Emulator, scripted) -> None:
    with pytest.raises(EndpointNotFound, match="nowhere"):
        SageMakerLLM("nowhere", content_handler="openai_chat").chat(HELLO)
    llm = scripted("openai_chat", faults=("throttle:9",), max_retries=0)
    with pytest.raises(Throttled):
        llm.chat(HELLO)
    with pytest.raises(Throttled):
        list(llm.stream_chat(HELLO))


def test_max_retries_counts_the_retries_and_not_the_first_call(scripted) -> None:
    assert scripted("openai_chat", "ok", faults=("throttle:1",), max_retries=1).chat(HELLO).message.content == "ok"


async def test_a_broken_stream_keeps_what_was_read(scripted) -> None:
    llm = scripted("openai_chat", "one two three four five", faults=("truncate_stream:4",))
    seen: list[str] = []
    with pytest.raises(StreamTruncated) as caught:
        seen.extend(response.message.content for response in llm.stream_chat(HELLO))
    assert caught.value.partial.text

    async def read() -> None:
        async for completion in await llm.astream_complete("x"):
            seen.append(completion.text)

    with pytest.raises(StreamTruncated) as later:
        await read()
    assert later.value.partial.text == caught.value.partial.text == seen[-1]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_timeout_limits_the_wait_for_the_answer(asynchronous: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        llm = SageMakerLLM(
            "e",
            content_handler="openai_chat",
            aws_region_name="us-east-1",
            aws_access_key_id="AKIA",
            aws_secret_access_key="s",
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            timeout=0.3,
            max_retries=0,
        )
        started = time.perf_counter()
        with pytest.raises(EndpointTimeout):
            await llm.achat(HELLO) if asynchronous else llm.chat(HELLO)
        assert time.perf_counter() - started < 3


async def test_async_calls_share_one_thread_and_do_not_wait_for_each_other(scripted) -> None:
    llm = scripted("openai_chat", "ok", latency=0.2)
    await llm.achat(HELLO)
    threads, started = threading.active_count(), time.perf_counter()
    answers = await asyncio.gather(*(llm.achat(HELLO) for _ in range(64)))
    assert {answer.message.content for answer in answers} == {"ok"}
    assert time.perf_counter() - started < 9  # one after the other: 12.8
    assert threading.active_count() <= threads


def test_a_model_works_in_one_event_loop_after_another_and_in_threads(scripted) -> None:
    llm = scripted("openai_chat", "ok")
    for _ in range(2):
        assert asyncio.run(llm.achat(HELLO)).message.content == "ok"
    answers: list[str] = []
    workers = [threading.Thread(target=lambda: answers.append(llm.chat(HELLO).message.content)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert answers == ["ok"] * 8


async def test_leaving_a_stream_early_is_quiet(scripted) -> None:
    llm = scripted("openai_chat", "word " * 500)
    for response in llm.stream_chat(HELLO):
        assert response.delta
        break
    stream = await llm.astream_chat(HELLO)
    async for response in stream:
        assert response.delta
        break
    await stream.aclose()
    gc.collect()
    assert llm.chat(HELLO).message.content


def test_fields_changed_later_count(scripted, emulator: Emulator) -> None:
    llm = scripted("openai_chat", "ok")
    llm.chat(HELLO)
    llm.endpoint_name, llm.temperature = "chat", 0.25
    assert llm.chat(HELLO).message.content == SAID
    assert emulator.calls[-1].json["temperature"] == 0.25
    llm.endpoint_kwargs["CustomAttributes"] = "x=y"
    llm.chat(HELLO)
    assert emulator.calls[-1].headers["x-amzn-sagemaker-custom-attributes"] == "x=y"
    assert llm.model_copy(update={"endpoint_name": "scripted"}).chat(HELLO).message.content == "ok"


def test_only_the_first_of_several_answers_is_the_message(scripted) -> None:
    llm = scripted("openai_chat", "ok")
    response = llm.chat(HELLO, n=2)
    assert response.message.content == "ok"
    assert [choice["message"]["content"] for choice in response.raw["choices"]] == ["ok", "ok"]
    *_, last = llm.stream_chat(HELLO, n=2)
    assert last.message.content == "ok"


def test_log_probabilities(scripted) -> None:
    response = scripted("openai_chat", "one two").chat(HELLO, logprobs=True, top_logprobs=2)
    assert "".join(tokens[0].token for tokens in response.logprobs) == "one two"
    assert all(len(tokens) == 2 and tokens[0].logprob < 0 for tokens in response.logprobs)


def test_an_empty_answer_is_an_empty_text(scripted) -> None:
    llm = scripted("openai_chat", "")
    assert llm.chat(HELLO).message.content == ""
    *_, last = llm.stream_chat(HELLO)
    assert (last.message.content, last.delta) == ("", "")


def test_the_endpoint_is_asked_what_it_speaks(emulator: Emulator) -> None:
    llm = SageMakerLLM("chat")
    assert llm.chat(HELLO).message.content == SAID
    assert llm.metadata.is_chat_model
    assert llm.to_dict()["content_handler"] is None


def test_the_context_window_is_what_the_container_was_given(emulator: Emulator) -> None:
    emulator.add("wide", EndpointSpec("openai_chat", environment={"SM_VLLM_MAX_MODEL_LEN": "16384"}))
    assert SageMakerLLM("wide").metadata.context_window == 16_384
    assert SageMakerLLM("wide", context_window=8192).metadata.context_window == 8192
    # A handler that was named is not doubted, and the endpoint not described.
    assert SageMakerLLM("wide", content_handler="openai_chat").metadata.context_window == 3900


def test_an_unknown_endpoint_is_said_to_be_one(emulator: Emulator) -> None:
    with pytest.raises(EndpointNotFound, match="nowhere"):
        SageMakerLLM("nowhere").chat(HELLO)
