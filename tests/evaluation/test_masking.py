"""Hints of personal data: published check digits, near misses, and nothing shown whole."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.linting.masking import HIDDEN, hints, masked, passes_luhn, passes_mod_97


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to jane.roe+x@mail.example.org.", "e-mail address"),
        # The examples of the IBAN registry (SWIFT) and of ISO 13616.
        ("Pay to GB29 NWBK 6016 1331 9268 19, please", "IBAN"),
        ("DE89370400440532013000", "IBAN"),
        # Test numbers that card networks publish.
        ("4111 1111 1111 1111", "credit card"),
        ("amex 378282246310005!", "credit card"),
        ("Call +49 30 901820 now", "telephone number"),
        ("(212) 555-0187", "telephone number"),
        ("the server 8.8.8.8.", "IP address"),
    ],
)
def test_each_kind_is_seen_and_hidden(text: str, kind: str) -> None:
    (hint,) = hints(text)
    assert hint.kind == kind
    assert HIDDEN in masked(text)
    assert len(masked(text)) == len(text)
    assert text[hint.start : hint.end] not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",  # one digit off
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "127.0.0.1 and 192.168.0.1 and 256.1.1.1",
        "in 1914-1918, 1939-1945",
        "2026-03-14 15:09:26",
        "the number 123456789012",
        "version 1.2.3",
        "@handle, user@localhost",
    ],
)
def test_what_only_looks_similar_is_left_alone(text: str) -> None:
    assert hints(text) == []
    assert masked(text) == text


@given(st.integers(0, 10**15))
def test_of_ten_last_digits_one_passes_luhn(number: int) -> None:
    assert sum(passes_luhn(f"{number}{digit}") for digit in range(10)) == 1


@given(st.text("ABCDEFGHIJ0123456789", min_size=11, max_size=30))
def test_of_all_check_digits_one_passes_mod_97(rest: str) -> None:
    # ISO 7064 gives one pair from 02 to 98; 00, 01 and 99 repeat others.
    assert sum(passes_mod_97(f"DE{digits:02d}{rest}") for digits in range(2, 99)) == 1


@given(st.text("ab1@. +-()4DE", max_size=60))
def test_nothing_is_left_to_find_once_masked(text: str) -> None:
    hidden = masked(text)
    assert hints(hidden) == []
    assert len(hidden) == len(text)


def test_no_text_makes_the_search_slow() -> None:
    began = time.process_time()
    for evil in (
        "a" * 50_000,
        "1" * 50_000,
        "1 " * 25_000,
        "a@" * 25_000,
        "DE12" * 12_500,
        "+1" * 25_000,
    ):
        hints(evil)
    assert time.process_time() - began < 5
