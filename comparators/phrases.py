"""Phrases of everyday English that say in several words what one says; a further phrase is a further line, no more.

Each line has the words of which a text must have one before the phrase is looked for, the phrase, and what it says;
words joined by + must all be there.
They are looked for first to last, so that a line can count on what those above it have said. Patterns are bounded.
"""

import re
from typing import Final

from comparators.english import MONTHS, WEEKDAYS
from comparators.rental_phrases import ANY, HOME, MONEY

_COURTESY: Final = (
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
        "moment|second|course|afraid|thing|news|got",
        (
            r"\b(?:one moment|just a (?:second|moment)|of course|(?:i'm|i am) afraid|sure thing|(?:good|great) news"
            r"|(?<!\w )got it)\b"
        ),
        " courtesy ",
    ),
    (
        "sorry|apologize|apologise",
        r"\b(?:sorry about|(?:i|we) apologi[sz]e for) (?:that|this)\b|\b(?:i|we) apologi[sz]e\b",
        " courtesy ",
    ),
    ("thank|thanks", r"\bthank(?:s| you)(?: for (?:letting me know|telling me))?\b", " courtesy "),
    (
        "love|happy|glad|pleased|delighted",
        r"\b(?:(?:i'd|i would|we'd|i'm|i am)(?: be)? )?(?:love|happy|glad|pleased|delighted) to (?=help|assist)",
        " ",
    ),
    (
        "remember|recall|see",
        r"\bi (?:still )?(?:remember|recall|see)(?: that)? (?=you\b)",
        " you told ",
    ),
    ("mind|remember|note", r"\bkeep (?:that|this|it) in mind\b|\bmake a note of (?=that|this|it)\b", " remember "),
    ("note|mind", r"\b(?:please )?(?:note|keep in mind) that\b", " "),
    ("sorry|regret", r"\bi(?:'m| am) sorry(?: to say)?(?: that)?\b", " sorry "),
    (
        "free|hesitate|welcome",
        r"\bfeel free to\b|\b(?:don't|do not) hesitate to\b|\byou(?:'re| are) welcome to\b",
        " you can ",
    ),
    ("answer", r"\b(?:the )?short answer(?: is)?\b:?", " courtesy "),
    ("let", r"\blet me know\b", " tell me "),
    ("let", r"\blet me (?=check|look|see|find|search|ask|book|show)", " i will "),
)

_ASKING: Final = (
    ("set", r"\byou(?:'re| are) all set\b", " booked "),
    ("confirm", r"\bplease confirm\b([^.?!]{0,200})(?:[.?!]|$)", r" confirm \1? "),
    ("confirm", r"\bconfirm that you (?:want|wish|would like) to\b", " confirm "),
    ("looking", r"\bare you looking (?=in\b|for\b|to\b)", " ask "),
    ("correct|right", r"\b(?:is (?:that|this) (?:right|correct)|correct)(?=\?)", " confirm "),
    ("sure", r"\bjust to be sure\b:?", " confirm "),
    ("confirm", r"\bcan you (?:please )?confirm\b", " confirm "),
    ("tell", r"\b(?:could|can|would) you (?:please )?(tell me [^.?!]{1,80})\?", r" \1."),
    (
        "could|would",
        r"(?:^|(?<=[.!?] ))(?:could|would) you (?:please )?(?!like|prefer|rather|still)([^.?!]{1,80})\?",
        r"\1.",
    ),
    (
        "okay|ok|mind",
        r"\b(?:is it|would it be) (?:okay|ok|all right|alright) if\b|\b(?:do|would) you mind if\b",
        " ask okay if ",
    ),
    (
        "best|most",
        r"\b(?:liked?|loved?) ([\w ]{1,30}) (?:best|the most)\b|\b(?:liked?|loved?) best\b",
        r" favorite \1 ",
    ),
    ("hear", r"\b(?:would you like|do you want) to hear\b", " ask i tell you "),
    ("i|me", r"\b(?:(?:shall|should) i|(?:would you like|do you want) me to)\b", " ask i "),
    ("would|do", r"\b(?:would you|do you)( still)? (?:like|want) to\b", r" ask\1 "),
    ("most", r"\bwhat(?:'s| is) the most\b", " what maximum "),
    ("about", r"\bhow about ([^?]{0,200})\?", r"\1."),
    ("much", r"\bhow much\b", "what amount"),
    ("thinking|mind", r"\b(?:do you )?have in mind\b|\b(?:are you )?thinking (?:of|about)\b", " want "),
)

