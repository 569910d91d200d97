// The page: models and requests in flight every two seconds, usage and recent requests every ten.

import { at, cells, get } from "./common.js";
import { showKeys } from "./keys.js";
import { offer } from "./playground.js";
import { showUsage } from "./usage.js";

const words = { not_asked: "not asked yet", healthy: "healthy", failing: "failing", circuit_open: "circuit open",
  probing: "probing" };
// The one whose parts of the page are shown.
let caller = null;

async function refresh() {
  let status;
  try {
    status = await get("/status");
  } catch (error) {
    at("notice").textContent = error.message;
    at("notice").className = "error"; at("notice").hidden = false;
    for (const id of ["models", "usage", "keys", "recent", "requests"]) at(id).hidden = true;
    caller = null;
    return;
  }
  at("version").textContent = status.version;
  at("notice").hidden = true;
  showModels(status.models, status.not_served);
  showRequests(status);
  if (caller !== status.key) {
    caller = status.key;
    at("keys").hidden = !status.manages_keys;
    showSlow();
    if (status.manages_keys) showKeys();
  }
}

function showSlow() {
  if (caller === null) return;
  showUsage();
  if (!at("keys").hidden && !document.querySelector("dialog[open]")) showKeys();
}

function showModels(models, notServed) {
  const body = at("models").tBodies[0];
  body.replaceChildren();
  // A pattern runs nowhere itself; names that fit it have rows of their own once they have been asked for.
  const runs = models.filter(model => model.deployments.length);
  for (const model of models) if (!runs.includes(model)) cells(body.insertRow(), [[model.name], ["any name that fits", "soft"],
    [""], [""], [""]]);
  for (const model of runs) model.deployments.forEach((one, number) => {
    const limit = one.max_concurrency ? " / " + one.max_concurrency : "";
    const also = model.aliases.length ? " (" + model.aliases.join(", ") + ")" : "";
    cells(body.insertRow(), [[model.name + (number ? "" : also)], [words[one.state], "state " + one.state],
      [one.in_flight + limit, "number"], [one.name], [one.last_error, "soft"]]);
  });
  for (const [name, reason] of Object.entries(notServed)) cells(body.insertRow(), [[name], ["not served", "soft"], [""],
    [""], [reason, "soft"]]);
  at("models").hidden = false;
  offer(runs);
}

function showRequests(status) {
  at("live").textContent = status.live;
  const body = at("requests").tBodies[0];
  body.replaceChildren();
  for (const one of status.requests) cells(body.insertRow(), [[one.request_id], [one.model + " " + one.route],
    [one.key], [one.seconds.toFixed(1), "number"], [one.characters, "number"]]);
  at("requests").hidden = !status.requests.length;
}

function login() {
  sessionStorage.setItem("sagewire-key", at("key").value);
  caller = null;
  refresh();
}

// The key lives as long as this tab.
at("key").value = sessionStorage.getItem("sagewire-key") || "";
at("key").addEventListener("change", login);
at("login").addEventListener("submit", event => { event.preventDefault(); login(); });
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 2000);
setInterval(() => { if (!document.hidden) showSlow(); }, 10000);
