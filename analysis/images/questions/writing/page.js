"use strict";
// Texts enter the page as textContent only: a question or a name with markup shows as text.
const at = (id) => document.getElementById(id);
let state = null;
let waiting = false;

async function send(path, body) {
  if (waiting) return false;
  waiting = true;
  try {
    const options = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const reply = await fetch(path, { ...options, cache: "no-store" });
    const found = await reply.json();
    if (found.problem) throw new Error(found.problem);
    show(found, reply.status === 409 ? "Another image is shown now; look at it before you write." : "");
    return reply.ok;
  } catch (error) {
    const ended = error instanceof TypeError || error instanceof SyntaxError;
    complain(ended
      ? "The server has ended, or this address is no longer valid. What you wrote is saved: start the command again and open its new address."
      : "Not saved: " + error.message);
    return false;
  } finally {
    waiting = false;
  }
}

function complain(text) {
  at("problem").hidden = !text;
  at("problem").textContent = text;
}

function show(found, problem) {
  const turned = !state || state.image !== found.image;
  state = found;
  complain(problem);
  at("work").hidden = false;
  at("count").textContent = `Image ${state.number} of ${state.images}; ${state.asked} have a question. `
    + `${state.written} written: ${state.yes} yes, ${state.no} no`;
  at("bar").max = state.images;
  at("bar").value = state.asked;
  at("undo").disabled = !state.can_undo;
  if (turned) {
    at("image").src = `image-${state.number}`;
    at("image").alt = `Image ${state.image}`;
    at("name").textContent = state.image;
    at("question").focus();
  }
  at("abouts").replaceChildren(...state.about.map((word) => Object.assign(document.createElement("option"), { value: word })));
  at("list").replaceChildren(...state.questions.map(([question, answer, about]) => {
    const line = document.createElement("li");
    line.append(Object.assign(document.createElement("b"), { textContent: answer }), question);
    if (about) line.append(Object.assign(document.createElement("span"), { textContent: ` · ${about}` }));
    return line;
  }));
  document.title = `${state.number} of ${state.images}: write questions`;
  at("said").textContent = turned ? `Image ${state.number} of ${state.images}` : `${state.written} questions written`;
}

async function add(answer) {
  const question = at("question").value.trim();
  if (!state || !question) {
    complain("Write a question first.");
    at("question").focus();
    return;
  }
  if (await send("add", { image: state.image, question, answer, about: at("about").value.trim() })) {
    at("question").value = "";
    at("question").focus();
  }
}

function turn(by) {
  if (state) send("turn", { image: state.image, by });
}

for (const button of document.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => add(button.dataset.answer));
}
at("undo").addEventListener("click", () => send("undo", {}));
at("back").addEventListener("click", () => turn(-1));
at("next").addEventListener("click", () => turn(1));
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Enter" && event.target instanceof HTMLInputElement) add(event.shiftKey ? "no" : "yes");
  else if (event.key === "PageDown") turn(1);
  else if (event.key === "PageUp") turn(-1);
  else return;
  event.preventDefault();
});
send("state");
