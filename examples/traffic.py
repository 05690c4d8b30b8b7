"""Rental conversations of our own making, for the demo and for trying things out: the same ones every time.

Each user comes back several times, so that what was said before can matter. A conversation is what a chat application
does: a message is sent, the user's turn and what it tells are saved, memories are looked up, the assistant's turn is
saved. `python -m examples.traffic > traffic.jsonl` writes a traffic file.
"""

import contextlib
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["conversations"]

_START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_SEED = 20260302

_PEOPLE = (
    *("Zoë", "Łukasz", "Ana", "Søren", "Chloé", "Jürgen", "Inês", "Márton", "Aoife", "Ødegård"),
    *("Noor", "İpek", "Tomáš", "Eszter", "Björk", "Καλλιόπη", "Мила", "さくら", "Ngọc", "Kofi"),
)
_AREAS = ("Málaga", "Łódź", "Porto", "Zürich", "Ghent", "Kraków", "Århus", "Reykjavík", "Köln", "San Sebastián")
_HOMES = (
    *("Casa Las Palmas", "Haus am Lindenhof", "Résidence Étoile", "Villa Łąkowa", "Quinta do Vale", "Ørsted Gaard"),
    *("Finca El Olivo", "Maison Bleue", "Mill Lane Lofts", "Torre del Mar", "Gasthof Süd", "Harbour Court"),
)
_STREETS = ("Calle Mayor", "ulica Piotrkowska", "Rua das Flores", "Seestrasse", "Korenmarkt", "Strandvejen")
_PETS = ("a cat", "a dog", "two cats", "a parrot")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_EXTRAS = (
    ("has_garage", "with a garage", True),
    ("furnished", "furnished", True),
    ("balcony", "with a balcony", True),
    ("floor", "on the ground floor", "ground"),
)


@dataclass(slots=True)
class _Person:
    """A user and what they look for, the same in most of their conversations."""

    user_id: str
    area: str
    bedrooms: int
    price: int
    homes: list[str]
    pets: str | None


@dataclass(slots=True)
class _Talk:
    """A conversation as it is written: its entries, and the time of the next one."""

    person: _Person
    conversation_id: str
    at: datetime
    chance: random.Random
    entries: list[dict[str, Any]] = field(default_factory=list)
    turns: int = 0

    def often(self) -> bool:
        """Two times in three."""
        return self.chance.randrange(3) > 0

    def call(self, operation: str, **args: Any) -> None:
        self.at += timedelta(milliseconds=self.chance.randint(350, 2_500))
        at = self.at.isoformat(timespec="milliseconds")
        self.entries.append({"at": at, "operation": operation, "user_id": self.person.user_id, "args": args})

    def save(self, memory_type: str, content: str, **facts: Any) -> None:
        metadata = {"conversation_id": self.conversation_id, **facts}
        self.call("memory.save", memory_type=memory_type, content=content, metadata=metadata)

    def recent(self, memory_type: str | None, limit: int) -> None:
        self.call("memory.recent", memory_type=memory_type, limit=limit)

    def say(self, message: str, **preferences: Any) -> None:
        """Have the user speak, and save the turn and the preferences it states."""
        self.at += timedelta(seconds=self.chance.randint(4, 25))  # reading and typing
        self.call("chat.send", message=message, conversation_id=self.conversation_id)
        self._turn("user", message)
        for slot, value in preferences.items():
            self.save("preference", f"{slot}: {value}", slot=slot, value=value)

    def answer(self, text: str) -> None:
        """Save what the assistant said."""
        self._turn("assistant", text)

    def _turn(self, role: str, content: str) -> None:
        self.save("conversation", content, role=role, turn=self.turns)
        self.turns += 1


def conversations(count: int = 300, users: int = 60) -> Iterator[dict[str, Any]]:
    """Yield the calls of `count` conversations of `users` users, as traffic file entries in order of time."""
    chance = random.Random(_SEED)
    people = [_person(number, chance) for number in range(users)]
    for number in range(count):
        if number % users == 0:
            chance.shuffle(people)
        at = _START + timedelta(minutes=11 * number)
        yield from _conversation(people[number % users], f"talk-{number:04}", at, chance)


