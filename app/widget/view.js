// What is on the screen, as functions of what is known; it decides nothing.

import { ANCHORS, GRADES, KEYS, LETTERS, ROLES, WORDS } from "./words.js";

const make = (tag, attributes = {}, ...inside) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...inside);
  return node;
};

const SVG = "http://www.w3.org/2000/svg";

// One to three chevrons pointing at the better answer, or two level lines for a tie.
function sign(value) {
  const drawing = document.createElementNS(SVG, "svg");
  const many = Math.abs(value);
  const width = many ? 4 + many * 6 : 14;
  drawing.setAttribute("viewBox", `0 0 ${width} 12`);
  drawing.setAttribute("width", width);
  drawing.setAttribute("height", 12);
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  const chevron = (i) => (value < 0 ? `M${6 + i * 6} 2l-4 4 4 4` : `M${4 + i * 6} 2l4 4-4 4`);
  const lines = many ? Array.from({ length: many }, (_, i) => chevron(i)) : ["M1 4h12M1 8h12"];
  path.setAttribute("d", lines.join(""));
  drawing.append(path);
  return drawing;
}

function choice(name, value, spoken, ...shown) {
  const input = make("input", { type: "radio", name, value, "aria-label": spoken });
  return make("label", { title: spoken }, input, ...shown);
}

export class View {
  constructor(root) {
    this.root = root;
    for (const { value, short, long } of GRADES) {
      this.part("grades").append(
        choice("verdict", value, long, sign(value), make("span", {}, short)),
      );
    }
    const key = make("kbd", {}, "B");
    const bad = choice("verdict", "both-bad", WORDS.bothBadLong, make("span", {}, WORDS.bothBad), key);
    this.part("both-bad").append(bad);
    for (const side of ["left", "right"]) this.#drawRating(side);
    for (const { keys, does, rating } of KEYS) {
      const caps = keys.flatMap((key) => (key === "–" ? [key] : [make("kbd", {}, key)]));
      const hint = make("span", rating ? { class: "for-ratings" } : {}, ...caps, ` ${does}`);
      this.part("keys").append(hint);
    }
    this.#measure("--dock", this.part("dock"));
    this.#measure("--top", root.querySelector(".top"));
  }

