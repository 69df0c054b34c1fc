// Tables that are wider than their place become compact, and if that is not enough, a list:
// every row a block with its first cell as the heading, other cells beside their column. So do
// those of a phone whose rows are tall.
(() => {
  const fits = (table) => table.scrollWidth <= table.parentElement.clientWidth + 1;
  // On a phone, sentences side by side are columns of single words.
  const isTall = (table) =>
    window.innerWidth < 600 && [...table.rows].some((row) => row.offsetHeight > 160);

  // Names may break between their words where columns are narrow.
  const breakNames = (table, mayBreak) => {
    for (const cell of table.querySelectorAll("th, td")) {
      const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      const found = [];
      while (texts.nextNode()) found.push(texts.currentNode);
      for (const text of found) {
        const plain = text.data.replaceAll("\u200b", "");
        text.data = mayBreak
          ? plain.replace(/[a-z0-9](?=[A-Z])|[_/=(](?=\w)|[.](?=[a-z])/g, "$&\u200b")
          : plain;
      }
    }
  };

  const label = (table) => {
    const names = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        [...row.cells].forEach((cell, k) => {
          cell.classList.toggle("long", cell.textContent.length > 32);
          cell.dataset.column = names[k] ? names[k].textContent : "";
        });
      }
    }
  };

  const arrange = (table) => {
    table.classList.remove("compact", "listed");
    breakNames(table, false);
    if (fits(table) && !isTall(table)) return;
    breakNames(table, true);
    table.classList.add("compact");
    if ((fits(table) && !isTall(table)) || !table.tHead) return;
    breakNames(table, false);
    label(table);
    table.classList.replace("compact", "listed");
  };

  const all = () => document.querySelectorAll(".bd-article table").forEach(arrange);
  let width = 0;
  const changed = () => {
    if (window.innerWidth !== width) {
      width = window.innerWidth;
      all();
    }
  };
  document.addEventListener("DOMContentLoaded", changed);
  window.addEventListener("load", all);
  window.addEventListener("resize", changed);
})();
