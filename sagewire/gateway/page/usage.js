// Usage over time, by model and by key, and the newest requests.

import { chart } from "./charts.js";
import { addRow, at, box, changed, element, get, moment, setRoles, visible } from "./common.js";

const number = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const exact = new Intl.NumberFormat("en");
export const dollars = value => value === 0 ? "$0" : value < .01 ? "$" + value.toPrecision(2) : "$" + value.toFixed(2);
const seconds = value => value === null ? "–" : value < 1 ? Math.round(value * 1000) + " ms" : value.toFixed(1) + " s";

function label(iso, hours) {
  const moment = new Date(iso);
  return hours <= 24 ? moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : moment.toLocaleDateString([], { month: "short", day: "numeric", ...(hours <= 168 ? { hour: "2-digit" } : {}) });
}

function pick(id, names, all) {
  const chooser = at(id), before = chooser.value;
  const wanted = [...new Set([...names, ...(before ? [before] : [])])].sort();
  if ([...chooser.options].slice(1).map(one => one.value).join("\n") === wanted.join("\n")) return;
  chooser.replaceChildren(new Option(all, ""), ...wanted.map(name => new Option(visible(name), name)));
  chooser.value = before;
}

function filters(more) {
  const query = new URLSearchParams(more);
  if (at("only-model").value) query.set("model", at("only-model").value);
  if (at("only-key").value) query.set("key", at("only-key").value);
  return query.toString();
}

function drawCharts(found, hours) {
  const labels = found.series.map(step => label(step.at, hours)), total = found.total;
  const of = name => found.series.map(step => step[name]);
  at("charts").replaceChildren(
    chart({ title: "Requests", total: `${exact.format(total.requests)}, ${exact.format(total.failures)} ${total.failures === 1 ? "error" : "errors"}`, labels,
      show: number.format, series: [
        { name: "answered", values: found.series.map(step => step.requests - step.failures), className: "one" },
        { name: "errors", values: of("failures"), className: "three" }] }),
    chart({ title: "Tokens", total: number.format(total.prompt_tokens + total.completion_tokens), labels,
      show: number.format, series: [{ name: "prompt", values: of("prompt_tokens"), className: "one" },
        { name: "answer", values: of("completion_tokens"), className: "two" }] }),
    chart({ title: "Cost", total: dollars(total.cost), labels, show: dollars,
      series: [{ name: "cost", values: of("cost"), className: "one" }] }),
    chart({ title: "Latency", total: `p50 ${seconds(total.p50)}, p95 ${seconds(total.p95)}`, labels,
      show: seconds, kind: "lines", series: [{ name: "median", values: of("p50"), className: "one" },
        { name: "95th percentile", values: of("p95"), className: "two" }] }));
}

function sums(one) {
  return [[exact.format(one.requests), "number"], [exact.format(one.failures), one.failures ? "number error" : "number"],
    [exact.format(one.prompt_tokens), "number"], [exact.format(one.completion_tokens), "number"],
    [dollars(one.cost), "number"], [seconds(one.p50), "number"], [seconds(one.p95), "number"]];
}

function drawSums(id, title, rows) {
  const table = at(id), caption = element("caption", title);
  const head = element("thead"), body = element("tbody"), names = element("tr");
  for (const [text, name] of [[id === "by-key" ? "Key" : "Model", ""], ["Requests", "number"], ["Errors", "number"],
    ["Tokens", "number"], ["Cost", "number"], ["Median", "number"], ["p95", "number"]]) {
    const cell = element("th", text, name);
    cell.scope = "col";
    names.append(cell);
  }
  head.append(names);
  table.replaceChildren(caption, head, body);
  setRoles(table);
  for (const one of rows) {
    const [requests, errors, prompt, answer, ...rest] = sums(one);
    const tokens = [number.format(one.prompt_tokens + one.completion_tokens), "number"];
    addRow(body, [[one.name], requests, errors, tokens, ...rest]);
  }
  if (!rows.length) addRow(body, [["Nothing yet.", "soft"]]);
  box(table);
}

let latest = 0;

export async function showUsage() {
  const hours = Number(at("hours").value), asked = ++latest;
  let found, recent;
  try {
    [found, recent] = await Promise.all([get("/status/usage?" + filters({ hours })),
      get("/status/requests?" + filters(at("only-failed").checked ? { failed: "1" } : {}))]);
  } catch (error) {
    at("usage-notice").textContent = error.message;
    at("usage-notice").className = "error"; at("usage-notice").hidden = false;
    return;
  }
  // An answer to an earlier choice may arrive later.
  if (asked !== latest) return;
  at("usage-notice").hidden = true;
  at("usage").hidden = false;
  showRecent(recent.requests);
  if (!changed(at("usage"), found)) return;
  at("used").hidden = !found.total.requests;
  at("no-usage").hidden = !!found.total.requests;
  drawCharts(found, hours);
  drawSums("by-model", "By model", found.models);
  drawSums("by-key", "By key", found.keys);
  pick("only-model", found.models.map(one => one.name), "All models");
  pick("only-key", found.keys.map(one => one.name), "All keys");
  const body = at("series").tBodies[0];
  body.replaceChildren();
  for (const step of found.series) if (step.requests) addRow(body, [[label(step.at, hours)], ...sums(step)]);
  if (!body.rows.length) addRow(body, [["Nothing yet.", "soft"]]);
}

function showRecent(requests) {
  const body = at("recent").tBodies[0];
  at("recent").hidden = !requests.length;
  at("no-recent").hidden = !!requests.length;
  if (!changed(body, requests)) return;
  body.replaceChildren();
  for (const one of requests) addRow(body, [
    [moment(one.time)],
    [one.error ? `${one.status} ${one.error}` : String(one.status), one.error ? "error" : ""],
    [one.model || "–"], [one.route], [one.key],
    [(one.milliseconds / 1000).toFixed(2), "number"],
    [one.first_piece_milliseconds === null ? "" : (one.first_piece_milliseconds / 1000).toFixed(2), "number"],
    [one.prompt_tokens === null && one.completion_tokens === null ? ""
      : `${one.prompt_tokens ?? 0} + ${one.completion_tokens ?? 0}`, "number"],
    [one.cost ? dollars(one.cost) : "", "number"], [one.request_id, "soft whole id"]]);
  box(at("recent"));
}

for (const id of ["hours", "only-model", "only-key", "only-failed"]) at(id).addEventListener("change", showUsage);
