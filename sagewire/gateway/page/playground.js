// The playground and the code beside it, for chats, embeddings and reranking.

import { at, copy, element, post, send, visible } from "./common.js";
import { snippets } from "./snippets.js";

let messages = [], running = null, client = "curl", tasks = {};

function say(who, kind) {
  const line = element("p"), text = element("span", "", kind);
  line.append(element("b", who), text);
  at("talk").append(line);
  return text;
}

function follow() { at("talk").scrollTop = at("talk").scrollHeight; }

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter(line => line.startsWith("data: ")).map(line => line.slice(6)).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

async function chat(model, text, signal) {
  const started = performance.now();
  let thinking = null, shown = null, answer = "", first = null;
  messages.push({ role: "user", content: text });
  try {
    const response = await send("/v1/chat/completions", { model, messages, stream: true,
      max_tokens: Number(at("tokens").value) || undefined, stream_options: { include_usage: true } }, signal);
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices[0]?.delta ?? {};
      first ??= performance.now();
      if (delta.reasoning_content) (thinking ??= say(model + ", thinking", "thinking")).textContent += delta.reasoning_content;
      if (delta.content) { (shown ??= say(model)).textContent += delta.content; answer += delta.content; }
      if (event.usage) at("counts").textContent = `${event.usage.completion_tokens} tokens, first after ` +
        `${Math.round(first - started)} ms, all after ${Math.round(performance.now() - started)} ms`;
      follow();
    }
  } finally {
    if (answer) messages.push({ role: "assistant", content: answer }); else messages.pop();
  }
}

async function embed(model, text, signal) {
  const started = performance.now();
  const found = await post("/v1/embeddings", { model, input: text }, signal), vector = found.data[0].embedding;
  say(model).textContent = `${vector.length} dimensions: ${vector.slice(0, 8).map(one => one.toFixed(4)).join(", ")}, …`;
  at("counts").textContent = `${found.usage.prompt_tokens} tokens, after ${Math.round(performance.now() - started)} ms`;
}

async function rerank(model, text, signal) {
  const started = performance.now();
  const documents = at("documents").value.split("\n").filter(line => line.trim());
  if (!documents.length) throw new Error("Enter at least one document.");
  const found = await post("/v1/rerank", { model, query: text, documents }, signal);
  say(model).textContent = found.results.map(one => `${one.relevance_score.toFixed(4)}  ${documents[one.index]}`).join("\n");
  at("counts").textContent = `${documents.length} documents, after ${Math.round(performance.now() - started)} ms`;
}

async function ask() {
  const model = chosen(), text = at("prompt").value, before = messages.length;
  say("You").textContent = text;
  at("prompt").value = "";
  running = new AbortController();
  at("send").disabled = true; at("stop").disabled = false; at("counts").textContent = "";
  follow();
  try {
    await { chat, embed, rerank }[at("task").value](model, text, running.signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      say("Error", "error").textContent = error.message;
      // To be sent again without typing it again.
      if (messages.length === before) at("prompt").value ||= text;
    }
  }
  running = null;
  at("send").disabled = false; at("stop").disabled = true;
  follow();
}

function startOver() {
  running?.abort();
  messages = [];
  at("talk").replaceChildren();
  at("counts").textContent = "";
}

function showTask() {
  const task = at("task").value;
  for (const part of document.querySelectorAll("[data-task]")) part.hidden = part.dataset.task !== task;
  at("documents").required = task === "rerank";
  at("prompt-label").textContent = { chat: "Message", embed: "Text", rerank: "Query" }[task];
  const names = Object.keys(snippets[task]);
  if (!names.includes(client)) client = names[0];
  document.querySelector("[role=tablist]").replaceChildren(...names.map(tab));
  showSnippet();
}

function tab(name) {
  const made = element("button", name);
  made.type = "button";
  made.setAttribute("role", "tab");
  made.setAttribute("aria-controls", "code");
  made.addEventListener("click", () => { client = name; showSnippet(); });
  return made;
}

function showSnippet() {
  // JSON's escapes are those of Python and JavaScript, too.
  const model = visible(JSON.stringify(chosen() || "MODEL").slice(1, -1));
  at("code").firstElementChild.textContent = snippets[at("task").value][client](model);
  for (const one of document.querySelectorAll("[role=tab]")) {
    one.setAttribute("aria-selected", one.textContent === client);
    one.tabIndex = one.textContent === client ? 0 : -1;
  }
  at("copied").textContent = "";
}

// A pattern offers names that nobody has asked for yet.
const chosen = () => at("name").value.trim() || at("model").value;

function showModel() {
  at("task").value = tasks[at("model").value] ?? "chat";
  showTask();
}

// Models with the task of each; a choice stays as long as its model is there. With patterns, others can be named.
export function offer(models, patterns) {
  at("other").hidden = !patterns;
  at("model").parentElement.hidden = !models.length;
  at("name").labels[0].textContent = models.length ? "Or a name that fits a pattern" : "Model: a name that fits a pattern";
  at("name").required = patterns && !models.length;
  if (!patterns) at("name").value = "";
  const before = at("model").value, names = models.map(model => model.name);
  const known = tasks[before];
  tasks = Object.fromEntries(models.map(model => [model.name, model.task === "complete" ? "chat" : model.task]));
  if ([...at("model").options].map(option => option.value).join("\n") === names.join("\n")) {
    // What it is for may become known by its first answer.
    if (known !== tasks[before] && known === at("task").value) showModel();
    return;
  }
  at("model").replaceChildren(...names.map(name => new Option(visible(name), name)));
  if (names.includes(before)) at("model").value = before; else showModel();
}

document.querySelector("[role=tablist]").addEventListener("keydown", event => {
  const tabs = [...event.currentTarget.children], now = tabs.indexOf(document.activeElement), last = tabs.length - 1;
  const next = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now ? now - 1 : last, Home: 0, End: last }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  tabs[next].click();
  tabs[next].focus();
});
at("play").addEventListener("submit", event => { event.preventDefault(); if (!running) ask(); });
for (const id of ["prompt", "documents"]) at(id).addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("play").requestSubmit();
});
at("stop").addEventListener("click", () => running?.abort());
at("clear").addEventListener("click", startOver);
at("name").addEventListener("input", showSnippet);
at("model").addEventListener("change", () => {
  at("name").value = "";
  // A conversation may go on with another model.
  if (tasks[at("model").value] !== at("task").value) startOver();
  showModel();
});
at("task").addEventListener("change", () => { startOver(); showTask(); });
at("copy").addEventListener("click", () => copy(at("code"), at("copied")));
showTask();
