"""Phrases that say in several words what one says; a further phrase is a further line here, and nothing else.

Each line has the words of which a text must have one before the phrase is looked for, the phrase, and what it says. They
are looked for first to last, so that a line can count on what those above it have said. Patterns are bounded.
"""

import re
from typing import Final

_ANY: Final = r"[\w$€£' -]{1,40}?"  # a few words in between

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
        r"\b(?:one moment|just a (?:second|moment)|of course|(?:i'm|i am) afraid|sure thing|(?:good|great) news"
        r"|(?<=^)got it)\b",
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
    ("could|can|would", r"\b(?:could|can|would) you (?:please )?(tell me [^.?!]{1,80})\?", r" \1."),
    ("hear", r"\b(?:would you like|do you want) to hear\b", " ask i tell you "),
    ("i|would|do", r"\b(?:(?:shall|should) i|(?:would you like|do you want) (?:me )?to)\b", " ask i "),
    ("most", r"\bwhat(?:'s| is) the most\b", " what maximum "),
    ("about", r"\bhow about ([^?]{0,200})\?", r"\1."),
    ("much", r"\bhow much\b", " what "),
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
    ("month", r"\bof this month\b", ""),
    ("total", r"\bin total\b", " total "),
    ("least", r"\b(?:(?:have|has) to )?(?:stay|sign|rent)(?: for)? at least\b", " minimum stay "),
    ("minimum", r"\bminimum (?:lease|term|rental period|stay)\b", " minimum stay "),
    ("up|most|limit", r"\bup to\b(?! \d{1,3}(?:st|nd|rd|th)\b)|\bat most\b|\b(?:a |the )?limit (?:is|of)\b", " maximum "),
    ("up", r"\bup to (?=\d)", " to "),
    ("least", r"\bat least\b", " minimum "),
    ("both", r"\bboth (?:of )?(your|my|the|his|her|our|their) (?!of)", r"\1 2 "),
    ("one|once", r"\bone-(?:time|off)\b|\bonly once\b", " once "),
    ("both", r"\bboth (?=\w{2,20} and \w)", " "),
    ("just", r"(?:^|(?<=[.!?,] ))just (?=the|an?|one|cats|dogs|small)\b", "only "),
    ("anytime", r"\banytime\b", "any time"),
    ("no", r"\bno one\b", "nobody"),
    ("lots|lot|plenty", r"\b(?:lots|a lot|plenty) of\b", " many "),
    ("few", r"\ba few\b", " several "),
    ("roughly|approximately|around", r"\b(?:roughly|approximately|around) (?=[$€£]?\d)", " about "),
)

_TIME: Final = (
    ("right|straight|once", r"\b(?:right|straight) away\b|\bat once\b", " immediately "),
    ("now|moment", r"\bright now\b|\bat (?:the|this) moment\b|\bas of now\b", " currently "),
    ("soon", r"\bas soon as\b", " when "),
    ("run|runs|running|ran", r"\b(?:runs?|running|ran) out\b(?= on| in| at|[.!?])", " end "),
    ("lasts", r"\blasts\b", " takes "),
    ("takes|take|lasts", r"\btakes? (?:you )?(?=(?:about )?\d{1,4}[ -](?:min|hour|day|week|month))", " is "),
    ("next", r"\bnext door(?: to (?:it|this|that))?\b", " next to it "),
    ("closes", r"\bopens? (?:at|from) ([\w:. ]{1,12}?) and closes? at\b", r"open from \1 to"),
    ("until", r"\b(?:can|could|may)(?:not|'t| not) ([\w ]{1,30}) until\b", r" can not \1 before "),
)

_MONEY: Final = (
    ("due", r"\b(?:is|are|falls) due\b", " is required "),
    ("free|charge|nothing|cost", r"\bfree of charge\b|\bfor free\b|\b(?:pay|cost)s? nothing\b", " gratis "),
    ("free|charge|cost", r"\b(?:without|at no)(?: extra| additional)? (?:charge|cost)\b", " gratis "),
    ("extra|additional", r"\b(?:an |another )?(?:extra|additional) (?=[$€£]?\d)", " charge of "),
    ("extra|more|additional", r"(?<=\d) (?:extra|additional)\b", " charge "),
    (
        "listed|asking|offered",
        r"\b(?:listed|offered) (?:at|for) (?=[$€£]\d)|\basking (?:rent|price)\b",
        " rent ",
    ),
    ("wants|want|asking|asks", r"\b(?:wants?|(?:is|are) asking(?: for)?|asks?(?: for)?) (?=[$€£]\d)", " rent "),
    ("deposit", r"\b(?:ask(?:s|ing)? for|put down|leave|pay) (?=(?:a|the|your) deposit\b)", " required "),
    ("deposit", rf"\bdeposit ({_ANY}) (?:returned|(?:given|paid) back)\b", r"deposit \1 refunded"),
    ("price", r"\b(?:price|budget) range\b", " budget "),
    ("budget|price", r"\bin (?=your budget\b)", " within "),
    ("market", r"\bon the market\b", " listed "),
    ("billed", r"\b(?:is|are) billed\b", " is paid "),
    ("amounts|adds", r"\bamounts to\b|\badds up to\b", " is "),
    ("more|above|exceeds|exceed", r"\bmore than\b|\babove(?= your budget\b)|\bexceeds?\b", " over "),
    ("less|under", r"\bless than\b|\bunder(?= your budget\b)", " below "),
    ("expensive", r"\bmore expensive\b", " dearer "),
    ("expensive", r"\bmost expensive\b", " dearest "),
    ("expensive", r"\bless expensive\b", " cheaper "),
    ("expensive", r"\bleast expensive\b", " cheapest "),
    ("up", r"\b(?:went|go|goes|going|gone) up\b", " increased "),
    ("down", r"\b(?:went|go|goes|going|gone) down\b", " decreased "),
    ("back", r"\bget ([\w ]{1,30}) back\b", r" \1 refunded "),
)

