"""Every API of the emulator through aioboto3."""

import asyncio
import io
import json
import os

import aioboto3
from results import refused, report, step

ROLE = os.environ["EMULATOR_ROLE"]
CHAT = json.dumps({"messages": [{"role": "user", "content": "Hello there"}]})
CALL = {"EndpointName": "chat", "ContentType": "application/json"}
FAST = {"Delay": 1, "MaxAttempts": 60}


async def calls(runtime):
    with step("whole"):
        answers = await asyncio.gather(*(runtime.invoke_endpoint(**CALL, Body=CHAT) for _ in range(8)))
        for answer in answers:
            content = json.loads(await answer["Body"].read())["choices"][0]["message"]["content"]
            assert content == "Hello there"
    with step("stream"):
        body = json.dumps({**json.loads(CHAT), "stream": True})
        answer = await runtime.invoke_endpoint_with_response_stream(**CALL, Body=body)
        text = b"".join([part["PayloadPart"]["Bytes"] async for part in answer["Body"]])
        assert text.endswith(b"data: [DONE]\n\n"), text
    with step("errors"):
        with refused("ModelError") as response:
            await runtime.invoke_endpoint(**CALL, Body=b'{"messages": []}')
        assert response["OriginalStatusCode"] == 400
        with refused("ValidationError"):
            await runtime.invoke_endpoint(EndpointName="nobody", Body=CHAT)
        broken = {**CALL, "EndpointName": "chat--model-stream-error-2"}
        answer = await runtime.invoke_endpoint_with_response_stream(**broken, Body=body)
        with refused("ModelStreamError"):
            [part async for part in answer["Body"]]


async def control(sagemaker):
    with step("lists"):
        pages = sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 4}, NameContains="e0")
        assert [len(page["Endpoints"]) async for page in pages] == [4, 4, 2]
        assert len((await sagemaker.list_endpoints())["Endpoints"]) == 10
    with step("deploy"):
        image = (await sagemaker.describe_model(ModelName="chat-model"))["PrimaryContainer"]["Image"]
        await sagemaker.create_model(ModelName="am", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
        variant = {"VariantName": "AllTraffic", "ModelName": "am", "InstanceType": "ml.g5.2xlarge"}
        variants = [{**variant, "InitialInstanceCount": 1}]
        await sagemaker.create_endpoint_config(EndpointConfigName="ac", ProductionVariants=variants)
        await sagemaker.create_endpoint(EndpointName="anew", EndpointConfigName="ac")
        await sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="anew", WaiterConfig=FAST)
        await sagemaker.delete_endpoint(EndpointName="anew")
        await sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="anew", WaiterConfig=FAST)
        await sagemaker.delete_endpoint_config(EndpointConfigName="ac")
        await sagemaker.delete_model(ModelName="am")


async def files(s3):
    with step("s3"):
        data = os.urandom(17_000_000)
        await s3.create_bucket(Bucket="async-files")
        await s3.upload_fileobj(io.BytesIO(data), "async-files", "large.bin")
        source = {"Bucket": "async-files", "Key": "large.bin"}
        await s3.copy_object(Bucket="async-files", Key="copy.bin", CopySource=source)
        copied = io.BytesIO()
        await s3.download_fileobj("async-files", "copy.bin", copied)
        assert copied.getvalue() == data
        part = await s3.get_object(Bucket="async-files", Key="copy.bin", Range="bytes=-4")
        assert await part["Body"].read() == data[-4:]
        await s3.delete_objects(Bucket="async-files", Delete={"Objects": [{"Key": "copy.bin"}, {"Key": "large.bin"}]})
        await s3.delete_bucket(Bucket="async-files")


async def identities(session, sts):
    with step("identities"):
        given = (await sts.assume_role(RoleArn=ROLE, RoleSessionName="me"))["Credentials"]
        there = aioboto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        async with there.client("sagemaker-runtime") as runtime:
            prompt = {"EndpointName": "theirs", "ContentType": "application/json", "Body": b'{"inputs": "Hi"}'}
            assert await (await runtime.invoke_endpoint(**prompt))["Body"].read()
        stranger = aioboto3.Session("AKIANOBODY0000000000", "x")
        async with stranger.client("sts") as wrong:
            with refused("InvalidClientTokenId"):
                await wrong.get_caller_identity()
    with step("others"):
        async with session.client("dynamodb") as dynamodb:
            with refused("UnknownOperationException"):
                await dynamodb.list_tables()


async def main():
    session = aioboto3.Session()
    async with session.client("sagemaker-runtime") as runtime:
        await calls(runtime)
    async with session.client("sagemaker") as sagemaker:
        await control(sagemaker)
    async with session.client("s3") as s3:
        await files(s3)
    async with session.client("sts") as sts:
        await identities(session, sts)


asyncio.run(main())
report()
