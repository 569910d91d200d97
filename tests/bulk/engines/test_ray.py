"""The cluster engine on a local Ray with several workers, one of which dies. Needs `ray[data]`."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sagewire import UsageError, bulk
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
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
        # Not one that has run here before.
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield emulator
        ray.shutdown()


@pytest.fixture
def models(cluster):
    cluster.clear()
    return cluster


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def deadly(marker):
    """Return a handler for the worker that kills its process on the twentieth call, once."""

    class DeadlyHandler(OpenAiChatHandler):
        calls = 0

        def transform_input(self, request):
            cls = type(self)
            cls.calls += 1
            if cls.calls == 20:
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().transform_input(request)

    return DeadlyHandler()


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
    arguments = {"handler": deadly(str(marker))}
    report = bulk.run(
        write(questions(ROWS)),
        "sagemaker/chat",
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


def test_bounds_hold_for_all_workers_together(models, write, read, tmp_path):
    rows = questions(ROWS)
    for number in range(0, ROWS, 3):
        rows[number] = "{broken"
    source, output = write(rows), tmp_path / "out.jsonl"
    settings = {"engine": "ray", "engine_options": {"workers": 2, "segment_rows": 100}}
    report = bulk.run(source, "sagemaker/chat", output, max_errors=20, concurrency=8, **settings)
    assert report.stopped == "more than 20 rows have failed"
    # Workers go on for as long as the count takes to reach them.
    assert 20 < report.failed < ROWS // 3
    report = bulk.run(source, "sagemaker/chat", output, budget_tokens=600, resume=True, concurrency=8, **settings)
    assert report.stopped == "the budget of 600 tokens is spent"
    assert 100 < report.prompt_tokens + report.completion_tokens <= 600
    models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=1.0))
    try:
        report = bulk.run(source, "sagemaker/chat", output, deadline=2.0, resume=True, concurrency=4, **settings)
    finally:
        models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=0.02))
    assert report.stopped == "the deadline of 2 s has passed"
    assert not report.complete
    report = bulk.run(source, "sagemaker/chat", output, resume=True, **settings)
    assert (report.complete, report.rows, report.failed) == (True, ROWS, ROWS // 3)
    assert [row.get("output") for row in read(output)] == [
        f"question {number}" if number % 3 else None for number in range(ROWS)
    ]
    asked = Counter(call.json["messages"][0]["content"] for call in models.calls)
    assert set(asked.values()) == {1}


class Crowd(ThreadingHTTPServer):
    """A model that answers once `size` calls are inside, or nobody else comes; it knows how many ever were."""

    daemon_threads = True

    def __init__(self, size):
        super().__init__(("127.0.0.1", 0), Visitor)
        self.size = size
        self.changed = threading.Condition()
        self.inside = self.most = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Visitor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        crowd = self.server
        with crowd.changed:
            crowd.inside += 1
            crowd.most = max(crowd.most, crowd.inside)
            crowd.changed.notify_all()
            crowd.changed.wait_for(lambda: crowd.inside >= crowd.size, 0.5)
        message = {"role": "assistant", "content": body["messages"][0]["content"]}
        answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        with crowd.changed:
            crowd.inside -= 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_calls_in_flight_are_those_of_all_workers(models, write, tmp_path):
    with Crowd(8) as crowd:
        threading.Thread(target=crowd.serve_forever, args=(0.01,), daemon=True).start()
        report = bulk.run(
            write(questions(120)),
            crowd.url,
            tmp_path / "out.jsonl",
            engine="ray",
            engine_options={"workers": 2, "segment_rows": 20},
            client_arguments={"handler": "openai_chat"},
            concurrency=8,
        )
        crowd.shutdown()
    assert (report.rows, report.failed, report.complete) == (120, 0, True)
    assert 4 < crowd.most <= 8


def test_the_report_and_the_progress_count_for_all_workers(models, write, tmp_path):
    models.add("tight", EndpointSpec("openai_chat", engine="echo", latency=0.02, faults=["too_many_requests:12"]))
    seen = []
    report = bulk.run(
        write(questions(ROWS)),
        "sagemaker/tight",
        tmp_path / "out.jsonl",
        engine="ray",
        engine_options={"workers": 2, "segment_rows": 100},
        concurrency=8,
        watch=lambda progress: seen.append((progress.rows, progress.prompt_tokens)),
    )
    assert (report.complete, report.failed, report.throttled, report.calls) == (True, 0, 12, ROWS + 12)
    assert seen[-1] == (ROWS, report.prompt_tokens)
    assert report.notes == ()


def test_a_job_is_stopped_by_its_caller(models, write, read, tmp_path):
    def watch(progress):
        if progress.rows > 20:
            raise RuntimeError("seen enough")

    models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=0.2))
    source, output = write(questions(ROWS)), tmp_path / "out.jsonl"
    settings = {"engine": "ray", "engine_options": {"workers": 2, "segment_rows": 300}, "concurrency": 4}
    try:
        with pytest.raises(RuntimeError, match="seen enough"):
            bulk.run(source, "sagemaker/chat", output, watch=watch, **settings)
    finally:
        models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=0.02))
    asked = len(models.calls)
    assert 20 < asked < ROWS
    report = bulk.run(source, "sagemaker/chat", output, resume=True, **settings)
    assert (report.complete, report.done_before, len(models.calls)) == (True, asked, ROWS)


def test_a_concurrency_that_cannot_be_reached_is_said(models, write, tmp_path):
    report = bulk.run(
        write(questions(100)),
        "sagemaker/chat",
        tmp_path / "out.jsonl",
        engine="ray",
        engine_options={"workers": 2, "segment_rows": 10},
        concurrency=64,
    )
    [note] = report.notes
    assert note.startswith("20 calls in flight instead of concurrency=64")


def test_a_cluster_is_used_from_outside(models, write, read, tmp_path, until):
    """`ray://`, in processes of their own: this one is connected already."""
    pytest.importorskip("grpc")
    port = free_port()
    server = [sys.executable, "-m", "ray.util.client.server", "--mode", "specific-server", "--host", "127.0.0.1"]
    server += ["--port", str(port), "--address", ray.get_runtime_context().gcs_address]
    log = (tmp_path / "server.log").open("w")
    clients = subprocess.Popen(server, stdout=log, stderr=log)
    try:
        until(lambda: is_open(port), 120)
        write(questions(200))
        command = [sys.executable, "-m", "sagewire", "bulk", "run", "-m", "sagemaker/chat", "-i", "in.jsonl"]
        command += ["-o", "out.jsonl", "--engine", "ray", "--engine-option", f"address=ray://127.0.0.1:{port}"]
        command += ["--engine-option", "segment_rows=50", "--budget-tokens", "500"]
        # Paths are relative, and the workers' directory is another one.
        first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert "the budget of 500 tokens is spent" in first.stderr, first.stderr
        again = [*command[:-2], "--resume"]
        second = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert second.returncode == 0, second.stderr
    finally:
        clients.terminate()
        clients.wait(60)
        log.close()
    assert [row["output"] for row in read(tmp_path / "out.jsonl")] == [f"question {number}" for number in range(200)]
    assert len(models.calls) == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_job_and_its_workers(number, models, write, read, tmp_path, until):
    models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=0.3))
    write(questions(ROWS))
    command = [sys.executable, "-m", "sagewire", "bulk", "run", "-m", "sagemaker/chat", "-i", "in.jsonl"]
    command += ["-o", "out.jsonl", "--engine", "ray", "--concurrency", "4", "--engine-option", "workers=2"]
    command += ["--engine-option", "segment_rows=300", "--engine-option", "address=auto"]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    # Ray's own log is what the pipe would fill with.
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: len(models.calls) >= 8 or job.poll() is not None, 120)
        job.send_signal(number)
        job.wait(120)
    finally:
        job.kill()
        models.add("chat", EndpointSpec("openai_chat", engine="echo", latency=0.02))
    said = (tmp_path / "log").read_text()
    assert f"interrupted ({number.name})" in said, said
    asked = len(models.calls)
    assert 8 <= asked < ROWS
    # The workers have ended with it, and nothing that was answered is asked again.
    report = subprocess.run(
        [*command, "--resume"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert report.returncode == 0, report.stderr
    assert len(models.calls) == ROWS
    assert len(read(tmp_path / "out.jsonl")) == ROWS


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def is_open(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_cluster_that_is_not_there_is_one_sentence(write, tmp_path):
    pytest.importorskip("grpc")
    source = write(questions(1))
    code = "import sys; from sagewire import bulk; bulk.run(*sys.argv[1:4], engine='ray', "
    code += "engine_options={'address': 'ray://127.0.0.1:1'})"
    command = [sys.executable, "-c", code, source, "sagemaker/chat", str(tmp_path / "out.jsonl")]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert "UsageError: the Ray cluster at ray://127.0.0.1:1 cannot be reached" in found.stderr


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
        ({"client_arguments": {"aws_secret_access_key": "x"}}, "does not travel"),
        ({"engine_options": {"wokers": 2}}, "did you mean 'workers'"),
    ]:
        with pytest.raises(UsageError, match=words):
            bulk.run(source, "sagemaker/chat", tmp_path / "out.jsonl", engine="ray", **settings)


from sagewire.emulator.faults.base import FaultInjection, Refused  # noqa: E402


class After(FaultInjection):
    """So many calls are let in, then nobody is."""

    def __init__(self, calls):
        super().__init__("")
        self.left = calls

    def front_door(self):
        self.left -= 1
        if self.left < 0:
            raise Refused("AccessDeniedException", 403, "Not any more")