_DUTY: Final = (
    ("must", r"\bmust(?:n't| not)\b", " not allowed "),
    ("notice", r"\b(?:must|have to|has to|need to) give ([\w' ]{1,30}\bnotice)\b", r" \1 "),
    ("notice", r"\b(?:must|have to|has to|need to) give notice ([\w' ]{1,30}) in advance\b", r" notice \1 "),
    ("notice", r"\bgive ([\w' ]{1,30}\bnotice)\b", r" \1 "),
    ("notice", r"\bnotice period\b|\bnotice(?: is|'s)? required\b|\bnotice in advance\b", " notice "),
    (
        "needs|criteria|requirements|wishes",
        r"\b(?:meet|match|fit)s? your (?:needs|criteria|requirements|wishes)\b",
        " match criteria ",
    ),
    (
        "need|needs|needed|required|necessary",
        rf"\bno ({_ANY}) (?:is|are) (?:needed|required|necessary)\b",
        r" no \1 ",
    ),
    ("need|needs", r"(?<!do you )\bneeds? to\b", " required "),
    (
        "need|needs",
        r"(?<!do you )\bneeds? (?=(?:an?|the|your) (?:guarantor|cosigner|id|permit|visa|signature|reference|key)\b"
        r"|proof\b|references\b|insurance\b|approval\b)",
        " required ",
    ),
    ("must", r"\bmust have (?=proof|an?|the|your|references|insurance)", " required "),
    ("asked|requested", r"\byou (?:asked for|requested)\b", " you want "),
    ("needed|necessary", r"\b(?:needed|necessary)\b", " required "),
    ("have|has|must", r"\b(?:have to|has to|must)\b", " required "),
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
    ("rather", r"(?:'d| would) rather\b", " prefer "),
    ("liking", r"\bto your liking\b", " liked "),
)

