"""What was recorded of sagewire and its peers meeting the faults: all of them, and ours with the right outcome."""

import json
from pathlib import Path

import pytest

from sagewire.emulator import FAULTS

RECORDED = Path(__file__).parents[2] / "benchmarks" / "faults.json"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the benchmarks are not beside these tests")
PEERS = {
    "langchain-aws ChatSagemakerEndpoint",
    "langchain-aws SagemakerEndpoint",
    "llama-index-llms-sagemaker-endpoint",
    "LiteLLM sagemaker_chat",
    "LiteLLM sagemaker",
}


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text("utf-8"))


def test_every_fault_was_met_by_everybody(recorded):
    rows = recorded["rows"]
    assert {row["fault"].partition(":")[0] for row in rows} == set(FAULTS), "make bench-faults"
    assert len({(row["fault"], row["mode"]) for row in rows}) == len(rows) > 2 * len(FAULTS)
    libraries = set(rows[0]["outcomes"])
    assert libraries > PEERS
    assert all(set(row["outcomes"]) == libraries and all(row["outcomes"].values()) for row in rows)
    assert recorded["date"]
    assert set(recorded["packages"]) >= {"sagewire", "boto3", "langchain-aws", "litellm"}


def test_ours_ended_rightly_called_and_awaited(recorded):
    wrong = [
        (row["fault"], row["mode"], library, outcome)
        for row in recorded["rows"]
        for library, outcome in row["outcomes"].items()
        if library.startswith("sagewire")
        and not all(one.startswith(row["right"]) for one in outcome.split("; awaited: "))
    ]
    assert wrong == []
