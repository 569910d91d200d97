// @langchain/openai, through chat completions and through the Responses API.
import assert from "node:assert/strict";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const weather = tool(async ({ city }) => `It is sunny in ${city}, 21 degrees`, {
  name: "get_weather", description: "Get the weather in a city", schema: z.object({ city: z.string() }) });
const configuration = { baseURL: process.argv[2] };

for (const useResponsesApi of [false, true]) {
  const make = model => new ChatOpenAI({ model, apiKey: "anything", configuration, useResponsesApi, maxRetries: 0,
    ...(useResponsesApi ? { zdrEnabled: true } : {}) });
  const llm = make("schema").bindTools([weather]);
  const messages = [];
  for (const city of ["Paris", "London"]) {
    messages.push(new HumanMessage(`What is the weather in ${city}?`));
    const called = await llm.invoke(messages);
    assert.deepEqual(called.tool_calls.map(call => call.args), [{ city }]);
    const result = await weather.invoke(called.tool_calls[0]);
    assert.ok(result instanceof ToolMessage);
    messages.push(called, result);
    let answer;
    for await (const chunk of await llm.stream(messages)) answer = answer ? answer.concat(chunk) : chunk;
    assert.match(answer.text, /sunny/);
    assert.ok(answer.usage_metadata.output_tokens > 0);
    messages.push(answer);
  }
  const city = await make("schema").withStructuredOutput(z.object({ city: z.string(), people: z.number() }))
    .invoke("Rome");
  assert.equal(typeof city.people, "number");
}
