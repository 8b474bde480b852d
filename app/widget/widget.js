// The annotation screen: fetches comparisons ahead, shows one, takes what is said, sends it.
//
// The next comparison appears before the network is asked. What was said lies in the outbox from
// that moment until the server acknowledges it; a resend changes nothing there, because the id is
// made here.

import { ask, Refused, SignedOut } from "./ask.js";
import { listenForKeys } from "./keys.js";
import { Outbox, uuid } from "./outbox.js";
import { Stopwatch, watch } from "./stopwatch.js";
import { View } from "./view.js";
import { WORDS } from "./words.js";

const AHEAD = 5; // comparisons held ready; each is a lease that nobody else can take
const MOST = 20; // what the server hands out at once
const RETRY = [1000, 2000, 4000, 8000, 15000]; // milliseconds between attempts, the last one repeated
const LOOK_AGAIN = 60000; // milliseconds until an idle page asks whether there is new work
const RENEW = 300000; // milliseconds after which somebody at work renews the leases of what is here
const NOTHING_SAID = { verdict: null, left: null, right: null };

class Widget {
  constructor(root, study) {
    this.view = new View(root);
    this.root = root;
    this.study = study;
    this.outbox = null; // known with the annotator, from the first reply
    this.project = new URLSearchParams(location.search).get("project");
    this.queue = [];
    this.current = null;
    this.said = NOTHING_SAID;
    this.seen = new Set(); // assignments had on this page: offered again until they are judged
    this.progress = { done: 0, open: 0, total: 0 };
    this.failures = 0; // in a row, to reach the server
    this.timers = {};
    this.hidden = 0; // how many refused judgements the annotator has seen and put aside
    this.trouble = ""; // why the server gives no comparisons
    this.stopwatch = new Stopwatch();
    this.leaving = new AbortController();
  }

