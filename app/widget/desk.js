// Everything between the page and the server: whose work it is, tasks ahead, operations on their way.
//
// What was done lies in the outbox until the server acknowledges it; a resend changes nothing there,
// because its id is made here.

import { ask } from "./ask.js";
import { Done } from "./done.js";
import { Drafts } from "./drafts.js";
import { prepare } from "./kinds.js";
import { Line } from "./line.js";
import { Outbox, uuid } from "./outbox.js";
import { Sender } from "./sender.js";
import { Supply } from "./supply.js";

export class Desk {
  // `page` is told: met() once, arrived(), sent(row, reply), unsaid(row, sentence), changed().
  // Its `current` is the task on the screen.
  constructor(page, { study, project }) {
    this.page = page;
    this.study = study;
    this.wanted = project;
    this.outbox = null; // known with the annotator, from the first reply; so are drafts and done
    this.project = null;
    this.projects = [];
    this.progress = { done: 0, open: 0, total: 0 };
    this.qualification = null;
    this.messages = [];
    this.completion = null; // what a participant gets in the end
    this.elsewhere = null; // where the project is judged, if not here
    this.trouble = ""; // why the server gives no tasks
    this.line = new Line({
      signedOut: () => this.signIn(),
      refused: (sentence) => (this.trouble = sentence),
    });
    this.supply = new Supply({
      study,
      line: this.line,
      scope: () => this.#scope,
      held: () => (page.current ? 1 : 0) + this.waiting("submit", "skip"),
      arrived: (reply) => this.#meet(reply),
      changed: () => {
        page.changed();
        this.flush();
      },
    });
  }

  get #scope() {
    if (this.study) return { study: this.study };
    const project = this.project?.name ?? this.wanted;
    return project ? { project } : {};
  }

  get offline() {
    return this.line.offline;
  }

  waiting(...ops) {
    const rows = this.outbox?.rows() ?? [];
    return ops.length ? rows.filter((row) => ops.includes(row.op)).length : rows.length;
  }

  // Judged by this annotator, as far as this browser knows.
  get judged() {
    return Math.max(0, this.progress.done + this.waiting("submit") - this.waiting("undo"));
  }

  #meet(reply) {
    const { annotator, project, projects, progress } = reply;
    if (this.outbox && this.outbox.owner !== annotator) {
      location.reload(); // somebody else signed in on this device meanwhile
      return false;
    }
    this.trouble = "";
    this.project = project;
    this.projects = projects;
    this.qualification = reply.qualification ?? null;
    this.messages = reply.messages ?? [];
    this.completion = reply.completion ?? null;
    this.elsewhere = reply.elsewhere ?? null;
    this.reach(progress);
    reply.tasks = reply.tasks.map((task) => prepare(task, project));
    if (!this.outbox) this.#open(annotator);
    this.page.arrived();
    return true;
  }

  #open(annotator) {
    this.outbox = new Outbox(annotator);
    this.drafts = new Drafts(annotator);
    this.done = new Done(annotator, this.study ?? this.project.name);
    for (const row of this.outbox.rows()) if (row.op !== "flag") this.supply.seen.add(row.assignment);
    this.sender = new Sender({
      outbox: this.outbox,
      line: this.line,
      study: this.study,
      sent: (row, reply) => this.#sent(row, reply),
      refused: (row, sentence) => this.#refused(row, sentence),
      changed: () => this.page.changed(),
      probe: () => this.supply.fill({ renew: true }),
    });
    this.page.met(annotator);
  }

  // Replies may overtake each other; what was done stays done.
  reach(progress) {
    if (progress && progress.done >= this.progress.done) this.progress = progress;
  }

  #sent(row, reply) {
    if (row.project === this.project.name && reply.progress) {
      if (row.op === "undo") this.progress = reply.progress;
      else this.reach(reply.progress);
    }
    if (row.op === "undo") this.#offerAgain(row.assignment);
    this.page.sent(row, reply);
    if (!this.page.current) this.supply.fill({ afresh: true });
  }

  // A judgement taken back on a page that does not show its task any more: the server gives it again.
  #offerAgain(assignment) {
    const here = this.page.current?.assignment === assignment;
    const queued = this.supply.queue.some((task) => task.assignment === assignment);
    const judged = this.outbox.rows().some((row) => row.assignment === assignment);
    if (!here && !queued && !judged) this.supply.forget(assignment);
  }

  // A judgement that is not accepted stays in sight; anything else is only told.
  #refused(row, sentence) {
    if (row.op === "submit") this.outbox.refuse(row, sentence);
    else this.outbox.remove(row.id);
    if (row.op === "skip") this.supply.forget(row.assignment); // it is ours to judge after all
    this.page.unsaid(row, sentence);
  }

  // Keep an operation, and send it with whatever waits.
  put(op, body, task) {
    const id = op === "submit" ? body.submission : uuid();
    const whole = op === "submit" ? body : { id, ...body };
    this.outbox.add({ op, id, body: whole, assignment: task.assignment, project: this.project.name });
    if (op !== "flag") this.drafts.take(task.assignment);
  }

  // Take a judgement back: here if the server cannot have seen it, there otherwise.
  takeBack({ submission, task }) {
    const waits = this.outbox.rows().some(({ id }) => id === submission);
    if (waits && !this.sender.tried.has(submission)) this.outbox.remove(submission);
    else this.put("undo", { submission }, task);
  }

  retryRefused() {
    for (const row of this.outbox.refused()) this.outbox.retry(row);
    this.flush();
  }

  async read(message) {
    this.messages = this.messages.filter(({ id }) => id !== message);
    try {
      await ask(`/api/v1/messages/${encodeURIComponent(message)}/read`, {}, this.outbox.owner);
    } catch {
      // It comes again with the next tasks.
    }
  }

  flush() {
    this.sender?.flush();
  }

  wake() {
    this.line.worked();
    this.flush();
    this.supply.fill({ renew: true });
  }

  signIn() {
    const here = encodeURIComponent(location.pathname + location.search);
    return this.study ? location.reload() : location.assign(`/sign-in?next=${here}`);
  }

  async signOut() {
    try {
      await ask("/sign-out", {});
    } catch {
      // The sign-in page says whether it worked.
    }
    location.assign("/sign-in");
  }
}
