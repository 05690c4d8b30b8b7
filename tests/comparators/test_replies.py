import pytest

from comparators import Call

CONTEXT = ("city: San Jose", "number_of_beds: 3", "dog: Rex, 4 years old")


def chat(reply, conversation="c1", **more):
    return {"reply": reply, "conversation_id": conversation, "created_at": "2026-01-05T08:00:00Z", **more}


def test_white_space_and_composition_do_not_matter(told):
    """Replies equal after folding match."""
    assert told("chat.send", chat("Caf\u00e9  at\nnoon"), chat("Cafe\u0301 at noon ")) == ("match", [])


def test_a_minted_conversation_is_volatile_and_a_given_one_is_not(told):
    """A conversation that the call named must come back as it was named."""
    left, right = chat("Hello"), {**chat("Hello", "c2"), "created_at": "2027-01-01T00:00:00Z", "id": 7}
    minted, given = Call("ann", {"conversation_id": None}, None), Call("ann", {"conversation_id": "c1"}, None)
    assert told("chat.send", left, right, call=minted) == ("match", [])
    assert told("chat.send", left, right) == ("match", [])
    changed = ("diverged", [("changed", "major", "$.conversation_id")])
    assert told("chat.send", left, right, call=given) == changed


@pytest.mark.parametrize(
    "enhanced", ["It is furnished. Your dog Rex is 4.", "As you like San Jose: it has 3 beds. It is furnished."]
)
def test_supported_added_context_is_enriched(judged, enhanced):
    """Legacy's reply and something that the chat was told beside: ignored, the difference kept."""
    judgement = judged("chat.send", chat("It is furnished."), chat(enhanced), context=(*CONTEXT, "likes it"))
    (found,) = judgement.differences
    assert (judgement.verdict, judgement.reason) == ("ignored", "enriched")
    assert (found.kind, found.severity, found.path) == ("added", "minor", "$.reply")


def test_an_enriched_reply_does_not_hide_another_difference(told):
    """Ignored is only what has nothing else to it."""
    legacy, enhanced = chat("It is furnished.", model="a"), chat("It is furnished. Rex is 4.", model="b")
    kinds = [("added", "minor", "$.reply"), ("changed", "major", "$.model")]
    assert told("chat.send", legacy, enhanced, context=CONTEXT) == ("diverged", kinds)


@pytest.mark.parametrize("legacy", ["How many beds do you need, and in what area?", "I don't know yet."])
def test_a_question_answered_from_context_is_a_group_of_its_own(told, legacy):
    """People look at it, nobody is alarmed."""
    enhanced = chat("You told me: 3 bedrooms in San Jose.")
    assert told("chat.send", chat(legacy), enhanced, context=CONTEXT) == (
        "diverged",
        [("answered", "minor", "$.reply")],
    )
    unsupported = told("chat.send", chat(legacy), enhanced)
    assert unsupported[1][0][:2] == ("facts", "major")


@pytest.mark.parametrize("enhanced", ["", "I have no information.", "I do not recall that.", "I'm not sure."])
def test_forgetting_is_amnesia(told, enhanced):
    """To say nothing, or to say that one knows nothing, where legacy answers."""
    amnesia = ("diverged", [("amnesia", "critical", "$.reply")])
    assert told("chat.send", chat("Your dog Rex is 4."), chat(enhanced)) == amnesia
    assert told("chat.send", chat("No, they don't have a pool."), chat(enhanced)) == amnesia


def test_a_search_without_a_result_is_an_answer(told):
    """Nothing found is not nothing known."""
    left, right = chat("I found nothing."), chat("I could not find any.")
    assert told("chat.send", left, right) == ("ignored", [("rephrased", "minor", "$.reply")])


def test_fewer_or_more_numbers_are_major(told):
    """Told or untold, but nothing replaced."""
    left, right = chat("It has 3 beds."), chat("The home is lovely.")
    assert told("chat.send", left, right) == ("diverged", [("facts", "major", "$.reply")])
    assert told("chat.send", right, left) == ("diverged", [("facts", "major", "$.reply")])


