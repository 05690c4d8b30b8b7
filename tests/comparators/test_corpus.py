"""Replies of a rental app's assistant, written by hand: what must not alarm, and what must."""

import json
import time
from pathlib import Path

import pytest

from comparators import Call, Observation, judge

FOLDER = Path(__file__).parent / "corpus"
AT = "2026-03-04T10:00:00+00:00"  # a Wednesday
KINDS = {"refusal": {"refusal"}, "amnesia": {"amnesia"}, "other": {"changed", "facts"}}  # any other harm: facts
QUIET = ("match", "ignored")


def pairs(name):
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


SAME, HARMFUL, ADDED, UNSEEN = pairs("same"), pairs("harmful"), pairs("added"), pairs("unseen")


def judged(pair, *, mirrored=False):
    legacy, enhanced = (pair["enhanced"], pair["legacy"]) if mirrored else (pair["legacy"], pair["enhanced"])
    observed = Observation.returned({"reply": enhanced}, context=tuple(pair.get("context", ())))
    return judge("chat.send", Observation.returned({"reply": legacy}), observed, call=Call("ann", {}, AT))


def listed(found):
    return "\n".join(f"{pair['legacy']} | {pair['enhanced']}" for pair in found)


def test_the_corpus_is_large_and_has_no_pair_twice():
    """Over three hundred pairs, of every sort of slot."""
    everything = [(pair["legacy"], pair["enhanced"]) for pair in (*SAME, *HARMFUL, *ADDED, *UNSEEN)]
    assert len(set(everything)) == len(everything) >= 300
    assert len({pair["harm"] for pair in HARMFUL}) == 14


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_means_the_same_does_not_alarm(mirrored):
    """At most 2 % of paraphrases and format changes; none of the format changes."""
    alarms = [pair for pair in SAME if judged(pair, mirrored=mirrored).verdict not in QUIET]
    assert len(alarms) <= 0.02 * len(SAME), listed(alarms)
    assert [pair for pair in alarms if pair["same"] == "format"] == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_harm_is_found(mirrored):
    """At least 99 %, either way round."""
    missed = [pair for pair in HARMFUL if judged(pair, mirrored=mirrored).verdict != "diverged"]
    assert len(missed) <= 0.01 * len(HARMFUL), listed(missed)


def test_harm_that_no_table_was_written_for_is_found():
    """All of it; words that no table has alarm a person rather than pass."""
    assert listed(pair for pair in UNSEEN if "harm" in pair and judged(pair).verdict != "diverged") == ""
    alarms = [pair for pair in UNSEEN if "same" in pair and judged(pair).verdict not in QUIET]
    assert {judged(pair).severity for pair in alarms} == {"major"}  # never critical


def test_harm_is_called_what_it_is():
    """At least 99 % have the kind that their harm has."""
    wrong = [pair for pair in HARMFUL if judged(pair).differences[0].kind not in KINDS.get(pair["harm"], {"facts"})]
    assert len(wrong) <= 0.01 * len(HARMFUL), listed(wrong)


def test_what_is_added_is_enriched_where_it_is_borne_out_and_goes_to_a_person_where_not():
    """Every pair."""
    wrong = [
        pair for pair in ADDED if judged(pair).verdict != ("ignored" if pair["added"] == "supported" else "diverged")
    ]
    assert wrong == [], listed(wrong)


def test_no_reply_takes_long():
    """Not even one of 20,000 characters that is made to take long: judged in time in proportion to its length."""
    for piece in ("1", "one ", "get ", "? ", "leave a ", "$1,111", "a", "no, ", "A ", "half past ", "how about "):
        text = (piece * 20_000)[:19_990]
        started = time.thread_time()
        judge("chat.send", Observation.returned(text), Observation.returned(f"{text}x?"))
        assert (
            time.thread_time() - started < 5
        )  # a second at most where nothing else runs; squared it would be a minute
