"""Stories, scripts and worlds from a seeded grammar: the same prompt and seed give the same text, others another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from taskreel_local.studio.stories.prompt_parser import (
    Premise,
    bare,
    definite,
    head_of,
    indefinite,
    is_english,
    is_plural,
    keywords,
    read_premise,
)
from taskreel_local.studio.stories.story_grammar import Beat, arc
from taskreel_local.studio.stories.word_lists import LIGHTS, LIGHTS_OF, VISTAS

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
    """`{title, logline, genre, characters, scenes}`; each scene can be drawn, spoken and played."""
    random = _dice(params)
    premise = read_premise(str(params["subject"]), params.get("genre"), random)
    words = _words(premise, random)
    count = int(params.get("sceneCount") or 5)
    vistas = _vistas(premise, random)
    taken: set[str] = set()
    scenes = [
        _scene(beat, premise, vistas[index % len(vistas)], words, (random, taken))
        for index, beat in enumerate(arc(count))
    ]
    style = str(params.get("style") or "")
    if style:
        scenes = [{**scene, "description": f"{scene['description']}, {style}"} for scene in scenes]
    story = {
        "title": _title(premise, random),
        "logline": _sentence(
            f"{_who(premise)} {premise.deed}, and {words['has']} to face {words['foe']}"
        ),
        "genre": premise.genre_name,
        "language": "en",
        "music": premise.genre.music,
        "characters": _characters(premise, random),
        "scenes": scenes,
    }
    return story | _about_language(params)


def write_script(params: Mapping[str, Any]) -> dict[str, Any]:
    """A story with its `text`, laid out in the format asked for."""
    story = tell_story(params)
    form = str(params.get("format") or "screenplay")
    return {**story, "format": form, "text": FORMATS[form](story)}


def describe_scene(params: Mapping[str, Any]) -> dict[str, Any]:
    """One scene, told at more length."""
    story = tell_story({**params, "sceneCount": 3})
    scene = story["scenes"][_dice(params).randrange(3)]
    return {
        "title": scene["title"],
        "genre": story["genre"],
        "language": "en",
        **scene,
    } | _about_language(params)


def dream_world(params: Mapping[str, Any]) -> dict[str, Any]:
    """`{name, concept, places, characters, palette, rules}`; each place can be drawn."""
    random = _dice(params)
    premise = read_premise(str(params["subject"]), params.get("genre"), random)
    name = _world_name(premise, random)
    words = _words(premise, random)
    vistas = _vistas(premise, random)
    places = [
        _world_place(premise, vistas[index % len(vistas)], random, name)
        for index in range(int(params["placeCount"]))
    ]
    return {
        "name": name,
        "concept": _sentence(f"{name} is {_what(premise)}, where {words['foe']} is never far"),
        "genre": premise.genre_name,
        "language": "en",
        "places": places,
        "characters": _cast(premise, random, int(params["characterCount"])),
        "palette": _palette(random),
        "rules": random.sample(_rules(premise, words), 4),
    } | _about_language(params)


def _dice(params: Mapping[str, Any]) -> Random:
    return Random(f"{params['seed']}|{params['subject']}|{params.get('genre')}")  # noqa: S311 - a story, no secret


def _about_language(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = str(params.get("language") or "en").lower()
    return (
        {}
        if wanted.startswith("en") and is_english(str(params["subject"]))
        else {"note": ENGLISH_ONLY}
    )


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _words(premise: Premise, random: Random) -> dict[str, str]:
    """What the braces of a beat may hold."""
    several = is_plural(head_of(premise.thing))
    she, her, his = premise.pronouns
    place = _the_place(premise)
    return {
        "Name": premise.name,
        "hero": premise.the_hero,
        "Hero": _capital(premise.the_hero),
        "a_hero": premise.a_hero,
        "thing": definite(premise.thing),
        "The_thing": _capital(definite(premise.thing)),
        "a_thing": indefinite(premise.thing),
        "name_deed": f"{premise.name} {premise.deed}",
        "friend": premise.friend,
        "Friend": premise.friend,
        "foe": (foe := random.choice(premise.genre.foes)),
        "Foe": _capital(foe),
        "feeling": random.choice(premise.genre.feelings),
        "the_place": place,
        "has": "have" if premise.plural else "has",
        "she": she,
        "She": _capital(she),
        "her": her,
        "his": his,
        "it_is": "they were" if several else "it was",
        "it_obj": "them" if several else "it",
        "end": random.choice(premise.genre.ends),
    }


def _who(premise: Premise) -> str:
    return f"{premise.name}, {premise.a_hero}," if premise.named else premise.a_hero


def _the_place(premise: Premise) -> str:
    found = re.match(
        r"(?:in|on|at|aboard|near|under|beneath|inside)\s+((?:an?|the)\s+[\w' -]+)", premise.setting
    )
    usable = found and not re.search(r"storm|night|rain|winter|bottle|secret|time", found[1])
    return definite(bare(found[1])) if found and usable else f"the {PLACES[premise.family]}"


def _vistas(premise: Premise, random: Random) -> list[tuple[str, str]]:
    """The prompt's own place first, then those of its kind, shuffled."""
    found = list(VISTAS[premise.family])
    random.shuffle(found)
    return found


