// Filters of the claims ledger. Nothing ticked in a group means "all of them".
// The state lives in the address (#verdict=holds,fails&chapter=04), so a filtered ledger can be linked to.
// Without this script the page is a plain table with every row.
(() => {
  const form = document.querySelector("form.ledger-filters");
  if (!form) return;
  const rows = [...document.querySelectorAll("table.ledger tbody tr")];
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const status = form.querySelector("[role=status]");
  const clear = form.querySelector("button[type=reset]");
  const groups = [...new Set(boxes.map((box) => box.name))];

  const ticked = (group) => boxes.filter((box) => box.name === group && box.checked).map((box) => box.value);

  function show() {
    const wanted = groups.map((group) => [group, ticked(group)]).filter(([, values]) => values.length);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !wanted.every(([group, values]) => values.includes(row.dataset[group]));
      shown += !row.hidden;
    }
    status.textContent = `${shown} of ${rows.length} claims shown`;
    clear.disabled = !wanted.length;
    return wanted;
  }

  function write() {
    const hash = show().map(([group, values]) => `${group}=${values.join(",")}`).join("&");
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function read() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (location.hash && !groups.some((group) => state.has(group))) return show(); // the anchor of one row
    for (const box of boxes) box.checked = (state.get(box.name) || "").split(",").includes(box.value);
    return show();
  }

  form.addEventListener("change", write);
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const box of boxes) box.checked = false;
    write();
  });
  window.addEventListener("hashchange", read);
  form.hidden = false;
  read();
})();
