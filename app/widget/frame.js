// What stands around the task: bar, progress, state of the line, guidelines, and the screen between tasks.

import { LANGUAGES, language, say } from "./words.js";

export class Frame {
  constructor(root) {
    this.root = root;
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.#measure("--dock", this.part("dock"));
    this.#measure("--top", root.querySelector(".top"));
  }

  // What sticks to an edge tells the rest of the page how much room it takes.
  #measure(name, bar) {
    const tell = () => this.root.style.setProperty(name, `${bar.offsetHeight}px`);
    new ResizeObserver(tell).observe(bar);
  }

  state(name) {
    this.root.dataset.state = name;
    this.part("pause").hidden = name === "task";
  }

  // Words between tasks: [title, text], and perhaps a button, or the way to another place to judge in.
  pause(state, [title, text], press = null, way = null) {
    this.state(state);
    const panel = this.part("pause");
    panel.querySelector("h2").textContent = title;
    panel.querySelector("p").textContent = text;
    const look = this.part("look-again");
    look.hidden = !press;
    look.textContent = press === "go-on" ? say("break.over") : say("look_again");
    const elsewhere = this.part("elsewhere");
    elsewhere.hidden = !way;
    elsewhere.href = way ?? "#";
  }

  languages(chosen) {
    const select = this.part("language").querySelector("select");
    const options = Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code, false, code === language()));
    options.forEach((option) => (option.lang = option.value));
    select.replaceChildren(...options);
    select.onchange = () => chosen(select.value);
  }

  project(project, names) {
    this.part("project").textContent = project.name;
    const chooser = this.part("projects");
    chooser.hidden = names.length < 2;
    chooser.querySelector("select").replaceChildren(
      ...names.map((name) => new Option(name, name, false, name === project.name)),
    );
    this.part("simulated").hidden = !project.simulated;
    for (const press of this.root.querySelectorAll("[data-act=guidelines]")) {
      press.hidden = !project.guidelines.html;
    }
    this.part("guidelines").querySelector(".written").innerHTML = project.guidelines.html;
  }

  guide(shown = this.part("guidelines").hidden) {
    this.part("guidelines").hidden = !shown;
    this.root.classList.toggle("guided", shown);
    for (const press of this.root.querySelectorAll("[data-act=guidelines]")) {
      press.setAttribute("aria-expanded", String(shown));
    }
  }

  person(pseudonym) {
    this.root.classList.add("signed-in");
    this.part("pseudonym").textContent = pseudonym;
    this.part("initial").textContent = pseudonym.slice(0, 1).toUpperCase();
  }

  progress(done, total) {
    const part = this.part("progress");
    part.hidden = !total;
    part.querySelector(".count").textContent = say("progress", { done, total });
    const bar = part.querySelector("[role=progressbar]");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", done);
    bar.firstElementChild.style.transform = `scaleX(${total ? done / total : 0})`;
  }

  sync(state, n) {
    const part = this.part("sync");
    const words = state === "offline" && n === 0 ? say("sync.offline.empty") : say(`sync.${state}`, { n });
    part.dataset.sync = state;
    const text = part.querySelector("span");
    if (text.textContent !== words) text.textContent = words;
  }

  // What is still to be said, where it is to be said.
  missing(open, sentence) {
    for (const { where } of open) {
      for (const field of this.root.querySelectorAll(where)) field.classList.add("missing");
    }
    const said = this.part(this.root.dataset.verdict === "yes" ? "said" : "standing");
    said.textContent = sentence;
    said.classList.add("reminds");
    this.root.querySelector(".missing")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  forgetMissing(complete) {
    for (const field of this.root.querySelectorAll(".missing")) field.classList.remove("missing");
    for (const said of this.root.querySelectorAll(".reminds")) said.classList.remove("reminds");
    this.root.querySelector(".submit").setAttribute("aria-disabled", String(!complete));
  }

  // Every cap on the screen shows the key that its action has now.
  keys(shownKey) {
    for (const cap of this.root.querySelectorAll("[data-key]")) cap.textContent = shownKey(cap.dataset.key);
  }
}
