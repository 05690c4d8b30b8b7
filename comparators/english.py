"""The word tables by which replies in English are read; a further word is a further entry here."""

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONTH_STARTS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS: Final = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|"
    r"aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
MONTH_NUMBERS: Final = {name: f"{number:02d}" for number, name in enumerate(_MONTH_STARTS, start=1)}
WEEKDAYS: Final = r"mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?"
RELATIVE_DAYS: Final = "today|tonight|tomorrow|yesterday"
CLOCK_WORDS: Final = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}

_FROM_TWO: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
# without "one", which in "that one" counts nothing
NUMBER_WORDS: Final = {word: str(number) for number, word in enumerate(_FROM_TWO, start=2)}

NEGATIONS: Final = _words("not no never none nobody nothing neither nor cannot without")
CONTRACTIONS: Final = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not"}

# says that it cannot tell; a search that found nothing is an answer
KNOWS_NOTHING: Final = re.compile(
    r"\b(?:i|we)(?:'m| am| are|'re)? (?:not sure|not aware|unaware|unable to (?:recall|remember|answer))\b"
    r"|\b(?:i|we) (?:do not|don't|cannot|can't|can not) (?:recall|remember|know)\b"
    r"|\b(?:do not|don't|have|has|had|there is|there's|with) (?:yet )?(?:have |any |no ){1,3}"
    r"(?:such |prior |previous |stored |saved |further )?"
    r"(?:information|records?|memory|memories|knowledge|recollection)\b"
    r"|\b(?:do not|don't) have (?:that|this|the) information\b"
    r"|\b(?:you )?(?:have not|haven't|never|did not|didn't) (?:yet )?told me\b|\bour first conversation\b",
    re.IGNORECASE,
)

KNOWS_NOTHING_WORDS: Final = (  #: of which it has one, whichever way it is said
    *("sure", "aware", "unable", "recall", "remember", "know", "information", "record", "memor", "recollection"),
    *("told me", "our first conversation"),
)

# declines to help now; that something could not be done is a result
REFUSES: Final = re.compile(
    r"\b(?:i|we)(?:'m| am| are|'re)? (?:afraid )?(?:(?:i|we) )?"
    r"(?:cannot|can't|can not|(?:am |are )?(?:not able|unable) to)\b(?! (?:find|see|locate)\b)"
    r"|\bas an ai\b|\bsomething went wrong\b|\btry again later\b",
    re.IGNORECASE,
)

REFUSES_WORDS: Final = ("cannot", "can't", "can not", "able to", "as an ai", "went wrong", "try again")  #: the same

# words that open a sentence with a capital, or are written with one anywhere, and name nothing
OPENERS: Final = _words("""
    a about above absolutely according actually added adding additionally after again all alright also am among an and
    another any anyone anything apartment apartments appointment are area as at available based because before besides
    best between book booking both but by bye can cannot certainly check cheers city confirm confirmed confirming
    congrats contact cool correct cost could currently date did do does done don't during each earlier either else enjoy
    every everything excellent fine first for found from furthermore get give given glad go going good goodbye got great
    happy has have having he hello help here here's hey hi hope how how's however i i'd i'll i'm i've if in indeed
    interested is it it'll it's its just keep kindly last later let let's like located location looking looks make many
    may maybe meanwhile might monthly more moreover most much must my name need next nice no none nope not note now
    number of oh ok okay on once one only or other otherwise our out over per perfect perhaps pets phone please price
    property regarding remember remind rent renting reserve right sadly schedule scheduled scheduling search see several
    shall she should since so some something sorry sounds speaking starting still such sure take tell thank thanks that
    that's the their them then there there's these they they'll they're they've this those though through till time to
    today together tomorrow tonight too total try under unfortunately until up upon using very visit visiting want was
    we we'd we'll we're we've welcome well were what what's when where which while who whose why will with within
    without won't would yeah yep yes yesterday yet you you'd you'll you're you've your yours yup am pm
""")

# words of four letters and more that claim nothing by themselves
IDLE: Final = OPENERS | _words("""
    mentioned told said asked already want wanted like liked prefer preferred noted stated previous previously
    information help assist assistance anything back wonderful glad hear know shared looking look find been being
""")
