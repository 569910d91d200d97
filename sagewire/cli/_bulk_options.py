"""The options of `sagewire bulk`, in the groups its commands take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from sagewire.cli._options import Options
from sagewire.errors import UsageError

__all__ = ["BoundOptions", "Concurrency", "JobOptions", "MaxConcurrency", "WorkDir", "setting"]

WorkDir = Annotated[str | None, typer.Option(help="Work folder of the job. Default: `OUTPUT.bulk`.")]

Concurrency = Annotated[int | None, typer.Option(min=1, help="Calls in flight; found automatically if not given.")]
MaxConcurrency = Annotated[
    int | None, typer.Option(min=1, help="Largest number of calls in flight to try. Default: 256.")
]


@dataclass(frozen=True, kw_only=True)
class JobOptions(Options):
    """The request of every row."""

    task: Annotated[str, typer.Option("--task", "-t", help="`chat`, `complete`, `embed` or `rerank`.")] = "chat"
    column: Annotated[str | None, typer.Option(help="Column with the text. Default: `prompt`; `text` for `embed`.")] = (
        None
    )
    template: Annotated[
        str | None, typer.Option("--template", help="Text with columns in braces: `Sum up: {body}`.")
    ] = None
    system: Annotated[str | None, typer.Option(help="System text of every chat.")] = None
    schema: Annotated[Path | None, typer.Option(help="JSON schema file that every output must match.")] = None
    schema_mode: Annotated[
        str, typer.Option(help="How it is enforced: by the `server`, in the `prompt`, or only checked (`check`).")
    ] = "server"
    query: Annotated[str | None, typer.Option(help="`rerank`: one query for all rows.")] = None
    query_column: Annotated[str, typer.Option(help="`rerank`: the column with the query.")] = "query"
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Maximum tokens to generate per row.")] = None
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")] = None
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="NAME=VALUE: any other option of the task, as JSON or text."),
    ] = None
    prefix: Annotated[str, typer.Option(help="Prefix of the names of added columns.")] = ""
    dedup: Annotated[
        bool | None,
        typer.Option(
            "--dedup/--no-dedup", help="Send identical rows once. Default: yes, unless the temperature is above 0."
        ),
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the input: `cp1252`, `utf-16`. Default: detected.")
    ] = None
    delimiter: Annotated[
        str | None, typer.Option(help="Separator of CSV cells; `tab` for tabs. Default: detected.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="`embed`: texts per call. Default: 32.")] = None

    def settings(self) -> dict[str, Any]:
        """Return the settings of a job.

        Raises:
            UsageError: An option is not NAME=VALUE, or the schema file cannot be read.
        """
        settings = self.given()
        options = dict(setting(text) for text in settings.pop("option", ()))
        options |= {name: settings.pop(name) for name in ("max_tokens", "temperature") if name in settings}
        if self.delimiter in ("tab", "\\t"):
            settings["delimiter"] = "\t"
        if self.schema is not None:
            settings["schema"] = _json_file(self.schema)
        return {**settings, "options": options}


@dataclass(frozen=True, kw_only=True)
class BoundOptions(Options):
    """The bounds of a job: calls in flight, and when to stop."""

    concurrency: Concurrency = None
    max_concurrency: MaxConcurrency = None
    max_errors: Annotated[int | None, typer.Option(min=0, help="Stop when more rows than this have failed.")] = None
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="Stop before more tokens than this are spent.")] = (
        None
    )
    deadline: Annotated[float | None, typer.Option(help="Seconds after which no more calls begin.")] = None


def setting(text: str) -> tuple[str, Any]:
    """Return the name and the value of NAME=VALUE; the value is JSON or text.

    Raises:
        UsageError: The name or the equals sign is missing.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--option {text!r} must be NAME=VALUE")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value


def _json_file(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}: line {error.lineno}: {error.msg}") from None
