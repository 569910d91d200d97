"""What stands for an endpoint: a name, an ARN, an object of the SageMaker SDK; arguments that mean something else."""

from types import SimpleNamespace

import boto3
import pytest

from sagewire import Client, UsageError
from sagewire.client.endpoint_names import endpoint_name_of
from sagewire.emulator import Emulator

ARN = "arn:aws:sagemaker:us-east-1:111122223333:endpoint/my-endpoint"


@pytest.fixture(scope="module")
def local():
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def here(local, clean_environment, monkeypatch):
    for name, value in local.environ().items():
        monkeypatch.setenv(name, value)
    local.clear()
    return local


def predictors():
    sdk = SimpleNamespace(boto_session=boto3.Session(), _region_name="us-east-1")
    predictor = SimpleNamespace(endpoint_name="my-endpoint", component_name=None, sagemaker_session=sdk)
    return {
        "Predictor": predictor,
        "AsyncPredictor": SimpleNamespace(endpoint_name="my-endpoint", sagemaker_session=sdk, predictor=predictor),
        "Endpoint": SimpleNamespace(endpoint_name="my-endpoint", _session=None, _region=None),
        "ARN": ARN,
    }


@pytest.mark.parametrize("kind", ["Predictor", "AsyncPredictor", "Endpoint", "ARN"])
def test_what_stands_for_an_endpoint_is_called(here, kind):
    from sagewire.integrations.langchain import ChatSagemakerEndpoint
    from sagewire.integrations.llama_index import SageMakerLLM

    given = predictors()[kind]
    assert Client(given).chat("Why is the sky blue?").text.startswith("The sky is blue")
    assert "blue" in ChatSagemakerEndpoint(endpoint_name=given).invoke("Why is the sky blue?").content
    assert "blue" in SageMakerLLM(given).complete("Why is the sky blue?").text


def test_a_session_of_the_sdk_is_a_session(here):
    sdk = SimpleNamespace(boto_session=boto3.Session(), _region_name="us-east-1")
    assert Client("my-endpoint", session=sdk).chat("Hello").text


def test_a_component_and_a_region_come_along():
    named = endpoint_name_of(SimpleNamespace(endpoint_name="shared", component_name="talks", sagemaker_session=None))
    assert (named.name, named.component) == ("shared", "talks")
    assert endpoint_name_of("arn:aws-cn:sagemaker:cn-north-1:111122223333:endpoint/x").region_name == "cn-north-1"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (ARN.replace("endpoint/", "inference-component/"), "inference_component_name="),
        ("arn:aws:s3:::bucket", "is not an endpoint's ARN"),
        (3, "not int"),
        (object(), "not object"),
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint, words):
    with pytest.raises(UsageError, match=words):
        Client(endpoint)
    with pytest.raises(UsageError, match="contradicts"):
        Client(ARN, region_name="eu-west-1")


@pytest.mark.parametrize(
    ("argument", "cure"),
    [
        ("region", "region_name="),
        ("role_arn", "assume_role_session"),
        ("endpoint_name", "first argument"),
        ("prompt_format", "format="),
        ("headers", "Http(url"),
        ("upload_to", "AsyncInference"),
        ("regoin_name", "did you mean 'region_name'"),
    ],
)
def test_arguments_of_other_libraries_name_what_is_meant(argument, cure):
    with pytest.raises(UsageError) as caught:
        Client("my-endpoint", **{argument: "x"})
    assert cure in str(caught.value)
