// Keys, for the master key: make, limit, block, revoke.

import { addCell, addRow, at, box, changed, copy, element, get, post, visible } from "./common.js";
import { dollars, exact } from "./usage.js";

let edited = null;
const day = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });

export async function showKeys() {
  let found;
  try {
    found = (await get("/key/list")).keys;
  } catch (error) {
    say(error.message);
    return;
  }
  at("keys").hidden = false;
  const body = at("key-table").tBodies[0], focused = document.activeElement?.dataset?.for;
  if (!changed(body, found)) return;
  body.replaceChildren();
  for (const key of found) {
    const budget = key.max_budget === null ? "" : ` of ${dollars(key.max_budget)}` +
      (key.budget_duration ? ` per ${key.budget_duration}` : "");
    const over = key.expires !== null && new Date(key.expires) <= new Date();
    const ends = key.expires === null ? "never" : day.format(new Date(key.expires));
    const row = addRow(body, [[key.key_alias], [key.models[0] === "no-default-models" ? "none" : key.models.join(", ") || "all"],
      [[ends, over && "expired", key.blocked && "blocked"].filter(Boolean).join(", "), over || key.blocked ? "error" : ""],
      [limit(key.rpm_limit), "number"], [limit(key.tpm_limit), "number"],
      [dollars(key.spend) + budget, key.max_budget !== null && key.spend >= key.max_budget ? "number error" : "number"]]);
    const actions = addCell(row);
    if (key.in_configuration_file) {
      actions.textContent = "in the configuration file";
      actions.className = "soft";
      continue;
    }
    const acts = [["Edit", open], [key.blocked ? "Unblock" : "Block", block], ["Revoke", revoke]];
    for (const [text, act] of acts) {
      const button = element("button", text, "plain");
      button.type = "button";
      button.dataset.for = text + key.token;
      button.setAttribute("aria-label", `${text} key ${key.key_alias}`);
      button.addEventListener("click", () => act(key));
      actions.append(button);
      if (focused === button.dataset.for) button.focus();
    }
  }
  if (!found.length) addRow(body, [["None yet.", "soft"]]);
  box(at("key-table"));
}

const limit = number => number === null ? "–" : exact.format(number);

function say(message) {
  at("keys-notice").textContent = message;
  at("keys-notice").className = "error";
  at("keys-notice").hidden = !message;
}

function open(key) {
  edited = key;
  at("dialog-title").textContent = key ? `Edit key ${visible(key.key_alias)}` : "New key";
  at("key-save").textContent = key ? "Save" : "Create key";
  at("key-name").value = key?.key_alias ?? "";
  at("key-models").value = key?.models.join(", ") ?? "";
  at("key-rpm").value = key?.rpm_limit ?? "";
  at("key-tpm").value = key?.tpm_limit ?? "";
  at("key-budget").value = key?.max_budget ?? "";
  at("key-period").value = key?.budget_duration ?? "";
  at("key-expires").value = "";
  at("key-expires-label").textContent = key ? "Valid from now for" : "Valid for";
  at("key-expires").placeholder = key ? "no change, or 90d, 12h, no end" : "no end, or 90d, 12h";
  at("dialog-error").hidden = true;
  at("key-dialog").showModal();
}

function given() {
  const text = id => at(id).value.trim() || null, number = id => text(id) === null ? null : Number(text(id));
  const wanted = { key_alias: text("key-name"), models: (text("key-models") ?? "").split(",").map(one => one.trim()).filter(Boolean),
    rpm_limit: number("key-rpm"), tpm_limit: number("key-tpm"), max_budget: number("key-budget"),
    budget_duration: text("key-period") };
  const lasts = text("key-expires");
  // Not given, an expiry stays as it is; null takes it away.
  return lasts === null ? wanted : { ...wanted, duration: lasts.toLowerCase() === "no end" ? null : lasts };
}

async function save(event) {
  event.preventDefault();
  try {
    const made = await post(edited ? "/key/update" : "/key/generate", edited ? { key: edited.token, ...given() } : given());
    at("key-dialog").close();
    if (!edited) {
      at("secret-text").textContent = made.key;
      at("secret").hidden = false;
      at("secret-text").focus();
    }
    say("");
    await showKeys();
  } catch (error) {
    at("dialog-error").textContent = error.message;
    at("dialog-error").hidden = false;
  }
}

async function block(key) {
  try {
    await post(key.blocked ? "/key/unblock" : "/key/block", { key: key.token });
    say("");
  } catch (error) {
    say(error.message);
  }
  await showKeys();
}

function revoke(key) {
  edited = key;
  at("revoke-name").textContent = visible(key.key_alias);
  at("revoke-dialog").returnValue = "";
  at("revoke-dialog").showModal();
}

at("revoke-dialog").addEventListener("close", async () => {
  if (at("revoke-dialog").returnValue !== "revoke") return;
  try {
    await post("/key/delete", { keys: [edited.token] });
    say("");
  } catch (error) {
    say(error.message);
  }
  await showKeys();
  // The button that had it is gone.
  at("new-key").focus();
});
at("new-key").addEventListener("click", () => open(null));
at("key-cancel").addEventListener("click", () => at("key-dialog").close());
at("key-form").addEventListener("submit", save);
at("secret-hide").addEventListener("click", () => {
  at("secret").hidden = true;
  at("secret-text").textContent = "";
  at("new-key").focus();
});
at("secret-copy").addEventListener("click", () => copy(at("secret-text")));
