"""Word stems: a word of English without its endings, so that "books", "booked" and "booking" are one word.

Cruder than Porter's, and enough: both replies go through it, and what it confuses in one it confuses in the other.
"""

from functools import lru_cache
from typing import Final

_SHORTEST: Final = 3  # letters that must be left
#: what was done and the verb, without forms that are words of their own too, as "left" and "taken"
PAST: Final = {
    form: word
    for forms, word in (
        entry.split(":")
        for entry in """
        made:make found:find paid:pay told:tell said:say sent:send met:meet kept:keep gave/given:give
        came:come heard:hear spoke/spoken:speak sold:sell bought:buy wrote/written:write chose/chosen:choose
        begun/began:begin brought:bring shown:show held:hold lost:lose knew/known:know thought:think lent:lend
        broke:break saw:see took:take built:build drove:drive rang:ring
        """.split()  # noqa: SIM905
    )
    for form in forms.split("/")
}
_IRREGULAR: Final = {**PAST, "cats": "cat"}  # too short to lose its ending


@lru_cache(maxsize=8_192)
def stem(word: str) -> str:
    """Return the stem of a word in lower case."""
    word = _IRREGULAR.get(word, word).removesuffix("'s").removesuffix("'")
    for endings in ((("ies", "y"), ("s", "")), (("ing", ""), ("ied", "y"), ("ed", ""))):
        for ending, kept in endings:
            bare = word.removesuffix(ending) + kept
            if word.endswith(ending) and not word.endswith("ss") and len(bare) >= _SHORTEST:
                word = bare
                break
    if len(word) > _SHORTEST:
        word = word.removesuffix("e")
    return word[:-1] if len(word) > _SHORTEST and word[-1] == word[-2] else word
