"""`sagewire bulk` as a user types it."""

import csv
import json

import pytest
from typer.testing import CliRunner

from sagewire.cli import app


@pytest.fixture
def run(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments):
        return CliRunner().invoke(app, ["bulk", *map(str, arguments)])

    return invoke


@pytest.fixture
def rows(write):
    return write([{"id": number, "body": f"text {number}"} for number in range(30)])


def test_run_writes_the_output_and_says_what_it_did(run, rows, models):
    done = run(
        *(
            "run",
            "--model",
            "sagemaker/chat",
            "--input",
            rows,
            "--output",
            "out.csv",
            "--template",
            "Sum up: {body}",
        ),
        *("--system", "Be brief.", "--max-tokens", 50, "--option", "top_p=0.5"),
    )
    assert done.exit_code == 0, done.output
    assert "30 rows, 0 failed" in done.output
    with open("out.csv", newline="") as file:
        assert [row["output"] for row in csv.DictReader(file)][29] == "Sum up: text 29"
    sent = models.calls[0].json
    assert (sent["max_tokens"], sent["top_p"], sent["messages"][0]["content"]) == (50, 0.5, "Be brief.")


def test_a_stopped_job_is_resumed_and_its_failures_retried(run, write, models):
    source = write(["{bad", *({"prompt": f"text {number}"} for number in range(100))])
    arguments = ("run", "-m", "sagemaker/chat", "-i", source, "-o", "out.jsonl")
    done = run(*arguments, "--budget-tokens", 200)
    assert done.exit_code == 1
    assert "the budget of 200 tokens is spent" in done.output
    done = run(*arguments)
    assert done.exit_code == 2
    assert "resume it" in done.output
    done = run("resume", "out.jsonl", "--json")
    report = json.loads(done.stdout)
    assert (report["complete"], report["rows"], report["failed"], done.exit_code) == (True, 101, 1, 1)
    models.clear()
    done = run("retry", "out.jsonl")
    assert "101 rows, 1 failed" in done.output
    assert models.calls == []
    assert "there is no job" in run("retry", "other.jsonl").output


def test_a_job_of_relative_paths_is_resumed(run, write):
    write([{"prompt": f"text {number}", "output": number} for number in range(100)])
    arguments = ("-m", "sagemaker/chat", "-i", "in.jsonl", "--prefix", "my_")
    assert run("plan", *arguments).exit_code == 0
    assert run("run", *arguments, "-o", "out.jsonl", "--budget-tokens", 200).exit_code == 1
    done = run("resume", "out.jsonl")
    assert done.exit_code == 0, done.output
    assert "of them done before" in done.output


def test_embed_needs_no_template(run, write):
    source = write([{"text": "one"}, {"text": "two"}])
    assert run("run", "-m", "sagemaker/tei", "-t", "embed", "-i", source, "-o", "v.parquet").exit_code == 0


def test_structured_output_from_a_schema_file(run, rows, write):
    schema = write(['{"type": "object", "required": ["label"]}'], "schema.json")
    done = run(
        *("run", "-m", "sagemaker/label", "-i", rows, "-o", "o.jsonl", "--column", "body", "--schema", schema, "--json")
    )
    assert json.loads(done.stdout)["failed"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--column", "missing"), "no column 'missing'; its columns: id, body"),
        (("--column", "body", "--option", "nonsense"), "NAME=VALUE"),
        (("--column", "body", "--option", "tmperature=1"), "did you mean 'temperature'"),
        (("--column", "body", "--schema", "nowhere.json"), "No such file"),
        (("--column", "body", "--resume", "--overwrite"), "the opposite"),
    ],
)
def test_mistakes_are_one_line(arguments, words, run, rows, models):
    done = run("run", "-m", "sagemaker/chat", "-i", rows, "-o", "out.jsonl", *arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert models.calls == []


def test_plan_asks_about_a_sample_and_writes_nothing(run, rows, models, tmp_path):
    before = set(tmp_path.iterdir())
    done = run("plan", "-m", "sagemaker/chat", "-i", rows, "--column", "body", "--sample", 10, "--json")
    found = json.loads(done.stdout)
    assert (found["rows"], found["asked"], found["measured"], len(models.calls)) == (30, 10, True, 10)
    assert found["prompt_tokens"] > 30
    assert found["seconds"] > 0
    assert set(tmp_path.iterdir()) == before
    done = run("plan", "-m", "sagemaker/chat", "-i", rows, "--column", "body", "--sample", 0, "--max-tokens", 10)
    assert "completion tokens" in done.output
    assert len(models.calls) == 10


def test_jobs_are_listed_shown_and_cleaned(run, write, tmp_path):
    source = write([{"prompt": f"text {number}"} for number in range(100)])
    assert run("run", "-m", "sagemaker/chat", "-i", source, "-o", "done.jsonl").exit_code == 0
    run("run", "-m", "sagemaker/chat", "-i", source, "-o", "half.csv", "--budget-tokens", 200, "--max-concurrency", 5)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "a browser extension"}')
    found = {job["output"].rpartition("/")[2]: job for job in json.loads(run("list", "--json").stdout)}
    assert {name: (job["state"], job["rows"] == 100) for name, job in found.items()} == {
        "done.jsonl": ("complete", True),
        "half.csv": ("stopped", False),
    }
    assert "sagemaker/chat" in run("list").output
    shown = json.loads(run("show", "half.csv", "--json").stdout)
    assert shown["description"]["bounds"]["max_concurrency"] == 5
    assert "batch size" not in run("show", "half.csv").output
    done = run("clean", "half.csv")
    assert (done.exit_code, "is not complete" in done.output) == (2, True)
    assert run("clean", "half.csv", "--unfinished").exit_code == 0
    assert run("clean", "done.jsonl").exit_code == 0
    assert (tmp_path / "done.jsonl").exists()
    assert not list(tmp_path.glob("*.bulk"))
    assert "there is no job" in run("show", "done.jsonl").output