def _scene(
    beat: Beat,
    premise: Premise,
    vista: tuple[str, str],
    words: Mapping[str, str],
    chance: tuple[Random, set[str]],
) -> dict[str, Any]:
    random, taken = chance
    place, heading = vista
    light, hour = _light(beat, premise, random)
    narration = " ".join(
        _fill(_fresh(choices, random, taken), words) for choices in (beat.first, beat.second)
    )
    pose = _fill(random.choice(beat.poses), words)
    told = _detail(premise, shown="thing}" in "".join((*beat.poses, *beat.first)))
    seen = _sentence(f"{premise.a_hero} {pose} {place} {light}{told}").rstrip(".")
    return {
        "title": _fresh(beat.titles, random, taken),
        "heading": f"EXT. {heading.upper()} - {hour}",
        "description": f"{seen}, {premise.genre.look}",
        "narration": narration,
        "dialogue": [
            {
                "speaker": premise.name if who == "hero" else premise.friend,
                "line": _fill(line, words),
            }
            for who, line in beat.lines
        ],
        "durationSeconds": round(max(4.0, len(narration.split()) / WORDS_A_SECOND + 1.0), 1),
    }


def _light(beat: Beat, premise: Premise, random: Random) -> tuple[str, str]:
    """The prompt's own hour or weather where the story is at its hardest and at its start; else the beat's."""
    if (
        premise.light
        and premise.family not in LIGHTS_OF
        and beat.light in {"hard", "dark", "turning"}
    ):
        return f"in the {premise.light}", premise.light.upper()
    return random.choice(LIGHTS_OF.get(premise.family, LIGHTS)[beat.light])


def _detail(premise: Premise, *, shown: bool) -> str:
    """What else of the prompt belongs into the picture; the thing itself only where the story speaks of it."""
    hidden = set() if shown else set(premise.thing.lower().split())
    words = [
        word for word in premise.keywords if word not in premise.hero.lower() and word not in hidden
    ]
    return f"; {', '.join(words[:4])}" if words else f"; {premise.thing}" if shown else ""


def _fresh(choices: tuple[str, ...], random: Random, taken: set[str]) -> str:
    """One that has not been used yet, while there is one."""
    left = [choice for choice in choices if choice not in taken] or list(choices)
    chosen = random.choice(left)
    taken.add(chosen)
    return chosen


def _fill(template: str, words: Mapping[str, str]) -> str:
    text = template.format_map(words)
    return text[:1].upper() + text[1:] if template[:1] == "{" and template[-1:] in ".?!" else text


def _sentence(text: str) -> str:
    return f"{_capital(' '.join(text.split()))}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _titled(text: str) -> str:
    small = {
        "of",
        "the",
        "a",
        "an",
        "in",
        "on",
        "and",
        "to",
        "at",
        "with",
        "from",
        "that",
        "for",
        "by",
        "without",
    }
    words = text.split()
    return " ".join(
        word if index and word.lower() in small else _capital(word)
        for index, word in enumerate(words)
    )


def _title(premise: Premise, random: Random) -> str:
    hero, thing = _titled(bare(premise.hero)), _titled(premise.thing)
    patterns = [f"{premise.name if premise.named else f'The {hero}'} and the {thing}"]
    if len(thing.split()) <= 4:
        patterns += [f"The {thing}", f"{premise.name} and the {thing}"]
    else:
        patterns += [f"The {hero}", f"The Road of {premise.name}"]
    return random.choice(patterns)


def _characters(premise: Premise, random: Random) -> list[dict[str, str]]:
    trait = random.choice(("stubborn", "gentle", "quick-witted", "proud", "soft-spoken"))
    other = random.choice(
        ("knows more than is said", "has a boat and no fear", "laughs at the wrong moments")
    )
    return [
        {
            "name": premise.name,
            "role": "hero",
            "description": _sentence(f"{premise.a_hero}, {trait}"),
        },
        {
            "name": premise.friend,
            "role": "friend",
            "description": _sentence(f"a stranger who {other}"),
        },
    ]


