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
REWORDED, NEAR, FREE = pairs("reworded"), pairs("reworded_harm"), pairs("free")
RISKY, OVERLOOKED = pairs("risky"), pairs("overlooked")
ALL_SAME = [pair for pair in (*SAME, *REWORDED, *UNSEEN) if "same" in pair]
ALL_HARM = [pair for pair in (*HARMFUL, *NEAR, *UNSEEN, *FREE, *RISKY) if "harm" in pair]


def judged(pair, *, mirrored=False):
    legacy, enhanced = (pair["enhanced"], pair["legacy"]) if mirrored else (pair["legacy"], pair["enhanced"])
    observed = Observation.returned({"reply": enhanced}, context=tuple(pair.get("context", ())))
    return judge("chat.send", Observation.returned({"reply": legacy}), observed, call=Call("ann", {}, AT))


def listed(found):
    return "\n".join(f"{pair['legacy']} | {pair['enhanced']}" for pair in found)


def alarms_of(some, *, mirrored=False):
    return [pair for pair in some if judged(pair, mirrored=mirrored).verdict not in QUIET]


def missed_of(some, *, mirrored=False):
    return [pair for pair in some if judged(pair, mirrored=mirrored).verdict != "diverged"]


def test_the_corpus_is_large_and_has_no_pair_twice():
    """Over a thousand pairs, of every sort of slot; over three hundred and fifty of them mean the same."""
    free = [pair for pair in FREE if "same" in pair]
    everything = [(pair["legacy"], pair["enhanced"]) for pair in (*ALL_SAME, *free, *ALL_HARM, *OVERLOOKED, *ADDED)]
    assert len(set(everything)) == len(everything) >= 1_000
    assert len(ALL_SAME) >= 350
    assert len({pair["harm"] for pair in HARMFUL}) == 14


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_means_the_same_does_not_alarm(mirrored):
    """At most 2 % of all paraphrases and format changes; none of the format changes, and none is called critical."""
    alarms = alarms_of(ALL_SAME, mirrored=mirrored)
    assert len(alarms) <= 0.02 * len(ALL_SAME), listed(alarms)
    assert [pair for pair in alarms if pair["same"] == "format"] == []
    assert [pair for pair in alarms if judged(pair, mirrored=mirrored).severity == "critical"] == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_harm_is_found(mirrored):
    """Every pair, either way round."""
    assert listed(missed_of(ALL_HARM, mirrored=mirrored)) == ""


def test_what_is_overlooked_is_known():
    """Harm that passes today: a pair that is found moves to the risky ones."""
    assert listed(pair for pair in OVERLOOKED if pair not in missed_of(OVERLOOKED)) == ""
    assert len(OVERLOOKED) <= 0.02 * len(ALL_HARM)


def test_harm_in_a_fact_is_critical():
    """Of the harm that slots hold, 95 %; a fact that only one states, and what only words tell apart, is major."""
    held = [pair for pair in (*HARMFUL, *NEAR) if pair["harm"] != "other"]
    milder = [pair for pair in held if judged(pair).severity != "critical"]
    assert len(milder) <= 0.05 * len(held), listed(milder)


@pytest.mark.parametrize("mirrored", [False, True])
def test_sentences_turned_around_freely_alarm_a_person(mirrored):
    """No table follows them all: a quarter at most alarms, and the rest is taken for what it is."""
    free = [pair for pair in FREE if "same" in pair]
    assert len(alarms_of(free, mirrored=mirrored)) <= 0.25 * len(free), listed(alarms_of(free, mirrored=mirrored))


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
