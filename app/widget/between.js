// What the screen says when there is no task on it.

import { say } from "./words.js";

const pair = (name, values) => [say(`${name}.title`, values), say(`${name}.text`, values)];

// Returns {state, words, press, way} for what is known: is anything waiting, offline, finished? `way` is
// an address that leads on.
export function between({
  trouble, offline, known, filling, waiting, elsewhere, study, done, failed, completion,
}) {
  if (trouble) return { state: "trouble", words: [say("trouble"), trouble], press: "look" };
  if (offline) return { state: "offline", words: pair(waiting ? "offline" : "offline.empty", { n: waiting }) };
  if (!known) return { state: "loading", words: [say("loading"), ""] };
  if (filling) return { state: "loading", words: pair("catching_up") };
  if (waiting) return { state: "finished", words: pair("finishing", { n: waiting }) };
  if (failed) return { state: "finished", words: pair("not_qualified") };
  if (elsewhere) {
    const { url: way, workspace } = elsewhere;
    return { state: "finished", words: pair(way ? "elsewhere" : "elsewhere.unknown", { workspace }), way };
  }
  // The server says so when everything is done; nobody is to leave without the code.
  if (study && done && !completion) return { state: "loading", words: pair("catching_up") };
  const thanks = completion?.code ? "thanks.code" : "thanks";
  if (study) return { state: "finished", words: pair(done ? thanks : "thanks.empty", { n: done }) };
  return { state: "finished", words: pair(done ? "finished" : "finished.empty", { n: done }), press: "look" };
}
