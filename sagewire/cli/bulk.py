"""`sagewire bulk`: one model over a whole file, from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from sagewire._extras import require
from sagewire.cli._app import console, errors, friendly, show_table
from sagewire.cli._bulk_options import BoundOptions, Concurrency, JobOptions, MaxConcurrency, WorkDir, setting
from sagewire.cli._options import AsJson, ModelOptions

if TYPE_CHECKING:
    from sagewire.bulk import Report

bulk = typer.Typer(no_args_is_help=True, help="Run one model over every row of a file, a directory or S3.")

Model = Annotated[
    str, typer.Option("--model", "-m", help="Endpoint name, the URL of an HTTP server, or `huggingface/ID-OR-URL`.")
]
Input = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        help="`.jsonl`, `.parquet`, `.csv`, `.tsv` (also `.gz`), a directory, a pattern, or `s3://...`.",
    ),
]


@bulk.command("run")
@friendly
def run(
    model: Model,
    input: Input,
    output: Annotated[str, typer.Option("--output", "-o", help="`.jsonl`, `.parquet` or `.csv`; local or `s3://...`.")],
    *,
    job: JobOptions,
    thinking: Annotated[bool, typer.Option("--thinking", help="Keep the model's reasoning in a column.")] = False,
    bounds: BoundOptions,
    engine: Annotated[str, typer.Option(help="`local`, `ray`, `async-inference` or `batch-transform`.")] = "local",
    engine_option: Annotated[
        list[str] | None, typer.Option("--engine-option", help="NAME=VALUE for the engine: `address=ray://head:10001`.")
    ] = None,
    work_dir: WorkDir = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a job that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing job or output.")] = False,
    options: ModelOptions,
    as_json: AsJson = False,
) -> None:
    """Run a model over every row. Exits with 1 if it stopped early or rows failed.

    Example: sagewire bulk run -i rows.jsonl -m my-endpoint -o answers.parquet --column question
    """
    flags: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "work_dir": work_dir, "engine": engine}
    flags["engine_options"] = dict(setting(text) for text in engine_option or ())
    settings = {**job.settings(), **bounds.given(), "thinking": thinking, "client_arguments": _client(options, model)}
    _run(input, model, output, settings, as_json, **flags)


@bulk.command("retry")
@friendly
def retry(
    output: Annotated[str, typer.Argument(help="The output of a job that is complete.")],
    *,
    work_dir: WorkDir = None,
    bounds: BoundOptions,
    options: ModelOptions,
    as_json: AsJson = False,
) -> None:
    """Send the failed rows again and rewrite the output.

    Example: sagewire bulk retry answers.parquet
    """
    _again(output, work_dir, bounds, options, as_json, retry=True)


@bulk.command("resume")
@friendly
def resume(
    output: Annotated[str, typer.Argument(help="The output of a job that was begun.")],
    *,
    work_dir: WorkDir = None,
    bounds: BoundOptions,
    options: ModelOptions,
    as_json: AsJson = False,
) -> None:
    """Continue a job that was stopped. Its settings are stored, credentials are not.

    Example: sagewire bulk resume answers.parquet
    """
    _again(output, work_dir, bounds, options, as_json, resume=True)


@bulk.command("plan")
@friendly
def plan(
    model: Model,
    input: Input,
    *,
    job: JobOptions,
    concurrency: Concurrency = None,
    max_concurrency: MaxConcurrency = None,
    sample: Annotated[int, typer.Option(min=0, help="Rows to send; 0 sends nothing and estimates.")] = 64,
    options: ModelOptions,
    as_json: AsJson = False,
) -> None:
    """Estimate rows, tokens, time and concurrency from a sample; writes nothing.

    Example: sagewire bulk plan -i rows.jsonl -m my-endpoint --column question
    """
    require("pyarrow", "bulk")
    from sagewire import bulk as bulk_jobs

    settings = {**job.settings(), "client_arguments": _client(options, model)}
    bounds = {"concurrency": concurrency, "max_concurrency": max_concurrency}
    settings |= {name: value for name, value in bounds.items() if value is not None}
    found = bulk_jobs.plan(input, model, "plan.jsonl", sample=sample, **settings)
    names = [name for name in found.__slots__ if getattr(found, name) not in (None, ())]
    if as_json:
        console.out(orjson.dumps({name: getattr(found, name) for name in names}).decode(), highlight=False)
        return
    table = Table(box=None, show_header=False)
    for name in names:
        value = getattr(found, name)
        text = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
        table.add_row(name.replace("_", " "), escape(text))
    show_table(table)


@bulk.command("list")
@friendly
def list_jobs(
    directory: Annotated[str, typer.Argument(help="Directory to search, with its subdirectories.")] = ".",
    as_json: AsJson = False,
) -> None:
    """List the jobs whose work folders lie in a directory: state, rows, size.

    Example: sagewire bulk list .
    """
    require("pyarrow", "bulk")
    from sagewire.bulk import jobs

    found = list(jobs.find(directory))
    if as_json:
        console.out(orjson.dumps(found).decode(), highlight=False)
        return
    table = Table("output", "state", "rows", "failed", "size", "model", box=None)
    for job in found:
        cells = (job.output, job.state, f"{job.rows:,}", f"{job.failed:,}", decimal(job.size), job.model)
        table.add_row(*map(escape, cells))
    show_table(table)


@bulk.command("show")
@friendly
def show(
    output: Annotated[str, typer.Argument(help="The output of a job.")],
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a job: its state and everything it was given, credentials left out.

    Example: sagewire bulk show answers.parquet
    """
    require("pyarrow", "bulk")
    from sagewire.bulk import jobs

    found = jobs.show(output, work_dir)
    if as_json:
        console.out(orjson.dumps(found).decode(), highlight=False)
        return
    table = Table(box=None, show_header=False)
    given = {name: value for name, value in found.description.items() if value not in (None, {}, "", False)}
    progress = {name: getattr(found, name) for name in ("folder", "state", "rows", "failed")}
    for name, value in {**progress, **given}.items():
        table.add_row(name.replace("_", " "), escape(value if isinstance(value, str) else orjson.dumps(value).decode()))
    show_table(table)


