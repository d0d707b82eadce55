"""The premise of a prompt: a hero, a deed, a thing and a place.

Heuristics over English words; chance fills the gaps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from taskreel_local.studio.stories.genres import GENRES, Genre
from taskreel_local.studio.stories.noun_phrases import (
    head_noun,
    is_plural,
    with_definite_article,
    with_indefinite_article,
    without_article,
)
from taskreel_local.studio.stories.scenery import LIGHT_NOUNS, LIGHT_WORDS, PLACE_WORDS
from taskreel_local.studio.stories.word_lists import (
    AGENT_ENDINGS,
    AGENTS,
    BEING,
    DETERMINERS,
    FOREIGN_WORDS,
    HE,
    HER_WORDS,
    HIS_WORDS,
    MODALS,
    NAMES,
    NOT_AGENTS,
    NUMBERS,
    PREPOSITIONS,
    SHE,
    STOP_WORDS,
    THINGS_TO_DO,
    VERBS,
)

THEY = ("they", "them", "their")
_WISH = re.compile(
    r"^(?:please\s+)?"
    r"(?:(?:create|write|make|generate|tell|produce|imagine|draw)\s+(?:me\s+|us\s+)?)?"
    r"(?:an?\s+|the\s+)?(?:(?:short|long|epic|animated|funny|sad|brief|little|exciting)\s+)*"
    r"(?:story|tale|film|movie|script|screenplay|video|clip|scene|world|trailer|documentary)\s+"
    r"(?:about|of|on|where|in which|set in|with|for)\s+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w'’-]+|[,;:.!?]")


@dataclass(frozen=True, slots=True)
class Premise:
    """The premise of a story.

    `hero` and `thing` are noun phrases without an article ("lighthouse keeper"); `deed` is a verb
    and its complements.
    """

    text: str
    english: bool
    hero: str
    named: bool
    plural: bool
    deed: str
    thing: str
    setting: str
    family: str
    light: str
    pronouns: tuple[str, str, str]
    name: str
    friend: str
    genre_name: str
    genre: Genre
    keywords: tuple[str, ...]

    @property
    def the_hero(self) -> str:
        """The hero with the definite article."""
        return with_definite_article(self.hero)

    @property
    def a_hero(self) -> str:
        """The hero with the indefinite article."""
        return with_indefinite_article(self.hero)


@dataclass(frozen=True, slots=True)
class _Hero:
    """A story's hero.

    `name` is empty unless the prompt gives one; `acts` is false for an invented hero, where the
    prompt names none.
    """

    phrase: str
    name: str
    plural: bool
    pronouns: tuple[str, str, str]
    acts: bool = True


def read_premise(prompt: str, genre: str | None, random: Random) -> Premise:
    """The premise of a prompt. Two prompts with other words give other premises."""
    text = _lower_sentence_start(
        _WISH.sub("", " ".join(prompt.split())).strip(" .!?\"'") or prompt.strip()
    )
    english = is_english(text)
    words = [word for word in _WORD.findall(text) if word[0].isalnum()] or ["something"]
    at = _find_verb(words) if english else 0
    subject, place = _split_place(words[:at] if at else words)
    rest = words[at:] if at else []
    genre_name = _choose_genre(genre, text)
    kind = GENRES[genre_name]
    hero = _parse_hero(subject if english else [], rest, random)
    thing = (
        "note"
        if not english
        else _parse_object(rest)
        if hero.acts
        else ""
        if _family_of(" ".join(subject))
        else " ".join(subject)
    )
    given = thing or random.choice(kind.things)
    name, friend = _choose_names(hero, random)
    return Premise(
        text=text,
        english=english,
        hero=hero.phrase,
        named=hero.name != "",
        plural=hero.plural,
        deed=_parse_deed(rest, given, plural=hero.plural)
        if hero.acts
        else f"comes upon {_meet_phrase(text, english=english)}",
        thing=without_article(given),
        setting=_find_place(rest) or place,
        family=_family_of(text) or kind.home,
        light=_find_light(text),
        pronouns=hero.pronouns,
        name=name,
        friend=friend,
        genre_name=genre_name,
        genre=kind,
        keywords=list_keywords(text) if english else (),
    )


def list_keywords(text: str) -> tuple[str, ...]:
    """The words that carry the meaning, in order, each once."""
    found = (word.lower() for word in _WORD.findall(text) if len(word) > 2)
    return tuple(
        dict.fromkeys(
            word
            for word in found
            if word in THINGS_TO_DO or (word not in STOP_WORDS and not _is_verb(word))
        )
    )


def is_english(text: str) -> bool:
    """True if the text seems to be English.

    It has an English function word, or neither a letter nor a function word of another language.
    """
    words = {word.lower() for word in _WORD.findall(text) if not word.isupper()}
    if words & (STOP_WORDS - FOREIGN_WORDS):
        return True
    return text.isascii() and not words & FOREIGN_WORDS


def _find_verb(words: list[str]) -> int:
    """The index of the predicate; 0 when the prompt is a phrase without one."""
    for index, word in enumerate(words[:-1] if len(words) > 1 else words):
        low, after = word.lower(), words[index + 1].lower() if index + 1 < len(words) else ""
        if index == 0 or words[index - 1].lower() in DETERMINERS:
            continue
        if low in {"who", "that"} and (_is_verb(after) or after.endswith("s")):
            return index
        if low in MODALS and after in VERBS:
            return index
        if low in BEING or _stem_is_verb(low) or (low in VERBS and _may_do(words[:index])):
            return index
        if low.endswith("s") and not low.endswith("ss") and after in DETERMINERS:
            return index
        if (
            low.endswith("ing")
            and len(low) > 5
            and index > 1
            and words[index - 1].lower() not in PREPOSITIONS
        ):
            return index
    last = words[-1].lower() if len(words) > 2 else ""
    return len(words) - 1 if last.endswith("s") and last not in VERBS and _stem_is_verb(last) else 0


def _may_do(subject: list[str]) -> bool:
    """True if a bare verb can follow: "two foxes train", but not "the last train"."""
    low = [word.lower() for word in subject]
    head = low[-1]
    return "and" in low or low[0] in NUMBERS or is_plural(head)


def _is_verb(word: str) -> bool:
    return word in VERBS or _stem_is_verb(word)


def _stem_is_verb(word: str) -> bool:
    if not word.endswith("s"):
        return False
    stems = {
        word[:-1],
        word[:-2] if word.endswith("es") else "",
        word[:-3] + "y" if word.endswith("ies") else "",
    }
    return not stems.isdisjoint(VERBS)


def _split_place(words: list[str]) -> tuple[list[str], str]:
    """The subject, and where it is."""
    for index, word in enumerate(words):
        if index and word.lower() in PREPOSITIONS - {"of", "and", "or"}:
            return words[:index], " ".join(words[index:])
    return words, ""


def _parse_hero(subject: list[str], rest: list[str], random: Random) -> _Hero:
    if not _is_agent(subject) and not (rest and subject):
        invented = random.choice(
            ("young traveller", "quiet wanderer", "restless painter", "lost sailor")
        )
        return _Hero(invented, "", plural=False, pronouns=random.choice((SHE, HE)), acts=False)
    name = _find_name(subject)
    if name:
        low = [
            word
            for word in " ".join(subject).removeprefix(name).split()
            if word.lower() not in DETERMINERS
        ]
        role = " ".join(low) or (subject[0].lower() if subject[0].lower() in AGENTS else "wanderer")
        return _Hero(role, name, plural=False, pronouns=_choose_pronouns(f"{role} {name}", random))
    phrase = " ".join(subject) or "stranger"
    several = (
        " and " in phrase
        or (subject[:1] and subject[0].lower() in NUMBERS)
        or is_plural(head_noun(phrase))
    )
    topic = phrase if " and " in phrase else without_article(phrase)
    return _Hero(
        _lower_first_word(topic),
        "",
        bool(several),
        THEY if several else _choose_pronouns(phrase, random),
    )


def _lower_sentence_start(text: str) -> str:
    """Lower the first letter, unless the first word may be a name."""
    first, _, others = text.partition(" ")
    low = first.lower()
    common = low in AGENTS | STOP_WORDS or _family_of(low)
    return low + text[len(first) :] if common and not others[:1].isupper() else text


def _meet_phrase(text: str, *, english: bool) -> str:
    return with_indefinite_article(text) if english else f"a note that reads “{text}”"


def _lower_first_word(phrase: str) -> str:
    """Lower the first letter of a common word."""
    first, _, others = phrase.partition(" ")
    common = first.lower() in AGENTS | DETERMINERS | NUMBERS or (others and others[0].islower())
    return phrase[0].lower() + phrase[1:] if common else phrase


def _is_agent(subject: list[str]) -> bool:
    """True if the subject can act: a keeper or a fox, not a lighthouse or a neon city."""
    if not subject:
        return False
    if " and " in f" {' '.join(subject).lower()} ":
        return True
    head = " ".join(subject).lower().split(" of ")[0].split()[-1]
    single = head[:-1] if is_plural(head) else head
    known = {head, single} & AGENTS
    ending = single.endswith(AGENT_ENDINGS) and single not in NOT_AGENTS
    name = subject[0][0].isupper() and subject[0].lower() not in DETERMINERS and len(subject) < 3
    return bool(known or ending or name)


def _find_name(subject: list[str]) -> str:
    """`Captain Orlov`, `Luna` of "Luna the cat"; nothing for "Dragons" or "Lighthouse keeper"."""
    capitals = 0
    while capitals < len(subject) and subject[capitals][0].isupper():
        capitals += 1
    first = subject[0].lower() if subject else ""
    single = first[:-1] if is_plural(first) else first
    behind = subject[capitals].lower() if capitals < len(subject) else ""
    if not capitals or first in DETERMINERS | NUMBERS or behind not in {"", "the", "a", "an"}:
        return ""
    return "" if capitals == 1 and {first, single} & AGENTS else " ".join(subject[:capitals])


def _parse_object(rest: list[str]) -> str:
    """The object of the deed: the first noun phrase behind the verb."""
    start = 1
    if len(rest) > 1 and rest[0].lower() in {"who", "that"}:
        rest = rest[1:]
    if rest and rest[0].lower() in BEING:
        # "is afraid of fireworks" is about fireworks; "is a detective" about a detective.
        reach = [place for place, word in enumerate(rest[:4]) if word.lower() in PREPOSITIONS]
        if reach:
            start = reach[0] + 1
        elif rest[1:2] and rest[1].lower() not in DETERMINERS:
            return ""
    while start < len(rest) and (
        rest[start].lower() in PREPOSITIONS or _is_verb(rest[start].lower())
    ):
        start += 1
    found: list[str] = []
    for word in rest[start:]:
        low = word.lower()
        if low in PREPOSITIONS - {"of"} or (found and (_is_verb(low) and low.endswith("s"))):
            break
        found.append(word)
        if len(found) > 5:
            break
    phrase = " ".join(found)
    own = found and found[0].lower() in {"his", "her", "their", "its", "my", "our"}
    return " ".join(found[1:]) if own else phrase


def _parse_deed(rest: list[str], thing: str, *, plural: bool) -> str:
    if not rest:
        return f"{'find' if plural else 'finds'} {with_indefinite_article(without_article(thing))}"
    words = rest[1:] if rest[0].lower() in {"who", "that"} else rest
    text = " ".join(words)
    begins = "begin" if plural else "begins"
    return f"{begins} {text}" if words[0].lower().endswith("ing") else text


def _find_place(rest: list[str]) -> str:
    for index, word in enumerate(rest):
        if word.lower() in {"in", "on", "at", "under", "near", "aboard", "beneath", "inside"}:
            return " ".join(rest[index:])
    return ""


def _choose_genre(wanted: str | None, text: str) -> str:
    """The genre asked for, by name or by a word of it; else the genre that the prompt suggests."""
    for given in (wanted or "", text):
        low = given.lower()
        if low in GENRES:
            return low
        for name, genre in GENRES.items():
            if low and re.search(rf"\b(?:{genre.words})", low):
                return name
    return "adventure"


def _family_of(text: str) -> str:
    """The kind of place that a text names; empty for none."""
    low = text.lower()
    for family, words in PLACE_WORDS.items():
        pattern = words.replace("$", r"(?!\w)")
        if re.search(rf"\b(?:{pattern})", low):
            return family
    return ""


def _find_light(text: str) -> str:
    """The hour or weather that the prompt itself names."""
    found = re.search(rf"\b(?:{LIGHT_WORDS})\w*", text.lower())
    return LIGHT_NOUNS.get(found[0], found[0]) if found else ""


def _choose_pronouns(hero: str, random: Random) -> tuple[str, str, str]:
    words = set(hero.lower().split())
    if words & HER_WORDS:
        return SHE
    return HE if words & HIS_WORDS else random.choice((SHE, HE))


def _choose_names(hero: _Hero, random: Random) -> tuple[str, str]:
    both = [*NAMES[SHE], *NAMES[HE]]
    first, second = random.sample(NAMES.get(hero.pronouns) or both, 2)
    friend = random.choice([name for name in both if name not in {first, second, hero.name}])
    if hero.name:
        return hero.name, friend
    return (f"{first} and {second}" if hero.plural else first), friend