_HOME: Final = (
    ("call|number", r"\bphone number\b|\bnumber to call\b|\bcan call (?=\d)", " phone "),
    ("call|reach", r"\b(?:reach|call) (?:them|him|her|us) (?:at|on)\b", " phone "),
    (
        "called|call|reached|reach",
        rf"\bcan (?:be reached|be called|reach ({_ANY})|call ({_ANY})) (?:at|on) (?=[(+]?\d{{3}})",
        r" \1 phone ",
    ),
    ("touch|back", r"\bget(?:s|ting)? (?:back to|in touch with)\b", " contact "),
    ("hear", r"\bhear (?:back|from (?:us|them))\b", " contact "),
    ("longer|more|anymore", r"\b(?:no longer|(?<=t )any ?more|(?<=not )any ?more)\b", " not "),
    ("available", r"(?<=not )available any ?more\b|(?<=n't )available any ?more\b", "available"),
    (
        "else",
        rf"\b(?:someone|somebody) else (?:has )?(?:already )?(?:taken|took|booked|rented) ({_ANY})(?=[.,!?]|$)",
        r" \1 not available ",
    ),
    ("rented|already", r"\balready (?:rented(?: out)?|taken|gone|let|booked)\b|\brented out\b", " not available "),
    ("available", r"\b(?:is|are) (not )?available (?=for (?!rent))", r" is \1"),
    ("free", r"\b(?:be|becomes?|is|are|it's|still) free\b", " available "),
    ("opening|openings", r"\b(?:an )?(?=openings? on)\w+", " available slot "),
    ("washing", r"\bwashing machine\b", " washer "),
    ("friendly", r"\bpet[- ]friendly\b", " pets allowed "),
    ("let", r"\blet you know\b", " tell you "),
    ("foot", r"\bon foot\b", " walk "),
    ("nowhere", r"\bnowhere near\b", " not near "),
    ("behind", r"\bleave [\w ]{1,30} behind\b", r" not bring \g<0> "),
    ("up", r"\bcomes? up\b", " is "),
    ("room|rooms", r"\b(bed|bath) (rooms?)\b", r"\1\2"),
    ("furniture", r"\bcomes? with furniture\b|\bhas furniture\b", " is furnished "),
    ("own", r"\b(furniture|car|key) of your own\b", r" your own \1 "),
    ("own", r"(?<=\byou )own\b|(?<=\bi )own\b|(?<=\bthey )own\b|(?<=\bnot )own\b|(?<=n't )own\b", "have"),
    ("come|comes", r"\bcomes? with\b", " includes "),
    ("covers|covered|part", r"\bcover(?:s|ed)\b|\bpart of (?=the rent|the price|your rent)", " included "),
    ("get", r"\byou get (?=an?\b|one\b|\d)", " includes "),
    (
        "parking|park",
        r"\bparking(?: (?:spots?|spaces?|places?))?\b|\b(?:place|space|room|spot) to park\b|\bto park\b"
        r"|(?<=can )park\b|(?<=may )park\b|(?<=n't )park\b|(?<=cannot )park\b|(?<=can not )park\b",
        " carparking ",
    ),
    ("move|moves|moving|moved", r"\bmov(?:e|es|ing|ed) out\b", " leave "),
    (
        "move|moves|moving|moved",
        r"\b(?:move[- ]in|moving in) date\b|\b(?:can|may) move in(?:to)?\b|\b(?:are|be) moving in(?:to)?\b"
        r"|\bready to move in(?:to)?\b|\bmov(?:e|es|ing|ed) in(?:to)?\b",
        " movein ",
    ),
    ("wi", r"\bwi-fi\b", " wifi "),
    ("mail|mailed", r"\be-mail", " email"),
    ("non|un", r"\b(non|un)-(?=\w)", r"\1"),
    ("unable", r"\bunable to\b", " not able to "),
    ("close", r"\bclose (?:to|by)\b", " near "),
    ("right", r"\bright (?=around|next|by|in front|behind|across|on the corner|outside|above|below)", " "),
    ("considered|regarded|seen|known", r"\b(?:is|are|'s) (?:considered|(?:regarded|seen|known) as)\b", " is considered "),
    (
        "bring|have|keep",
        r"\b(?:can|may) ?(not|'t)? (?:have|bring|keep)\b|\b(?:can|may) bring\b",
        r" \1 allowed ",
    ),
    ("fine|ok|okay", r"\b(is|are) (?:fine|okay|ok)\b", r" \1 allowed "),
    ("you|should", r"\b(?:do you (?:need|want|like)|would you like|should it be)\b", " ask "),
    ("pay|spend", r"\byou (?:want|would like) to (?:pay|spend)\b", " rent "),
    ("order|service|broken|faulty|defective", r"\bout of (?:order|service)\b|\b(?:broken|faulty|defective)\b", " not work "),
    (
        "no",
        r"\bno(?=[,.!;]| (?:it|they|there|that|this|you|i|we|he|she|the|unfortunately|sorry)\b)",
        " nope ",
    ),
    ("yeah|yep|yup", r"\b(?:yeah|yep|yup)\b", " yes "),
)

_DOING: Final = (
    ("see|seen", r"\bto see (?=it|the|a|this|that|your|bel)|\bseen\b", " visit "),
    ("down", r"\b(?:have|got) you down\b|\byou(?:'re| are) down\b", " booked "),
    ("off", r"\bcall(?:ed|ing|s)? off\b", " cancelled "),
    ("push|pushed|put|postpone|postponed", r"\bpush(?:ed)? ([\w ]{1,30}) back to (?=\d)", r" moved \1 to "),
    ("make", r"\b(can|could)(not|'t| not)? make it\b", r"\1\2 come"),
    ("get", r"\bget (?:there|here)\b", " arrive "),
    ("keep", r"\bkeep (?=\w{2,20}ing\b)", " continue "),
    ("pick|picked", r"\bpick(?:ed|s)? up\b", " collect "),
    ("look|looks", r"\blooks? (?:out )?(?:onto|over|out on)\b|\blooks? (?=(?:north|south|east|west)\b)", " faces "),
    ("messaged", r"\bmessaged\b", " sent a message "),
    ("moving", r"\bmoving date\b", "moving"),
    ("went|go|gone", r"\b(?:went|gone|go) through\b", " successful "),
    ("terminate|terminated", r"\b(can|may) (?:be terminated|terminate)\b", r" \1 end "),
    ("room|space", r"\b(?:there's|there is|it has) (?:room|space) for\b", " fits "),
)

PHRASES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = tuple(
    (tuple(needed.split("|")), re.compile(pattern, re.IGNORECASE), said)
    for needed, pattern, said in (*_COURTESY, *_COUNTED, *_TIME, *_ASKING, *_DUTY, *_MONEY, *_DOING, *_HOME)
)