  start() {
    const { signal } = this.leaving;
    const { view, root } = this;
    watch(this.stopwatch, signal);
    listenForKeys(root, (action) => this.#act(action), signal);
    root.addEventListener("change", (event) => {
      const { name, value } = event.target;
      if (name?.startsWith("rating-")) this.#say({ [name.slice(7)]: value });
      if (name === "verdict") this.#say({ verdict: value });
    });
    root.addEventListener("click", (event) => {
      // A radio chosen by mouse gives the focus back, so that the arrow keys grade again.
      if (event.target.type === "radio" && event.pointerType) event.target.blur();
    });
    view.part("dock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    view.part("whole-prompt").addEventListener("click", () => {
      view.fold(!view.part("prompt").classList.contains("folded"));
    });
    view.part("guide").addEventListener("click", () => view.guide(view.part("guidelines").hidden));
    view.part("look-again").addEventListener("click", () => this.#fill());
    view.part("sign-out").addEventListener("click", () => this.#signOut());
    view.part("projects").addEventListener("change", (event) => {
      location.assign(`?project=${encodeURIComponent(event.target.value)}`);
    });
    window.addEventListener("online", () => this.#wake(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(), { signal });
    const warn = (event) => this.outbox?.fragile && event.preventDefault();
    window.addEventListener("beforeunload", warn, { signal });
    const renewal = setInterval(() => this.#renew(), RENEW);
    signal.addEventListener("abort", () => clearInterval(renewal));
    view.said(NOTHING_SAID, false);
    view.pause("loading", WORDS.loading, false);
    this.#fill();
  }

  // Gradio may take the component off the page; nothing may keep listening then.
  get #gone() {
    if (!this.root.isConnected) this.leaving.abort();
    return this.leaving.signal.aborted;
  }

  #wake() {
    if (this.#gone) return;
    this.failures = 0;
    this.#flush();
    this.#fill({ renew: true });
  }

  // Whoever is at work keeps what is here; what an empty chair holds goes to others in time.
  #renew() {
    const away = document.hidden || performance.now() - this.stopwatch.last > RENEW;
    if (!this.#gone && !away) this.#fill({ renew: true });
  }

  #act(action) {
    if (this.#gone || !this.current) return;
    if (action.act === "submit") this.#submit();
    if (action.act === "rate" && this.#rated) this.#say({ [action.side]: action.value });
    if (action.act === "verdict") this.#say({ verdict: action.value });
    if (action.act === "grade") {
      const from = Number(this.said.verdict ?? 0) || 0;
      this.#say({ verdict: String(Math.max(-3, Math.min(3, from + action.by))) });
    }
  }

  get #rated() {
    return this.current.type === "pair_with_ratings";
  }

  get #open() {
    const wanted = this.#rated ? ["left", "right", "verdict"] : ["verdict"];
    return wanted.filter((part) => this.said[part] === null);
  }

  #say(part) {
    this.said = { ...this.said, ...part };
    this.view.said(this.said, this.#open.length === 0);
  }

  #submit() {
    if (!this.current) return;
    if (this.#open.length) {
      this.view.missing(this.#open);
      return;
    }
    const { verdict, left, right } = this.said;
    const bothBad = verdict === "both-bad";
    this.outbox.add({
      submission: uuid(),
      assignment: this.current.assignment,
      project: this.project,
      choice: bothBad ? 0 : Number(verdict),
      both_bad: bothBad,
      ratings: this.#rated ? [Number(left), Number(right)] : null,
      active_seconds: this.stopwatch.seconds,
      interface: this.study ? "study" : "web",
      kept: Date.now(),
    });
    this.#next();
    this.#flush();
  }

  #next() {
    this.current = this.queue.shift() ?? null;
    this.said = NOTHING_SAID;
    if (this.current) {
      this.view.task(this.current);
      this.view.said(NOTHING_SAID, false);
      this.stopwatch.restart();
      window.scrollTo({ top: 0, behavior: "instant" });
      this.view.announce(WORDS.shown(this.#done + 1));
      this.root.querySelector(".prompt h2").focus({ preventScroll: true });
    }
    this.#paint();
    this.#fill();
  }

  get #done() {
    return this.progress.done + (this.outbox?.rows().length ?? 0);
  }

  #paint() {
    const waiting = this.outbox?.rows().length ?? 0;
    const offline = this.failures > 0;
    const refused = this.outbox?.refused() ?? [];
    if (offline) this.view.sync(this.outbox?.fragile ? "fragile" : "offline", waiting);
    else if (waiting) this.view.sync("waiting", waiting);
    else if (refused.length) this.view.sync("refused", refused.length);
    else if (!this.outbox) this.view.sync("connecting", 0);
    else this.view.sync("saved", 0);
    this.view.progress(this.#done, this.progress.done + this.progress.open);
    this.view.refused(refused.length > this.hidden ? refused : [], {
      retry: () => {
        for (const row of refused) this.outbox.retry(row);
        this.#flush();
      },
      save: () => this.#saveRefused(),
      hide: () => {
        this.hidden = refused.length;
        this.#paint();
      },
    });
    if (this.current) return;
    if (this.trouble) this.view.pause("trouble", [WORDS.trouble, this.trouble], true);
    else if (offline) this.view.pause("offline", WORDS.offline(waiting), false);
    else if (!this.outbox) this.view.pause("loading", WORDS.loading, false);
    else if (this.filling) this.view.pause("loading", WORDS.catchingUp, false);
    else if (waiting) this.view.pause("finished", WORDS.finishing(waiting), false);
    else if (this.study) this.view.pause("finished", WORDS.thanks(this.progress.done), false);
    else this.view.pause("finished", WORDS.finished(this.progress.done), true);
  }

  // Fetch ahead. Own leases come back first and renewed, so what is here is asked for on top.
  async #fill({ renew = false } = {}) {
    if (this.filling || this.#gone || (this.queue.length >= AHEAD && !renew)) return;
    this.filling = true;
    try {
      const held = this.queue.length + (this.current ? 1 : 0) + (this.outbox?.rows().length ?? 0);
      const more = Math.max(0, AHEAD - this.queue.length);
      const query = new URLSearchParams({ count: Math.min(MOST, held + more) });
      if (this.study) query.set("study", this.study);
      else if (this.project) query.set("project", this.project);
      const reply = await ask(`/api/v1/tasks?${query}`);
      this.failures = 0;
      this.trouble = "";
      this.#meet(reply);
      if (held < MOST) this.#forgetLost(new Set(reply.tasks.map((task) => task.assignment)));
      const fresh = reply.tasks.filter(({ assignment }) => !this.seen.has(assignment));
      for (const task of fresh) this.seen.add(task.assignment);
      this.queue.push(...fresh);
      if (this.queue.length === 0) this.#later("fill", LOOK_AGAIN);
    } catch (problem) {
      this.#fail(problem, "fill");
    } finally {
      this.filling = false;
    }
    if (!this.current && this.queue.length) this.#next();
    else this.#paint();
    this.#flush();
  }

  // What waits here and is not offered any more went to others while this page slept.
  #forgetLost(offered) {
    for (const { assignment } of this.queue) if (!offered.has(assignment)) this.seen.delete(assignment);
    this.queue = this.queue.filter(({ assignment }) => offered.has(assignment));
  }

  // Replies may overtake each other; what was done stays done.
  #reach(progress) {
    if (progress.done >= this.progress.done) this.progress = progress;
  }

