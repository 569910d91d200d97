// Run by test_npm_client.py: every way of using the npm client, one word for each in a last line of JSON.
import assert from "node:assert/strict";
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "anything", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];
const tools = [{
  type: "function",
  function: { name: "add", parameters: { type: "object", properties: { a: { type: "integer" } }, required: ["a"] } },
}];
const results = {};

async function run(name, test) {
  try {
    await test();
    results[name] = "ok";
  } catch (error) {
    results[name] = String(error.stack);
  }
}

await run("chat", async () => {
  const reply = await client.chat.completions.create({ model: "chat", messages });
  assert.match(reply.choices[0].message.content, /Hello there/);
  assert.ok(reply.usage.total_tokens > 0);
  assert.ok(reply._request_id);
});

await run("stream", async () => {
  const stream = await client.chat.completions.create({
    model: "tgi", messages, stream: true, stream_options: { include_usage: true },
  });
  let text = "", usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.match(text, /Hello there/);
  assert.ok(usage.completion_tokens > 0);
});

await run("tools", async () => {
  const reply = await client.chat.completions.create({ model: "schema", messages, tools, tool_choice: "required" });
  assert.equal(reply.choices[0].message.tool_calls[0].function.name, "add");
});

await run("streamedTools", async () => {
  const runner = client.chat.completions.stream({ model: "schema", messages, tools, tool_choice: "required" });
  const final = await runner.finalChatCompletion();
  const call = final.choices[0].message.tool_calls[0];
  assert.equal(call.function.name, "add");
  assert.equal(typeof JSON.parse(call.function.arguments).a, "number");
});

await run("embeddings", async () => {
  const reply = await client.embeddings.create({ model: "embedding", input: ["a", "b"] });
  assert.equal(reply.data.length, 2);
  assert.equal(typeof reply.data[1].embedding[0], "number");
});

await run("responses", async () => {
  const response = await client.responses.create({ model: "chat", input: "Hello there" });
  assert.match(response.output_text, /Hello there/);
});

await run("streamedResponses", async () => {
  const stream = client.responses.stream({ model: "chat", input: "Hello there" });
  let text = "";
  stream.on("response.output_text.delta", event => { text += event.delta; });
  const final = await stream.finalResponse();
  assert.equal(final.output_text, text);
  assert.match(text, /Hello there/);
});

await run("notFound", async () => {
  await assert.rejects(client.chat.completions.create({ model: "nope", messages }), error => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
});

await run("badRequest", async () => {
  await assert.rejects(client.chat.completions.create({ model: "chat", messages, temperature: "hot" }), error => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
});

await run("abort", async () => {
  const content = "word ".repeat(300);
  const stream = await client.chat.completions.create({
    model: "slow", messages: [{ role: "user", content }], stream: true,
  });
  let pieces = 0;
  for await (const chunk of stream) {
    if (++pieces === 3) break;
  }
  assert.equal(pieces, 3);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 200);
  const asked = { model: "never", messages };
  await assert.rejects(client.chat.completions.create(asked, { signal: controller.signal }), APIUserAbortError);
});

await run("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("gpt-4o"));
});

console.log(JSON.stringify(results));
