// The consent form of a study: agree, become a participant, see the first comparison.

import { ask } from "./ask.js";

const form = document.querySelector("[data-consent]");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = form.querySelector(".refusal");
  const button = form.querySelector("button");
  problem.hidden = true;
  button.disabled = true;
  try {
    await ask(`/api/v1/study/${encodeURIComponent(form.dataset.consent)}/enter`, { consent: true });
    location.reload();
  } catch (trouble) {
    problem.textContent = trouble.message || "The server does not answer. Please try again.";
    problem.hidden = false;
    button.disabled = false;
  }
});