@bulk.command("clean")
@friendly
def clean(
    output: Annotated[str, typer.Argument(help="The output of a job; it stays.")],
    work_dir: WorkDir = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Delete the answers of a job that is not complete.")
    ] = False,
) -> None:
    """Delete the work folder of a job that is complete. Afterwards it cannot be retried.

    Example: sagewire bulk clean answers.parquet
    """
    require("pyarrow", "bulk")
    from sagewire.bulk import jobs

    found = jobs.clean(output, work_dir, unfinished=unfinished)
    console.print(f"deleted {found.folder} ({decimal(found.size)})", markup=False)


def _client(options: ModelOptions, model: str) -> dict[str, Any]:
    arguments = options.client_arguments(f"https://{model}" if model.startswith("huggingface/") else model)
    return {name: value for name, value in arguments.items() if name not in ("endpoint", "url") and value is not None}


def _again(
    output: str, work_dir: str | None, bounds: BoundOptions, options: ModelOptions, as_json: bool, **flags: bool
) -> None:
    require("pyarrow", "bulk")
    from sagewire.bulk.prepare import remembered

    source, model, output, settings = remembered(output, work_dir)
    settings |= bounds.given()
    settings["client_arguments"] |= _client(options, model)
    _run(source, model, output, settings, as_json, work_dir=work_dir, **flags)


def _run(source: str, model: str, output: str, settings: dict[str, Any], as_json: bool, **flags: Any) -> None:
    require("pyarrow", "bulk")
    from sagewire import bulk as bulk_jobs
    from sagewire.bulk.stopping import INTERRUPTED
    from sagewire.cli._bulk_progress import ProgressBar

    with ProgressBar(errors, settings.get("budget_tokens")) as progress:
        report = bulk_jobs.run(source, model, output, watch=progress.show, **flags, **settings)
    if as_json:
        console.out(orjson.dumps(report).decode(), highlight=False)
    else:
        _show(report)
    if report.stopped and report.stopped.startswith(INTERRUPTED):
        raise typer.Exit(130)
    if report.failed or not report.complete:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    done = report.rows - report.done_before
    rate = done / report.seconds if report.seconds else 0.0
    parts = [f"{report.rows:,} rows", f"{report.failed:,} failed"]
    if report.done_before:
        parts.append(f"{report.done_before:,} of them done before")
    if report.reused:
        parts.append(f"{report.reused:,} identical to another")
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
    for note in report.notes:
        errors.print(f"note: {note}", markup=False, soft_wrap=True)
    if report.output:
        console.print(f"output: {report.output}", markup=False)
    if report.dead_letter:
        console.print(f"failed rows: {report.dead_letter}", markup=False)
    if report.stopped:
        errors.print(f"[bold red]stopped:[/] {escape(report.stopped)}", soft_wrap=True)
        errors.print("continue with --resume or `sagewire bulk resume OUTPUT`", markup=False)
