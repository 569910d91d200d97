// What all parts of the page share. Everything that is shown goes in as text, never as HTML.

export const at = id => document.getElementById(id);

export const headers = () => at("key").value ? { authorization: "Bearer " + at("key").value } : {};

// Characters that nobody sees, or that turn the text around them: a name could look like another one.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export const visible = text => String(text).replace(hidden, one => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0"));

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = visible(text);
  if (className) made.className = className;
  return made;
}

// A row of a table. On phones it is a card, in which each cell has the column's name; the roles keep it a table there.
export function addRow(body, values) {
  const row = body.insertRow(), names = body.parentElement.tHead.rows[0].cells;
  row.setAttribute("role", "row");
  for (const [text, name] of values) {
    const cell = addCell(row);
    cell.textContent = visible(text ?? "");
    if (name) cell.className = name;
    // One long name must not push the other columns out of sight.
    if (cell.textContent.length > 30) cell.classList.add("long");
    // Words in place of all columns.
    if (values.length === 1) cell.colSpan = names.length;
  }
  return row;
}

export function addCell(row) {
  const cell = row.insertCell();
  cell.setAttribute("role", "cell");
  cell.dataset.label = row.closest("table").tHead.rows[0].cells[cell.cellIndex].textContent;
  return cell;
}

// A table of more rows scrolls in a box of its own, and has a field to find some by.
export const FEW = 10;

export const box = table => table.parentElement.classList.toggle("tall", table.tBodies[0].rows.length > FEW);

const drawn = new WeakMap();

// Whether something else is to be shown than before. What stays the same is not drawn anew: it may be selected.
export function changed(place, content) {
  const text = JSON.stringify(content);
  if (drawn.get(place) === text) return false;
  drawn.set(place, text);
  return true;
}

export function setRoles(table) {
  for (const [selector, role] of [["thead, tbody", "rowgroup"], ["thead tr", "row"], ["th", "columnheader"]])
    for (const one of table.querySelectorAll(selector)) one.setAttribute("role", role);
  table.setAttribute("role", "table");
}

for (const table of document.querySelectorAll("table")) setRoles(table);

// The time of today, else with its day.
export function moment(iso) {
  const then = new Date(iso), today = then.toDateString() === new Date().toDateString();
  return today ? then.toLocaleTimeString()
    : then.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

async function answer(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The gateway does not answer.");
  }
  if (response.ok) return response;
  throw Object.assign(new Error((await response.json()).error.message), { status: response.status });
}

export const get = async path => (await answer(path, { headers: headers() })).json();

export const send = (path, body, signal) => answer(path, { method: "POST", signal,
  headers: { ...headers(), "content-type": "application/json" }, body: JSON.stringify(body) });

export const post = async (path, body, signal) => (await send(path, body, signal)).json();

export async function copy(from, says) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    if (says) says.textContent = "Copied.";
  } catch {
    // Without HTTPS or permission there is no clipboard: select it, so that Ctrl+C copies.
    getSelection().selectAllChildren(from);
    if (says) says.textContent = "Press Ctrl+C.";
  }
}
