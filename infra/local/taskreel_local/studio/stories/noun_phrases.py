"""English noun phrases: their articles, their nouns and their number."""

from __future__ import annotations

import re

from taskreel_local.studio.stories.word_lists import DETERMINERS, IRREGULAR_PLURALS, NUMBERS


def with_definite_article(phrase: str) -> str:
    """`the lighthouse keeper`, `the fox and the rabbit`."""
    first = phrase.split(" ", 1)[0].lower()
    if first in DETERMINERS - {"a", "an"}:
        return phrase
    return re.sub(r"\band an? ", "and the ", f"the {without_article(phrase)}")


def with_indefinite_article(phrase: str) -> str:
    """`a lighthouse keeper`; plurals and what has a determiner stay as they are."""
    first = phrase.split(" ", 1)[0].lower()
    if first in DETERMINERS | NUMBERS or is_plural(head_noun(phrase)):
        return phrase
    silent = first.startswith(("uni", "use", "eu", "one"))
    return f"{'an' if first[0] in 'aeiou' and not silent else 'a'} {phrase}"


def head_noun(phrase: str) -> str:
    """The noun that the phrase is about: `seed` of "seed that hums"."""
    return (
        re.split(r"\s(?:of|that|who|with|without|from|for|to|in|on|at|and)\s", phrase)[0]
        .split(" ")[-1]
        .lower()
    )


def without_article(phrase: str) -> str:
    """The phrase without its article."""
    return re.sub(r"^(?:an?|the)\s+", "", phrase, flags=re.IGNORECASE)


def is_plural(noun: str) -> bool:
    """True if an English noun has the form of a plural."""
    if noun in IRREGULAR_PLURALS:
        return True
    return noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and len(noun) > 3
