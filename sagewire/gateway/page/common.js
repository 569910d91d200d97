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

export function cells(row, values) {
  for (const [text, name] of values) {
    const cell = row.insertCell();
    cell.textContent = visible(text ?? "");
    if (name) cell.className = name;
    // One long name must not push the other columns out of sight.
    if (cell.textContent.length > 30) cell.classList.add("long");
  }
}

async function answer(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The gateway does not answer.");
  }
  if (response.ok) return response;
  throw new Error((await response.json()).error.message);
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