_COUNTED: Final = (
    ("hour|hours", r"\b(?:an?|1) hour and a half\b|\b(?:one|1) and a half hours\b", "90 minutes"),
    ("quarters", r"\b(?:three|3) quarters of an hour\b", "45 minutes"),
    ("hour", r"\bhalf an hour\b", "30 minutes"),
    ("hour", r"\ban hour\b", "60 minutes"),
    ("year", r"\b(?:an?|1|one) year and a half\b", "18 months"),
    ("half", r"\b(\d{1,2}) and a half\b", r"\1.5"),
    ("hours", r"\b48 hours\b", "2 days"),
    ("square", r"\bsquare met(?:er|re)s?\b", "sqm"),
    ("square|sq", r"\b(?:square feet|sq\.? ?ft\.?)(?!\w)", "sqft"),
    (
        "month|mo|pcm",
        r"\bper calendar month\b|\bpcm\b|/ ?mo(?:nth)?\b|\b(?:a|per|of each|of every|every|each) month\b",
        " monthly",
    ),
    ("week", r"\b(?:a|per|every|each) week\b|/ ?week\b", " weekly"),
    ("year", r"\b(?:a|per|every|each) year\b|/ ?year\b", " yearly"),
    ("of+this+month", r"\bof this month\b", ""),
    ("total", r"\bin total\b", " total "),
    ("least", r"\b(?:(?:have|has) to )?(?:stay|sign|rent)(?: for)? at least\b", " minimum stay "),
    ("minimum", r"\bminimum (?:lease|term|rental period|stay)\b", " minimum stay "),
    (
        "up|most|limit",
        r"\bup to\b(?! \d{1,3}(?:st|nd|rd|th)\b)|\bat most\b|\b(?:a |the )?limit (?:is|of)\b",
        " maximum ",
    ),
    ("up", r"\bup to (?=\d)", " to "),
    ("least", r"\bat least\b", " minimum "),
    ("both", r"\bboth (?:of )?(your|my|the|his|her|our|their) (?!of)", r"\1 2 "),
    ("one|once", r"\bone-(?:time|off)\b|\bonly once\b", " once "),
    ("both", r"\bboth (?=\w{2,20} and \w)", " "),
    ("just", r"(?:^|(?<=[.!?,] ))just (?=the|an?|one|cats|dogs|small)\b", "only "),
    ("anytime|any", r"\bany ?time\b(?! (?:after|before|from|on|between)\b)", "whenever"),
    ("no", r"\bno one\b", "nobody"),
    ("another", r"\b(?:for |by )?another (?=\d{1,3} (?:day|week|month|year))", " "),
    ("number", r"\bnumber (?=\d{1,4}\b(?![-.]\d))", " "),
    ("off", r"\b(\d{1,2} ?(?:%|percent)) off\b", r" discount of \1"),
    ("noise", r"\b(?:a lot of|lots of|much) noise\b", " very noisy "),
    ("lots|lot|plenty", r"\b(?:lots|a lot|plenty) of\b", " many "),
    ("few", r"\ba few\b", " several "),
    ("roughly|approximately|around", r"\b(?:roughly|approximately|around) (?=[$€£]?\d)", " about "),
)

