"""`sagewire demo` and `sagewire emulator`: everything that runs without AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sagewire.cli._app import console, friendly
from sagewire.errors import UsageError

if TYPE_CHECKING:
    from sagewire.emulator import Emulator, EndpointSpec


@friendly
def demo(
    question: Annotated[str, typer.Option(help="The question to ask of the document.")] = "",
) -> None:
    """Answer a question over a document through LangChain and LlamaIndex, against the local emulator."""
    from sagewire.demo import run

    run(console, question)


@friendly
def emulator(
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", "-e", help="NAME=DIALECT[:ENGINE]; any number of times.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A TOML file that describes endpoints.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    region: Annotated[str, typer.Option(help="The region it pretends to be.")] = "us-east-1",
) -> None:
    """Run a local SageMaker: unmodified boto3 code works with AWS_ENDPOINT_URL pointing at it."""
    from sagewire.emulator import load_endpoints, serve

    endpoints: dict[str, str | EndpointSpec] = {**load_endpoints(file)} if file else {}
    for given in endpoint or ():
        name, equals, spec = given.partition("=")
        if not (name and equals and spec):
            raise UsageError(f"--endpoint {given!r} should be NAME=DIALECT[:ENGINE], for example demo=tgi:extractive")
        endpoints[name] = spec
    chosen = endpoints or {"demo": "tgi:extractive", "chat": "openai_chat:extractive"}
    try:
        serve(chosen, host=host, port=port, region=region, ready=_announce)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from None


def _announce(running: Emulator) -> None:
    names = ", ".join(running.service.endpoints)
    console.print(f"SageMaker is emulated on {running.url} with the endpoints: {names}", markup=False, soft_wrap=True)
    console.print("Point boto3, sagewire or anything else at it with:\n")
    for name, value in running.environ().items():
        console.print(f"  export {name}={value}", markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops it.")
