"""The tables by which a reply in English is read into slots; a further word is a further entry here, and nothing else.

Words are written in any of their forms: they are brought to their stem where a table is read.
"""

from typing import Final

from comparators.english import OPENERS
from comparators.stems import stem

_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
CARDINALS: Final = {word: number for number, word in enumerate(_SMALL)} | {
    word: 10 * number for number, word in enumerate(_TENS, start=2)
}
SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
ORDINALS: Final = {
    **{word: number for number, word in enumerate(("first", "second", "third", "fourth", "fifth"), start=1)},
    **{word: number for number, word in enumerate(("sixth", "seventh", "eighth", "ninth", "tenth"), start=6)},
    "eleventh": 11,
    "twelfth": 12,
    "thirteenth": 13,
    "fourteenth": 14,
    "fifteenth": 15,
    "twentieth": 20,
    "thirtieth": 30,
}

CURRENCIES: Final = {
    **dict.fromkeys(("$", "usd", "dollar", "dollars", "buck", "bucks"), "USD"),
    **dict.fromkeys(("€", "eur", "euro", "euros"), "EUR"),
    **dict.fromkeys(("£", "gbp", "pound", "pounds"), "GBP"),
}

#: what is counted: the unit as it is kept, and how many of it one of these is
UNITS: Final = {
    **dict.fromkeys(("bed", "beds", "bedroom", "bedrooms", "br"), ("bedroom", 1)),
    **dict.fromkeys(("bath", "baths", "bathroom", "bathrooms"), ("bathroom", 1)),
    **dict.fromkeys(("floor", "storey"), ("floor", 1)),
    **dict.fromkeys(("person", "people", "persons"), ("person", 1)),
    **dict.fromkeys(("sqm", "m2", "m²"), ("square meter", 1)),
    **dict.fromkeys(("sqft", "ft2"), ("square foot", 1)),
    **dict.fromkeys(("mile", "miles"), ("mile", 1)),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), ("kilometer", 1)),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), ("minute", 1)),
    **dict.fromkeys(("hour", "hours"), ("minute", 60)),
    **dict.fromkeys(("day", "days"), ("day", 1)),
    **dict.fromkeys(("week", "weeks"), ("day", 7)),
    **dict.fromkeys(("month", "months"), ("month", 1)),
    **dict.fromkeys(("year", "years"), ("month", 12)),
    **dict.fromkeys(("%", "percent"), ("percent", 1)),
}

#: parts of names and addresses, also in lower case; the right side is the form kept
NAME_PARTS: Final = {
    "ln": "lane",
    "rd": "road",
    "st": "street",
    "ave": "avenue",
    "blvd": "boulevard",
    "dr": "drive",
    "ct": "court",
    **{word: word for word in ("lane", "road", "street", "avenue", "boulevard", "court")},
    **{word: word for word in ("north", "south", "east", "west", "mr", "mrs", "ms")},
}
COMPASS: Final = {"n": "north", "s": "south", "e": "east", "w": "west"}

#: who is spoken of, of whom only another is a difference
PERSONS: Final = {"he": "he", "him": "he", "his": "he", "she": "she", "her": "she", "hers": "she"}

#: one word, spelled in two ways
SPELLINGS: Final = {"neighbourhood": "neighborhood", "ok": "okay", "canceled": "cancelled", "me": "i"}

#: people without a name, who can be swapped like those with one; cats and dogs too
PARTIES: Final = frozenset(
    map(stem, ("landlord", "tenant", "agent", "owner", "neighbour", "caretaker", "you", "i", "me", "cat", "dog"))
)

#: concepts that amounts belong to, and that could be swapped
TOPICS: Final = frozenset({"rent", "deposit", "charg"})

#: nouns that open sentences of a rental's assistant, and so are written with a capital without being names
NOUNS: Final = frozenset(
    """
    utilities parking subletting smoking heating electricity water internet laundry kitchen bathroom notice small large
    neither nobody everyone none cats dogs pets subletting units tenants visitors guests viewings bills
    """.split()  # noqa: SIM905
)

#: words that only carry another: one reply may have them and the other not, but none may stand for another of them
CARRYING: Final = frozenset(
    """
    get give take put keep go use happen ready thing way kind type sort total exactly period
    details amount price whole plan main list space again remember save request
    """.split()  # noqa: SIM905
)

#: words that may open a sentence and mean something all the same
_MEANING: Final = frozenset(
    """
    apartment apartments appointment available based book booking check city contact cost date done during enjoy found
    last late later located location looking looks monthly most name number only once over after before until under up
    get give given take keep let earlier early out all everything every some should each pets phone price property
    remember remind rent renting reserve schedule scheduled scheduling search several starting total visit visiting
    welcome adding going less more much many sounds speaking try using another both either next want like look need
    """.split()  # noqa: SIM905
)

#: words that mean nothing by themselves when two replies are held side by side
IDLE_WORDS: Final = (OPENERS - _MEANING) | frozenset(
    """
    a the be is are was were been being it its this that these those there here i me my we us our your yours they them
    their to of at in on for and or but so as if then than with by from do does did has have had will would shall
    may might can must also too very just still already now please great good nice sorry unfortunately sadly okay sure
    yes no not you put any else
    certainly understood alright happy glad
    definitely really simply basically quite wonderful fantastic awesome
    which what who when where how why per day time one well
    become come comes pay paid find home able allow period share could any anything nothing ask
    courtesy left away located location address rent pay
""".split()  # noqa: SIM905
)
