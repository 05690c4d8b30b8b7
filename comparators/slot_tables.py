"""The tables by which a reply in English is read into slots; a further word is a further entry here, and nothing else.

Words are written in any of their forms: they are brought to their stem where a table is read.
"""

import re
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

#: phrases that say in several words what one says, first to last: the words of which a phrase has one, the phrase, and
#: what it says
PHRASES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = tuple(
    (tuple(needed.split("|")), re.compile(pattern, re.IGNORECASE), said)
    for needed, pattern, said in (
        ("hour|hours", r"\b(?:an?|1) hour and a half\b|\b(?:one|1) and a half hours\b", "90 minutes"),
        ("hour", r"\bhalf an hour\b", "30 minutes"),
        ("hour", r"\ban hour\b", "60 minutes"),
        ("square", r"\bsquare met(?:er|re)s?\b", "sqm"),
        ("square|sq", r"\b(?:square feet|sq\.? ?ft\.?)(?!\w)", "sqft"),
        (
            "month|mo|pcm",
            r"\bper calendar month\b|\bpcm\b|/ ?mo(?:nth)?\b|\b(?:a|per|every|each) month\b",
            " monthly",
        ),
        ("week", r"\b(?:a|per|every|each) week\b|/ ?week\b", " weekly"),
        ("year", r"\b(?:a|per|every|each) year\b|/ ?year\b", " yearly"),
        ("month", r"\bof this month\b", ""),
        ("about", r"\bhow about ([^?]{0,200})\?", r"\1."),
        (
            "else",
            r"(?:\b[a-z']{1,12} ){0,6}\b(?:any|some)thing else\b(?: [a-z']{1,12}){0,8} ?\?",
            " courtesy ",
        ),
        (
            "day",
            r"\b(?:enjoy|have) (?:an? |your |the )?(?:rest of your |(?:good|great|nice|lovely) )?day\b(?: ahead)?",
            " courtesy ",
        ),
        (
            "problem|worries|pleasure|welcome",
            r"\b(?:no problem|no worries|not a problem|my pleasure|you(?:'re| are) (?:very )?welcome(?! to\b))\b",
            " courtesy ",
        ),
        (
            "moment|second|course|afraid",
            r"\b(?:one moment|just a (?:second|moment)|of course|(?:i'm|i am) afraid)\b",
            " courtesy ",
        ),
        (
            "sorry|apologize|apologise",
            r"\b(?:sorry about|(?:i|we) apologi[sz]e for) (?:that|this)\b|\b(?:i|we) apologi[sz]e\b",
            " courtesy ",
        ),
        ("thank|thanks", r"\bthank(?:s| you)(?: for (?:letting me know|telling me))?\b", " courtesy "),
        ("set", r"\byou(?:'re| are) all set\b", " booked "),
        ("confirm", r"\bplease confirm\b([^.?!]{0,200})(?:[.?!]|$)", r" confirm \1? "),
        ("correct|right", r"\b(?:is (?:that|this) (?:right|correct)|correct)(?=\?)", " confirm "),
        ("confirm", r"\bcan you (?:please )?confirm\b", " confirm "),
        ("i|would|do", r"\b(?:shall i|should i|(?:would you like|do you want) (?:me )?to)\b", " ask "),
        ("most", r"\bwhat(?:'s| is) the most\b", " what maximum "),
        ("total", r"\bin total\b", " total "),
        ("much", r"\bhow much\b", " what "),
        ("call|number", r"\bphone number\b|\bnumber to call\b|\bcan call (?=\d)", " phone "),
        ("least", r"\b(?:(?:have|has) to )?stay at least\b", " stay minimum "),
        ("up|most", r"\b(?:up to|at most)\b", " maximum "),
        ("least", r"\bat least\b", " minimum "),
        ("longer|more|anymore", r"\b(?:no longer|(?<=t )any ?more|(?<=not )any ?more)\b", " not "),
        ("available", r"(?<=not )available any ?more\b|(?<=n't )available any ?more\b", "available"),
        ("rented|already", r"\balready (?:rented(?: out)?|taken|gone|let)\b|\brented out\b", " not available "),
        ("free", r"\bfree of charge\b|\bfor free\b", " gratis "),
        ("free", r"\b(?:be|becomes?|is|it's|still) free\b", " available "),
        ("washing", r"\bwashing machine\b", " washer "),
        ("friendly", r"\bpet[- ]friendly\b", " pets allowed "),
        ("soon", r"\bas soon as\b", " when "),
        ("let", r"\blet you know\b", " tell you "),
        ("call|reach", r"\b(?:reach|call) (?:them|him|her|us) (?:at|on)\b", " phone "),
        ("foot", r"\bon foot\b", " walk "),
        ("more|above", r"\bmore than\b|\babove(?= your budget\b)", " over "),
        ("less|under", r"\bless than\b|\bunder(?= your budget\b)", " below "),
        ("expensive", r"\bmore expensive\b", " dearer "),
        ("expensive", r"\bmost expensive\b", " dearest "),
        ("nowhere", r"\bnowhere near\b", " not near "),
        ("behind", r"\bleave [\w ]{1,30} behind\b", r" not bring \g<0> "),
        ("up", r"\b(?:went|go|goes|going|gone) up\b", " increased "),
        ("down", r"\b(?:went|go|goes|going|gone) down\b", " decreased "),
        ("back", r"\bget ([\w ]{1,30}) back\b", r" \1 refundable "),
        ("up", r"\bcomes? up\b", " is "),
        ("room|rooms", r"\b(bed|bath) (rooms?)\b", r"\1\2"),
        ("furniture", r"\bcomes? with furniture\b|\bhas furniture\b", " is furnished "),
        ("come|comes", r"\bcomes? with\b", " includes "),
        (
            "move|moving",
            r"\b(?:move[- ]in|moving in) date\b|\b(?:can|may) move in\b|\b(?:are|be) moving in\b",
            " movein ",
        ),
        ("wi", r"\bwi-fi\b", " wifi "),
        ("non|un", r"\b(non|un)-(?=\w)", r"\1"),
        ("unable", r"\bunable to\b", " not able to "),
        ("close", r"\bclose to\b", " near "),
        (
            "bring|have|keep",
            r"\b(?:can|may) ?(not|'t)? (?:have|bring|keep)\b|\b(?:can|may) bring\b",
            r" \1 allowed ",
        ),
        ("fine|ok|okay", r"\b(is|are) (?:fine|okay|ok)\b", r" \1 allowed "),
        ("you|should", r"\b(?:do you (?:need|want|like)|would you like|should it be)\b", " ask "),
        ("pay|spend", r"\byou (?:want|would like) to (?:pay|spend)\b", " rent "),
        ("have|has|must", r"\b(?:have to|has to|must)\b", " required "),
        (
            "no",
            r"\bno(?=[,.!;]| (?:it|they|there|that|this|you|i|we|he|she|the|unfortunately|sorry)\b)",
            " nope ",
        ),
        ("yeah|yep|yup", r"\b(?:yeah|yep|yup)\b", " yes "),
    )
)

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
    want like prefer look wish need
    area city town live
    near nearby
    lift elevator
    washer
    suggest recommend try
    garden yard
    able could can possible
    budget spend maximum
    tell said mention know
    give share
    reduce lower decrease
    include
    lease contract
    extra additional
    neighborhood neighbourhood
    rent-out let
    suit work
    sublet sublease
    smoke smoking
    calendar
    receive got
    required
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
    available<: available | unavailable taken
    able<: able | unable
    refund<: refund refundable | nonrefundable
    valid<: valid | invalid
    safe<: safe | unsafe dangerous
    heated<: heated | unheated
    optional: optional | required mandatory
    liked: liked | disliked
    before: before until | after from
    over: over above | below under
    most: maximum | minimum
    rise: increase raise rose | reduce drop fell
    size: large big spacious | small tiny
    quiet: quiet | noisy loud
    open: open | closed shut
    cheaper: cheaper cheapest | dearer dearest expensive
    stairs: upstairs | downstairs
    always: always | never
    start: start beginning | end
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
    welcome adding going less more much many sounds speaking try using another
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
    courtesy left away located location address rent
""".split()  # noqa: SIM905
)
