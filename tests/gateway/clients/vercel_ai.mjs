// Vercel's `ai`, with OpenAI's own provider (Responses API and chat) and with the one for compatible servers.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, Output, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = process.argv[2];
const openai = createOpenAI({ baseURL, apiKey: "anything" });
const compatible = createOpenAICompatible({ name: "sagewire", baseURL, apiKey: "anything", includeUsage: true,
  supportsStructuredOutputs: true });
const asked = [];
const tools = { get_weather: tool({ description: "Get the weather in a city", inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => { asked.push(city); return `It is sunny in ${city}, 21 degrees`; } }) };
const settings = { tools, stopWhen: stepCountIs(3), maxRetries: 0 };
const options = { providerOptions: { openai: { store: false } } };

for (const [name, provider] of [["responses", model => openai(model)], ["chat", model => openai.chat(model)],
  ["compatible", model => compatible(model)]]) {
  const first = [{ role: "user", content: "What is the weather in Paris?" }];
  asked.length = 0;
  const one = await generateText({ model: provider("schema"), messages: first, ...settings, ...options });
  assert.match(one.text, /sunny/, name);
  assert.ok(one.usage.outputTokens > 0, name);
  const second = [...first, ...one.responseMessages ?? one.response.messages,
    { role: "user", content: "What is the weather in London?" }];
  const two = streamText({ model: provider("schema"), messages: second, ...settings, ...options });
  assert.match(await two.text, /London/, name);
  assert.deepEqual(asked, ["Paris", "London"], name);
  const { output } = await generateText({ model: provider("schema"), prompt: "Rome", maxRetries: 0, ...options,
    output: Output.object({ schema: z.object({ city: z.string(), people: z.number() }) }) });
  assert.equal(typeof output.people, "number", name);
}

// With a gateway that stores answers, as it is without any settings: earlier items are sent as references, and the
// next question may name the last answer alone.
const storing = createOpenAI({ baseURL: process.argv[3], apiKey: "anything" });
asked.length = 0;
const opening = [{ role: "user", content: "What is the weather in Paris?" }];
const one = await generateText({ model: storing("schema"), messages: opening, ...settings });
assert.match(one.text, /sunny/);
const two = streamText({ model: storing("schema"), ...settings, messages: [...opening,
  ...one.responseMessages ?? one.response.messages, { role: "user", content: "What is the weather in London?" }] });
assert.match(await two.text, /London/);
const { responseId } = one.providerMetadata.openai;
const three = await generateText({ model: storing("schema"), ...settings, prompt: "What is the weather in Rome?",
  providerOptions: { openai: { previousResponseId: responseId } } });
assert.match(three.text, /Rome/);
assert.deepEqual(asked, ["Paris", "London", "Rome"]);
