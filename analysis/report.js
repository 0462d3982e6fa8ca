"use strict";
// The table of descriptions. Text enters the page through textContent only: what a model wrote stays text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [CLASS, QUESTION, POLICY, SEED, TEXT, KIND, REWARD, NOTE, CUT] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const PAGE = 50;
  const IMAGE = "data:image/jpeg;base64,"; // what follows is base64: no other kind of address can come of it
  const seeds = new Set(data.rows.map((row) => row[SEED])).size;
  const lower = data.rows.map((row) => row[TEXT].toLowerCase());
  const $ = (id) => document.getElementById(id);
  let found = [];
  let shown = 0;

  const element = (tag, css, content) => {
    const made = document.createElement(tag);
    if (css) made.className = css;
    if (content !== undefined) made.textContent = content;
    return made;
  };

  const marked = (text, wanted) => {
    const made = element("span");
    let from = 0;
    for (let at = wanted ? text.toLowerCase().indexOf(wanted) : -1; at >= 0; at = text.toLowerCase().indexOf(wanted, from)) {
      made.append(text.slice(from, at), element("mark", "", text.slice(at, at + wanted.length)));
      from = at + wanted.length;
    }
    made.append(text.slice(from));
    return made;
  };

  const item = (row, wanted) => {
    const made = element("li");
    const who = element("div", "who", data.classes[row[CLASS]]);
    who.append(element("small", "", row[POLICY] + (seeds > 1 ? `, seed ${row[SEED]}` : "")));
    const said = element("div", "said");
    said.append(row[TEXT].trim() ? marked(row[TEXT] + (row[CUT] ? " …" : ""), wanted) : element("i", "soft", "(empty)"));
    said.append(element("small", "", data.questions[row[QUESTION]]));
    if (data.notes[row[NOTE]]) said.append(element("small", "", `Judge: ${data.notes[row[NOTE]]}`));
    const kind = data.kinds[row[KIND]];
    who.append(element("span", `chip chip-${kind.key}`, kind.name));
    const images = data.images[row[CLASS]];
    if (images.length) {
      const thumbs = element("div", "thumbs");
      images.forEach((encoded, number) => {
        const image = element("img");
        image.src = IMAGE + encoded;
        image.alt = `${data.classes[row[CLASS]]}, test image ${number + 1}`;
        thumbs.append(image);
      });
      who.append(thumbs);
    }
    const score = element("div", "score", row[REWARD] === null ? "none" : row[REWARD].toFixed(2));
    score.append(element("small", "", "reward"));
    made.append(who, said, score);
    return made;
  };

  const more = () => {
    const wanted = $("f-text").value.trim().toLowerCase();
    const page = document.createDocumentFragment();
    for (const index of found.slice(shown, shown + PAGE)) page.append(item(data.rows[index], wanted));
    $("rows").append(page);
    shown = Math.min(shown + PAGE, found.length);
    $("more").hidden = shown >= found.length;
    $("count").textContent = `${found.length} of ${data.rows.length} descriptions` + (shown < found.length ? `, ${shown} shown` : "");
  };

  const apply = () => {
    const cls = $("f-class").value, policy = $("f-policy").value, kinds = wantedKinds.get($("f-kind").value);
    const wanted = $("f-text").value.trim().toLowerCase(), order = $("f-order").value;
    found = [];
    data.rows.forEach((row, index) => {
      if (cls !== "" && row[CLASS] !== Number(cls)) return;
      if (policy && row[POLICY] !== policy) return;
      if (kinds && !kinds.has(row[KIND])) return;
      if (wanted && !lower[index].includes(wanted)) return;
      found.push(index);
    });
    const reward = (index) => data.rows[index][REWARD];
    if (order === "class") found.sort((a, b) => data.rows[a][CLASS] - data.rows[b][CLASS]);
    if (order === "up" || order === "down") {
      const sign = order === "up" ? 1 : -1; // descriptions without a reward come last either way
      found.sort((a, b) => (reward(a) === null) - (reward(b) === null) || sign * (reward(a) - reward(b)));
    }
    $("rows").replaceChildren();
    shown = 0;
    more();
  };

  const fill = (select, names, values) => names.forEach((name, index) => {
    const option = element("option", "", name);
    option.value = values ? values[index] : index;
    select.append(option);
  });
  const kinds = [...data.groups, ...data.kinds.map((kind, index) => ({ ...kind, kinds: [index] }))];
  const wantedKinds = new Map(kinds.map((kind) => [kind.key, new Set(kind.kinds)]));
  fill($("f-class"), data.classes);
  fill($("f-kind"), kinds.map((kind) => kind.name), kinds.map((kind) => kind.key));

  const pick = (part) => {
    clearTimeout(timer);
    $("filters").reset();
    $("f-policy").value = part.dataset.policy;
    $("f-kind").value = part.dataset.kind;
    apply();
    $("descriptions").focus({ preventScroll: true });
    $("descriptions").scrollIntoView();
  };
  for (const part of document.querySelectorAll(".pick")) {
    part.closest("svg").setAttribute("role", "group"); // the parts of an img cannot be reached
    part.setAttribute("role", "button");
    part.setAttribute("tabindex", "0");
    part.setAttribute("aria-label", `List ${part.dataset.label}`);
    part.addEventListener("click", () => pick(part));
    part.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pick(part);
    });
  }
  document.body.classList.add("script");

  let timer;
  $("filters").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 80); });
  $("filters").addEventListener("reset", () => setTimeout(apply)); // after the fields are reset
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", more);
  apply();
})();