_TIME: Final = (
    ("right|straight|once", r"\b(?:right|straight) away\b|\bat once\b", " immediately "),
    ("now|moment", r"\bright now\b|\bat (?:the|this) moment\b|\bas of now\b", " currently "),
    (
        "by",
        rf"\bby (?=\d{{1,2}}(?::\d\d)? ?[ap]\.?m\b|\d{{1,2}}(?:st|nd|rd|th)\b|(?:{MONTHS}|{WEEKDAYS}|noon|tomorrow)\b)",
        "before ",
    ),
    ("soon", r"\bas soon as\b", " when "),
    ("minute|moment|shortly", r"\bin a (?:minute|moment|bit)\b|\bshortly\b", " soon "),
    ("far|now", r"\bso far\b|\bup to now\b|\b(?:un)?til now\b", " yet "),
    (
        "front|upfront|advance|beforehand|ahead",
        r"\bup ?front\b|\b(?:in advance|beforehand|ahead of time)\b",
        " advance ",
    ),
    (
        "through",
        rf"\bthrough (?=(?:the end of )?(?:{MONTHS})\b)",
        " until end of ",
    ),
    ("end", r"\bend of the end of\b", "end of"),
    ("place", r"\b(?:took|taken) place\b", "happened"),
    ("place", r"\btakes? place\b", "happen"),
    (
        "starting|beginning|effective",
        rf"\b(?:starting|beginning|effective)(?: on| from)? (?=\d|(?:{MONTHS})\b)",
        "from ",
    ),
    ("breaking|break", r"\bbreak(?:ing)? (?=(?:the|your) lease\b)", "end "),
    ("soon", r"\bhow soon\b", "when"),
    ("going", r"(?:'s|'re|'m| is| are| am) going to\b", " will"),
    ("from", r"\b(from [\w ]{1,16}) (?:on(?= ?[.,!?;]|$)|onwards?\b)", r"\1"),
    ("run|runs|running|ran", r"\b(?:runs?|running|ran) out\b(?= on| in| at|[.!?])", " end "),
    ("lasts", r"\blasts\b", " takes "),
    ("takes|take|lasts", r"\btakes? (?:you )?(?=(?:about )?\d{1,4}[ -](?:min|hour|day|week|month))", " is "),
    ("next", r"\bnext door(?: to (?:it|this|that))?\b", " next to it "),
    ("closes", r"\bopens? (?:at|from) ([\w:. ]{1,12}?) and closes? at\b", r"open from \1 to"),
    ("won't", r"\bwon't\b", "will not"),
    (
        "until|before",
        (
            r"\b(can|could|will|is|are|may)(?:n't|not|'t| not) ([\w ]{0,30}?)\b(?:until|before)"
            rf" (?=\d|noon\b|midnight\b|tomorrow\b|(?:{MONTHS})\b|(?:{WEEKDAYS})\b)"
        ),
        r"\1 \2from ",
    ),
    ("earliest|earlier", r"\b(?:on|at|from) ([\w: ]{1,16}) at the earliest\b", r"from \1"),
    ("earlier", r"\b(?:not|no) earlier than\b", "from"),
)

_DUTY: Final = (
    ("need|have", r"\bdo you (?:need|have) to\b", "ask"),
    ("must", r"\bmust(?:n't| not)\b", " not allowed "),
    ("notice", r"\b(?:must|have to|has to|need to) give ([\w' ]{1,30}\bnotice)\b", r" \1 "),
    ("notice", r"\b(?:must|have to|has to|need to) give notice ([\w' ]{1,30}) (?:in )?advance\b", r" notice \1 "),
    ("notice", r"\bgive ([\w' ]{1,30}\bnotice)\b", r" \1 "),
    ("notice", r"\bnotice period\b|\bnotice(?: is|'s)? required\b|\bnotice (?:in )?advance\b", " notice "),
    (
        "needs|criteria|requirements|wishes",
        r"\b(?:meet|match|fit)s? your (?:needs|criteria|requirements|wishes)\b",
        " match criteria ",
    ),
    (
        "need|needs|needed|required|necessary",
        rf"\bno ({ANY}) (?:is|are) (?:needed|required|necessary)\b",
        r" no \1 ",
    ),
    ("deposit|fee|fees", r"\b(?:do|does)(?:n't| not) (?:have|need) to pay (?:an? |any )?", " have no "),
    ("need|needs", r"(?<!do you )\bneeds? to\b", " required "),
    (
        "need|needs",
        (
            r"(?<!do you )\bneeds? (?=(?:an?|the|your) (?:guarantor|cosigner|id|permit|visa|signature|reference|key)\b"
            r"|proof\b|references\b|insurance\b|approval\b)"
        ),
        " required ",
    ),
    ("must", r"\bmust have (?=proof|an?|the|your|references|insurance)", " required "),
    ("asked|requested", r"\byou (?:asked for|requested)\b", " you want "),
    ("needed|necessary", r"\b(?:needed|necessary)\b", " required "),
    ("have+to|has+to|must", r"\b(?:have to|has to|must)\b", " required "),
    (
        "okay|ok|fine|happy|comfortable",
        r"\b(is|are) (?:okay|ok|fine|happy|comfortable) with (?!you\b)",
        r" allows ",
    ),
    (
        "take|takes",
        r"\btakes? (?=(?:any |small |large |no )?(?:pets?|dogs?|cats?|animals?)\b)",
        " allow ",
    ),
    ("like", r"(?:'d| would) like\b", " want "),
    ("rather", r"(?:'d| would) rather\b", " prefer "),
    ("liking", r"\bto your liking\b", " liked "),
)

