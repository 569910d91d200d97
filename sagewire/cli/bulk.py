"""`sagewire bulk`: one model over a whole file, from the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from sagewire._extras import require
from sagewire.cli._app import (
    AsJson,
    FormatName,
    HandlerName,
    Profile,
    Region,
    RoleArn,
    client_arguments,
    console,
    errors,
    friendly,
)
from sagewire.cli._bulk_progress import Progress
from sagewire.errors import UsageError

if TYPE_CHECKING:
    from sagewire.bulk import Report

bulk = typer.Typer(no_args_is_help=True, help="Run one model over every row of a file, a directory or S3.")

Model = Annotated[str, typer.Option("--model", "-m", help="`sagemaker/NAME`, `huggingface/ID-OR-URL`, or a URL.")]
Input = Annotated[str, typer.Option("--input", "-i", help="`.jsonl`, `.parquet`, `.csv`, a directory, or `s3://...`.")]
Output = Annotated[str, typer.Option("--output", "-o", help="`.jsonl`, `.parquet` or `.csv`; local or `s3://...`.")]
TaskName = Annotated[str, typer.Option("--task", "-t", help="`chat`, `complete`, `embed` or `rerank`.")]
Column = Annotated[str | None, typer.Option(help="The text's column: `prompt`, for `embed` `text`, if not said.")]
TemplateText = Annotated[str | None, typer.Option("--template", help="Text with columns in braces: `Sum up: {body}`.")]
System = Annotated[str | None, typer.Option(help="System text of every chat.")]
Schema = Annotated[Path | None, typer.Option(help="A JSON schema file that every output has to fit.")]
SchemaMode = Annotated[str, typer.Option(help="Who enforces it: `server`, the `prompt`, or nobody (`check`).")]
Query = Annotated[str | None, typer.Option(help="`rerank`: one query for all rows.")]
QueryColumn = Annotated[str, typer.Option(help="`rerank`: the column with the query.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="The most tokens to generate for a row.")]
Temperature = Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="NAME=VALUE: any other option of the task, as JSON or text."),
]
Prefix = Annotated[str, typer.Option(help="Put before the names of the columns that are added.")]
Thinking = Annotated[bool, typer.Option("--thinking", help="Keep the model's reasoning in a column.")]
Dedup = Annotated[bool | None, typer.Option("--dedup/--no-dedup", help="Ask once for equal rows.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="`embed`: texts a call.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Calls in flight; else found out.")]
MaxConcurrency = Annotated[int, typer.Option(min=1, help="The most calls in flight to try.")]
MaxErrors = Annotated[int | None, typer.Option(min=0, help="Stop when more rows than this have failed.")]
BudgetTokens = Annotated[int | None, typer.Option(min=1, help="Stop before more tokens than this are spent.")]
Deadline = Annotated[float | None, typer.Option(help="Seconds after which no more calls are begun.")]
WorkDir = Annotated[str | None, typer.Option(help="The folder for what is done so far; `OUTPUT.bulk` if not said.")]
EngineName = Annotated[str, typer.Option(help="`local`, `ray`, `async-inference` or `batch-transform`.")]
EngineOption = Annotated[
    list[str] | None, typer.Option("--engine-option", help="NAME=VALUE for the engine: `address=ray://head:10001`.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run ended.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew where there is a job or an output.")]


@bulk.command("run")
@friendly
def run(
    model: Model,
    input: Input,
    output: Output,
    task: TaskName = "chat",
    column: Column = None,
    template: TemplateText = None,
    system: System = None,
    schema: Schema = None,
    schema_mode: SchemaMode = "server",
    query: Query = None,
    query_column: QueryColumn = "query",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    option: Option = None,
    prefix: Prefix = "",
    thinking: Thinking = False,
    dedup: Dedup = None,
    batch_size: BatchSize = None,
    concurrency: Concurrency = None,
    max_concurrency: MaxConcurrency = 256,
    max_errors: MaxErrors = None,
    budget_tokens: BudgetTokens = None,
    deadline: Deadline = None,
    engine: EngineName = "local",
    engine_option: EngineOption = None,
    work_dir: WorkDir = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Run a model over every row. Exits with 1 if it stopped early or rows failed."""
    given = locals()
    flags: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "work_dir": work_dir, "engine": engine}
    flags["engine_options"] = dict(_option(text) for text in engine_option or ())
    _run(input, model, output, _settings(given), as_json, **flags)


