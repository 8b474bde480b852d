// The annotation screen: shows one task, takes what is said of it, and can take it back.
//
// The next task appears before the network is asked; see desk.js for what happens to what was said.

import { contradiction } from "./contradiction.js";
import { Desk } from "./desk.js";
import { openHelp } from "./help.js";
import { KeyMap } from "./keys.js";
import * as kinds from "./kinds.js";
import { saveFile } from "./notices.js";
import { uuid } from "./outbox.js";
import { askComment, askFlag, askSkip } from "./panels.js";
import { offerWayOut } from "./participation.js";
import { Rest } from "./rest.js";
import { Screen } from "./screen.js";
import { Settings } from "./settings.js";
import { openStatistics } from "./statistics.js";
import { Stopwatch } from "./stopwatch.js";
import { wire } from "./wiring.js";
import { askInstead, nearest, language, ownQuestion, say, speak } from "./words.js";

export class Widget {
  constructor(root, study) {
    this.root = root;
    this.study = study;
    this.screen = new Screen(root);
    this.settings = new Settings();
    this.keyMap = new KeyMap();
    this.current = null;
    this.said = null;
    this.clash = null; // the contradiction asked about, once for each task
    this.checking = null; // the judgement of a known item whose answer is awaited
    this.resting = false;
    this.hidden = 0; // how many refused judgements the annotator has seen and put aside
    this.stopwatch = new Stopwatch();
    this.rest = new Rest();
    const project = new URLSearchParams(location.search).get("project");
    this.desk = new Desk(this, { study, project });
  }

  async start() {
    wire(this);
    if (this.study) offerWayOut(this.screen.part, this.study);
    this.layOut(this.settings.get("layout") ?? "stacked");
    await this.#learn(this.settings.get("language") ?? nearest());
    this.changed();
    this.desk.supply.fill();
  }

  // Words first: until they are here there is nothing to show.
  async #learn(code) {
    try {
      await speak(code);
    } catch {
      await new Promise((again) => setTimeout(again, 1000));
      return this.#learn(code);
    }
    this.screen.dress(this.keyMap);
    return this.screen.frame.languages((chosen) => this.#speak(chosen));
  }

