// What the interface says, in the language of whoever reads it. The words are in words/*.json.

export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", zh: "简体中文" };

const spoken = { code: "en", words: {}, plural: null, number: null, question: "" };

export const language = () => spoken.code;

// What a study asks in its own words, in whatever language the rest is.
export function askInstead(question) {
  spoken.question = question;
}

export const ownQuestion = () => spoken.question;

// The first of the reader's languages that we speak.
export function nearest(wanted = navigator.languages ?? []) {
  const codes = wanted.map((one) => one.toLowerCase().split("-")[0]);
  return codes.find((code) => code in LANGUAGES) ?? "en";
}

export async function speak(code) {
  const reply = await fetch(new URL(`words/${code}.json`, import.meta.url));
  if (!reply.ok) throw new Error(`No words for ${code}: status ${reply.status}`);
  spoken.words = await reply.json();
  spoken.code = code;
  spoken.plural = new Intl.PluralRules(code);
  spoken.number = new Intl.NumberFormat(code, { maximumFractionDigits: 1 });
}

// The words under a key. A count `n` picks between key.one and key.other where a language has both.
export function say(key, values = {}) {
  if (key === "question" && spoken.question) return spoken.question;
  const number = typeof values.n === "number" ? spoken.plural.select(values.n) : null;
  const form = number === "one" ? `${key}.one` : `${key}.other`;
  const words = (number && spoken.words[form]) ?? spoken.words[key] ?? spoken.words[form] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? "";
    return typeof value === "number" ? spoken.number.format(value) : value;
  });
}

export const list = (parts) =>
  new Intl.ListFormat(spoken.code, { style: "long", type: "conjunction" }).format(parts);

// Put the words where the page asks for them: data-word for its text, data-label for its spoken name.
export function dress(root) {
  root.lang = spoken.code === "zh" ? "zh-Hans" : spoken.code;
  for (const node of root.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);
  for (const node of root.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", say(node.dataset.label));
  }
}

const KNOWN_ASPECTS = new Set(["overall"]);

// Aspects are the project's own words; only our default is ours to translate.
export const aspectName = (aspect) => {
  if (KNOWN_ASPECTS.has(aspect)) return say(`aspect.${aspect}`);
  return aspect.charAt(0).toUpperCase() + aspect.slice(1).replaceAll("_", " ");
};
