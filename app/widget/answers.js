// The answers side by side: cards, code that can be copied, differences on demand, swiping on a phone.

import { copyButton } from "./clipboard.js";
import { markDifferences } from "./difference.js";
import { button, letter, make } from "./elements.js";
import { draw, shape, show } from "./kinds.js";
import { say } from "./words.js";

function card(task, place) {
  const side = task.sides[place];
  const single = task.responses.length === 1;
  const name = single ? say("answer.single") : say("answer", { letter: letter(place) });
  const title = make("h2", { id: `tandem-${side}` });
  if (single) title.append(make("span", { class: "eyebrow" }, name));
  else title.append(make("b", { "aria-hidden": "true" }, letter(place)), make("span", { class: "unseen" }, name));
  const preferred = make("span", { class: "preferred" }, say("preferred"));
  return make(
    "article",
    { class: "answer", "data-side": side, "aria-labelledby": `tandem-${side}` },
    make("header", {}, title, ...(single ? [] : [preferred])),
    make("div", { class: "written", dir: "auto", "data-part": side }),
  );
}

// Every block of code gets a button beside it, outside of what scrolls.
export function dressCode(written) {
  for (const pre of written.querySelectorAll("pre")) {
    const box = make("div", { class: "code" });
    pre.replaceWith(box);
    const press = copyButton(() => pre.textContent, "copy");
    pre.setAttribute("role", "region");
    pre.setAttribute("aria-label", say("code"));
    box.append(pre, press);
  }
  for (const box of written.querySelectorAll(".table, .formula")) {
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.classList.contains("table") ? say("table") : say("formula"));
  }
}

export class Answers {
  constructor(root, part) {
    this.root = root;
    this.pair = part("pair");
    this.tabs = part("tabs");
    this.place = { root, cards: [], dock: part("dock"), extra: part("extra") };
    this.shape = null;
    this.task = null;
    this.compared = false;
    this.pair.addEventListener("scroll", () => this.#markTab(), { passive: true });
  }

  // Put the answers of a task on the screen. Their HTML was made safe by the server.
  show(task) {
    this.task = task;
    if (this.shape !== shape(task)) this.#build(task);
    this.compared = false;
    this.#fill();
    this.pair.scrollTo({ left: 0, behavior: "instant" });
  }

  said(said) {
    show(this.place, this.task, said);
  }

  // The language changed: the next task draws everything again.
  forget() {
    this.shape = null;
  }

  #build(task) {
    this.shape = shape(task);
    this.place.cards = task.responses.map((_, place) => card(task, place));
    this.pair.replaceChildren(...this.place.cards);
    this.pair.dataset.many = String(task.responses.length);
    this.place.extra.replaceChildren();
    const tab = (_, place) => button(letter(place), () => this.#turnTo(place), "tab");
    this.tabs.replaceChildren(...task.responses.map(tab));
    this.tabs.childNodes.forEach((one, place) => one.setAttribute("aria-label", say("answer", { letter: letter(place) })));
    this.tabs.hidden = task.responses.length < 2;
    draw(this.place, task);
    this.#markTab();
  }

  #fill() {
    this.task.responses.forEach((response, place) => {
      const written = this.place.cards[place].querySelector(".written");
      written.innerHTML = response.html;
      dressCode(written);
    });
  }

  get canCompare() {
    return this.task?.responses.length === 2;
  }

  // Show or hide where the two differ. Returns what is now to be said of it.
  compare() {
    this.compared = !this.compared;
    if (!this.compared) {
      this.#fill();
      return say("difference.off");
    }
    const written = this.place.cards.map((one) => one.querySelector(".written"));
    if (markDifferences(...written)) return say("difference.on");
    this.compared = false;
    return say("difference.long");
  }

  #turnTo(place) {
    const one = this.place.cards[place];
    this.pair.scrollTo({ left: one.offsetLeft - this.pair.offsetLeft, behavior: "smooth" });
    one.scrollIntoView({ block: "nearest" });
  }

  #markTab() {
    const width = this.pair.clientWidth || 1;
    const now = Math.round(Math.abs(this.pair.scrollLeft) / width);
    this.tabs.childNodes.forEach((tab, place) => tab.setAttribute("aria-pressed", String(place === now)));
  }
}
