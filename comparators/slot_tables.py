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

#: words of one meaning, the first names it
_SYNONYMS: Final = """
    book done reserve schedule reservation booking arrange arranged set confirm confirmed made make complete
    visit viewing tour appointment view showing
    cancel canceled cancelled
    move moved reschedule rescheduled
    home apartment flat place house property unit
    rent price priced cost rental
    deposit
    charge fee
    allow permitted permit accept welcome bring friendly
    furnish furniture
    available free
    found find see result matching
    match meet criteria fit within
    want like prefer look wish need search seek
    area city town live neighborhood neighbourhood district
    near nearby
    lift elevator
    washer
    suggest recommend try
    garden yard
    able could can possible
    budget spend maximum
    tell said mention know report inform notify
    give share
    reduce lower decrease
    include
    lease contract
    extra additional
    rent-out let
    suit work
    sublet sublease
    smoke smoking
    calendar
    receive got get obtain
    required
    fix repair mend
    come arrive
    pay payment
    apply application
    enter entrance entry
    heat heater heating
    reply answer respond response
    guest visitor
    child children kid
    pet animal
    shop store
    sofa couch
    fridge refrigerator
    television tv
    trash garbage rubbish
    tub bathtub
    tap faucet
    roommate flatmate housemate
    basement cellar
    subway metro underground
    car vehicle
    buy purchase bought
    send submit
    continue
    fully completely entirely
    transfer transferable
    negotiate negotiable
    renew renewal
    inspect inspection
    deliver delivery
    extend extension
    cancel cancellation
    leave vacate
    choose select
    check verify
    closest nearest
    holiday vacation
    help assist assistance
    immediately instantly
    centre center
    colour color
    inquiry enquiry inquiries enquiries
    kilogram kg
"""
SYNONYMS: Final = {
    stem(word): stem(first)
    for first, *others in map(str.split, filter(str.strip, _SYNONYMS.splitlines()))
    for word in (first, *others)
}

#: words of opposite meanings: a concept, those that affirm it, those that deny it. One that denies turns what stands
#: before it in its clause (`<`, as "the flat is unfurnished" does), all of its clause (`!`, as "they forbid" does), or
#: nothing but itself
OPPOSITES: Final = """
    allow!: allow | prohibit prohibited forbidden forbid banned
    accept!: agree agreed approve approved | refuse refused reject rejected decline declined
    book!: book | cancel
    include!: include | exclude extra
    furnish<: furnish | unfurnished
    available<: available vacant | unavailable taken occupied
    able<: able | unable
    refund<: refund refundable | nonrefundable
    valid<: valid | invalid
    safe<: safe | unsafe dangerous
    heated<: heated | unheated
    optional: optional | required mandatory obligatory compulsory
    liked: liked | disliked
    before: before until | after from
    over: over above | below under
    most: maximum | minimum
    rise: increase raise rose rise | reduce drop fell decrease
    size: large big spacious | small tiny little
    quiet: quiet | noisy loud
    open: open | closed shut
    cheaper: cheaper cheapest | dearer dearest expensive
    stairs: upstairs | downstairs
    always: always | never
    start: start begin beginning began commence | end expire finish
    early: early earlier | late later
    new: new | old
    near: near | far
    light: bright light | dark
    left: left | right
    with: with | without
"""

RELATIONS: Final = frozenset({"before", "over", "cheaper"})  # turned around, they say the same of those swapped

#: nouns that open sentences of a rental's assistant, and so are written with a capital without being names
NOUNS: Final = frozenset(
    """
    utilities parking subletting smoking heating electricity water internet laundry kitchen bathroom notice small large
    neither nobody everyone none cats dogs pets subletting units tenants visitors guests viewings bills
    """.split()  # noqa: SIM905
)

#: words that may open a sentence and mean something all the same
_MEANING: Final = frozenset(
    """
    apartment apartments appointment available based book booking check city contact cost date done during enjoy found
    last late later located location looking looks monthly most name number only once over after before until under up
    get give given take keep let earlier early out all everything every some should each pets phone price property
    remember remind rent renting reserve schedule scheduled scheduling search several starting total visit visiting
    welcome adding going less more much many sounds speaking try using another both want like look need
    """.split()  # noqa: SIM905
)

#: words that mean nothing by themselves when two replies are held side by side
IDLE_WORDS: Final = (OPENERS - _MEANING) | frozenset(
    """
    a the be is are was were been being it its this that these those there here i me my we us our your yours they them
    their to of at in on for and or but so as if then than with by from do does did has have had will would shall
    may might can must also too very just still already now please great good nice sorry unfortunately sadly okay sure
    yes no not you put any else soon
    certainly understood alright happy glad which what who when where how why per day time one well
    become come comes pay paid find home able allow period share could any anything nothing ask
    courtesy left away located location address rent receive pay
""".split()  # noqa: SIM905
)