  // What sticks to an edge tells the rest of the page how much room it takes.
  #measure(name, bar) {
    const tell = () => this.root.style.setProperty(name, `${bar.offsetHeight}px`);
    new ResizeObserver(tell).observe(bar);
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  #drawRating(side) {
    const field = this.root.querySelector(`[data-rating="${side}"]`);
    const said = make("output", {}, "");
    field.append(make("legend", {}, make("span", {}, WORDS.rate(LETTERS[side])), said));
    const scale = make("div", { class: "scale" });
    ANCHORS.forEach((anchor, index) => {
      const words = WORDS.ratingOf(index + 1, anchor);
      const number = make("b", {}, String(index + 1));
      scale.append(choice(`rating-${side}`, index + 1, words, number, make("small", {}, anchor)));
    });
    field.append(scale);
    field.append(make("p", { class: "ends", "aria-hidden": "true" }, make("span", {}, ANCHORS[0]), make("span", {}, ANCHORS.at(-1))));
  }

  state(name) {
    this.root.dataset.state = name;
    this.part("pause").hidden = name === "task";
  }

  // Put one comparison on the screen. The HTML was made safe by the server.
  task(task) {
    this.state("task");
    this.root.dataset.type = task.type;
    const turns = task.prompt.map((turn) => {
      const body = make("div", { class: "written", dir: "auto" });
      body.innerHTML = turn.html;
      const alone = task.prompt.length === 1;
      const who = alone ? [] : [make("p", { class: "who" }, ROLES[turn.role])];
      return make("div", { class: "turn", "data-role": turn.role }, ...who, body);
    });
    this.root.querySelector(".prompt h2").textContent =
      task.prompt.length > 1 ? WORDS.conversation : WORDS.prompt;
    this.part("prompt").replaceChildren(...turns);
    ["left", "right"].forEach((side, index) => {
      this.part(side).innerHTML = task.responses[index].html;
    });
    this.fold(true);
  }

  // A long prompt is cut on first sight, so that both answers begin on the first screen.
  fold(folded) {
    const turns = this.part("prompt");
    const button = this.part("whole-prompt");
    turns.classList.toggle("folded", folded);
    button.hidden = folded && turns.scrollHeight <= turns.clientHeight + 24;
    if (button.hidden) turns.classList.remove("folded");
    button.textContent = folded ? WORDS.showAll : WORDS.showLess;
  }

  // Show what was said so far: {verdict, left, right} as strings, or null for what is open.
  said({ verdict, left, right }, complete) {
    for (const [name, value] of [["verdict", verdict], ["rating-left", left], ["rating-right", right]]) {
      for (const input of this.root.querySelectorAll(`input[name="${name}"]`)) {
        input.checked = input.value === value;
      }
    }
    const grade = GRADES.find(({ value }) => String(value) === verdict);
    this.part("said").textContent =
      verdict === "both-bad" ? WORDS.bothBadLong : (grade?.long ?? WORDS.question);
    this.part("said").classList.remove("reminds");
    this.root.classList.toggle("has-said", verdict !== null);
    for (const side of ["left", "right"]) {
      const card = this.root.querySelector(`[data-side="${side}"]`);
      card.classList.toggle("better", Number(verdict) * (side === "left" ? -1 : 1) > 0);
      const rating = { left, right }[side];
      card.querySelector("output").textContent = rating ? ANCHORS[rating - 1] : "";
    }
    this.root.querySelector(".submit").setAttribute("aria-disabled", String(!complete));
    for (const field of this.root.querySelectorAll(".missing")) field.classList.remove("missing");
  }

  missing(parts) {
    for (const part of parts) {
      const where = part === "verdict" ? ".verdict" : `[data-rating="${part}"]`;
      this.root.querySelector(where).classList.add("missing");
    }
    const sentence = WORDS.still(parts.map((part) => WORDS.missing[part]));
    this.part("said").textContent = sentence;
    this.part("said").classList.add("reminds");
    this.root.querySelector(".missing").scrollIntoView({ block: "nearest", behavior: "smooth" });
    this.announce(sentence);
  }

  pause(state, [title, text], canLook) {
    this.state(state);
    const panel = this.part("pause");
    panel.querySelector("h2").textContent = title;
    panel.querySelector("p").textContent = text;
    this.part("look-again").hidden = !canLook;
  }

  project(project, names) {
    this.part("project").textContent = project.name;
    const chooser = this.part("projects");
    chooser.hidden = names.length < 2;
    chooser.querySelector("select").replaceChildren(
      ...names.map((name) => new Option(name, name, false, name === project.name)),
    );
    this.part("simulated").hidden = !project.simulated;
    this.part("guide").hidden = !project.guidelines.html;
    this.part("guidelines").querySelector(".written").innerHTML = project.guidelines.html;
  }

  guide(shown) {
    this.part("guidelines").hidden = !shown;
    this.part("guide").setAttribute("aria-expanded", String(shown));
    this.part("guide").textContent = shown ? WORDS.hideGuidelines : WORDS.guidelines;
  }

  person(pseudonym) {
    this.part("menu").hidden = false;
    this.part("pseudonym").textContent = pseudonym;
    this.part("initial").textContent = pseudonym.slice(0, 1).toUpperCase();
  }

  progress(done, total) {
    const part = this.part("progress");
    part.hidden = !total;
    part.querySelector(".count").textContent = WORDS.progress(done, total);
    const bar = part.querySelector("[role=progressbar]");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", done);
    bar.firstElementChild.style.transform = `scaleX(${total ? done / total : 0})`;
  }

  sync(state, waiting) {
    const part = this.part("sync");
    const words = WORDS.sync[state](waiting);
    part.dataset.sync = state;
    const text = part.querySelector("span");
    if (text.textContent !== words) text.textContent = words;
  }

  // Judgements the server will not take stay in sight, each with its reason and two ways on.
  refused(rows, { retry, save, hide }) {
    const box = this.part("refused");
    box.hidden = rows.length === 0;
    if (box.hidden) return box.replaceChildren();
    const reasons = [...new Set(rows.map((row) => row.refused))];
    const again = make("button", { type: "button", class: "quiet" }, WORDS.tryAgain);
    again.addEventListener("click", retry);
    const file = make("button", { type: "button", class: "quiet" }, WORDS.saveFile);
    file.addEventListener("click", save);
    const later = make("button", { type: "button", class: "plainly" }, WORDS.hide);
    later.addEventListener("click", hide);
    return box.replaceChildren(
      make("h2", {}, WORDS.refused(rows.length)),
      make("ul", {}, ...reasons.map((reason) => make("li", {}, reason))),
      make("p", {}, WORDS.refusedWhy),
      make("div", {}, again, file, later),
    );
  }

  announce(sentence) {
    this.part("announce").textContent = sentence;
  }
}
