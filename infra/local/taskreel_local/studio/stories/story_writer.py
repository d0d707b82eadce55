"""Stories, scripts and worlds from a seeded grammar.

The same prompt and seed give the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from taskreel_local.studio.stories.noun_phrases import (
    head_noun,
    is_plural,
    with_definite_article,
    with_indefinite_article,
    without_article,
)
from taskreel_local.studio.stories.prompt_parser import (
    Premise,
    is_english,
    list_keywords,
    read_premise,
)
from taskreel_local.studio.stories.scenery import LIGHTS, LIGHTS_OF, VISTAS
from taskreel_local.studio.stories.script_formats import FORMATS
from taskreel_local.studio.stories.sentences import (
    as_sentence,
    capitalize_first,
    fill_template,
    in_title_case,
)
from taskreel_local.studio.stories.story_grammar import Beat, choose_beats

ENGLISH_ONLY = "The local writer knows English only; a text provider writes other languages."
WORDS_A_SECOND = 2.5
PLACES = {
    "sea": "coast",
    "city": "city",
    "forest": "forest",
    "mountains": "valley",
    "desert": "desert",
    "space": "station",
    "lake": "lakeside",
    "hills": "village",
    "underwater": "reef",
}


def tell_story(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{title, logline, genre, characters, scenes}`; each scene can be drawn and spoken."""
    random = _make_random(params)
    premise = read_premise(str(params["subject"]), params.get("genre"), random)
    words = _fill_in_words(premise, random)
    count = int(params.get("sceneCount") or 5)
    vistas = _shuffle_vistas(premise, random)
    taken: set[str] = set()
    scenes = [
        _write_scene(beat, premise, vistas[index % len(vistas)], words, (random, taken))
        for index, beat in enumerate(choose_beats(count))
    ]
    style = str(params.get("style") or "")
    if style:
        scenes = [{**scene, "description": f"{scene['description']}, {style}"} for scene in scenes]
    story = {
        "title": _make_title(premise, random),
        "logline": as_sentence(
            f"{_introduce_hero(premise)} {premise.deed}, and {words['has']} to face {words['foe']}"
        ),
        "genre": premise.genre_name,
        "language": "en",
        "music": premise.genre.music,
        "characters": _describe_characters(premise, random),
        "scenes": scenes,
    }
    return story | _language_note(params)


