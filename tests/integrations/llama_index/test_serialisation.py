"""Dictionaries, pickles and copies: what they keep, and the secrets they never hold."""

import copy
import json
import pickle
import subprocess
import sys

import boto3
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager

from sagewire import UsageError, get_format
from sagewire.content_handlers import OpenAiChatHandler, TgiHandler
from sagewire.emulator import Emulator
from sagewire.integrations.llama_index import SageMakerLLM

HELLO = [ChatMessage(role="user", content="hello")]
SECRETS = {"aws_access_key_id": "AKIASECRET", "aws_secret_access_key": "s3cr3t/key", "aws_session_token": "t0k3n"}


def shout(messages: object) -> str:
    return "HELLO"


def test_a_dictionary_round_trip_keeps_every_setting(emulator: Emulator) -> None:
    given = {
        "endpoint_name": "chat",
        "content_handler": "openai_chat",
        "model_kwargs": {"top_p": 0.5},
        "endpoint_kwargs": {"CustomAttributes": "a=b"},
        "temperature": 0.25,
        "max_tokens": 9,
        "timeout": 12.0,
        "max_retries": 1,
        "system_prompt": "Be brief.",
        "context_window": 8192,
        "aws_region_name": "us-east-1",
    }
    llm = SageMakerLLM(**given)
    written = json.loads(llm.to_json())
    assert given.items() <= written.items()
    again = SageMakerLLM.from_dict(written)
    assert again.to_dict() == llm.to_dict()
    assert again.metadata == llm.metadata
    assert again.chat(HELLO).message.content == "hello"


def test_secrets_are_nowhere() -> None:
    llm = SageMakerLLM("e", content_handler="openai_chat", aws_region_name="us-east-1", **SECRETS)
    shown = [repr(llm), str(llm), llm.to_json(), repr(llm.to_dict()), repr(llm.to_payload()), repr(llm.model_dump())]
    for secret in SECRETS.values():
        assert not [text for text in shown if secret in text]
    with pytest.raises(UsageError, match="never pickled") as caught:
        pickle.dumps(llm)
    assert not [secret for secret in SECRETS.values() if secret in str(caught.value)]


def test_a_secret_of_the_wrong_type_is_not_in_the_error() -> None:
    with pytest.raises(ValueError, match="aws_secret_access_key") as caught:
        SageMakerLLM("e", aws_access_key_id="AKIA", aws_secret_access_key=["s3cr3t/key"])
    assert "s3cr3t" not in str(caught.value)


def test_a_handler_object_is_written_by_name_and_not_replaced_by_another_when_read() -> None:
    where = {"endpoint_name": "e", "aws_region_name": "us-east-1"}
    assert SageMakerLLM(content_handler=TgiHandler(), **where).to_dict()["content_handler"] == "tgi"
    written = SageMakerLLM(content_handler=OpenAiChatHandler(thinking_field="reasoning"), **where).to_dict()
    with pytest.raises(UsageError, match="OpenAiChatHandler"):
        SageMakerLLM.from_dict(written)
    assert SageMakerLLM.from_dict(written, content_handler="openai_chat").metadata.is_chat_model


def test_a_prompt_format_is_written_by_name() -> None:
    where = {"endpoint_name": "e", "aws_region_name": "us-east-1", "content_handler": "tgi"}
    plain = SageMakerLLM(prompt_format=get_format("chatml"), **where)
    assert plain.to_dict()["prompt_format"] == "chatml"
    assert SageMakerLLM.from_dict(plain.to_dict()).metadata.is_chat_model
    unlike = SageMakerLLM(prompt_format=get_format("chatml", special_tokens="allow"), **where).to_dict()
    with pytest.raises(UsageError, match="no prompt format"):
        SageMakerLLM.from_dict(unlike)


def test_a_pickle_answers_like_the_original(emulator: Emulator) -> None:
    llm = SageMakerLLM("chat", content_handler="openai_chat", temperature=0.25, callback_manager=CallbackManager([]))
    llm.chat(HELLO)
    again = pickle.loads(pickle.dumps(llm))
    assert again.chat(HELLO).message.content == "hello"
    assert emulator.calls[-1].json["temperature"] == 0.25
    assert again.to_dict() == llm.to_dict()


def test_a_text_model_stays_one_through_a_pickle() -> None:
    llm = SageMakerLLM("e", content_handler="tgi", aws_region_name="us-east-1", messages_to_prompt=shout)
    assert not pickle.loads(pickle.dumps(llm)).metadata.is_chat_model
    llm = SageMakerLLM("e", content_handler="tgi", aws_region_name="us-east-1", prompt_format="chatml")
    assert pickle.loads(pickle.dumps(llm)).metadata.is_chat_model


@pytest.mark.parametrize("name", ["messages_to_prompt", "completion_to_prompt"])
def test_what_cannot_be_pickled_stops_the_pickle(name: str) -> None:
    llm = SageMakerLLM("e", content_handler="tgi", aws_region_name="us-east-1", **{name: lambda messages: "x"})
    with pytest.raises(UsageError, match=name):
        pickle.dumps(llm)


def test_a_boto3_client_stops_the_pickle_and_is_shared_by_copies(emulator: Emulator) -> None:
    client = boto3.client("sagemaker-runtime")
    llm = SageMakerLLM("chat", content_handler="openai_chat", client=client)
    with pytest.raises(UsageError, match="client cannot be pickled"):
        pickle.dumps(llm)
    twin = copy.deepcopy(llm)
    assert twin.client is client


def test_copies_are_independent(emulator: Emulator) -> None:
    llm = SageMakerLLM("chat", content_handler="openai_chat", model_kwargs={"top_p": 0.5}, aws_region_name="us-east-1")
    llm.chat(HELLO)
    twin = copy.deepcopy(llm)
    twin.model_kwargs["top_p"] = 0.1
    assert llm.model_kwargs == {"top_p": 0.5}
    assert twin.chat(HELLO).message.content == "hello"
    keys = emulator.credentials
    secret = SageMakerLLM(
        "chat",
        content_handler="openai_chat",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
    )
    assert copy.deepcopy(secret).chat(HELLO).message.content == "hello"


def test_a_missing_framework_is_said_in_one_sentence() -> None:
    code = "\n".join(
        [
            "import sys",
            "sys.modules['llama_index'] = None",
            "try:",
            "    import sagewire.integrations.llama_index",
            "except ImportError as error:",
            "    print(type(error).__name__, error)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtra ")
    assert "[llama-index]'" in done.stdout
    assert done.stdout.count("\n") == 1
