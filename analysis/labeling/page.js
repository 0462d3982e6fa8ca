"use strict";
// Texts enter the page as textContent only: a description with markup shows as text.
const at = (id) => document.getElementById(id);
const STEPS = { informative: "First question: does it inform?", visual: "Second question: does it tell how it looks?" };
const KEYS = { y: "yes", n: "no", s: "skip" };
let state = null;
let waiting = false;

async function send(path, body) {
  if (waiting) return;
  waiting = true;
  try {
    const options = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const reply = await fetch(path, { ...options, cache: "no-store" });
    const found = await reply.json();
    if (found.problem) throw new Error(found.problem);
    show(found, reply.status === 409 ? "This had been answered already; here is the open question." : "");
  } catch (error) {
    const ended = error instanceof TypeError || error instanceof SyntaxError;
    complain(ended
      ? "The server has ended, or this address is no longer valid. What you answered is saved: start the command again and open its new address."
      : "Your last answer could not be saved: " + error.message);
  } finally {
    waiting = false;
  }
}

function complain(text) {
  at("problem").hidden = !text;
  at("problem").textContent = text;
}

function show(found, problem) {
  state = found;
  complain(problem);
  const left = state.total - state.done - state.skipped;
  at("count").textContent = `${state.done} of ${state.total} labelled by ${state.rater}`
    + (state.skipped ? `, ${state.skipped} skipped` : "") + `, ${left} left`;
  at("bar").max = state.total;
  at("bar").value = state.done + state.skipped;
  at("undo").disabled = !state.can_undo;
  const ask = state.ask;
  at("ask").hidden = !ask;
  at("end").hidden = Boolean(ask);
  document.querySelector("details").hidden = !ask;
  if (ask) {
    at("step").textContent = STEPS[ask.question];
    at("class").textContent = ask.class;
    for (const part of ["before", "description", "after"]) {
      at(part).textContent = ask[part];
      at(part).hidden = !ask[part];
    }
    at("example").textContent = ask.example[0];
    at("example-answer").textContent = ask.example[1];
    document.title = `${state.done + state.skipped + 1} of ${state.total}: ${ask.class}`;
    at("said").textContent = `${STEPS[ask.question]} ${ask.class}: ${ask.description}`;
  } else {
    at("end-text").textContent = `${state.done} labelled, ${state.skipped} skipped. You can close this page and end the command.`;
    at("reopen").hidden = !state.skipped;
    document.title = "All done";
    at("said").textContent = "All done.";
    at("end-title").focus();
  }
}

function answer(word) {
  if (state && state.ask) send("answer", { key: state.ask.key, question: state.ask.question, answer: word });
}

for (const button of document.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => answer(button.dataset.answer));
}
at("undo").addEventListener("click", () => send("undo", {}));
at("reopen").addEventListener("click", () => send("reopen", {}));
document.addEventListener("keydown", (event) => {
  // A key held down must not answer description after description.
  if (!at("keys").checked || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key in KEYS) answer(KEYS[key]);
  else if (key === "u" && state && state.can_undo) send("undo", {});
  else return;
  event.preventDefault();
});
send("state");
