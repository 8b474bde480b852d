// The whole screen, as one thing to be told what is known; it decides nothing.

import { Answers } from "./answers.js";
import { between } from "./between.js";
import { Conversation } from "./conversation.js";
import { button, make } from "./elements.js";
import { Frame } from "./frame.js";
import { asks } from "./kinds.js";
import { shown } from "./keys.js";
import { Notices } from "./notices.js";
import { complete } from "./participation.js";
import { ratings } from "./ratings.js";
import { verdict } from "./verdict.js";
import { dress, list, say } from "./words.js";

export class Screen {
  constructor(root) {
    this.root = root;
    this.frame = new Frame(root);
    this.part = this.frame.part;
    this.conversation = new Conversation(root, this.part);
    this.answers = new Answers(root, this.part);
    this.notices = new Notices(this.part);
    const more = this.part("more");
    more.addEventListener("click", () => this.tools(!root.classList.contains("tools-open")));
    this.part("tools").addEventListener("click", () => this.tools(false));
  }

  dress(keyMap) {
    dress(this.root);
    this.keys(keyMap);
    this.answers.forget();
  }

  keys(keyMap) {
    this.frame.keys((action) => shown(keyMap.keys[action]));
  }

  tools(open) {
    this.root.classList.toggle("tools-open", open);
    this.part("more").setAttribute("aria-expanded", String(open));
  }

  // `left` counts the known items still to come, in a qualification round.
  task(task, keyMap, left) {
    this.frame.state("task");
    const { dataset } = this.root;
    dataset.type = task.type;
    dataset.verdict = asks(task, verdict) ? "yes" : "no";
    dataset.ratings = asks(task, ratings) ? "yes" : "no";
    const many = task.responses.length;
    this.part("title").textContent = say(many === 1 ? "title.single" : many > 2 ? "title.ranking" : "title");
    const practice = task.qualifying && left ? [make("p", {}, say("known.banner", { n: left }))] : null;
    this.notices.put("known", practice);
    this.conversation.show(task);
    this.answers.show(task);
    this.keys(keyMap);
    this.#press("difference", false);
    this.root.querySelector("[data-act=difference]").hidden = !this.answers.canCompare;
  }

  // A new task: seen from the top, and told to those who listen.
  arrive(sentence) {
    window.scrollTo({ top: 0, behavior: "instant" });
    this.notices.announce(sentence);
    this.conversation.title.focus({ preventScroll: true });
  }

  said(task, said, complete) {
    this.answers.said(said);
    this.frame.forgetMissing(complete);
    this.#press("comment", said.comment !== "");
  }

  #press(act, pressed) {
    this.root.querySelector(`[data-act=${act}]`).setAttribute("aria-pressed", String(pressed));
  }

  missing(open) {
    const sentence = say("still", { parts: list(open.map(({ words }) => words)) });
    this.frame.missing(open, sentence);
    this.notices.announce(sentence);
  }

  compare() {
    if (!this.answers.canCompare) return false;
    this.notices.remark(this.answers.compare());
    this.#press("difference", this.answers.compared);
    return true;
  }

  // Grade and ratings disagree: asked once, answered or changed, never forced.
  contradiction(clash, keyMap, { meant, change }) {
    const words = say(clash.key, clash.values);
    this.notices.ask("ask", [words], [
      button(say("hint.change"), change),
      button(say("hint.meant"), meant, "primary", make("kbd", { "data-key": "submit" }, shown(keyMap.keys.submit))),
    ]);
  }

  // The judgement of a known item is on its way; nothing can be changed until the answer is here.
  checking() {
    this.notices.ask("wait", [say("known.checking")]);
    this.root.querySelector(".submit").setAttribute("aria-disabled", "true");
  }

  noContradiction() {
    this.notices.ask("", null);
  }

  suggestBreak(rest, goOn) {
    const done = (act) => () => {
      this.notices.put("break", null);
      act();
    };
    const words = [make("p", {}, say("break.suggest"))];
    const buttons = [button(say("break.take"), done(rest)), button(say("break.later"), done(goOn), "plainly")];
    this.notices.put("break", words, buttons);
  }

  // The bar, the notices, and what stands in the place of a task where there is none.
  paint({ desk, hidden, resting, busy, hide, save }) {
    const { outbox, offline, progress, qualification } = desk;
    const waiting = desk.waiting();
    const refused = outbox?.refused() ?? [];
    if (offline) this.frame.sync(outbox?.fragile ? "fragile" : "offline", waiting);
    else if (waiting) this.frame.sync("waiting", waiting);
    else if (refused.length) this.frame.sync("refused", refused.length);
    else this.frame.sync(outbox ? "saved" : "connecting", 0);
    this.frame.progress(desk.judged, progress.done + progress.open);
    this.notices.refused(refused.length > hidden ? refused : [], {
      retry: () => desk.retryRefused(),
      save,
      hide: () => hide(refused.length),
    });
    if (resting) this.frame.pause("resting", [say("break.title"), say("break.text")], "go-on");
    if (resting || busy) return;
    const { trouble, study, supply, completion, elsewhere } = desk;
    // A last look for more work does not take back that everything is done.
    const filling = supply.busy && this.root.dataset.state !== "finished";
    const known = { trouble, offline, known: outbox, filling, waiting, study, completion, elsewhere };
    const failed = qualification?.passed === false;
    const { state, words, press, way } = between({ ...known, done: progress.done, failed });
    this.frame.pause(state, words, press, way);
    complete(this.part, state === "finished" && !waiting ? completion : null);
  }
}
