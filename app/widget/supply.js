// Tasks held ready ahead of the one on screen, so that the next one needs no network.

import { ask } from "./ask.js";

// How many are fetched ahead, each a lease that nobody else can take, and with how many ready nothing
// is fetched. Handfuls are cheap; participants of a study, who may leave any time, hold fewer.
const AHEAD = { project: [10, 5], study: [5, 4] };
const MOST = 20; // what the server hands out at once
const LOOK_AGAIN = 60000; // milliseconds until an idle page asks whether there is new work

export class Supply {
  // `held` counts the tasks that the server lists for us and that are not in the queue.
  constructor({ line, scope, held, arrived, changed, study }) {
    Object.assign(this, { line, scope, held, arrived, changed });
    [this.ahead, this.enough] = AHEAD[study ? "study" : "project"];
    this.queue = [];
    this.seen = new Set(); // assignments had on this page: offered again until they are judged
    this.busy = false;
    this.outdated = false; // what is on its way was asked for too early
  }

  next() {
    return this.queue.shift() ?? null;
  }

  putBack(task) {
    this.queue.unshift(task);
    this.seen.add(task.assignment);
  }

  forget(assignment) {
    this.queue = this.queue.filter((task) => task.assignment !== assignment);
    this.seen.delete(assignment);
  }

  // Fetch ahead. Own leases come back first and renewed, so what is here is asked for on top.
  // `afresh` asks again when a reply is on its way, which may not know what was just done.
  async fill({ renew = false, afresh = false } = {}) {
    this.outdated ||= this.busy && afresh;
    if (this.busy || (this.queue.length > this.enough && !renew)) return;
    this.busy = true;
    const again = () => this.fill();
    try {
      const held = this.queue.length + this.held();
      const more = Math.max(0, this.ahead - this.queue.length);
      const query = new URLSearchParams({ count: Math.min(MOST, held + more), ...this.scope() });
      const reply = await ask(`/api/v1/tasks?${query}`);
      this.line.worked();
      if (this.arrived(reply) === false) return;
      if (held < MOST) this.#forgetLost(new Set(reply.tasks.map((task) => task.assignment)));
      const fresh = reply.tasks.filter(({ assignment }) => !this.seen.has(assignment));
      for (const task of fresh) this.seen.add(task.assignment);
      this.queue.push(...fresh);
      if (this.queue.length === 0) this.line.later("fill", again, LOOK_AGAIN);
    } catch (problem) {
      this.line.failed(problem, "fill", again);
    } finally {
      this.busy = false;
    }
    if (this.outdated) {
      this.outdated = false;
      this.fill();
    }
    this.changed();
  }

  // What waits here and is not offered any more went to others while this page slept.
  #forgetLost(offered) {
    for (const { assignment } of this.queue) if (!offered.has(assignment)) this.seen.delete(assignment);
    this.queue = this.queue.filter(({ assignment }) => offered.has(assignment));
  }
}
