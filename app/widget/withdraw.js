// Withdraw from a study, and forget here what has not been sent.

import { send } from "./study_form.js";

send("withdraw", () => ({ withdraw: true }), (form) => {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.includes(`:${form.dataset.owner}:`)) localStorage.removeItem(name);
    }
    sessionStorage.clear();
  } catch {
    // The browser keeps nothing for this site.
  }
});
