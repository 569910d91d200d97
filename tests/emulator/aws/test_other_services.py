"""Services that are not emulated refuse in their own protocol: botocore makes its ordinary typed errors of it."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from sagewire.emulator.aws.other_services import refuse
from sagewire.emulator.http_values import Request

CALLS = {
    # JSON, two versions
    "dynamodb": ("list_tables", {}, "UnknownOperationException", "ListTables of dynamodb"),
    "sqs": ("list_queues", {}, "UnknownOperationException", "ListQueues of sqs"),
    "logs": ("describe_log_groups", {}, "UnknownOperationException", "DescribeLogGroups of logs"),
    "cognito-idp": (
        "initiate_auth", {"AuthFlow": "USER_AUTH", "ClientId": "x"}, "UnknownOperationException", "InitiateAuth"
    ),
    # forms and XML, and what EC2 makes of that
    "iam": ("get_role", {"RoleName": "x"}, "InvalidAction", "GetRole of iam"),
    "cloudformation": ("list_stacks", {}, "InvalidAction", "ListStacks of cloudformation"),
    "ec2": ("describe_instances", {}, "InvalidAction", "DescribeInstances of ec2"),
    # paths with JSON, and with XML
    "lambda": ("invoke", {"FunctionName": "x"}, "UnknownOperationException", "/functions/x/invocations of lambda"),
    "bedrock-runtime": ("converse", {"modelId": "x"}, "UnknownOperationException", "/model/x/converse of bedrock"),
    "route53": ("list_hosted_zones", {}, "UnknownOperation", "hostedzone of route53"),
    # the emulator's own services
    "sagemaker": ("list_training_jobs", {}, "UnknownOperationException", "ListTrainingJobs"),
    "sagemaker-metrics": (
        "batch_get_metrics", {"MetricQueries": []}, "UnknownOperationException", "/BatchGetMetrics of sagemaker"
    ),
    "sts": ("get_federation_token", {"Name": "x"}, "InvalidAction", "GetFederationToken"),
    "s3": ("get_bucket_policy", {"Bucket": "xyz"}, "NotImplemented", "policy"),
}  # fmt: skip


@pytest.mark.parametrize("service", CALLS)
def test_a_clean_typed_error(emulator, service):
    operation, arguments, code, words = CALLS[service]
    client = boto3.client(service, config=Config(retries={"max_attempts": 0}, proxies={}, parameter_validation=False))
    with pytest.raises(ClientError) as error:
        getattr(client, operation)(**arguments)
    response = error.value.response
    assert response["Error"]["Code"] == code
    assert words in response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 501)
    assert response["ResponseMetadata"]["RequestId"]
    client.close()


def test_a_service_that_reads_cbor():
    headers = {"smithy-protocol": "rpc-v2-cbor"}
    response = refuse(Request("POST", "/service/Clock/operation/TellTime", headers, b""))
    answer = {"status_code": response.status, "headers": response.headers, "body": response.body}
    error = create_parser("smithy-rpc-v2-cbor").parse(answer, None)["Error"]
    assert error["Code"] == "UnknownOperationException"
    assert "TellTime" in error["Message"]
