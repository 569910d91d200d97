import pytest

from sagewire.aws.endpoint_names import endpoint_of
from sagewire.errors import UsageError

ARN = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/my-llm"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("my-llm", None), ("my-llm", None)),
        (("my-llm", "us-east-1"), ("my-llm", "us-east-1")),
        ((ARN, None), ("my-llm", "eu-west-1")),
        ((ARN, "eu-west-1"), ("my-llm", "eu-west-1")),
        (("arn:aws-cn:sagemaker:cn-north-1:111122223333:endpoint/x",), ("x", "cn-north-1")),
    ],
)
def test_a_name_or_an_arn(given, found):
    assert endpoint_of(*given) == found


@pytest.mark.parametrize(
    ("endpoint", "region", "words"),
    [
        (ARN, "us-east-1", "leave one of them out"),
        (ARN.replace("endpoint/", "model/"), None, "is not an endpoint's ARN"),
        ("arn:aws:s3:::bucket", None, "is not an endpoint's ARN"),
        ("meta-llama/Llama-3.1-8B-Instruct", None, "the endpoint that serves the model"),
    ],
)
def test_an_arn_that_does_not_fit(endpoint, region, words):
    with pytest.raises(UsageError, match=words):
        endpoint_of(endpoint, region)
