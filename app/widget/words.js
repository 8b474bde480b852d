// Every word the widget says, in one place, so that another language is another file like this one.

export const GRADES = [
  { value: -3, short: "Much", long: "A is much better" },
  { value: -2, short: "Clearly", long: "A is clearly better" },
  { value: -1, short: "Slightly", long: "A is slightly better" },
  { value: 0, short: "Equal", long: "About equal" },
  { value: 1, short: "Slightly", long: "B is slightly better" },
  { value: 2, short: "Clearly", long: "B is clearly better" },
  { value: 3, short: "Much", long: "B is much better" },
];

export const ANCHORS = ["Unusable", "Poor", "Weak", "Fair", "Good", "Very good", "Excellent"];

export const LETTERS = { left: "A", right: "B" };

export const ROLES = { system: "Setting", user: "User", assistant: "Assistant" };

export const KEYS = [
  { keys: ["←", "→"], does: "grade" },
  { keys: ["1", "–", "7"], does: "rate A", rating: true },
  { keys: ["Shift", "1", "–", "7"], does: "rate B", rating: true },
  { keys: ["T"], does: "equal" },
  { keys: ["B"], does: "both bad" },
  { keys: ["Enter"], does: "submit" },
];

const judgements = (n) => (n === 1 ? "1 judgement" : `${n} judgements`);

export const WORDS = {
  question: "Which answer is better?",
  bothBad: "Both bad",
  bothBadLong: "Both answers are bad",
  rate: (letter) => `How good is ${letter}?`,
  ratingOf: (n, anchor) => `${n}, ${anchor}`,
  prompt: "Prompt",
  conversation: "Conversation",
  guidelines: "Guidelines",
  hideGuidelines: "Hide guidelines",
  showAll: "Show all",
  showLess: "Show less",
  progress: (done, total) => `${done} of ${total}`,
  shown: (n) => `Comparison ${n} is on screen.`,
  missing: { verdict: "say which is better", left: "rate A", right: "rate B" },
  still: (parts) => `Still to do: ${parts.join(", ")}.`,
  sync: {
    connecting: () => "Connecting",
    saved: () => "All saved",
    waiting: (n) => `Saving ${n}`,
    offline: (n) => (n ? `Offline, ${n} kept here` : "Offline"),
    refused: (n) => `${n} not accepted`,
    fragile: (n) => `Offline, ${n} unsaved: keep this tab open`,
  },
  loading: ["Fetching your first comparison", ""],
  catchingUp: ["One moment", "The next comparison is on its way."],
  offline: (n) => [
    "You are offline",
    n
      ? `${judgements(n)} kept on this device. They are sent as soon as the connection is back; ` +
        "you may close this page."
      : "The next comparison comes as soon as the connection is back.",
  ],
  finished: (n) =>
    n
      ? ["You have judged everything", `${judgements(n)} from you. Thank you for the care you took.`]
      : ["Nothing to judge yet", "New comparisons appear here as soon as there are any."],
  thanks: (n) => [
    "Thank you!",
    n
      ? `Your ${n === 1 ? "choice is" : `${n} choices are`} kept. You may close this page now.`
      : "Nothing is left to compare. You may close this page.",
  ],
  finishing: (n) => ["Almost done", `Sending your last ${judgements(n)}. Please keep this page open.`],
  refused: (n) => `${judgements(n)} could not be accepted`,
  refusedWhy: "Nothing is lost: what you said is kept on this device.",
  tryAgain: "Try again",
  saveFile: "Save as a file",
  hide: "Hide for now",
  trouble: "The server could not answer",
};
