"""`sagewire demo`: one document, one question, LangChain and LlamaIndex, a SageMaker endpoint of another account.

Everything but the model is real: boto3 assumes a role over HTTP, requests are signed, answers come back in SageMaker's
own framing. The model is the emulator's `extractive` engine, which picks a sentence; it is not a language model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from sagewire._extras import require
from sagewire.emulator import Emulator, EndpointSpec, Role

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run"]

ENDPOINT = "antikythera-llama"
ROLE = Role("arn:aws:iam::222233334444:role/endpoint-users")
QUESTION = "How many bronze gears survive today?"
TEMPLATE = """Use the following pieces of context to answer the question at the end.

{context}

Question: {question}
Answer:"""


def run(console: Console, question: str = "") -> None:
    """Run the demo and print what happens.

    Args:
        console: The output.
        question: What to ask of the document; a default is at hand.

    Raises:
        MissingExtra: LangChain, LlamaIndex or boto3 is not installed.
    """
    for module in ("langchain_classic", "llama_index.core", "boto3"):
        require(module, "demo")
    question = question or QUESTION
    endpoints = {ENDPOINT: EndpointSpec("tgi", engine="extractive", account=ROLE.account)}
    with Emulator(endpoints, roles=[ROLE]) as emulator, _environment(emulator.environ()):
        console.print(f"A local SageMaker listens on {emulator.url}.")
        console.print(f"Its endpoint [bold]{ENDPOINT}[/] runs TGI in account {ROLE.account}, not in yours.\n")
        console.print(f"[bold]Question[/]   {question}")
        started = time.perf_counter()
        answer = _ask_langchain(question)
        answered = time.perf_counter()
        console.print("[bold]LangChain[/]  ", end="")
        console.print(answer, markup=False, soft_wrap=True)
        console.print("[bold]LlamaIndex[/] ", end="")
        first, pieces = _stream_llama_index(console, question)
        done = time.perf_counter()
    console.print(
        f"\nLangChain, role assumed and answered: {_ms(answered - started)}. "
        f"LlamaIndex, first token after {_ms(first)}, {pieces} tokens in {_ms(done - answered)}.",
        soft_wrap=True,
    )


def _ask_langchain(question: str) -> str:
    """Answer with `load_qa_chain`, as its tutorial does, through a boto3 client of the other account."""
    import warnings

    import boto3
    from langchain_core.documents import Document
    from langchain_core.prompts import PromptTemplate

    from sagewire.integrations.langchain import SagemakerEndpoint

    # LangChain calls this chain deprecated; it is what existing applications are built on.
    warnings.filterwarnings("ignore", message="(?s).*load_qa_chain|.*StuffDocumentsChain|.*LLMChain|.*migrating_chains")
    from langchain_classic.chains.question_answering import load_qa_chain

    granted = boto3.client("sts").assume_role(RoleArn=ROLE.arn, RoleSessionName="demo")["Credentials"]
    client = boto3.client(
        "sagemaker-runtime",
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
    )
    prompt = PromptTemplate(template=TEMPLATE, input_variables=["context", "question"])
    chain = load_qa_chain(
        llm=SagemakerEndpoint(
            endpoint_name=ENDPOINT, client=client, content_handler="tgi", model_kwargs={"temperature": 1e-10}
        ),
        prompt=prompt,
    )
    answer = chain.invoke({"input_documents": [Document(page_content=_document())], "question": question})
    return str(answer["output_text"]).strip()


def _stream_llama_index(console: Console, question: str) -> tuple[float, int]:
    """Stream a chat with credentials that refresh themselves; return seconds to the first token, and the count."""
    from llama_index.core.base.llms.types import ChatMessage

    from sagewire.aws.session import assume_role_session
    from sagewire.integrations.llama_index import SageMakerLLM

    llm = SageMakerLLM(
        endpoint_name=ENDPOINT,
        content_handler="tgi",
        session=assume_role_session(ROLE.arn, region_name=os.environ["AWS_REGION"]),
        prompt_format="llama2",
    )
    content = TEMPLATE.format(context=_document(), question=question)
    started, first, pieces = time.perf_counter(), 0.0, 0
    for item in llm.stream_chat([ChatMessage(role="user", content=content)]):
        first = first or time.perf_counter() - started
        pieces += 1
        console.out(item.delta or "", end="", highlight=False)
    console.print()
    return first, pieces


def _document() -> str:
    return files("sagewire.demo").joinpath("antikythera.txt").read_text("utf-8")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block, so that unmodified boto3 code finds the emulator."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
