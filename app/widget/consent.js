// The consent form of a study: agree, become a participant, see what comes next.

import { send } from "./study_form.js";

send("consent", ({ dataset }) => {
  const { version, pid, study, session } = dataset;
  const panel = pid ? { pid, ...(study && { study }), ...(session && { session }) } : null;
  return { consent: true, version, panel };
}, null, "enter");
