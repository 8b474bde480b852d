// Before the first comparison of a study: the answers about oneself, and that the instructions are read.

import { send } from "./study_form.js";

send("begin", (form) => {
  const questions = [...form.querySelectorAll(".asked")];
  const said = (one) => one.querySelector("input:checked, input[type=text]")?.value || null;
  return { answers: questions.map(said) };
});
