"""Every API of the emulator through boto3; with `--traced` under OpenTelemetry's instrumentation of botocore."""

import io
import json
import os
import sys

import boto3
from results import refused, report, step

ROLE = os.environ["EMULATOR_ROLE"]
CHAT = json.dumps({"messages": [{"role": "user", "content": "Hello there"}]})
CALL = {"EndpointName": "chat", "ContentType": "application/json"}
FAST = {"Delay": 1, "MaxAttempts": 60}

if "--traced" in sys.argv:
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    BotocoreInstrumentor().instrument(tracer_provider=provider)

runtime, sagemaker = boto3.client("sagemaker-runtime"), boto3.client("sagemaker")
s3, sts = boto3.client("s3"), boto3.client("sts")

with step("whole"):
    answer = runtime.invoke_endpoint(**CALL, Body=CHAT)
    assert json.load(answer["Body"])["choices"][0]["message"]["content"] == "Hello there"
    assert answer["InvokedProductionVariant"] == "AllTraffic"

with step("stream"):
    body = json.dumps({**json.loads(CHAT), "stream": True})
    parts = runtime.invoke_endpoint_with_response_stream(**CALL, Body=body)["Body"]
    text = b"".join(part["PayloadPart"]["Bytes"] for part in parts)
    assert text.endswith(b"data: [DONE]\n\n"), text

with step("errors"):
    with refused("ModelError") as response:
        runtime.invoke_endpoint(**CALL, Body=b'{"messages": []}')
    assert response["OriginalStatusCode"] == 400
    with refused("ValidationError"):
        runtime.invoke_endpoint(EndpointName="nobody", Body=CHAT)
    broken = {**CALL, "EndpointName": "chat--model-stream-error-2"}
    parts = runtime.invoke_endpoint_with_response_stream(**broken, Body=body)["Body"]
    with refused("ModelStreamError"):
        list(parts)

with step("lists"):
    first = sagemaker.list_endpoints()
    assert (len(first["Endpoints"]), "NextToken" in first) == (10, True)
    pages = sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 4}, NameContains="e0")
    assert [len(page["Endpoints"]) for page in pages] == [4, 4, 2]

with step("deploy"):
    image = sagemaker.describe_model(ModelName="chat-model")["PrimaryContainer"]["Image"]
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InstanceType": "ml.g5.2xlarge",
        "InitialInstanceCount": 1,
    }
    for name in ("c", "d"):
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="new", EndpointConfigName="c")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="new", WaiterConfig=FAST)
    runtime.invoke_endpoint(**{**CALL, "EndpointName": "new"}, Body=CHAT)["Body"].read()
    sagemaker.update_endpoint(EndpointName="new", EndpointConfigName="d")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="new", WaiterConfig=FAST)
    sagemaker.delete_endpoint(EndpointName="new")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="new", WaiterConfig=FAST)
    for name in ("c", "d"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName="m")
    with refused("ValidationException"):
        sagemaker.describe_endpoint(EndpointName="new")

with step("s3"):
    data = os.urandom(17_000_000)
    s3.create_bucket(Bucket="files")
    s3.upload_fileobj(io.BytesIO(data), "files", "deep/large.bin")
    copied = io.BytesIO()
    s3.copy({"Bucket": "files", "Key": "deep/large.bin"}, "files", "copy.bin")
    s3.download_fileobj("files", "copy.bin", copied)
    assert copied.getvalue() == data
    part = s3.get_object(Bucket="files", Key="copy.bin", Range="bytes=5-9")
    assert (part["Body"].read(), part["ContentRange"]) == (data[5:10], f"bytes 5-9/{len(data)}")
    folders = s3.list_objects_v2(Bucket="files", Delimiter="/")
    assert [folder["Prefix"] for folder in folders["CommonPrefixes"]] == ["deep/"]
    with refused("NoSuchKey"):
        s3.get_object(Bucket="files", Key="nothing")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket="files")
    s3.delete_objects(Bucket="files", Delete={"Objects": [{"Key": "copy.bin"}, {"Key": "deep/large.bin"}]})
    s3.delete_bucket(Bucket="files")

with step("later"):
    s3.create_bucket(Bucket="inputs")
    s3.put_object(Bucket="inputs", Key="in.json", Body=b'{"inputs": "Hi"}', ContentType="application/json")
    sent = runtime.invoke_endpoint_async(EndpointName="later", InputLocation="s3://inputs/in.json")
    bucket, _, key = sent["OutputLocation"].removeprefix("s3://").partition("/")
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key=key, WaiterConfig=FAST)
    assert b"Hi" in s3.get_object(Bucket=bucket, Key=key)["Body"].read()

with step("identities"):
    assert sts.get_caller_identity()["Arn"].endswith(":user/emulator")
    given = sts.assume_role(RoleArn=ROLE, RoleSessionName="me")["Credentials"]
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    there = boto3.Session(**dict(zip(names, keys, strict=True)))
    prompt = {"EndpointName": "theirs", "ContentType": "application/json", "Body": b'{"inputs": "Hi"}'}
    assert there.client("sagemaker-runtime").invoke_endpoint(**prompt)["Body"].read()
    with refused("ValidationError"):
        runtime.invoke_endpoint(**prompt)
    stranger = boto3.Session("AKIANOBODY0000000000", "x").client("sts")
    with refused("InvalidClientTokenId"):
        stranger.get_caller_identity()

with step("others"):
    with refused("UnknownOperationException"):
        boto3.client("dynamodb").list_tables()
    with refused("InvalidAction"):
        boto3.client("ec2").describe_instances()

if "--traced" in sys.argv:
    with step("spans"):
        named: dict[str, list] = {}
        for span in spans.get_finished_spans():
            named.setdefault(span.attributes["rpc.method"], []).append(span)
        for method in (
            "InvokeEndpoint",
            "InvokeEndpointWithResponseStream",
            "CreateEndpoint",
            "GetObject",
            "AssumeRole",
        ):
            assert named[method][0].attributes["http.status_code"] in (200, 206), method
            assert named[method][0].attributes["aws.request_id"] or method == "GetObject", method
        failed = [span for span in named["InvokeEndpoint"] if not span.status.is_ok]
        assert len(failed) == 3, failed

report()
