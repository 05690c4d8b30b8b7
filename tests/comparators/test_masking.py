# ruff: noqa: RUF001 -- these quotation marks tell a mask from what people write

import time
from datetime import date
from decimal import Decimal

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from comparators import ABSENT, mask, masking, nameless

SECRET_PARTS = (
    "eyJ", "a" * 12, ".", "sk", "GHP", "-", "_", "github_pat", "AKIA", "ASIA", "B" * 16, "AIza", "c" * 30, "Bearer",
    " ", "bearer", "password", "api key", "apikey", ":", "=", "//", "@", "'", "-----BEGIN", "PRIVATE KEY-----", "PWD",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.lee+x@mail.example.co.uk today", "write to ‹email› today"),
        ("call 408-259-0427 or (408) 259-0427", "call ‹phone› or ‹phone›"),
        ("call +44 20 7946 0958, 555-0199", "call ‹phone›, ‹phone›"),
        ("card 4111 1111 1111 1111.", "card ‹card›."),
        ("order 4111111111111112", "order 4111111111111112"),
        ("key sk-proj-abcdefghij0123456789", "key ‹secret›"),
        ("AKIAIOSFODNN7EXAMPLE", "‹secret›"),
        ("Authorization: Bearer abc.def.ghi-jkl", "Authorization: ‹secret›"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "‹secret›"),
        ("password = hunter22, then", "‹secret›, then"),
        ("redis://:hunter22@cache:6379/0", "redis://‹secret›@cache:6379/0"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "‹secret›"),
    ],
)
def test_what_identifies_or_opens_is_replaced(text, masked):
    """E-mail addresses, phone numbers, payment cards and secrets, wherever they stand."""
    assert mask(text) == masked
    assert mask({"a": [text]}) == {"a": [masked]}


@pytest.mark.parametrize(
    "text",
    [
        "Casa Las Palmas at 220 North White Road has a 3 bed 2 bath place for cheaper, $3,750 a month",
        "2026-01-05T08:02:09.827+00:00",
        "2026-01-05 08:02",
        "dev/19_00042",
        "see you at 15:00 on the 11th, room 1234567",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    ],
)
def test_what_is_not_private_stays(text):
    """Amounts, addresses of homes, times, dates and ids are what a reviewer needs to see."""
    assert mask(text) == text


def test_long_text_is_cut_and_its_end_holds_no_half_secret():
    """At most 200 characters, and no part of an address that the cut went through."""
    assert mask("x" * 300) == "x" * 199 + "…"
    assert len(mask("x" * 200)) == 200
    for pad in range(1_980, 2_000):
        assert "ann" not in mask(f"password: {'p' * pad} ann.lee@example.com")


def test_private_fields_are_masked_whatever_they_hold():
    """The field's name says what it is; keys are text and masked as text."""
    value = {"password": 1234, "user_api_key": ["x"], "ann@example.com": 1, "tokens_used": 5}
    assert mask(value) == {"password": "‹secret›", "user_api_key": "‹secret›", "‹email›": 1, "tokens_used": 5}


def test_other_values_stay_or_are_named():
    """Numbers, blanks and the sentinel stay; dates are text; what is unknown is its type's name."""
    plain = [None, True, 1, 1.5, "", ABSENT]
    assert mask(plain) == plain
    assert mask([date(2026, 1, 5), Decimal("1.5"), object(), 10**5_000]) == [
        "2026-01-05", "1.5", "‹object›", "‹integer of 16610 bits›",
    ]  # fmt: skip


def test_structures_are_bounded_in_depth_items_and_in_all():
    """Recursive, long and widely shared structures end in an ellipsis."""
    recursive = []
    recursive.append(recursive)
    shared = ["x"]
    for _ in range(30):
        shared = [shared] * 100
    started = time.thread_time()
    assert "…" in str(mask(recursive))
    assert mask(list(range(500))) == [*range(100), "…"]
    assert len(mask({str(number): number for number in range(500)})) == 101
    assert len(msgspec.json.encode(mask(shared))) < 100_000
    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    "part", ["a", "1", "1-", "a@", "a.", "sk-", "(1) ", "eyJ", "token:", "=\"'", "\u00e9", "a@a.", ":/"]
)
def test_no_text_is_slow_to_mask(part):
    """A megabyte of what a pattern starts with takes no longer than its first two thousand characters."""
    started = time.thread_time()
    mask(part * 500_000)
    assert time.thread_time() - started < 0.5


@given(
    st.recursive(
        st.text() | st.integers() | st.floats() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_masked_can_be_stored(value):
    """Any value can be encoded as JSON once masked."""
    msgspec.json.encode(mask(value))


@given(st.lists(st.sampled_from(SECRET_PARTS), max_size=6).map("".join))
def test_a_text_without_a_hint_holds_no_secret(text):
    """What spares most texts the search for secrets spares none that holds one."""
    assert masking._HINT_OF_SECRET.search(text) or not masking._SECRET.search(text)


def test_lone_surrogates_are_replaced():
    """No store takes them."""
    assert mask("\ud800\u00e9") == "?\u00e9"


def test_a_user_is_named_nowhere():
    """As text or as number, however deep; what merely holds the id stays, and so do other figures."""
    value = {"user": "4711", "of": [{"id": 4711, "more": ["47110", 4, True, None, 1.5]}]}
    assert nameless(value, "4711") == {
        "user": masking.USER,
        "of": [{"id": masking.USER, "more": ["47110", 4, True, None, 1.5]}],
    }
    assert nameless(["", 0, True], "") == ["", 0, True]
    assert nameless([2**70, 2**63 - 1, True], "True") == [str(2**70), 2**63 - 1, True]
    assert nameless(["ann"], None) == ["ann"]
