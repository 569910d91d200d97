// What all parts of the page share. Everything that is shown goes in as text, never as HTML.

export const at = id => document.getElementById(id);

export const headers = () => at("key").value ? { authorization: "Bearer " + at("key").value } : {};

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function cells(row, values) {
  for (const [text, name] of values) {
    const cell = row.insertCell();
    cell.textContent = text;
    if (name) cell.className = name;
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
