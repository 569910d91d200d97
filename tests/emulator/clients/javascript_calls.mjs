// Every API of the emulator through AWS's SDK for JavaScript; one word for each step in a last line of JSON.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, GetObjectCommand, NoSuchKey,
  S3Client, paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import {
  CreateEndpointCommand, CreateEndpointConfigCommand, CreateModelCommand, DeleteEndpointCommand,
  DeleteEndpointConfigCommand, DeleteModelCommand, DescribeModelCommand, ListEndpointsCommand, ListTrainingJobsCommand,
  SageMakerClient, paginateListEndpoints, waitUntilEndpointDeleted, waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import {
  InvokeEndpointCommand, InvokeEndpointWithResponseStreamCommand, ModelError, SageMakerRuntimeClient,
} from "@aws-sdk/client-sagemaker-runtime";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { Upload } from "@aws-sdk/lib-storage";

const role = process.env.EMULATOR_ROLE;
const settings = { region: process.env.AWS_REGION, endpoint: process.env.AWS_ENDPOINT_URL, maxAttempts: 1 };
const runtime = new SageMakerRuntimeClient(settings), sagemaker = new SageMakerClient(settings);
const s3 = new S3Client(settings), sts = new STSClient(settings);
const messages = [{ role: "user", content: "Hello there" }];
const call = { EndpointName: "chat", ContentType: "application/json" };
const results = {};

async function step(name, test) {
  try {
    await test();
    results[name] = "ok";
  } catch (error) {
    results[name] = String(error.stack);
  }
}

await step("whole", async () => {
  const answer = await runtime.send(new InvokeEndpointCommand({ ...call, Body: JSON.stringify({ messages }) }));
  const document = JSON.parse(new TextDecoder().decode(answer.Body));
  assert.equal(document.choices[0].message.content, "Hello there");
});

const body = JSON.stringify({ messages, stream: true });

await step("stream", async () => {
  const answer = await runtime.send(new InvokeEndpointWithResponseStreamCommand({ ...call, Body: body }));
  let text = "";
  for await (const event of answer.Body) text += new TextDecoder().decode(event.PayloadPart.Bytes);
  assert.ok(text.endsWith("data: [DONE]\n\n"));
});

await step("errors", async () => {
  const empty = new InvokeEndpointCommand({ ...call, Body: JSON.stringify({ messages: [] }) });
  await assert.rejects(runtime.send(empty), (error) => error instanceof ModelError && error.OriginalStatusCode === 400);
  const nobody = new InvokeEndpointCommand({ EndpointName: "nobody", Body: body });
  await assert.rejects(runtime.send(nobody), (error) => error.name === "ValidationError");
  const broken = new InvokeEndpointWithResponseStreamCommand({
    ...call, EndpointName: "chat--model-stream-error-2", Body: body,
  });
  const answer = await runtime.send(broken);
  await assert.rejects(async () => {
    for await (const event of answer.Body) assert.ok(event.PayloadPart);
  }, (error) => error.name === "ModelStreamError");
});

await step("lists", async () => {
  const sizes = [];
  for await (const page of paginateListEndpoints({ client: sagemaker, pageSize: 4 }, { NameContains: "e0" })) {
    sizes.push(page.Endpoints.length);
  }
  assert.deepEqual(sizes, [4, 4, 2]);
  assert.equal((await sagemaker.send(new ListEndpointsCommand({}))).Endpoints.length, 10);
});

await step("deploy", async () => {
  const found = await sagemaker.send(new DescribeModelCommand({ ModelName: "chat-model" }));
  const PrimaryContainer = { Image: found.PrimaryContainer.Image };
  await sagemaker.send(new CreateModelCommand({ ModelName: "jm", ExecutionRoleArn: role, PrimaryContainer }));
  const variant = { VariantName: "AllTraffic", ModelName: "jm", InstanceType: "ml.g5.2xlarge", InitialInstanceCount: 1 };
  await sagemaker.send(new CreateEndpointConfigCommand({ EndpointConfigName: "jc", ProductionVariants: [variant] }));
  await sagemaker.send(new CreateEndpointCommand({ EndpointName: "jnew", EndpointConfigName: "jc" }));
  const waiting = { client: sagemaker, minDelay: 1, maxDelay: 1, maxWaitTime: 60 };
  await waitUntilEndpointInService(waiting, { EndpointName: "jnew" });
  await runtime.send(new InvokeEndpointCommand({ ...call, EndpointName: "jnew", Body: JSON.stringify({ messages }) }));
  await sagemaker.send(new DeleteEndpointCommand({ EndpointName: "jnew" }));
  await waitUntilEndpointDeleted(waiting, { EndpointName: "jnew" });
  await sagemaker.send(new DeleteEndpointConfigCommand({ EndpointConfigName: "jc" }));
  await sagemaker.send(new DeleteModelCommand({ ModelName: "jm" }));
});

await step("s3", async () => {
  const Bucket = "js-files", data = randomBytes(12_000_000);
  await s3.send(new CreateBucketCommand({ Bucket }));
  await new Upload({ client: s3, params: { Bucket, Key: "a/large.bin", Body: data } }).done();
  await s3.send(new CopyObjectCommand({ Bucket, Key: "copy.bin", CopySource: `${Bucket}/a/large.bin` }));
  const whole = await s3.send(new GetObjectCommand({ Bucket, Key: "copy.bin" }));
  assert.ok(data.equals(Buffer.from(await whole.Body.transformToByteArray())));
  const part = await s3.send(new GetObjectCommand({ Bucket, Key: "copy.bin", Range: "bytes=5-9" }));
  assert.ok(data.subarray(5, 10).equals(Buffer.from(await part.Body.transformToByteArray())));
  const keys = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 1 }, { Bucket })) {
    keys.push(...page.Contents.map((item) => item.Key));
  }
  assert.deepEqual(keys, ["a/large.bin", "copy.bin"]);
  await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: "nothing" })), (error) => error instanceof NoSuchKey);
  await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
});

await step("identities", async () => {
  assert.match((await sts.send(new GetCallerIdentityCommand({}))).Arn, /:user\/emulator$/);
  const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: "me" }));
  const credentials = {
    accessKeyId: Credentials.AccessKeyId, secretAccessKey: Credentials.SecretAccessKey,
    sessionToken: Credentials.SessionToken,
  };
  const there = new SageMakerRuntimeClient({ ...settings, credentials });
  const prompt = { ...call, EndpointName: "theirs", Body: JSON.stringify({ inputs: "Hi" }) };
  assert.ok((await there.send(new InvokeEndpointCommand(prompt))).Body.length);
  const wrong = new STSClient({ ...settings, credentials: { accessKeyId: "AKIANOBODY0000000000", secretAccessKey: "x" } });
  const refused = (error) => error.name === "InvalidClientTokenId";
  await assert.rejects(wrong.send(new GetCallerIdentityCommand({})), refused);
});

await step("others", async () => {
  const refused = (error) => error.name === "UnknownOperationException" && /ListTrainingJobs/.test(error.message);
  await assert.rejects(sagemaker.send(new ListTrainingJobsCommand({})), refused);
});

console.log(JSON.stringify(results));
