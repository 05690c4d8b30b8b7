"""What the offline chat model promises: answers by rule, and few, recognisable ways in which context changes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.traffic import conversations
from gnomon_memory.chat_ai import Turn
from gnomon_memory.offline_chat_ai import OfflineChatAI

pytestmark = pytest.mark.enhanced_chat

answer = OfflineChatAI().answer
HELP = "I can help with that."
MESSAGES = st.text() | st.sampled_from(sorted({e["args"].get("message", "hello") for e in conversations(30, 6)}))
TURNS = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), MESSAGES), max_size=4)
IRRELEVANT = st.text().filter(lambda text: not text.startswith(("preference: ", "visit: ")))


@given(MESSAGES, TURNS, st.lists(IRRELEVANT | st.just("preference: moon = new") | st.just("visit: day = Monday")))
def test_without_relevant_context_the_answer_is_the_same(message, history, context):
    """Whatever is said, context that does not bear on the answer changes nothing of it."""
    assert answer(message, history, []) == answer(message, history, context)


@given(MESSAGES, TURNS, st.lists(st.text()))
def test_same_arguments_same_answer(message, history, context):
    """An answer depends on its arguments alone, and is never empty."""
    first = answer(message, history, context)
    assert first == OfflineChatAI().answer(message, list(history), tuple(context))
    assert first


def test_it_asks_for_what_is_open():
    """The area is asked for first, then the bedrooms; what was said or asked in the conversation is not asked again."""
    assert answer("I am looking for a flat.", [], []) == f"{HELP} Which area are you looking in?"
    assert answer("I need a flat in Łódź.", [], []) == f"{HELP} How many bedrooms do you need?"
    assert answer("A house in Porto with two bedrooms, I need it", [], []) == "I will show you what fits."
    history = [Turn("user", "I need a flat"), Turn("assistant", "Which area do you want?")]
    assert answer("Sunnyvale", history, []) == f"{HELP} How many bedrooms do you need?"
    assert answer("I need a flat in March", [], []) == f"{HELP} Which area are you looking in?"


def test_it_recalls_what_was_said():
    """Questions are answered from the conversation where it has the answer."""
    history = [Turn("assistant", "It costs $4,450 a month."), Turn("assistant", "Call 510-886-0385.")]
    assert answer("How much was it?", history, []) == "It was given as $4,450."
    assert answer("What is their phone number?", history, []) == "The number is 510-886-0385."
    assert answer("How much was it?", [], []) == "I will ask for the price and come back to you."


def test_known_preferences_replace_questions():
    """What is known from before is not asked; the newest counts, under whatever name it was saved."""
    context = ["preference: pets = a cat", "preference: city = San José", "preference: area = Porto"]
    assert answer("I need a flat.", [], context) == f"{HELP} Looking in San José, as before."
    rooms = ["preference: number_of_beds = 3"]
    assert answer("I need a flat in Porto.", [], rooms) == f"{HELP} Number of beds: 3, as before."
    assert answer("I need a flat in Porto.", [], context) == f"{HELP} How many bedrooms do you need?"


def test_an_earlier_visit_is_added():
    """A visit to a place visited before is answered as ever, with a sentence more."""
    history = [Turn("assistant", "Casa Las Palmas would fit.")]
    context = ["visit: property = Haus am See; day = Monday", "visit: property = Casa Las Palmas; day = Monday"]
    said = "I have noted the visit: Monday."
    message = "I would like to visit it on Monday."
    assert answer(message, history, []) == said
    assert answer(message, history, context) == f"{said} You have visited Casa Las Palmas before."
    assert answer("I would like to visit it.", history, context).startswith("Which day would suit you for the visit?")
