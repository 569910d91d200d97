"""The emulator as AWS's other clients see it, each the newest and in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sagewire
from sagewire.emulator import Emulator, EndpointSpec

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ENDPOINTS = {f"e{number:02d}": "tgi:echo" for number in range(10)} | {
    "chat": "openai_chat:echo",
    "later": EndpointSpec("tgi", asynchronous="s3://answers/out"),
    "theirs": EndpointSpec("tgi", account="444455556666"),
}
STEPS = {"whole", "stream", "errors", "lists", "deploy", "s3", "identities", "others"}
# What sagewire itself needs, for programs that use it beside AWS's own packages.
OURS = ("aiohttp", "botocore", "orjson", "tenacity", "urllib3")


@pytest.fixture(scope="module")
def local():
    # Nothing takes time: the clients' waiters look every 30 seconds.
    with Emulator(ENDPOINTS, deploy_seconds=0.0) as emulator:
        yield emulator


@pytest.fixture
def run(local, clean_environment, tmp_path):
    """Run a program against the emulator and return what it says of each of its steps."""

    def go(*command, **variables):
        nowhere = {"HOME": str(tmp_path), "PYTHONPATH": str(Path(sagewire.__file__).parents[1])}
        # A session token that is set and empty is sent by some clients as it is.
        env = {name: value for name, value in (os.environ | local.environ()).items() if value}
        env |= nowhere | {"EMULATOR_ROLE": local.role_arn} | variables
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads(done.stdout.splitlines()[-1])
        assert {name: said for name, said in results.items() if said != "ok"} == {}
        return set(results)

    return go


def test_boto3_under_opentelemetry(run, python_with):
    python = python_with("boto3", "opentelemetry-instrumentation-botocore", "opentelemetry-sdk")
    assert run(python, HERE / "boto3_calls.py", "--traced") == STEPS | {"later", "spans"}


def test_aioboto3(run, python_with):
    assert run(python_with("aioboto3"), HERE / "aioboto3_calls.py") == STEPS


def test_javascript(run, node_with):
    packages = (f"client-{name}" for name in ("s3", "sagemaker", "sagemaker-runtime", "sts"))
    home = node_with(*(f"@aws-sdk/{name}" for name in (*packages, "lib-storage")))
    script = shutil.copy(HERE / "javascript_calls.mjs", home)
    assert run("node", script) == STEPS


def test_aws_cli_1(run, python_with):
    assert run(python_with("awscli"), HERE / "command_line_calls.py") == STEPS - {"stream"}


def test_aws_cli_2(run):
    aws = shutil.which("aws", path="/usr/local/bin:/usr/bin")
    if aws is None or "aws-cli/2" not in subprocess.run([aws, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("the AWS CLI 2 is not installed (on Debian: apt-get install awscli)")
    assert run(sys.executable, HERE / "command_line_calls.py", aws) == STEPS - {"stream"}


def test_sagemaker_sdk_2(run, python_with):
    python = python_with("sagemaker>=2,<3", *OURS)
    steps = {"whole", "stream", "errors", "later", "deploy", "sagewire", "clean up", "files"}
    assert run(python, HERE / "sagemaker_2_calls.py", SAGEMAKER_SUPPRESS_V2_WARNING="1") == steps


def test_sagemaker_sdk_3(run, python_with):
    # Looking for an s3fs that goes with the newest boto3 would take a minute, and finds one that old.
    python = python_with("sagemaker>=3,<4", "s3fs<0.5", *OURS)
    steps = {"whole", "errors", "lists", "deploy", "sagewire", "clean up", "files"}
    assert run(python, HERE / "sagemaker_3_calls.py") == steps
