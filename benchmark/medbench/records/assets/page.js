(() => {
  "use strict";
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const one = (query, root = document) => root.querySelector(query);
  const make = (tag, facts = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), facts);
    node.append(...children);
    return node;
  };
  const words = new Intl.Collator("en", { numeric: true });
  const state = { filters: {}, tables: {} };
  const said = make("p", { className: "note" });
  said.setAttribute("role", "status");

  /* Cells */
  const shown = (cell) => (one(".t", cell) || cell).textContent.trim();
  const key = (cell) => {
    if (!cell) return null;
    const value = cell.dataset.v;
    if (value === undefined) return shown(cell);
    return value === "" ? null : Number(value);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));

  class Grid {
    constructor(table) {
      this.table = table;
      this.id = table.id;
      this.quiet = table.dataset.quiet !== undefined;
      this.body = table.tBodies[0];
      this.heads = all("thead th", table);
      this.entries = [];
      for (const row of [...this.body.rows]) {
        if (row.classList.contains("record")) this.entries[this.entries.length - 1].record = row;
        else this.entries.push({ row, text: row.textContent.toLowerCase(), record: null, open: false });
      }
      for (const entry of this.entries) entry.cells = [...entry.row.cells];
      this.hidden = new Set();
      this.order = null;
      this.heads.forEach((head, column) => {
        const label = make("button", { type: "button" });
        label.append(...head.childNodes);
        head.append(label);
        label.addEventListener("click", () => {
          const [last, down] = this.order || [];
          const first = head.dataset.better === "higher";
          this.sort(column, last === column ? !down : first);
          save();
        });
      });
      for (const entry of this.entries) if (entry.record) this.prepare(entry);
    }
    prepare(entry) {
      const head = one("th", entry.row);
      const name = shown(head);
      const button = make("button", { type: "button", className: "plain" });
      button.append(...one(".t", head).childNodes);
      button.setAttribute("aria-expanded", "false");
      button.title = `Show the record of ${name}`;
      one(".t", head).append(button);
      one("details", entry.record).open = true;
      entry.record.remove();
      entry.button = button;
      button.addEventListener("click", () => { this.expand(entry, !entry.open); save(); });
    }
    expand(entry, open) {
      entry.open = open;
      entry.record.hidden = entry.row.hidden;
      if (open) entry.row.after(entry.record); else entry.record.remove();
      entry.row.classList.toggle("open", open);
      entry.button.setAttribute("aria-expanded", String(open));
    }
    sort(column, down) {
      this.order = [column, down];
      const keyed = this.entries.map((entry) => [key(entry.cells[column]), entry]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? compare(b, a) : compare(a, b);
      });
      this.entries = keyed.map(([, entry]) => entry);
      const next = this.body.nextSibling;
      this.body.remove();
      this.body.append(...this.entries.flatMap(({ row, record, open }) => (open ? [row, record] : [row])));
      this.table.insertBefore(this.body, next);
      this.heads.forEach((head, place) => {
        if (place === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
    }
    filter(asked, text) {
      let count = 0;
      for (const entry of this.entries) {
        const facts = entry.row.dataset;
        const fits = this.quiet || Object.entries(asked).every(([name, value]) => !value || facts[name] === value);
        entry.row.hidden = !(fits && entry.text.includes(text));
        if (entry.record) entry.record.hidden = entry.row.hidden;
        count += !entry.row.hidden;
      }
      return count;
    }
    hide(column, off) {
      if (off) this.hidden.add(column); else this.hidden.delete(column);
      this.heads[column].hidden = off;
      for (const { cells } of this.entries) if (cells[column]) cells[column].hidden = off;
    }
    visible() {
      const columns = this.heads.map((_, place) => place).filter((place) => !this.hidden.has(place));
      const rows = this.entries.filter((entry) => !entry.row.hidden).map((entry) => columns.map((place) => entry.cells[place]));
      return { heads: columns.map((place) => this.heads[place]), rows };
    }
    title() { return (this.table.dataset.title || document.title).trim(); }
  }

  /* Copies of what is shown */
  const form = (cell, spread) => {
    const text = shown(cell), sd = cell.dataset.sd;
    return spread && sd ? `${text.split(" [")[0]} ± ${sd}` : text;
  };
  const name = (head) => (one("button", head) || head).textContent.trim();
  const best = (heads, rows) => heads.map((head, column) => {
    const values = rows.map((row) => key(row[column])).filter((value) => typeof value === "number");
    if (!head.dataset.better || values.length < 2) return null;
    return head.dataset.better === "higher" ? Math.max(...values) : Math.min(...values);
  });
  const latexWords = { "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "↑": "$\\uparrow$", "↓": "$\\downarrow$", "→": "$\\rightarrow$", "±": "$\\pm$", "–": "--", "°": "\\textdegree{}", "τ": "$\\tau$", "ρ": "$\\rho$", "×": "$\\times$", "Δ": "$\\Delta$" };
  const tex = (text) => [...text].map((letter) => latexWords[letter] || letter).join("");
  const copies = {
    Markdown: (grid, spread) => {
      const { heads, rows } = grid.visible();
      const clean = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\|/g, "\\|").replace(/`/g, "\\`").replace(/\s+/g, " ");
      const line = (cells) => `| ${cells.map(clean).join(" | ")} |`;
      return [line(heads.map(name)), `|${heads.map(() => "---|").join("")}`, ...rows.map((row) => line(row.map((cell) => form(cell, spread))))].join("\n");
    },
    LaTeX: (grid, spread) => {
      const { heads, rows } = grid.visible(), top = best(heads, rows);
      const body = rows.map((row) => row.map((cell, column) => {
        const text = tex(form(cell, spread));
        return top[column] !== null && key(cell) === top[column] ? `\\textbf{${text}}` : text;
      }).join(" & ") + " \\\\");
      const align = heads.map((head) => (head.classList.contains("text") ? "l" : "r")).join("");
      const how = spread ? "mean ± sd over cases where there is one" : "brackets: 95 % intervals over groups";
      return ["% needs \\usepackage{booktabs}", "\\begin{table}", `\\caption{${tex(`${grid.title()}; ${how}.`)}}`, `\\label{tab:${(document.body.dataset.name || "medbench").replace(/[^a-z0-9]+/gi, "-")}-${grid.id}}`, `\\begin{tabular}{${align}}`, "\\toprule", heads.map((head) => tex(name(head))).join(" & ") + " \\\\", "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", "\\end{table}"].join("\n");
    },
    CSV: (grid) => {
      const { heads, rows } = grid.visible();
      const quote = (text) => `"${(/^[=+@\t\r-]/.test(text) && !/^-?[\d.]/.test(text) ? "'" : "") + text.replace(/"/g, '""')}"`;
      const cell = (node) => [node.dataset.v !== undefined && node.dataset.v !== "" ? node.dataset.v : quote(shown(node)), ...(node.dataset.low !== undefined ? [node.dataset.low, node.dataset.high] : [])];
      const wide = heads.map((_, column) => rows.some((row) => row[column].dataset.low !== undefined));
      const padded = (node, column) => { const parts = cell(node); while (parts.length < (wide[column] ? 3 : 1)) parts.push(""); return parts; };
      const head = heads.flatMap((node, column) => (wide[column] ? [name(node), `${name(node)} low`, `${name(node)} high`] : [name(node)]).map(quote));
      return [head.join(","), ...rows.map((row) => row.flatMap(padded).join(","))].join("\n");
    },
  };
  const give = async (text, what, place) => {
    all("textarea.copied").forEach((node) => node.remove());
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = `Copied: ${what}.`;
    } catch {
      said.textContent = `${what}: select and copy it here.`;
    }
    const area = make("textarea", { className: "copied", readOnly: true, value: text });
    area.setAttribute("aria-label", what);
    place.after(area);
  };

  /* The view in the address */
  let wait = 0;
  const save = () => { clearTimeout(wait); wait = setTimeout(write, 30); };
  const write = () => {
    const view = new URLSearchParams();
    for (const [what, value] of Object.entries(state.filters)) if (value) view.set(what, value);
    for (const grid of Object.values(state.tables)) {
      if (grid.order) view.set(`${grid.id}.sort`, `${grid.order[0]}${grid.order[1] ? "d" : "u"}`);
      if (grid.hidden.size) view.set(`${grid.id}.hide`, [...grid.hidden].sort((a, b) => a - b).join("."));
      const open = grid.entries.filter((entry) => entry.open).map((entry) => grid.entries.length && entry.row.id);
      if (open.length) view.set(`${grid.id}.open`, open.join("."));
    }
    try { history.replaceState(null, "", `#${view}`); } catch { location.hash = `${view}`; }
  };
  const read = () => {
    if (!location.hash.includes("=")) return;
    const view = new URLSearchParams(location.hash.slice(1));
    for (const control of all("[data-filter]")) {
      const value = view.get(control.dataset.filter);
      if (value !== null) { control.value = value; state.filters[control.dataset.filter] = value; }
    }
    if (one("[data-filters]")) refresh();
    for (const grid of Object.values(state.tables)) {
      const order = view.get(`${grid.id}.sort`), open = (view.get(`${grid.id}.open`) || "").split(".");
      if (order && grid.heads[parseInt(order, 10)]) grid.sort(parseInt(order, 10), order.endsWith("d"));
      for (const column of (view.get(`${grid.id}.hide`) || "").split(".").filter(Boolean)) {
        const box = one(`[data-table="${grid.id}"][data-column="${parseInt(column, 10)}"]`);
        if (box) { box.checked = false; grid.hide(parseInt(column, 10), true); }
      }
      for (const entry of grid.entries) if (entry.record && open.includes(entry.row.id)) grid.expand(entry, true);
    }
  };
  const refresh = () => {
    const { q = "", subgroup = "", ...asked } = state.filters;
    let count = 0, total = 0;
    for (const grid of Object.values(state.tables)) {
      const own = grid.filter(asked, q.toLowerCase());
      if (!grid.quiet) { count += own; total += grid.entries.length; }
    }
    all("[data-groups]").forEach((cell) => {
      const own = JSON.parse(cell.dataset.groups), text = one(".t", cell);
      cell.dataset.whole ??= JSON.stringify([text.textContent, cell.dataset.v, cell.dataset.low, cell.dataset.high]);
      const [words_, value, low, high] = subgroup ? own[subgroup] || ["–", "", "", ""] : JSON.parse(cell.dataset.whole);
      fill(text, words_);
      Object.assign(cell.dataset, { v: value, low, high });
      all(".iv", cell).forEach((bar) => { bar.hidden = Boolean(subgroup); });
    });
    said.textContent = `${count} of ${total} rows shown${subgroup ? `, ${subgroup}` : ""}.`;
  };

  const fill = (place, text) => {
    const at = text.indexOf(" [") + 1;
    place.textContent = at ? text.slice(0, at) : text;
    if (at) place.append(make("small", { textContent: text.slice(at) }));
  };

  /* Tools above tables */
  const choose = (label, what, values, first) => {
    const list = make("select", {}, make("option", { value: "", textContent: first }), ...values.map((value) => make("option", { value, textContent: value })));
    list.dataset.filter = what;
    list.setAttribute("aria-label", label);
    list.addEventListener("change", () => { state.filters[what] = list.value; refresh(); save(); });
    return make("label", {}, label, list);
  };
  const tools = (grid) => {
    const columns = make("div");
    grid.heads.forEach((head, column) => {
      const box = make("input", { type: "checkbox", checked: true });
      Object.assign(box.dataset, { table: grid.id, column });
      box.addEventListener("change", () => { grid.hide(column, !box.checked); save(); });
      columns.append(make("label", {}, box, name(head)));
    });
    const spread = make("select", {}, make("option", { value: "", textContent: "with interval" }), make("option", { value: "sd", textContent: "with ± sd" }));
    spread.setAttribute("aria-label", "Spread in copies");
    const bar = make("div", { className: "tools" }, make("details", { className: "columns" }, make("summary", { textContent: "Columns" }), columns));
    for (const [kind, text] of Object.entries(copies)) {
      const button = make("button", { type: "button", textContent: `Copy ${kind}` });
      button.addEventListener("click", () => give(text(grid, spread.value), kind, bar));
      bar.append(button);
    }
    if (one("[data-sd]", grid.table)) bar.append(spread);
    (grid.table.closest(".scroll") || grid.table).before(bar);
  };
  const filters = () => {
    const place = one("[data-filters]");
    if (!place) return;
    const box = make("input", { type: "search" });
    box.dataset.filter = "q";
    box.addEventListener("input", () => { state.filters.q = box.value; refresh(); save(); });
    place.append(make("label", {}, "Search", box));
    for (const pair of place.dataset.filters.split(",")) {
      const [what, label] = pair.split(":");
      const values = [...new Set(all(`tr[data-${what}]`).map((row) => row.dataset[what]).filter(Boolean))].sort(words.compare);
      if (values.length > 1 && values.length <= 60) place.append(choose(label, what, values, "all"));
    }
    const groups = [...new Set(all("[data-groups]").flatMap((cell) => Object.keys(JSON.parse(cell.dataset.groups))))].sort(words.compare);
    if (groups.length) place.append(choose("Subgroup", "subgroup", groups, "all cases"));
    const link = make("button", { type: "button", textContent: "Copy link to this view" });
    link.addEventListener("click", () => { write(); give(location.href, "link", place); });
    place.append(link);
    place.hidden = false;
    place.after(said);
  };

  /* The same case in plots and tables */
  const mark = (group, number, from) => {
    const on = !from.classList.contains("hit");
    all(".hit", group).forEach((node) => node.classList.remove("hit"));
    all('button[aria-pressed="true"]', group).forEach((node) => node.setAttribute("aria-pressed", "false"));
    if (!on) return;
    all(`[data-c="${number}"]`, group).forEach((node) => {
      node.classList.add("hit");
      const button = one("button[aria-pressed]", node);
      if (button) button.setAttribute("aria-pressed", "true");
    });
  };
  const linkCases = (group) => {
    for (const row of all("tr[data-c]", group)) {
      const head = one("th", row), button = make("button", { type: "button", className: "plain", title: "Mark this case in the plots" });
      if (one("a", head)) button.textContent = "mark"; else button.append(...head.childNodes);
      button.setAttribute("aria-pressed", "false");
      head.append(one("a", head) ? " " : "", button);
      button.addEventListener("click", () => mark(group, row.dataset.c, row));
    }
    group.addEventListener("click", (event) => {
      const dot = event.target.closest && event.target.closest("svg [data-c]");
      if (!dot) return;
      mark(group, dot.dataset.c, dot);
      const row = one(`tr[data-c="${dot.dataset.c}"]`, group), parts = row && row.closest("details");
      if (parts) parts.open = true;
      if (row) row.scrollIntoView({ block: "center" });
    });
  };

  /* Images */
  const slider = (label, facts, act) => {
    const input = make("input", { type: "range", ...facts });
    input.addEventListener("input", () => act(Number(input.value)));
    return make("label", {}, label, input);
  };
  const viewer = (figure) => {
    const stage = one(".stage", figure), frames = all(".frame", figure), bar = make("div", { className: "tools" });
    const zoom = (value) => frames.forEach((frame) => {
      const { width, height } = one("img", frame).attributes, ratio = width.value / height.value;
      frame.style.width = `min(${100 * value}%, ${80 * value * ratio}vh)`;
    });
    zoom(1);
    bar.append(slider("Zoom", { min: 1, max: 8, step: 0.5, value: 1 }, zoom));
    if (frames.length > 1) {
      const start = Math.max(0, frames.findIndex((frame) => frame.dataset.worst !== undefined));
      const output = make("output");
      const show = (number) => {
        frames.forEach((frame, place) => { frame.hidden = place !== number; });
        output.textContent = frames[number].dataset.label;
      };
      bar.append(slider("Slice", { min: 0, max: frames.length - 1, step: 1, value: start }, show), output);
      show(start);
    }
    stage.after(bar);
  };
  const layers = () => {
    const place = one("[data-layers]");
    if (!place) return;
    const errors = all(".over .errors");
    for (const what of ["reference", "prediction", ...(errors.length ? ["errors"] : [])]) {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => document.body.classList.toggle(`off-${what}`, !box.checked));
      place.append(make("label", {}, box, what));
    }
    if (errors.length) place.append(slider("Opacity of errors", { min: 0, max: 1, step: 0.05, value: 0.45 }, (value) => errors.forEach((node) => { node.style.fillOpacity = value; })));
    place.hidden = false;
  };

  for (const block of all("pre[data-copy]")) {
    const button = make("button", { type: "button", textContent: `Copy ${block.dataset.copy}` });
    button.addEventListener("click", () => give(block.textContent, block.dataset.copy, block));
    block.before(button);
  }
  filters();
  for (const table of all("table.sortable")) state.tables[table.id] = new Grid(table);
  Object.values(state.tables).forEach(tools);
  all("[data-linked]").forEach(linkCases);
  all("[data-viewer]").forEach(viewer);
  layers();
  if (one("[data-filters]")) refresh();
  read();
  window.addEventListener("hashchange", read);
})();
