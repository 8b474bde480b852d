// The votes of a study: the annotation screen, on a page of its own.

import { start } from "./widget.js";

const page = document.querySelector("[data-study]");
start(page.querySelector(".tandem"), { study: page.dataset.study });