_DOING: Final = (
    (
        "see|seen",
        (
            r"\bsee(?:n\b(?<!is seen)(?<!are seen)(?<!'s seen)"
            r"|\b(?:(?<=\bto see)|(?<=\bask see)|(?<=\bstill see)) (?=it|the|a|this|that|your))"
        ),
        " visit ",
    ),
    ("down", r"\b(?:have|got) you down\b|\byou(?:'re| are) down\b", " booked "),
    ("off", r"\bcall(?:ed|ing|s)? off\b", " cancelled "),
    ("push|pushed|put|postpone|postponed", r"\bpush(?:ed)? ([\w ]{1,30}) back to (?=\d)", r" moved \1 to "),
    ("make", r"\b(can|could)(n't|not|'t| not)? make it\b", r"\1\2 come"),
    ("get", r"\bget (?:there|here)\b", " arrive "),
    ("come|stop|drop|swing", r"\b(?:come|stop|drop|swing) (?:by|over|round)\b", "come"),
    ("hand|handed", r"\bhand(?:ed|s)? in\b", "give"),
    ("hand|handed|pass|passed", r"\b(?:hand|pass)(?:ed|es|s)? over\b", "give"),
    ("pass|passed", r"\bpass(?:ed|es)? (?:it |this |that )?on\b", "send"),
    ("bring|give|brought|given", r"\b(?:bring|give|brought|given) (?=back\b)", "return "),
    ("looked", r"\blooked into\b", "checked"),
    ("look|looking", r"\blook(?:ing)? into\b", "check"),
    ("think", r"\bthink (?:(?:it|this|that) over|(?:about|over) (?:it|this|that))\b", "consider it"),
    ("fill|filled", r"\bfill(?:ed)? (?:in|out)\b", "fill"),
    ("keep", r"\bkeep (?=\w{2,20}ing\b)", " continue "),
    ("pick|picked", r"\bpick(?:ed|s)? up\b", " collect "),
    ("look|looks", r"\blooks? (?:out )?(?:onto|over|out on)\b|\blooks? (?=(?:north|south|east|west)\b)", " faces "),
    (
        "arrived",
        r"\b(deposit|payment|application|form|request)( has| have)(n't| not)?( yet)? arrived\b",
        r"\1\2\3\4 been received",
    ),
    ("get", r"\bto get (?:to (?=the|your)|(?=downtown\b|there\b|here\b))", ""),
    ("emailed", r"\bemailed\b", "sent by email"),
    ("get", rf"\b(?:get|receive) ({ANY}) by email\b", r"sent \1 by email"),
    ("messaged", r"\bmessaged\b", " sent a message "),
    ("moving", r"\bmoving date\b", "moving"),
    ("went|go|gone", r"\b(?:went|gone|go) through\b", " successful "),
    ("terminate|terminated", r"\b(can|may) (?:be terminated|terminate)\b", r" \1 end "),
    ("room|space", r"\b(?:there's|there is|it has) (?:room|space) for\b", " fits "),
)

#: of each: the sets of words of which a text must have one, the phrase, and what it says
PHRASES: Final[tuple[tuple[tuple[frozenset[str], ...], re.Pattern[str], str], ...]] = tuple(
    (tuple(frozenset(words.split("+")) for words in needed.split("|")), re.compile(pattern, re.IGNORECASE), said)
    for needed, pattern, said in (*_COURTESY, *_COUNTED, *_TIME, *_ASKING, *_DUTY, *MONEY, *_DOING, *HOME)
)
