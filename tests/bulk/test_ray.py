"""The cluster engine on a local Ray with several workers, one of which dies. Needs `ray[data]`."""

import json
import os
import signal
from collections import Counter

import pytest

from sagewire import UsageError, bulk
from sagewire.emulator import Emulator, EndpointSpec

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ROWS = 600


@pytest.fixture(scope="module")
def cluster():
    """A Ray whose workers, like this process, see nothing but the emulator."""
    with (
        Emulator({"chat": EndpointSpec("openai_chat", engine="echo", latency=0.02), "tei": "tei"}) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**emulator.environ(), "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield emulator
        ray.shutdown()


@pytest.fixture
def models(cluster):
    cluster.clear()
    return cluster


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def deadly(marker):
    """Return a transport for the worker that kills its process on the twentieth call, once."""

    class DeadlyTransport:
        calls = 0

        async def invoke(self, call):
            from sagewire.transports.base import Body
            from sagewire.types import ResponseInfo

            self.calls += 1
            if self.calls == 20:
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            text = json.loads(call.body)["messages"][0]["content"]
            message = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
            return Body(json.dumps(message).encode(), ResponseInfo(content_type="application/json"))

        async def close(self):
            pass

    return DeadlyTransport()


def test_a_job_is_done_by_several_workers_with_a_cap_on_all(models, write, read, tmp_path):
    rows = questions(ROWS)
    rows[3] = "{broken"
    options = {"workers": 2, "segment_rows": 50}
    report = bulk.run(
        write(rows), "sagemaker/chat", tmp_path / "out.jsonl", engine="ray", engine_options=options, concurrency=16
    )
    assert (report.rows, report.failed, report.complete) == (ROWS, 1, True)
    found = read(report.output)
    assert [row.get("output") for row in found] == [
        None if number == 3 else f"question {number}" for number in range(ROWS)
    ]
    assert len(models.calls) == ROWS - 1
    assert read(report.dead_letter)[0]["line"] == 4


def test_a_worker_that_is_killed_costs_no_row(models, write, read, tmp_path):
    marker = tmp_path / "killed"
    arguments = {"transport": deadly(str(marker)), "handler": "openai_chat"}
    report = bulk.run(
        write(questions(ROWS)),
        "http://nowhere.invalid",
        tmp_path / "out.jsonl",
        engine="ray",
        engine_options={"workers": 2, "segment_rows": 40},
        client_arguments=arguments,
    )
    assert marker.exists(), "nobody was killed"
    assert (report.rows, report.failed, report.complete) == (ROWS, 0, True)
    assert [row["output"] for row in read(report.output)] == [f"question {number}" for number in range(ROWS)]


def test_a_job_that_stopped_is_resumed(models, write, read, tmp_path):
    source, output = write(questions(ROWS)), tmp_path / "out.jsonl"
    options = {"workers": 1, "segment_rows": 50}
    faulty = {"client_arguments": {"endpoint_kwargs": {}}}
    models.add("fading", EndpointSpec("openai_chat", engine="echo", latency=0.01, faults=[After(200)]))
    report = bulk.run(source, "sagemaker/fading", output, engine="ray", engine_options=options, attempts=1, **faulty)
    assert "AccessDenied" in report.stopped
    assert 0 < report.rows < ROWS
    models.add("fading", EndpointSpec("openai_chat", engine="echo"))
    with pytest.raises(UsageError, match="engine='ray'"):
        bulk.run(source, "sagemaker/fading", output, resume=True)
    models.clear()
    report = bulk.run(source, "sagemaker/fading", output, engine="ray", engine_options=options, resume=True)
    assert (report.rows, report.complete, len(models.calls)) == (ROWS, True, ROWS - report.done_before)
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(ROWS)]


def test_ray_udf_in_a_pipeline_of_ones_own(models):
    data = ray.data.from_items([{"body": f"text {number}", "n": number} for number in range(200)])
    udf = bulk.ray_udf("sagemaker/chat", template="Sum up: {body}", max_concurrency=32)
    found = data.map_batches(udf, concurrency=2, batch_size=50).take_all()
    assert Counter(row["output"] for row in found) == Counter(f"Sum up: text {number}" for number in range(200))
    assert all(row["error"] is None and row["n"] >= 0 for row in found)
    udf = bulk.ray_udf("sagemaker/tei", task="embed", column="body")
    found = data.map_batches(udf, concurrency=1, batch_size=64, batch_format="pyarrow").take(3)
    assert len(found[0]["output"]) == 64


def test_what_cannot_travel_is_refused(write, tmp_path):
    source = write(questions(1))
    for settings, words in [
        ({"budget_tokens": 5}, "one place that counts"),
        ({"client_arguments": {"aws_secret_access_key": "x"}}, "does not travel"),
        ({"engine_options": {"wokers": 2}}, "did you mean 'workers'"),
    ]:
        with pytest.raises(UsageError, match=words):
            bulk.run(source, "sagemaker/chat", tmp_path / "out.jsonl", engine="ray", **settings)


from sagewire.emulator.faults.base import Fault, Refused  # noqa: E402


class After(Fault):
    """So many calls are let in, then nobody is."""

    def __init__(self, calls):
        super().__init__("")
        self.left = calls

    def front_door(self):
        self.left -= 1
        if self.left < 0:
            raise Refused("AccessDeniedException", 403, "Not any more")