def _person(number: int, chance: random.Random) -> _Person:
    return _Person(
        user_id=f"{_PEOPLE[number % len(_PEOPLE)].casefold()}-{number:02}",
        area=chance.choice(_AREAS),
        bedrooms=chance.randint(1, 4),
        price=chance.randrange(900, 3_200, 50),
        homes=chance.sample(_HOMES, 3),
        pets=chance.choice((None, *_PETS)),
    )


def _conversation(person: _Person, conversation_id: str, at: datetime, chance: random.Random) -> list[dict[str, Any]]:
    talk = _Talk(person, conversation_id, at, chance)
    home = chance.choice(person.homes)
    talk.recent(None, 10)
    _opening(talk)
    _wishes(talk)
    _offer(talk, home)
    if talk.often():
        _question(talk)
    if not talk.often():
        _visit(talk, home)
    _farewell(talk)
    return talk.entries


def _bedrooms(person: _Person) -> str:
    return "1 bedroom" if person.bedrooms == 1 else f"{person.bedrooms} bedrooms"


def _opening(talk: _Talk) -> None:
    """Say what is looked for; people who have been here before often leave out what they said then."""
    person = talk.person
    match talk.chance.randrange(7):
        case 0:
            talk.say("Hello, I am looking for a new flat, can you help?")
            talk.answer("Gladly. Which area do you have in mind?")
        case 1:
            talk.say(f"I need a home in {person.area}.", area=person.area)
            talk.answer(f"{person.area} it is. How many bedrooms?")
        case 2:
            talk.say(f"I want an apartment with {_bedrooms(person)}.", bedrooms=person.bedrooms)
            talk.answer("With pleasure. In which town?")
        case _:
            message = f"Please find me a house in {person.area} with {_bedrooms(person)}."
            talk.say(message, area=person.area, bedrooms=person.bedrooms)
            talk.answer("What may it cost a month?")


def _wishes(talk: _Talk) -> None:
    """Answer with the rest, and with a wish that not everybody has."""
    person = talk.person
    name, words, value = talk.chance.choice(_EXTRAS)
    message = f"In {person.area}, {_bedrooms(person)}, {words}, up to {person.price} € a month."
    if person.pets and not talk.often():
        talk.say(f"{message} I have {person.pets}.", price=person.price, pets=person.pets)
    else:
        talk.say(message, **{"price": person.price, name: value})


def _offer(talk: _Talk, home: str) -> None:
    person, price = talk.person, talk.person.price - talk.chance.randrange(0, 200, 25)
    talk.recent("market", 20)
    found = talk.chance.randint(2, 14)
    talk.save("market", f"{found} homes in {person.area}", area=person.area, bedrooms=person.bedrooms, found=found)
    talk.save("property", f"{home}, {price} € a month", **_property(talk, home, price))
    talk.answer(f"{home} would fit: {_bedrooms(person)} for {price} € a month.")


def _property(talk: _Talk, home: str, price: int) -> dict[str, Any]:
    chance = talk.chance
    return {
        "name": home,
        "address": f"{chance.choice(_STREETS)} {chance.randint(1, 120)}",
        "area": talk.person.area,
        "bedrooms": talk.person.bedrooms,
        "price": price,
        "currency": "EUR",
        "has_garage": chance.choice((True, False)),
        "pets": chance.choice((None, ["cat"], ["cat", "dog"])),
        "rating": chance.randint(30, 50) / 10,
    }


def _question(talk: _Talk) -> None:
    talk.say(talk.chance.choice(("How much was it again?", "Are pets allowed there?", "What is their phone number?")))
    talk.answer("Let me look that up for you.")


def _visit(talk: _Talk, home: str) -> None:
    day = talk.chance.choice(_DAYS)
    talk.recent("property", 5)
    talk.say(f"I would like to visit {home} on {day}.")
    talk.save("visit", f"visit to {home} on {day}", property=home, day=day)
    talk.answer(f"{day} is fine. You will be met at the door of {home}.")


def _farewell(talk: _Talk) -> None:
    if talk.often():
        talk.say("Thank you, that is all.")
    talk.recent("conversation", 50)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the reader has seen enough
        for entry in conversations():
            sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
        sys.stdout.flush()
