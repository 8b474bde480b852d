// A form on one of a study's pages: send what it says, then see what the server shows next.

import { ask } from "./ask.js";

// `name` is the form's data attribute that holds the study's code, and where to send it unless
// `path` says otherwise; `body` reads the form; `then` is done once it was taken.
export function send(name, body, then = null, path = name) {
  const form = document.querySelector(`[data-${name}]`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector(".refusal");
    const button = form.querySelector("button");
    problem.hidden = true;
    button.disabled = true;
    try {
      const code = encodeURIComponent(form.dataset[name]);
      await ask(`/api/v1/study/${code}/${path}`, body(form));
      then?.(form);
      location.reload();
    } catch (trouble) {
      problem.textContent = trouble.message || "The server does not answer. Please try again.";
      problem.hidden = false;
      button.disabled = false;
    }
  });
  // The page comes with its button disabled: whoever is faster than this script would send the form
  // as an address, with what was said in it, and lose it.
  form.querySelector("button").disabled = false;
}
