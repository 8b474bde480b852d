"""The model card in Markdown: what was measured stands in it, and nobody is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from training.rewards.card import read_record, write_record

RECORD: dict[str, Any] = {
    "purpose": "reward",
    "adapter": True,
    "base": "tiny",
    "recipe": "combined",
    "snapshot": "5f3a",
    "simulated": False,
    "metrics": {"validation/loss": 0.6123456},
    "calibration": {"mean": 0.1, "std": 1.2, "length_correlation": 0.2},
    "learned": {},
    "config": {"epochs": 1},
}


def estimate(value: float, n: int = 148) -> dict[str, float]:
    return {"value": value, "low": value - 0.07, "high": value + 0.06, "confidence": 0.95, "n": n}


HELD_OUT = {
    "verdict": "Clearly better than counting characters. 74 % [67, 80] of 148.",
    "pair_accuracy": estimate(0.74),
    "length_only_accuracy": estimate(0.57),
    "human_ceiling": None,
    "kendall": estimate(0.41, 96),
    "kinds": [{"kind": "code | <b>", "pair_accuracy": estimate(0.6, 40)}],
    "annotators": [
        {"annotator": "amber-heron-42", "pair_accuracy": estimate(0.8, 60)},
        {"annotator": "teal-badger-26", "pair_accuracy": estimate(0.61, 50)},
    ],
    "warnings": ["Worse on prompts of the kind '<script>alert(1)</script>': [look](here)."],
}


def card_of(folder: Path, held_out: dict[str, Any] | None) -> str:
    metrics = RECORD["metrics"] | ({} if held_out is None else {"held_out": held_out})
    record = RECORD | {"metrics": metrics}
    write_record(folder, record)
    assert read_record(folder) == record
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_report_card_stands_in_the_model_card(tmp_path: Path) -> None:
    card = card_of(tmp_path, HELD_OUT)
    assert "Clearly better than counting characters." in card
    assert "| pair accuracy | 0.740 [0.670, 0.800] | 148 |" in card
    assert "| the same by length alone | 0.570 [0.500, 0.630] | 148 |" in card
    assert "| Kendall's tau-b with ratings | 0.410 [0.340, 0.470] | 96 |" in card
    assert "one annotator with the others" not in card
    assert "| validation/loss | 0.6123 |" in card
    assert "held_out" not in card


def test_no_annotator_is_named_in_it(tmp_path: Path) -> None:
    card = card_of(tmp_path, HELD_OUT)
    assert "heron" not in card
    assert "badger" not in card
    assert "Of 2 annotators it agrees with one in 61% of the decided pairs" in card


def test_names_from_the_data_start_neither_elements_nor_links(tmp_path: Path) -> None:
    body = card_of(tmp_path, HELD_OUT).split("---\n", 2)[2]
    drawn = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert 'href="here"' not in drawn
    assert "<td>code | &lt;b&gt;</td>" in drawn
    assert drawn.count("<table>") == 3


def test_a_model_that_was_not_judged_has_a_card_too(tmp_path: Path) -> None:
    assert "not seen" not in card_of(tmp_path, None)
    told = card_of(tmp_path, {"warnings": ["There are no judgements to hold rewards against."]})
    assert "- **Doubt:** There are no judgements to hold rewards against." in told
