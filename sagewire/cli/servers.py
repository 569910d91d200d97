"""`sagewire demo` and `sagewire emulator`: everything that runs without AWS."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sagewire.cli._app import console, friendly
from sagewire.errors import UsageError

if TYPE_CHECKING:
    from sagewire.emulator import Emulator, EndpointSpec


@friendly
def demo(
    question: Annotated[str, typer.Option(help="Question to ask about the document.")] = "",
) -> None:
    """Answer a question about a document through LangChain and LlamaIndex, on a local emulator; no AWS account needed.

    Example: sagewire demo --question "How deep does the wreck lie?"
    """
    from sagewire.demo import run

    run(console, question)


@friendly
def emulator(
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", "-e", help="NAME=DIALECT[:ENGINE]. Can be repeated.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="TOML file with endpoints.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port. 0 picks a free one.")] = 8080,
    region: Annotated[str, typer.Option(help="AWS region to emulate.")] = "us-east-1",
    list_: Annotated[bool, typer.Option("--list", help="List the dialects and engines, and exit.")] = False,
) -> None:
    """Run a local SageMaker that unmodified boto3 code can call.

    Without options it serves my-endpoint (chat, tools, structured output), my-llama (text generation), my-embedder,
    my-reranker, my-queue (asynchronous) and their-endpoint (in another account). Dialects and engines:
    `sagewire emulator --list`.

    Example: sagewire emulator -e chat=openai_chat:schema -e old=tgi:extractive --port 0
    """
    from sagewire.emulator import DIALECTS, ENGINES, load_endpoints, serve

    if list_:
        console.print(f"Dialects  {', '.join(DIALECTS)}", markup=False, soft_wrap=True)
        console.print(f"Engines   {', '.join(ENGINES)}", markup=False, soft_wrap=True)
        return
    endpoints: dict[str, str | EndpointSpec] = {**load_endpoints(file)} if file else {}
    for given in endpoint or ():
        name, equals, spec = given.partition("=")
        if not (name and equals and spec):
            raise UsageError(f"--endpoint {given!r} should be NAME=DIALECT[:ENGINE], for example demo=tgi:extractive")
        endpoints[name] = spec
    try:
        interrupted = serve(endpoints or None, host=host, port=port, region=region, ready=_announce)
    except OSError as error:
        # asyncio adds the address to the reason, once more.
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        other = "--port" if error.errno == errno.EADDRINUSE else "--host or --port"
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another {other}") from None
    if interrupted:
        raise typer.Exit(130)


def _announce(running: Emulator) -> None:
    names = ", ".join(running.service.endpoints)
    console.print(f"SageMaker is emulated on {running.url} with the endpoints: {names}", markup=False, soft_wrap=True)
    console.print("Point boto3, sagewire or anything else at it with:\n")
    for name, value in running.environ().items():
        console.print(f"  export {name}={value}", markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops it.")