# ── Scripts ──────────────────────────────────────────────────────────────────────────────────────


def _screenplay(story: Mapping[str, Any]) -> str:
    lines = [story["title"].upper(), "", story["logline"], "", "FADE IN:"]
    for scene in story["scenes"]:
        lines += ["", scene["heading"], "", _sentence(scene["description"].rstrip("."))]
        lines += ["", f"{'NARRATOR (V.O.)':^40}", scene["narration"]]
        for spoken in scene["dialogue"]:
            lines += ["", f"{spoken['speaker'].upper():^40}", f"          {spoken['line']}"]
    return "\n".join([*lines, "", "FADE OUT."])


def _fountain(story: Mapping[str, Any]) -> str:
    """fountain.io: plain text that screenwriting programs read."""
    parts = [f"Title: {story['title']}\nCredit: Written by\nAuthor: Taskreel's local studio\n"]
    for scene in story["scenes"]:
        parts += [
            f"{scene['heading']}\n",
            f"{scene['description']}.\n",
            f"NARRATOR (V.O.)\n{scene['narration']}\n",
        ]
        parts += [
            f"{spoken['speaker'].upper()}\n{spoken['line']}\n" for spoken in scene["dialogue"]
        ]
    return "\n".join([*parts, "> THE END <"])


def _prose(story: Mapping[str, Any]) -> str:
    chapters = [f"{scene['title']}\n\n{scene['narration']}" for scene in story["scenes"]]
    return "\n\n".join([story["title"], *chapters])


def _outline(story: Mapping[str, Any]) -> str:
    scenes = [
        f"{number}. {scene['title']}: {scene['narration']}"
        for number, scene in enumerate(story["scenes"], 1)
    ]
    return "\n".join([story["title"], story["logline"], *scenes])


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "screenplay": _screenplay,
    "fountain": _fountain,
    "prose": _prose,
    "outline": _outline,
}

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


def _world_name(premise: Premise, random: Random) -> str:
    root = random.choice(_FIRST) + random.choice(_LAST)
    word = random.choice(premise.keywords or ("far",))
    return random.choice((root, f"The {_capital(word)} Reach", f"{root} of the {_capital(word)}"))


def _what(premise: Premise) -> str:
    acted = premise.deed in premise.text
    if not premise.english:
        return f"the world of “{premise.text}”"
    if acted:
        return f"the world in which {premise.text}"
    return (
        f"the world of {indefinite(premise.text)}"
        if premise.hero in premise.text
        else indefinite(premise.text)
    )


def _world_place(
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
        "name": f"{random.choice(('The Old', 'The Last', 'The Upper', 'The Silent', 'The Second'))} {_titled(heading)}",
        "description": f"{_sentence(rumour)} It lies {place.split(',')[0]}.",
        "picture": f"Wide view {place} {light}, {', '.join(premise.keywords[:4])}, {premise.genre.look}, {world}",
    }


def _cast(premise: Premise, random: Random, count: int) -> list[dict[str, str]]:
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
        "description": _sentence(f"{premise.name} {wants[0]}"),
    }
    more = [
        {"name": name, "role": role, "description": _sentence(f"{name} {want}")}
        for name, role, want in zip(
            _people(premise, random, count), roles, (*wants[1:], *wants), strict=False
        )
    ]
    return [first, *more][:count]


def _people(premise: Premise, random: Random, count: int) -> list[str]:
    found = {premise.friend: None}
    while len(found) < count:
        found.setdefault(
            random.choice(_FIRST) + random.choice(("a", "en", "is", "o", "ric", "wyn"))
        )
    return list(found)


def _palette(random: Random) -> list[dict[str, str]]:
    return [{"name": name, "hex": value} for name, value in random.sample(_COLOURS, 5)]


def _rules(premise: Premise, words: Mapping[str, str]) -> list[str]:
    key = premise.keywords or keywords(premise.thing) or ("stone",)
    return [
        f"Nobody may own {indefinite(key[0])}; it can only be lent.",
        f"Whoever speaks of {words['foe']} after dark has to tell the whole story.",
        f"Every debt is paid in {key[-1]}, never in coin.",
        "A door that has been closed by two people can be opened only by three.",
        "The dead are asked for advice once a year, and they answer with questions.",
        f"Strangers are given {words['thing']} for one night, to see what they do with it.",
        "What is written down comes true more slowly.",
    ]
