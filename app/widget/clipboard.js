// A button that copies a text and says that it did.

import { button, make } from "./elements.js";
import { say } from "./words.js";

export function copyButton(text, kind) {
  const press = button(say("copy"), async () => {
    await copy(text());
    press.textContent = say("copied");
    setTimeout(() => (press.textContent = say("copy")), 1500);
  }, kind);
  return press;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Only https and localhost have a clipboard; elsewhere the old way still works.
    const field = make("textarea", { class: "unseen" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}
