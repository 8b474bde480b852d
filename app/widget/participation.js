// What participants of a study have on the screen that annotators have not: the way out, and at the
// end their completion code and where to go on.

import { copyButton } from "./clipboard.js";
import { make } from "./elements.js";
import { say } from "./words.js";

// `part` finds a part of the screen by its name.
export function offerWayOut(part, study) {
  for (const way of [part("withdraw"), part("leave")]) {
    way.hidden = false;
    way.href = `/study/${encodeURIComponent(study)}/withdraw`;
  }
}

export function complete(part, completion) {
  const shown = [];
  if (completion?.code) {
    const code = make("output", {}, completion.code);
    shown.push(make("p", {}, say("completion.code")));
    shown.push(make("div", {}, code, copyButton(() => code.textContent, "quiet")));
  }
  if (completion?.url) {
    const words = say("completion.onward", { site: new URL(completion.url).hostname });
    shown.push(make("a", { class: "primary", href: completion.url, rel: "noreferrer" }, words));
  }
  const place = part("completion");
  place.hidden = shown.length === 0;
  place.replaceChildren(...shown);
}