def write_script(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write a story with its `text`, laid out in the format asked for."""
    story = tell_story(params)
    form = str(params.get("format") or "screenplay")
    return {**story, "format": form, "text": FORMATS[form](story)}


def describe_scene(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write one scene at more length."""
    story = tell_story({**params, "sceneCount": 3})
    scene = story["scenes"][_make_random(params).randrange(3)]
    return {
        "title": scene["title"],
        "genre": story["genre"],
        "language": "en",
        **scene,
    } | _language_note(params)


def dream_world(params: Mapping[str, Any]) -> dict[str, Any]:
    """Invent `{name, concept, places, characters, palette, rules}`; each place can be drawn."""
    random = _make_random(params)
    premise = read_premise(str(params["subject"]), params.get("genre"), random)
    name = _invent_world_name(premise, random)
    words = _fill_in_words(premise, random)
    vistas = _shuffle_vistas(premise, random)
    places = [
        _describe_place(premise, vistas[index % len(vistas)], random, name)
        for index in range(int(params["placeCount"]))
    ]
    return {
        "name": name,
        "concept": as_sentence(
            f"{name} is {_name_subject(premise)}, where {words['foe']} is never far"
        ),
        "genre": premise.genre_name,
        "language": "en",
        "places": places,
        "characters": _make_cast(premise, random, int(params["characterCount"])),
        "palette": _choose_palette(random),
        "rules": random.sample(_list_rules(premise, words), 4),
    } | _language_note(params)


def _make_random(params: Mapping[str, Any]) -> Random:
    seed = f"{params['seed']}|{params['subject']}|{params.get('genre')}"
    return Random(seed)  # noqa: S311 - a story, no secret


def _language_note(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = str(params.get("language") or "en").lower()
    return (
        {}
        if wanted.startswith("en") and is_english(str(params["subject"]))
        else {"note": ENGLISH_ONLY}
    )


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _fill_in_words(premise: Premise, random: Random) -> dict[str, str]:
    """The words that fill a beat's braces."""
    several = is_plural(head_noun(premise.thing))
    she, her, his = premise.pronouns
    place = _place_phrase(premise)
    return {
        "Name": premise.name,
        "hero": premise.the_hero,
        "Hero": capitalize_first(premise.the_hero),
        "a_hero": premise.a_hero,
        "thing": with_definite_article(premise.thing),
        "The_thing": capitalize_first(with_definite_article(premise.thing)),
        "a_thing": with_indefinite_article(premise.thing),
        "name_deed": f"{premise.name} {premise.deed}",
        "friend": premise.friend,
        "Friend": premise.friend,
        "foe": (foe := random.choice(premise.genre.foes)),
        "Foe": capitalize_first(foe),
        "feeling": random.choice(premise.genre.feelings),
        "the_place": place,
        "has": "have" if premise.plural else "has",
        "was": "were" if premise.plural else "was",
        "she": she,
        "She": capitalize_first(she),
        "her": her,
        "his": his,
        "it_is": "they were" if several else "it was",
        "it_obj": "them" if several else "it",
        "end": random.choice(premise.genre.ends),
    }


def _introduce_hero(premise: Premise) -> str:
    return f"{premise.name}, {premise.a_hero}," if premise.named else premise.a_hero


def _place_phrase(premise: Premise) -> str:
    found = re.match(
        r"(?:in|on|at|aboard|near|under|beneath|inside)\s+((?:an?|the)\s+[\w' -]+)", premise.setting
    )
    usable = found and not re.search(r"storm|night|rain|winter|bottle|secret|time", found[1])
    return (
        with_definite_article(without_article(found[1]))
        if found and usable
        else f"the {PLACES[premise.family]}"
    )


def _shuffle_vistas(premise: Premise, random: Random) -> list[tuple[str, str]]:
    """The views of the prompt's kind of place, shuffled."""
    found = list(VISTAS[premise.family])
    random.shuffle(found)
    return found


def _write_scene(
    beat: Beat,
    premise: Premise,
    vista: tuple[str, str],
    words: Mapping[str, str],
    chance: tuple[Random, set[str]],
) -> dict[str, Any]:
    random, taken = chance
    place, heading = vista
    light, hour = _choose_light(beat, premise, random)
    narration = " ".join(
        fill_template(_choose_unused(choices, random, taken), words)
        for choices in (beat.first, beat.second)
    )
    pose = fill_template(random.choice(beat.poses), words)
    told = _add_details(premise, shown="thing}" in "".join((*beat.poses, *beat.first)))
    seen = as_sentence(f"{premise.a_hero} {pose} {place} {light}{told}").rstrip(".")
    return {
        "title": _choose_unused(beat.titles, random, taken),
        "heading": f"EXT. {heading.upper()} - {hour}",
        "description": f"{seen}, {premise.genre.look}",
        "narration": narration,
        "dialogue": [
            {
                "speaker": premise.name if who == "hero" else premise.friend,
                "line": fill_template(line, words),
            }
            for who, line in beat.lines
        ],
        "durationSeconds": round(max(4.0, len(narration.split()) / WORDS_A_SECOND + 1.0), 1),
    }


def _choose_light(beat: Beat, premise: Premise, random: Random) -> tuple[str, str]:
    """The light and the hour of a scene.

    The prompt's own hour or weather where the story turns and where it is hardest; else the
    beat's.
    """
    if (
        premise.light
        and premise.family not in LIGHTS_OF
        and beat.light in {"hard", "dark", "turning"}
    ):
        return f"in the {premise.light}", premise.light.upper()
    return random.choice(LIGHTS_OF.get(premise.family, LIGHTS)[beat.light])


def _add_details(premise: Premise, *, shown: bool) -> str:
    """Further words of the prompt for the picture; the thing itself only where it is `shown`."""
    hidden = set() if shown else set(premise.thing.lower().split())
    words = [
        word for word in premise.keywords if word not in premise.hero.lower() and word not in hidden
    ]
    return f"; {', '.join(words[:4])}" if words else f"; {premise.thing}" if shown else ""


def _choose_unused(choices: tuple[str, ...], random: Random, taken: set[str]) -> str:
    """Choose one that is not taken, while there is one, and take it."""
    left = [choice for choice in choices if choice not in taken] or list(choices)
    chosen = random.choice(left)
    taken.add(chosen)
    return chosen


def _make_title(premise: Premise, random: Random) -> str:
    hero, thing = in_title_case(without_article(premise.hero)), in_title_case(premise.thing)
    patterns = [f"{premise.name if premise.named else f'The {hero}'} and the {thing}"]
    if len(thing.split()) <= 4:
        patterns += [f"The {thing}", f"{premise.name} and the {thing}"]
    else:
        patterns += [f"The {hero}", f"The Road of {premise.name}"]
    return random.choice(patterns)


def _describe_characters(premise: Premise, random: Random) -> list[dict[str, str]]:
    trait = random.choice(("stubborn", "gentle", "quick-witted", "proud", "soft-spoken"))
    other = random.choice(
        ("knows more than is said", "has a boat and no fear", "laughs at the wrong moments")
    )
    return [
        {
            "name": premise.name,
            "role": "hero",
            "description": as_sentence(f"{premise.a_hero}, {trait}"),
        },
        {
            "name": premise.friend,
            "role": "friend",
            "description": as_sentence(f"a stranger who {other}"),
        },
    ]


# ── Worlds ───────────────────────────────────────────────────────────────────────────────────────

_FIRST = (
    "Ar",
    "Bel",
    "Cor",
    "Dun",
    "El",
    "Far",
    "Hal",
    "Is",
    "Kel",
    "Lum",
    "Mor",
    "Nor",
    "Or",
    "Sel",
    "Tal",
    "Vey",
)
_LAST = (
    "adar",
    "avane",
    "brun",
    "dria",
    "eth",
    "fell",
    "gard",
    "hollow",
    "iland",
    "mere",
    "onia",
    "owen",
    "tide",
)
_COLOURS = (
    ("ink blue", "#1b2a49"),
    ("sea glass", "#7fc8b2"),
    ("ember", "#d9622b"),
    ("old gold", "#c9a227"),
    ("bone", "#ece5d3"),
    ("moss", "#5c7a3f"),
    ("rust", "#8c3b21"),
    ("violet hour", "#5b4a8a"),
    ("ash", "#8d9499"),
    ("rose", "#d98c9a"),
    ("deep teal", "#0f5257"),
    ("frost", "#d4e6f1"),
)


_EPITHETS = ("The Old", "The Last", "The Upper", "The Silent", "The Second")


def _invent_world_name(premise: Premise, random: Random) -> str:
    root = random.choice(_FIRST) + random.choice(_LAST)
    word = random.choice(premise.keywords or ("far",))
    return random.choice(
        (root, f"The {capitalize_first(word)} Reach", f"{root} of the {capitalize_first(word)}")
    )


def _name_subject(premise: Premise) -> str:
    acted = premise.deed in premise.text
    if not premise.english:
        return f"the world of “{premise.text}”"
    if acted:
        return f"the world in which {premise.text}"
    return (
        f"the world of {with_indefinite_article(premise.text)}"
        if premise.hero in premise.text
        else with_indefinite_article(premise.text)
    )


def _describe_place(
    premise: Premise, vista: tuple[str, str], random: Random, world: str
) -> dict[str, str]:
    place, heading = vista
    lights = LIGHTS_OF.get(premise.family, LIGHTS)
    light, _ = random.choice(lights[random.choice(sorted(lights))])
    rumour = random.choice(
        (
            "Nobody lives here who was born here",
            "The oldest maps leave it blank",
            "Every traveller pays here with a story",
            "It is rebuilt each year, a little further away",
            "At its centre stands something that nobody has opened",
        )
    )
    return {
        "name": f"{random.choice(_EPITHETS)} {in_title_case(heading)}",
        "description": f"{as_sentence(rumour)} It lies {place.split(',')[0]}.",
        "picture": (
            f"Wide view {place} {light}, {', '.join(premise.keywords[:4])}, "
            f"{premise.genre.look}, {world}"
        ),
    }


def _make_cast(premise: Premise, random: Random, count: int) -> list[dict[str, str]]:
    roles = (
        "ruler",
        "outlaw",
        "guide",
        "maker",
        "witness",
        "messenger",
        "healer",
        "keeper of the gate",
    )
    wants = (
        "wants to leave and cannot",
        "keeps the one rule that everybody else breaks",
        "has been to the edge and came back silent",
        "sells what was never theirs",
        "remembers the world before its rules",
        "waits for somebody who is already here",
    )
    first = {
        "name": premise.name,
        "role": premise.hero,
        "description": as_sentence(f"{premise.name} {wants[0]}"),
    }
    more = [
        {"name": name, "role": role, "description": as_sentence(f"{name} {want}")}
        for name, role, want in zip(
            _invent_people(premise, random, count), roles, (*wants[1:], *wants), strict=False
        )
    ]
    return [first, *more][:count]


def _invent_people(premise: Premise, random: Random, count: int) -> list[str]:
    found = {premise.friend: None}
    while len(found) < count:
        found.setdefault(
            random.choice(_FIRST) + random.choice(("a", "en", "is", "o", "ric", "wyn"))
        )
    return list(found)


def _choose_palette(random: Random) -> list[dict[str, str]]:
    return [{"name": name, "hex": value} for name, value in random.sample(_COLOURS, 5)]


def _list_rules(premise: Premise, words: Mapping[str, str]) -> list[str]:
    key = premise.keywords or list_keywords(premise.thing) or ("stone",)
    return [
        f"Nobody may own {with_indefinite_article(key[0])}; it can only be lent.",
        f"Whoever speaks of {words['foe']} after dark has to tell the whole story.",
        f"Every debt is paid in {key[-1]}, never in coin.",
        "A door that has been closed by two people can be opened only by three.",
        "The dead are asked for advice once a year, and they answer with questions.",
        f"Strangers are given {words['thing']} for one night, to see what they do with it.",
        "What is written down comes true more slowly.",
    ]
