// The page: models and requests in flight every two seconds, usage and recent requests every ten.

import { addRow, at, box, changed, FEW, get, moment, visible } from "./common.js";
import { showKeys } from "./keys.js";
import { offer } from "./playground.js";
import { showUsage } from "./usage.js";

const words = { not_asked: "not asked yet", healthy: "healthy", failing: "failing", circuit_open: "circuit open",
  probing: "probing" };
// The one whose parts of the page are shown.
let caller = null, paused = false, refused = false, asked = 0, shown = 0;

async function refresh() {
  const mine = ++asked;
  let status;
  try {
    status = await get("/status");
    // A later question may have been answered before.
    if (mine < shown) return;
  } catch (error) {
    if (mine < shown) return;
    shown = mine;
    // Asking again would not help until there is another key.
    refused = error.status === 401;
    at("notice").textContent = !refused ? error.message : at("key").value ? `The gateway refuses this key: ${error.message}.`
      : "This gateway needs an API key: enter it above. The master key shows everything.";
    at("notice").className = "error"; at("notice").hidden = false;
    if (refused) { document.body.classList.add("locked"); at("key").placeholder = "required"; }
    at("key").setAttribute("aria-invalid", refused);
    for (const id of ["models", "summary", "find-models", "workers", "usage", "work", "keys", "recent", "requests"]) at(id).hidden = true;
    caller = null;
    return;
  }
  shown = mine;
  refused = at("work").hidden = false;
  document.body.classList.remove("locked");
  at("key").removeAttribute("aria-invalid");
  at("version").textContent = status.version;
  at("notice").hidden = true;
  at("workers").textContent = scope(status);
  at("workers").hidden = !at("workers").textContent;
  showModels(status);
  showRequests(status);
  if (caller !== status.key) {
    caller = status.key;
    at("keys").hidden = !status.manages_keys;
    // A key sees only its own requests.
    for (const part of document.querySelectorAll("[data-all]")) part.hidden = !status.sees_all;
    showSlow();
    if (status.manages_keys) showKeys();
  }
}

function showSlow() {
  if (caller === null) return;
  showUsage();
  if (!at("keys").hidden && !document.querySelector("dialog[open]")) showKeys();
}

// Whose states and requests in flight are shown, if not those of all there is.
function scope({ workers, workers_known: known, machine }) {
  const found = [];
  if (known < workers) found.push(`${known} of ${workers} workers have reported their states.`);
  if (machine) found.push(`States and requests in flight are those of the gateway on ${visible(machine)}. Usage, recent ` +
    "requests and keys are those of all gateways with the same database.");
  return found.join(" ");
}

function showModels({ models, not_served: notServed, workers_known: known }) {
  // A pattern runs nowhere itself; names that fit it have rows of their own once they have been asked for.
  const runs = models.filter(model => model.deployments.length), rows = [];
  for (const model of models) if (!runs.includes(model)) rows.push([[model.name], ["any name that fits", "soft"], [""], [""], [""]]);
  for (const model of runs) model.deployments.forEach((one, number) => {
    const limit = one.max_concurrency ? " / " + one.max_concurrency : "";
    const state = one.state === "not_asked" && one.in_flight ? "waiting for the first answer" : words[one.state];
    const also = model.aliases.length ? " (" + model.aliases.join(", ") + ")" : "";
    rows.push([[model.name + (number ? "" : also)], [state + (one.workers < known ? ` (${one.workers} of ${known} workers)` : ""), "state " + one.state], [one.in_flight + limit, "number"],
      [one.name, "place"], [one.last_error && `${moment(one.last_error_at)}: ${one.last_error}`, "soft whole"]]);
  });
  for (const [name, reason] of Object.entries(notServed)) rows.push([[name], ["not served", "soft"], [""], [""], [reason, "soft whole"]]);
  at("models").hidden = false;
  at("find-models").hidden = rows.length <= FEW;
  // Among many, those that need somebody come first.
  if (rows.length > FEW) rows.sort((one, other) => trouble(other) - trouble(one));
  const wanted = at("find-models").hidden ? "" : at("find").value.trim().toLowerCase();
  const found = rows.filter(row => row.some(([text]) => String(text).toLowerCase().includes(wanted)));
  const body = at("models").tBodies[0];
  if (changed(body, found)) {
    body.replaceChildren();
    for (const row of found) addRow(body, row);
    if (!found.length) addRow(body, [[rows.length ? "None of this name or state." : "No model is available to this key.", "soft"]]);
    box(at("models"));
  }
  at("summary").hidden = rows.length < 2;
  at("summary").textContent = summary(runs);
  at("no-models").hidden = !!models.length;
  at("play").hidden = !models.length;
  offer(runs, models.length > runs.length);
}

const trouble = row => /failing|circuit_open|probing/.test(row[1][1]);

function summary(runs) {
  const states = runs.flatMap(model => model.deployments.map(one => one.state));
  const counted = Object.keys(words).map(state => [states.filter(one => one === state).length, words[state]]);
  return `${states.length} ${states.length === 1 ? "deployment" : "deployments"}: ` +
    counted.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ");
}

function showRequests(status) {
  at("live").textContent = status.live;
  at("more-live").hidden = status.live <= status.requests.length;
  at("more-live").textContent = `The oldest ${status.requests.length} are listed.`;
  const body = at("requests").tBodies[0];
  body.replaceChildren();
  for (const one of status.requests) addRow(body, [[one.request_id], [one.model], [one.route],
    [one.key], [one.seconds.toFixed(1), "number"], [one.characters, "number"]]);
  at("requests").hidden = !status.requests.length;
}

function login() {
  sessionStorage.setItem("sagewire-key", at("key").value);
  caller = null;
  at("secret").hidden = true;
  refresh();
}

// The key lives as long as this tab.
at("key").value = sessionStorage.getItem("sagewire-key") || "";
at("login").addEventListener("submit", event => { event.preventDefault(); login(); });
at("find").addEventListener("input", refresh);
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", paused);
  if (!paused) { refresh(); showSlow(); }
});
refresh();
setInterval(() => { if (!document.hidden && !paused && !refused) refresh(); }, 2000);
setInterval(() => { if (!document.hidden && !paused) showSlow(); }, 10000);
