"""Shared prompts change nothing, and batches hold every row once within their budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import backbone
from training.batching import Row, by_length, collate, in_batches

patient = settings(deadline=None)  # a busy machine is no failure

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def made_up_row(rng: np.random.Generator, prompt: int, *answers: int) -> Row:
    def tokens(count: int) -> np.ndarray:
        return rng.integers(3, 250, count).astype(np.int32)

    return Row(tokens(prompt), tuple(tokens(count) for count in answers))


def test_answers_that_share_a_prompt_are_read_as_if_each_stood_alone() -> None:
    rng = np.random.default_rng(0)
    rows = [made_up_row(rng, 17, 9, 23, 4), made_up_row(rng, 5, 12), made_up_row(rng, 30, 8, 8)]
    model = backbone.load_causal("tiny", device="cpu").base_model
    batch = collate(rows, pad=0, dtype=torch.float32)
    with torch.no_grad():
        hidden = model(
            input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask
        ).last_hidden_state
        shared = hidden[batch.row, batch.last]
        alone = [
            model(torch.tensor(np.array([[*row.prompt, *answer]]))).last_hidden_state[0, -1]
            for row in rows
            for answer in row.answers
        ]
    assert not torch.allclose(shared[0], shared[1], atol=1e-3)  # the answers do differ
    torch.testing.assert_close(shared, torch.stack(alone), atol=1e-5, rtol=0)


def test_one_answer_cannot_see_another() -> None:
    rng = np.random.default_rng(1)
    row = made_up_row(rng, 6, 5, 7)
    other_first = Row(row.prompt, (row.answers[0][::-1].copy(), row.answers[1]))
    model = backbone.load_causal("tiny", device="cpu").base_model
    seconds = []
    for variant in (row, other_first):
        batch = collate([variant], pad=0, dtype=torch.float32)
        with torch.no_grad():
            hidden = model(
                input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask
            ).last_hidden_state
        seconds.append(hidden[0, -7:])
    assert torch.equal(*seconds)


@patient
@given(lengths, st.integers(1, 200), st.integers(0, 3), st.integers(0, 3))
def test_every_row_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], budget: int, seed: int, epoch: int
) -> None:
    for batches in (
        in_batches(lengths, budget, seed=seed, epoch=epoch),
        by_length(lengths, budget),
    ):
        assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
        for batch in batches:
            size = len(batch) * max(lengths[place] for place in batch)
            assert size <= budget or len(batch) == 1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    some = list(np.random.default_rng(0).integers(5, 50, 300))
    lengths = [int(length) for length in some]
    first = in_batches(lengths, 200, seed=1, epoch=0)
    assert first == in_batches(lengths, 200, seed=1, epoch=0)
    assert first != in_batches(lengths, 200, seed=1, epoch=1)
    assert first != in_batches(lengths, 200, seed=2, epoch=0)


def test_rows_of_similar_length_come_together() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(10, 200, 2000)]
    batches = in_batches(lengths, 1000, seed=0)
    padded = sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
    assert padded / sum(lengths) < 1.15


def test_a_batch_knows_where_each_answer_ends() -> None:
    row = Row(np.array([5, 6], dtype=np.int32), (np.array([7, 2]), np.array([8, 9, 2])))
    short = Row(np.array([5], dtype=np.int32), (np.array([2]),))
    batch = collate([row, short], pad=0, dtype=torch.float32)
    assert batch.ids.tolist() == [[5, 6, 7, 2, 8, 9, 2], [5, 2, 0, 0, 0, 0, 0]]
    assert batch.positions.tolist()[0] == [0, 1, 2, 3, 2, 3, 4]
    assert list(zip(batch.row.tolist(), batch.last.tolist(), strict=True)) == [
        (0, 3),
        (0, 6),
        (1, 1),
    ]
    sees = batch.mask[0, 0] == 0
    assert sees[6].tolist() == [True, True, False, False, True, True, True]
    assert pytest.approx(0) == float(batch.mask[0, 0, 3, 3])
