// Names in tables may be broken between their parts, which phones need; style.css says on which screens.
for (const name of document.querySelectorAll(".md-typeset td code")) {
  name.innerHTML = name.innerHTML.replace(/[._](?=\w)|[a-z](?=[A-Z])|\((?=\w)/g, "$&<wbr>");
}