@bulk.command("retry")
@friendly
def retry(
    output: Annotated[str, typer.Argument(help="The output of a job that is complete.")],
    work_dir: WorkDir = None,
    concurrency: Concurrency = None,
    max_errors: MaxErrors = None,
    budget_tokens: BudgetTokens = None,
    deadline: Deadline = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Ask again about the rows that failed, and write the output anew."""
    _again(locals(), as_json, retry=True)


@bulk.command("resume")
@friendly
def resume(
    output: Annotated[str, typer.Argument(help="The output of a job that was begun.")],
    work_dir: WorkDir = None,
    concurrency: Concurrency = None,
    max_errors: MaxErrors = None,
    budget_tokens: BudgetTokens = None,
    deadline: Deadline = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a job where it ended; its settings are remembered, credentials are not."""
    _again(locals(), as_json, resume=True)


@bulk.command("plan")
@friendly
def plan(
    model: Model,
    input: Input,
    task: TaskName = "chat",
    column: Column = None,
    template: TemplateText = None,
    system: System = None,
    schema: Schema = None,
    schema_mode: SchemaMode = "server",
    query: Query = None,
    query_column: QueryColumn = "query",
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    option: Option = None,
    prefix: Prefix = "",
    dedup: Dedup = None,
    batch_size: BatchSize = None,
    concurrency: Concurrency = None,
    max_concurrency: MaxConcurrency = 256,
    sample: Annotated[int, typer.Option(min=0, help="Rows to ask about; 0 asks nothing and guesses.")] = 64,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Estimate rows, tokens, time and concurrency from a sample; writes nothing."""
    given = locals()
    require("pyarrow", "bulk")
    from sagewire import bulk as bulk_jobs

    found = bulk_jobs.plan(input, model, "plan.jsonl", sample=sample, **_settings(given))
    names = [name for name in found.__slots__ if getattr(found, name) not in (None, ())]
    if as_json:
        console.out(orjson.dumps({name: getattr(found, name) for name in names}).decode())
        return
    table = Table(box=None, show_header=False)
    for name in names:
        value = getattr(found, name)
        text = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
        table.add_row(name.replace("_", " "), escape(text))
    console.print(table)


_JOB = ("task", "column", "template", "system", "schema_mode", "query", "query_column", "prefix", "thinking", "dedup")
_BOUNDS = ("batch_size", "concurrency", "max_concurrency", "max_errors", "budget_tokens", "deadline")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a job for a command's arguments; what was not said is left out."""
    settings = {name: given[name] for name in (*_JOB, *_BOUNDS) if given.get(name) is not None}
    options = dict(_option(text) for text in given.get("option") or ())
    for name in ("max_tokens", "temperature"):
        if given.get(name) is not None:
            options[name] = given[name]
    if given.get("schema") is not None:
        settings["schema"] = _json_file(given["schema"])
    return {**settings, "options": options, "client_arguments": _client(given)}


def _client(given: dict[str, Any]) -> dict[str, Any]:
    names = ("region", "profile", "role_arn", "handler", "format")
    model = given.get("model") or "sagemaker/"
    arguments = client_arguments(
        "" if model.startswith("sagemaker/") else "http://", *(given.get(name) for name in names)
    )
    return {name: value for name, value in arguments.items() if name not in ("endpoint", "url") and value is not None}


def _option(text: str) -> tuple[str, Any]:
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
        raise UsageError(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}: line {error.lineno}: {error.msg}") from None


def _again(given: dict[str, Any], as_json: bool, **flags: Any) -> None:
    require("pyarrow", "bulk")
    from sagewire.bulk.preparing import remembered

    source, model, output, settings = remembered(given["output"], given["work_dir"])
    settings |= {name: given[name] for name in _BOUNDS if given.get(name) is not None}
    settings["client_arguments"] |= _client({**given, "model": model})
    _run(source, model, output, settings, as_json, work_dir=given["work_dir"], **flags)


def _run(source: str, model: str, output: str, settings: dict[str, Any], as_json: bool, **flags: Any) -> None:
    require("pyarrow", "bulk")
    from sagewire import bulk as bulk_jobs

    with Progress(errors, settings.get("budget_tokens")) as progress:
        report = bulk_jobs.run(source, model, output, watch=progress.show, **flags, **settings)
    if as_json:
        console.out(orjson.dumps(report).decode())
    else:
        _show(report)
    if report.failed or not report.complete:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    done = report.rows - report.done_before
    rate = done / report.seconds if report.seconds else 0.0
    parts = [f"{report.rows:,} rows", f"{report.failed:,} failed"]
    if report.done_before:
        parts.append(f"{report.done_before:,} of them done before")
    if report.reused:
        parts.append(f"{report.reused:,} equal to another")
    console.print(", ".join(parts), markup=False)
    uncounted = f", about {report.estimated_tokens:,} not counted by the server" if report.estimated_tokens else ""
    console.print(
        f"{report.calls:,} calls, {report.throttled:,} throttled, {rate:,.0f} rows/s, "
        f"{report.prompt_tokens:,} tokens read, {report.completion_tokens:,} written{uncounted}",
        markup=False,
        soft_wrap=True,
    )
    for error, count in list(report.errors.items())[:5]:
        console.print(f"{count:,} x {error}", markup=False, soft_wrap=True)
    if report.output:
        console.print(f"output: {report.output}", markup=False)
    if report.dead_letter:
        console.print(f"rows that failed: {report.dead_letter}", markup=False)
    if report.stopped:
        errors.print(f"[bold red]stopped:[/] {escape(report.stopped)}", soft_wrap=True)
        errors.print("go on with --resume, or `sagewire bulk resume`", markup=False)
