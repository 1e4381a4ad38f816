// The dialog that shows the SQL of a chart.

import { announce, make } from "./dom.js";

const dialog = () => document.getElementById("sql");
const part = (name) => document.getElementById(`sql-${name}`);

export function setUpDialog(closed) {
  part("close").addEventListener("click", () => dialog().close());
  dialog().addEventListener("close", closed);
  dialog().addEventListener("click", (event) => {
    if (event.target === dialog()) dialog().close(); // the backdrop
  });
  part("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(part("text").textContent);
      part("copied").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(part("text"));
      part("copied").textContent = "Selected. Copy it with the keyboard";
    }
    announce(part("copied").textContent);
  });
}

export function showSql(tile, answer) {
  part("title").textContent = `SQL of “${tile.title}”`;
  const facts = answer
    ? [["Table", answer.table], ["Rows", answer.rows.toLocaleString("en-GB") + (answer.is_cut ? ` (cut at the limit of ${answer.limit})` : "")], ["Took", `${answer.milliseconds} ms`]]
    : [];
  part("facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  part("text").textContent = answer ? answer.sql : "There is no result yet.";
  part("copied").textContent = "";
  if (!dialog().open) dialog().showModal();
}

export function hideSql() {
  if (dialog().open) dialog().close();
}