  async #speak(code) {
    this.settings.set("language", code);
    await this.#learn(code);
    if (this.current) this.#draw();
    this.changed();
  }

  layOut(layout) {
    this.root.dataset.layout = layout;
    this.screen.part("layout").querySelector("select").value = layout;
    this.settings.set("layout", layout);
  }

  // --- What the desk tells ---

  met(annotator) {
    this.settings = new Settings(annotator);
    this.keyMap = new KeyMap(this.settings.get("keys"));
    if (!this.study) this.screen.frame.person(annotator);
    const own = this.settings.get("language");
    if (own && own !== language()) this.#speak(own);
  }

  arrived() {
    const { project, projects, messages } = this.desk;
    if (project.question && !ownQuestion()) {
      askInstead(project.question);
      this.screen.dress(this.keyMap);
    }
    this.screen.frame.project(project, projects);
    this.screen.notices.messages(messages, (id) => this.desk.read(id));
  }

  sent(row, { qualification }) {
    if (!this.checking || row.id !== this.checking) return;
    this.desk.qualification = qualification ?? null;
    if (qualification) this.screen.notices.feedback(qualification, () => this.#next());
    else this.#next();
  }

  unsaid(row, sentence) {
    if (row.op !== "submit") this.#remark(`${say(`${row.op}.refused`)} ${sentence}`);
    const shown = this.current?.assignment === row.assignment;
    if (shown && (row.op === "undo" || row.id === this.checking)) this.#next();
  }

  changed() {
    if (!this.current && this.desk.supply.queue.length && !this.resting) this.#next();
    else this.#paint();
    // A known item is answered by the server; without it, work goes on without the answer.
    if (this.checking && this.desk.offline) this.#next();
  }

  // --- What the annotator does ---

  // Do what a key or a button means. False where it means nothing just now.
  act(action) {
    const always = {
      help: () => openHelp(this.root, this.keyMap, () => this.#keepKeys()),
      statistics: () => openStatistics(this.root, this.desk.project?.name),
      sign_out: () => this.desk.signOut(),
      guidelines: () => this.desk.project?.guidelines.html && this.screen.frame.guide(),
      undo: () => this.#undo(),
    }[action.act];
    if (always) {
      this.screen.part("menu").open = false;
      always();
      return true;
    }
    if (this.resting) return action.act === "submit" && this.goOn();
    if (!this.current) return false;
    if (this.checking) return action.act === "submit" && this.#onward();
    const now = {
      submit: () => this.submit(),
      skip: () => askSkip(this.root, (reason) => this.#skip(reason)),
      flag: () => askFlag(this.root, (reason, comment) => this.#flag(reason, comment)),
      comment: () => askComment(this.root, this.said.comment, (comment) => this.say({ comment })),
      difference: () => this.screen.compare(),
    }[action.act];
    if (now) {
      now();
      return true;
    }
    const change = kinds.act(action, this.current, this.said);
    if (change) this.say(change);
    return change !== null;
  }

  read(input) {
    const change = this.current && kinds.read(input, this.current, this.said);
    if (change) this.say(change);
  }

  say(change) {
    if (this.checking) return;
    this.said = { ...this.said, ...change };
    this.screen.noContradiction();
    this.screen.said(this.current, this.said, this.#open.length === 0);
    this.desk.drafts.keep(this.current.assignment, this.said);
  }

  get #open() {
    return kinds.missing(this.current, this.said);
  }

  submit() {
    if (this.checking) this.#onward();
    if (!this.current || this.checking) return;
    if (this.#open.length) {
      this.screen.missing(this.#open);
      return;
    }
    const clash = contradiction(this.current, this.said);
    if (clash && !this.clash) {
      this.clash = clash;
      const change = () => this.screen.noContradiction();
      this.screen.contradiction(clash, this.keyMap, { meant: () => this.submit(), change });
      return;
    }
    const { current: task, said } = this;
    const seconds = this.stopwatch.seconds;
    const submission = uuid();
    this.desk.put("submit", {
      submission,
      assignment: task.assignment,
      ...kinds.body(task, said),
      active_seconds: seconds,
      interface: this.study ? "study" : "web",
      ...(said.comment ? { comment: said.comment } : {}),
      ...(this.clash ? { contradiction: clash ? "meant" : "changed" } : {}),
    }, task);
    const tired = this.rest.add(seconds - said.seconds, this.desk.project.break_after_minutes ?? 0);
    if (task.qualifying) {
      this.checking = submission;
      this.screen.checking();
    } else {
      this.desk.done.add({ submission, task, said: { ...said, seconds } });
      this.#next();
    }
    this.desk.flush();
    if (tired) this.screen.suggestBreak(() => this.#takeBreak(), () => this.rest.begin());
  }

  #skip(reason) {
    const task = this.current;
    this.desk.put("skip", { assignment: task.assignment, reason }, task);
    this.#next();
    this.#remark(say("skip.done"));
    this.desk.flush();
  }

  #flag(reason, comment) {
    const { assignment } = this.current;
    this.desk.put("flag", { assignment, reason, comment }, this.current);
    this.#remark(say("flag.done"));
    this.#paint();
    this.desk.flush();
  }

  // Take the latest judgement back and show it again, as it was said.
  #undo() {
    if (this.checking || this.resting) return undefined;
    const row = this.desk.done?.takeLast();
    if (!row) return this.#remark(say("undo.nothing"));
    this.desk.takeBack(row);
    if (this.current) {
      this.desk.drafts.keep(this.current.assignment, this.said);
      this.desk.supply.putBack(this.current);
    }
    this.#show(row.task, row.said);
    this.#remark(say("undo.done"));
    this.#paint();
    return this.desk.flush();
  }

  // After a known item: on, once its answer is here.
  #onward() {
    if (!this.desk.outbox.rows().some(({ id }) => id === this.checking)) this.#next();
    return true;
  }

  #takeBreak() {
    this.resting = true;
    this.#paint();
  }

  goOn() {
    this.resting = false;
    this.rest.begin();
    this.stopwatch.resume();
    if (this.current) this.screen.frame.state("task");
    this.changed();
    return true;
  }

  #keepKeys() {
    this.settings.set("keys", this.keyMap.changed);
    this.screen.keys(this.keyMap);
  }

  // --- What is on the screen ---

  #remark(sentence) {
    this.screen.notices.remark(sentence);
  }

  #next() {
    this.current = this.desk.supply.next();
    this.checking = null;
    this.screen.noContradiction();
    if (this.current) this.#show(this.current, this.desk.drafts.take(this.current.assignment));
    this.#paint();
    this.desk.supply.fill();
  }

  #show(task, said) {
    this.current = task;
    this.said = { ...kinds.begin(task), ...said };
    this.clash = null;
    this.screen.noContradiction();
    this.#draw();
    this.stopwatch.restart(this.said.seconds);
    this.screen.arrive(say("shown", { n: this.desk.judged + 1 }));
  }

  #draw() {
    this.screen.task(this.current, this.keyMap, this.desk.qualification?.left);
    this.screen.said(this.current, this.said, this.#open.length === 0);
  }

  #paint() {
    this.screen.paint({
      desk: this.desk,
      hidden: this.hidden,
      resting: this.resting,
      busy: this.current !== null,
      hide: (many) => {
        this.hidden = many;
        this.#paint();
      },
      save: () => saveFile(this.desk.outbox.refused()),
    });
  }
}

export function start(root, { study = null } = {}) {
  new Widget(root, study).start();
}