  #meet({ annotator, project, projects, progress }) {
    this.#reach(progress);
    if (this.outbox?.owner === annotator) return;
    if (this.outbox) return location.reload(); // somebody else signed in on this device meanwhile
    this.outbox = new Outbox(annotator);
    for (const row of this.outbox.rows()) this.seen.add(row.assignment);
    this.project = project.name;
    this.view.project(project, projects);
    if (!this.study) this.view.person(annotator);
  }

  // Send what is in the outbox, oldest first, one at a time, until it is empty or nobody answers.
  async #flush() {
    if (this.flushing || !this.outbox || this.#gone) return;
    this.flushing = true;
    let sent = 0;
    try {
      for (let rows; (rows = this.outbox.rows()).length > 0; sent += 1) {
        this.#paint();
        await this.#send(rows[0]);
        this.failures = 0;
      }
    } catch (problem) {
      this.#fail(problem, "flush");
    } finally {
      this.flushing = false;
    }
    this.#paint();
    if (sent && !this.current) this.#fill();
  }

  async #send(row) {
    const { kept, project, ...body } = row;
    const study = this.study ? `?study=${encodeURIComponent(this.study)}` : "";
    try {
      const { progress } = await ask(`/api/v1/submissions${study}`, body, this.outbox.owner);
      if (project === this.project) this.#reach(progress);
      this.outbox.remove(row.submission);
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      this.outbox.refuse(row, problem.message);
    }
  }

  #fail(problem, attempt) {
    if (problem instanceof SignedOut) {
      const here = encodeURIComponent(location.pathname + location.search);
      return this.study ? location.reload() : location.assign(`/sign-in?next=${here}`);
    }
    if (problem instanceof Refused) {
      this.trouble = problem.message;
      return undefined;
    }
    this.#later(attempt, RETRY[Math.min(this.failures, RETRY.length - 1)]);
    this.failures += 1;
    return undefined;
  }

  // One timer for each kind of attempt: ten judgements made offline are no ten timers.
  #later(attempt, wait) {
    clearTimeout(this.timers[attempt]);
    const act = () => (attempt === "fill" ? this.#fill() : this.#flush());
    this.timers[attempt] = setTimeout(act, wait);
  }

  #saveRefused() {
    const text = JSON.stringify(this.outbox.refused(), null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "judgements-not-accepted.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async #signOut() {
    try {
      await ask("/sign-out", {});
    } catch {
      // The sign-in page says whether it worked.
    }
    location.assign("/sign-in");
  }
}

export function start(root, { study = null } = {}) {
  const widget = new Widget(root, study);
  widget.start();
}
