"""An emulator with the endpoints that the programs name."""

import pytest

from sagewire.emulator import Emulator, EndpointSpec
from sagewire.emulator.aws.identity import Role

THEIRS = "222222222222"
ENDPOINTS = {
    "tgi": "tgi:schema",
    "vllm": "openai_chat:schema",
    "tei": "tei",
    "their-tgi": EndpointSpec("tgi", engine="extractive", account=THEIRS),
}


@pytest.fixture
def endpoints(clean_environment, monkeypatch):
    with Emulator(ENDPOINTS, roles=(Role(f"arn:aws:iam::{THEIRS}:role/endpoint-users"),)) as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TGI_URL", emulator.container_url("tgi"))
        yield emulator
