// Tables of many columns are shown as cards on phones (style.css), where each cell says what it is.
for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
  const columns = [...(table.tHead?.rows[0]?.cells ?? [])].map((cell) => cell.textContent.trim());
  if (columns.length < 4) continue;
  table.dataset.cards = "";
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, place) => { cell.dataset.column = columns[place] ?? ""; });
  }
}

// Names in tables may be broken between their parts, which phones need; style.css says on which screens.
for (const name of document.querySelectorAll(".md-typeset td code")) {
  name.innerHTML = name.innerHTML.replace(/[._](?=\w)|[a-z](?=[A-Z])|\((?=\w)/g, "$&<wbr>");
}
