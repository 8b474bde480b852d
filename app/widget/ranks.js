// The order of several answers, best first. Two may share a place.
//
// One answer is the one that the digits mean; it moves on when its place is given.

import { check, choice, letter, make } from "./elements.js";
import { ownQuestion, say } from "./words.js";

const nameOf = (place) => `rank-${place}`;

// 1, 3, 3 means 1, 2, 2: places are counted without gaps.
export function dense(ranks) {
  const used = [...new Set(ranks)].sort((a, b) => a - b);
  return ranks.map((rank) => used.indexOf(rank) + 1);
}

function order(ranks) {
  const given = [...new Set(ranks.filter((rank) => rank !== null))].sort((a, b) => a - b);
  const letters = (rank) => ranks.flatMap((one, place) => (one === rank ? [letter(place)] : []));
  return given.map((rank) => letters(rank).join(" = ")).join(" > ");
}

export const ranks = {
  begin: (task) => ({ ranks: task.responses.map(() => null) }),

  draw({ cards }, task) {
    const many = task.responses.length;
    const places = Array.from({ length: many }, (_, i) => i + 1);
    cards.forEach((card, place) => {
      const radios = places.map((rank) =>
        choice(nameOf(place), rank, say("rank_of", { rank: String(rank), many: String(many) }), make("b", {}, String(rank))),
      );
      const scale = make("div", { class: "scale" }, ...radios);
      // As an attribute it would be an inline style, which the pages of studies do not allow.
      scale.style.setProperty("--points", String(many));
      const ends = make("p", { class: "ends", "aria-hidden": "true" });
      ends.append(make("span", {}, say("rank.best")), make("span", {}, say("rank.worst")));
      card.append(
        make(
          "fieldset",
          { class: "rating rank", "data-rank": place },
          make("legend", {}, make("span", {}, say("rank", { letter: letter(place) })), make("output", {}, "")),
          scale,
          ends,
        ),
      );
    });
  },

  show({ cards, dock }, _task, said) {
    cards.forEach((card, place) => {
      check(card, nameOf(place), said.ranks[place]);
      card.classList.toggle("card-now", place === said.cursor);
      card.classList.toggle("better", said.ranks[place] === 1);
    });
    const standing = [ownQuestion(), order(said.ranks) || say("rank.question")];
    dock.querySelector("[data-part=standing]").textContent = standing.filter(Boolean).join(" ");
  },

  act({ act, value }, task, said) {
    const many = task.responses.length;
    if (act === "digit") return value > many ? null : rank(said, said.cursor, value);
    if (act === "left" || act === "row_up") return { cursor: (said.cursor + many - 1) % many };
    if (act === "right" || act === "row_down") return { cursor: (said.cursor + 1) % many };
    return null;
  },

  read(input, _task, said) {
    const found = /^rank-(\d+)$/.exec(input.name ?? "");
    return found ? rank(said, Number(found[1]), Number(input.value)) : null;
  },

  missing(task, said) {
    return task.responses.flatMap((_, place) =>
      said.ranks[place] === null
        ? [{ words: say("missing.rank", { letter: letter(place) }), where: `[data-rank="${place}"]` }]
        : [],
    );
  },

  body: (_task, said) => ({ ranks: dense(said.ranks) }),
};

function rank(said, place, value) {
  const all = said.ranks.with(place, value);
  const next = all.indexOf(null);
  return { ranks: all, cursor: next === -1 ? place : next };
}
