// Keys to actions. A key that means something to what has the focus is left to it.

const ACTIONS = {
  ArrowLeft: { act: "grade", by: -1 },
  ArrowRight: { act: "grade", by: 1 },
  KeyT: { act: "verdict", value: "0" },
  KeyB: { act: "verdict", value: "both-bad" },
  Enter: { act: "submit" },
  NumpadEnter: { act: "submit" },
};

function actionOf(event) {
  // event.code, not event.key: Shift+1 is "!" on one keyboard and "+" on another.
  const digit = /^(?:Digit|Numpad)([1-7])$/.exec(event.code);
  if (digit) return { act: "rate", side: event.shiftKey ? "right" : "left", value: digit[1] };
  const letter = /^[a-z]$/i.test(event.key) ? `Key${event.key.toUpperCase()}` : event.code;
  return ACTIONS[letter];
}

export function listenForKeys(root, perform, signal) {
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      const target = event.target;
      if (target.matches("textarea, select, input:not([type=radio]), [contenteditable]")) return;
      const action = actionOf(event);
      if (!action) return;
      if (action.act === "submit" && target.matches("a, button, summary")) return;
      if (action.act === "grade") {
        if (event.shiftKey) return;
        // Whoever tabbed into a rating, or into code that scrolls, means that with the arrows.
        if (target.matches(".rating input:focus-visible, pre, .table")) return;
      }
      if (event.repeat && action.act === "submit") return;
      event.preventDefault();
      event.stopPropagation();
      perform(action);
    },
    { capture: true, signal },
  );
}
