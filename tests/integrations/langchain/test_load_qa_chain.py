"""The tutorial of langchain-community's `SagemakerEndpoint`, with the import line changed."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from langchain_classic.chains.question_answering import load_qa_chain
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate

from sagewire.integrations.langchain import LLMContentHandler, SagemakerEndpoint

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")

EXAMPLE = """Peter and Elizabeth took a taxi to attend the night party in the city. While in the party, Elizabeth
collapsed and was rushed to the hospital. Since she was diagnosed with a brain injury, the doctor told Peter to stay
beside her until she gets well. Therefore, Peter stayed with her at the hospital for 3 days without leaving."""
QUERY = "How long was Elizabeth hospitalized?"
PROMPT = PromptTemplate(
    template="Use the following pieces of context to answer the question at the end.\n\n{context}\n\n"
    "Question: {question}\nAnswer:",
    input_variables=["context", "question"],
)


class ContentHandler(LLMContentHandler):
    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, prompt: str, model_kwargs: dict) -> bytes:
        parameters = {"return_full_text": False, **model_kwargs}
        return json.dumps({"inputs": prompt, "parameters": parameters}).encode("utf-8")

    def transform_output(self, output: bytes) -> str:
        return json.loads(output.read().decode("utf-8"))[0]["generated_text"]


def answer(llm) -> str:
    chain = load_qa_chain(llm=llm, prompt=PROMPT)
    return chain({"input_documents": [Document(page_content=EXAMPLE)], "question": QUERY}, return_only_outputs=True)[
        "output_text"
    ]


@pytest.fixture
def theirs(add, emulator):
    """An endpoint that belongs to the other account."""
    return add("tgi", "extractive", account=emulator.other_account)


def test_with_a_client_made_from_a_role_in_another_account(emulator, theirs):
    sts = boto3.client("sts", region_name="us-east-1")
    response = sts.assume_role(RoleArn=emulator.role_arn, RoleSessionName="CrossAccountSession")
    credentials = response["Credentials"]
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    llm = SagemakerEndpoint(
        endpoint_name=theirs, client=client, model_kwargs={"temperature": 1e-10}, content_handler=ContentHandler()
    )
    assert "3 days" in answer(llm)


def test_with_a_profile(emulator, theirs, tmp_path: Path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id={emulator.credentials.access_key}\n"
        f"aws_secret_access_key={emulator.credentials.secret_key}\n"
    )
    (tmp_path / "config").write_text(f"[profile theirs]\nrole_arn={emulator.role_arn}\nsource_profile=base\n")
    llm = SagemakerEndpoint(
        endpoint_name=theirs,
        credentials_profile_name="theirs",
        region_name="us-east-1",
        model_kwargs={"temperature": 1e-10},
        content_handler=ContentHandler(),
    )
    assert "3 days" in answer(llm)


def test_without_a_handler_of_ones_own(emulator, add):
    llm = SagemakerEndpoint(endpoint_name=add("tgi", "extractive"), region_name="us-east-1")
    assert "3 days" in answer(llm)


async def test_awaited(add):
    llm = SagemakerEndpoint(endpoint_name=add("tgi", "extractive"), content_handler=ContentHandler())
    chain = load_qa_chain(llm=llm, prompt=PROMPT)
    result = await chain.ainvoke({"input_documents": [Document(page_content=EXAMPLE)], "question": QUERY})
    assert "3 days" in result["output_text"]
