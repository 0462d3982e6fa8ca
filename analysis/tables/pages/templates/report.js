"use strict";
// The table of descriptions. Text enters the page through textContent only: what a model wrote stays text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [CLASS, QUESTION, POLICY, SEED, TEXT, KIND, REWARD, NOTE, CUT] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const PAGE = 50;
  const IMAGE = "data:image/jpeg;base64,"; // what follows is base64: no other kind of address can come of it
  const lower = data.rows.map((row) => row[TEXT].toLowerCase());
  const $ = (id) => document.getElementById(id);
  const seedFilter = $("f-seed"); // only with several seeds
  let found = []; // groups of indices: equal descriptions of a class by one policy, judged alike
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

  // Roles are said again, since a phone lays rows out as blocks, and with that some browsers forget that it is a table.
  const cell = (tag, css, content) => {
    const made = element(tag, css, content);
    made.setAttribute("role", tag === "th" ? "rowheader" : "cell");
    if (tag === "th") made.scope = "row";
    return made;
  };

  // As reward.numerals.decimal: what rounds to zero has no sign.
  const decimal = (value) => value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "\u2212");

  const mean = (rows) => {
    const known = rows.map((row) => row[REWARD]).filter((reward) => reward !== null);
    return known.length ? known.reduce((sum, reward) => sum + reward, 0) / known.length : null;
  };

  const item = (group, wanted) => {
    const rows = group.map((index) => data.rows[index]), row = rows[0];
    const made = element("tr");
    made.setAttribute("role", "row");
    const who = cell("th", "who", data.classes[row[CLASS]]);
    const seeds = [...new Set(rows.map((one) => one[SEED]))];
    const of = seeds.length > 1 ? `, seeds ${seeds.join(", ")}` : `, seed ${seeds[0]}`;
    who.append(element("small", "", row[POLICY] + (seedFilter ? of : "")));
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
    const said = cell("td", "said");
    said.append(row[TEXT].trim() ? marked(row[TEXT] + (row[CUT] ? " …" : ""), wanted) : element("i", "soft", "(empty)"));
    if (rows.length > 1) said.append(element("b", "times", ` × ${rows.length}`));
    if (data.notes[row[NOTE]]) said.append(element("small", "", `Judge: ${data.notes[row[NOTE]]}`));
    const kind = data.kinds[row[KIND]];
    const verdict = cell("td", "verdict");
    verdict.append(element("span", `chip chip-${kind.key}`, kind.name));
    const reward = mean(rows);
    const score = cell("td", "score", reward === null ? "none" : decimal(reward));
    const questions = new Set(rows.map((one) => one[QUESTION]));
    const asked = cell("td", "asked", data.questions[row[QUESTION]]);
    if (questions.size > 1) asked.append(element("small", "", `and ${questions.size - 1} more questions`.replace(/^and 1 more questions$/, "and 1 more question")));
    made.append(who, said, asked, verdict, score);
    return made;
  };

  const words = () => $("f-text").value.trim().toLowerCase();

  const more = () => {
    const page = document.createDocumentFragment();
    for (const group of found.slice(shown, shown + PAGE)) page.append(item(group, words()));
    const first = page.firstElementChild;
    $("rows").append(page);
    shown = Math.min(shown + PAGE, found.length);
    $("more").hidden = shown >= found.length;
    const total = found.reduce((sum, group) => sum + group.length, 0);
    $("count").textContent = `${total} of ${data.rows.length} descriptions`
      + (total > found.length ? `, ${found.length} different ones` : "")
      + (shown < found.length ? `, ${shown} shown` : "");
    return first;
  };

  // Places of names in alphabetical order, made once: comparing 25,000 rows by name would take too long.
  const places = (names) => {
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    const made = new Array(names.length);
    [...names.keys()].sort((a, b) => compare(names[a], names[b])).forEach((index, place) => { made[index] = place; });
    return made;
  };
  const classPlaces = places(data.classes);
  const verdictPlaces = data.kinds.map((kind) => data.order.indexOf(kind.key));
  const ORDERS = {
    class: (row) => classPlaces[row[CLASS]],
    question: (row) => data.asked[row[QUESTION]],
    kind: (row) => verdictPlaces[row[KIND]],
    reward: (row) => row[REWARD],
  };

  const apply = () => {
    const cls = $("f-class").value, question = $("f-question").value, policy = $("f-policy").value;
    const seed = seedFilter ? seedFilter.value : "", kinds = wantedKinds.get($("f-kind").value);
    const wanted = words(), order = $("f-order").value;
    const groups = new Map();
    data.rows.forEach((row, index) => {
      if (cls !== "" && row[CLASS] !== Number(cls)) return;
      if (question !== "" && data.asked[row[QUESTION]] !== Number(question)) return;
      if (policy && row[POLICY] !== policy) return;
      if (seed !== "" && row[SEED] !== Number(seed)) return;
      if (kinds && !kinds.has(row[KIND])) return;
      if (wanted && !lower[index].includes(wanted)) return;
      const key = [row[CLASS], row[POLICY], row[KIND], row[CUT], row[TEXT]].join("\u0000");
      if (groups.has(key)) groups.get(key).push(index);
      else groups.set(key, [index]);
    });
    found = [...groups.values()];
    if (order) {
      const sign = order[0] === "-" ? -1 : 1, key = ORDERS[order.replace("-", "")];
      const keys = new Map(found.map((group) => [group, order.endsWith("reward") ? mean(group.map((index) => data.rows[index])) : key(data.rows[group[0]])]));
      // what has no reward comes last either way; equals stay as generated
      found.sort((a, b) => (keys.get(a) === null) - (keys.get(b) === null) || sign * (keys.get(a) - keys.get(b)));
    }
    for (const head of document.querySelectorAll("th[data-order]")) {
      const own = order.replace("-", "") === head.dataset.order.replace("-", "");
      head.setAttribute("aria-sort", !own ? "none" : order[0] === "-" ? "descending" : "ascending");
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
  const byName = [...data.classes.keys()].sort((a, b) => classPlaces[a] - classPlaces[b]);
  fill($("f-class"), byName.map((index) => data.classes[index]), byName);
  fill($("f-question"), data.templates);
  fill($("f-kind"), kinds.map((kind) => kind.name), kinds.map((kind) => kind.key));
  if (seedFilter) {
    const seeds = [...new Set(data.rows.map((row) => row[SEED]))];
    fill(seedFilter, seeds, seeds);
  }

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
  for (const head of document.querySelectorAll("th[data-order]")) {
    head.querySelector("button").addEventListener("click", () => {
      const first = head.dataset.order, turned = first[0] === "-" ? first.slice(1) : `-${first}`;
      $("f-order").value = $("f-order").value === first ? turned : first;
      apply();
    });
  }
  $("more").addEventListener("click", () => {
    const first = more();
    if ($("more").hidden && first) { // the button that had the focus is gone
      first.tabIndex = -1;
      first.focus({ preventScroll: true });
    }
  });
  apply();
})();
