"""A job remembers what it was given, refuses to go on as another one, and leaves what belongs to others alone."""

import json

import pytest
from typer.testing import CliRunner

from sagewire import UsageError, bulk
from sagewire.cli import app
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.emulator import EndpointSpec


def questions(count):
    return [{"prompt": f"question {number}"} for number in range(count)]


@pytest.fixture
def begun(models, write, tmp_path):
    """Begin a job with these settings, and return what goes on with it under others."""
    source, output = write(questions(100)), tmp_path / "out.jsonl"

    def begin(**settings):
        assert not bulk.run(source, "sagemaker/chat", output, budget_tokens=100, **settings).complete
        return lambda **others: bulk.run(source, "sagemaker/chat", output, resume=True, **others)

    return begin


HANDLER = {"handler": "openai_chat", "region_name": "us-east-1"}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"handler": "openai_completions", "format": "llama2"}, "handler"),
        ({"format": "llama2"}, "format"),
        ({"region_name": "eu-west-1"}, "region_name"),
        ({"inference_component_name": "other"}, "inference_component_name"),
        ({"endpoint_kwargs": {"TargetVariant": "b"}}, "endpoint_kwargs"),
        ({"handler": OpenAiChatHandler()}, "handler"),
        ({"handler": None}, "handler"),
    ],
)
def test_another_client_argument_is_refused_by_name(arguments, name, begun):
    resume = begun(client_arguments=HANDLER)
    with pytest.raises(UsageError, match=f"belongs to another job: {name} was "):
        resume(client_arguments={**HANDLER, **arguments})
    assert resume(client_arguments={**HANDLER, "timeout": 30}).complete


def test_bounds_are_remembered_and_may_change(begun, tmp_path, monkeypatch):
    begun(concurrency=3, max_concurrency=7, max_errors=5, deadline=600.0, dedup=False)
    manifest = tmp_path / "out.jsonl.bulk" / "manifest.json"
    seen = []
    monkeypatch.setattr("sagewire.bulk.run", lambda *_, **settings: seen.append(settings) or bulk.Report(0))
    CliRunner().invoke(app, ["bulk", "resume", str(tmp_path / "out.jsonl"), "--max-errors", "9"])
    [settings] = seen
    names = ("concurrency", "max_concurrency", "max_errors", "deadline", "dedup", "engine")
    assert [settings[name] for name in names] == [3, 7, 9, 600.0, False, "local"]
    # The bound that has stopped it would only stop it again.
    assert "budget_tokens" not in settings
    assert json.loads(manifest.read_bytes())["stopped_by"] == "budget_tokens"


def test_an_object_can_be_given_again_from_python_only(begun, tmp_path):
    resume = begun(client_arguments={"handler": OpenAiChatHandler()})
    done = CliRunner().invoke(app, ["bulk", "resume", str(tmp_path / "out.jsonl")])
    assert done.exit_code == 2
    assert "the handler of this job was an object" in " ".join(done.output.split())
    assert resume(client_arguments={"handler": OpenAiChatHandler()}).complete


def test_secrets_are_not_stored(begun, tmp_path):
    secrets = {"aws_access_key_id": "AKIASECRET", "aws_secret_access_key": "hush", "aws_session_token": "hush2"}
    begun(client_arguments={**HANDLER, **secrets})
    text = (tmp_path / "out.jsonl.bulk" / "manifest.json").read_text()
    assert not any(secret in text for secret in secrets.values())


def test_complete_means_that_the_output_is_there(models, write, tmp_path):
    source, output, folder = write(questions(3)), tmp_path / "out.jsonl", str(tmp_path / "work")
    assert bulk.run(source, "sagemaker/chat", output, work_dir=folder).complete
    with pytest.raises(UsageError, match=r"output was .*; name another work_dir"):
        bulk.run(source, "sagemaker/chat", tmp_path / "other.jsonl", work_dir=folder, resume=True)
    with pytest.raises(UsageError, match=r"output was .*; name another work_dir"):
        bulk.run(source, "sagemaker/chat", tmp_path / "other.jsonl", work_dir=folder, overwrite=True)
    output.unlink()
    with pytest.raises(UsageError, match=r"its output .*out\.jsonl is gone"):
        bulk.run(source, "sagemaker/chat", output, work_dir=folder, resume=True)


def test_an_output_that_is_gone_is_written_again_while_its_records_are_there(models, write, read, tmp_path):
    source, output = write([*questions(3), "{bad"]), tmp_path / "out.jsonl"
    assert bulk.run(source, "sagemaker/chat", output).failed == 1
    output.unlink()
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert (report.complete, report.calls, len(read(output))) == (True, 0, 4)


def test_dead_letters_belong_to_one_job(models, write, tmp_path):
    assert bulk.run(write(["{bad"], "bad.jsonl"), "sagemaker/chat", tmp_path / "a.jsonl").failed == 1
    assert bulk.run(write(questions(1), "good.jsonl"), "sagemaker/chat", tmp_path / "a.csv").failed == 0
    assert (tmp_path / "a.failed.jsonl").exists()
    with pytest.raises(UsageError, match="the input is the dead-letter file of the output"):
        bulk.run(write(questions(1), "b.failed.jsonl"), "sagemaker/chat", tmp_path / "b.jsonl", overwrite=True)
    (tmp_path / "c.failed.jsonl").write_text("somebody's")
    with pytest.raises(UsageError, match=r"c\.failed\.jsonl exists already"):
        bulk.run(write(questions(1), "good.jsonl"), "sagemaker/chat", tmp_path / "c.jsonl")
    assert (tmp_path / "c.failed.jsonl").read_text() == "somebody's"


def test_a_failed_run_leaves_no_folder(models, write, tmp_path):
    models.add("gone", EndpointSpec("openai_chat", engine="echo", faults=["access_denied"]))
    with pytest.raises(Exception, match="nowhere"):
        bulk.run(write(questions(3)), "sagemaker/nowhere", tmp_path / "out.jsonl")
    (tmp_path / "taken.jsonl").write_text("taken")
    with pytest.raises(UsageError, match="exists already"):
        bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "taken.jsonl")
    assert not list(tmp_path.glob("*.bulk"))
    own = tmp_path / "own"
    (own / "pass-7").mkdir(parents=True)
    (own / "pass-7" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds pass folders but no job"):
        bulk.run(write(questions(3)), "sagemaker/chat", tmp_path / "out.jsonl", work_dir=str(own), overwrite=True)
    assert (own / "pass-7" / "thesis.txt").read_text() == "precious"