def test_the_same_facts_in_other_words_of_one_meaning_are_rephrased(told, judged):
    """Ignored, the difference kept; where the words mean something else, major, for a person to look at."""
    left, right = chat("It rents for $4050."), chat("The rent is 4,050 dollars.")
    assert told("chat.send", left, right) == ("ignored", [("rephrased", "minor", "$.reply")])
    assert judged("chat.send", left, right).reason == "rephrased"
    assert told("chat.send", left, chat("The roof is $4050.")) == ("diverged", [("changed", "major", "$.reply")])


def test_a_rephrased_reply_does_not_hide_another_difference(told):
    """Ignored is only what has nothing else to it."""
    legacy, enhanced = chat("It rents for $4050.", model="a"), chat("The rent is 4,050 dollars.", model="b")
    kinds = [("rephrased", "minor", "$.reply"), ("changed", "major", "$.model")]
    assert told("chat.send", legacy, enhanced) == ("diverged", kinds)


@pytest.mark.parametrize(
    "enhanced",
    ["I'm sorry, I can't help with that.", "I am not able to book visits.", "Something went wrong, try again later."],
)
def test_declining_to_help_is_a_refusal(told, enhanced):
    """Critical where legacy answers; where legacy declines too it is none."""
    left, right = chat("Your visit is booked."), chat(enhanced)
    assert told("chat.send", left, right) == ("diverged", [("refusal", "critical", "$.reply")])
    assert told("chat.send", right, chat("I cannot do this."))[1][0][0] != "refusal"


def test_to_ask_for_what_legacy_knows_is_amnesia(told):
    """A question that states nothing, where legacy states facts and asks nothing."""
    left, right = chat("Your cat is called Misty."), chat("Do you have any pets?")
    assert told("chat.send", left, right) == ("diverged", [("amnesia", "critical", "$.reply")])


def test_a_day_is_compared_with_the_date_of_the_call(told):
    """ "Next Monday" is a date once it is known when that was said, and no other."""
    call = Call("ann", {}, "2026-03-04T10:00:00+00:00")
    left, right = chat("It is next Monday at 3 pm."), chat("It is on Monday, March 9th at 15:00.")
    assert told("chat.send", left, right, call=call)[0] == "ignored"
    wrong = chat("It is on Monday, March 30th at 15:00.")
    assert told("chat.send", left, wrong, call=call)[1][0][:2] == ("facts", "major")
    assert told("chat.send", left, chat("It is on Tuesday at 3 pm."), call=call)[1][0][:2] == ("facts", "critical")
    assert told("chat.send", chat("See you tomorrow."), chat("See you the 5th."), call=call) == ("match", [])
    assert told("chat.send", left, right, call=Call("ann", {}, "no date"))[0] == "diverged"


def test_a_reply_may_be_bare_text_and_any_other_shape_is_compared_by_structure(told):
    """The shapes of other chats."""
    assert told("chat.send", "at 3pm", "at 15:00") == ("match", [])
    assert told("chat.send", "at 3pm", "at 4pm") == ("diverged", [("facts", "critical", "$")])
    assert told("chat.send", "at 3pm", chat("at 3pm")) == ("diverged", [("type", "critical", "$")])
    assert told("chat.send", chat(None), chat("a")) == ("diverged", [("type", "major", "$.reply")])
    assert told("chat.list", [chat("a")], [chat("b")]) == ("diverged", [("changed", "major", "$[0].reply")])


def test_a_very_long_reply_is_judged_without_being_read_for_facts(told):
    """It diverges, and takes no time."""
    left, right = chat("word " * 10_000), chat("word " * 10_000 + "3")
    assert told("chat.send", left, right) == ("diverged", [("changed", "major", "$.reply")])
