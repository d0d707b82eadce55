"""The picture that a prompt asks for: its hour, weather, place and things."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from taskreel_local.studio.drawing.foreign_words import translate_prompt

# Each row: a name → the beginnings of words that mean it ("$" ends a word that must stand alone).
MOOD_WORDS = {
    "underwater": (
        "underwater|under the sea|reef|coral|jellyfish|deep sea|seabed|submarine|mermaid|abyss"
    ),
    "mars": "mars$|martian|red planet|canyon",
    "space": (
        "space$|spaceship|spacecraft|galax|nebul|cosmos|cosmic|universe|planet|asteroid|orbit"
        "|milky way|interstellar"
    ),
    "neon": "neon|cyber|synthwave|vaporwave|hologra|arcade|blade runner|futurist",
    "fire": "fire$|flame|burning|volcan|lava|inferno|hell|blaze|ember|dragon",
    "storm": "storm|thunder|lightning|tempest|hurricane|gale|rain$|rainy|raining|shipwreck",
    "noir": "noir|monochrome|black and white|detective",
    "sunset": "sunset|evening|golden hour|golden light",
    "dawn": "dawn|sunrise|morning|daybreak",
    "dusk": "dusk|twilight|blue hour|nightfall",
    "night": (
        "night|midnight|moon|starry|stars$|starlight|dark|aurora|northern lights|lantern|firefl"
    ),
    "fog": "fog|mist|haze$|hazy|gloom|grey|gray|ghost",
    "snow": "snow|winter|ice$|icy|frozen|arctic|glacier|polar|christmas|blizzard",
    "desert": "desert|dune|sahara|sand$|camel|oasis|pyramid",
    "autumn": "autumn|fall leaves|harvest|october",
    "spring": "spring$|blossom|cherry|flower|tulip|poppy|meadow|garden",
    "dream": "dream|magic|fairy|fantas|enchant|mystic|surreal|unicorn|wonder",
    "forest": "forest|jungle|wood$|woods$|rainforest|moss",
    "day": "day$|sunny|summer|noon|blue sky|sunlight|bright",
}
PLACE_WORDS = {
    "space": MOOD_WORDS["space"],
    "underwater": MOOD_WORDS["underwater"],
    "room": (
        "room$|kitchen|bakery|indoors|interior|library|workshop|caf[eé]|restaurant|classroom"
        "|studio|attic|cellar|laborator"
    ),
    "city": (
        "city|cities|skyline|street|urban|downtown|tokyo|new york|london|paris|skyscraper"
        "|metropolis|rooftop|town|neon|cyber"
    ),
    "sea": (
        "sea$|seas$|seaside|ocean|coast|wave|harbor|harbour|beach|shore|island|bay$|port$"
        "|sailor|pirate|gull|surf|lagoon"
    ),
    "lake": "lake|river|pond|fjord|water$|waters|reflection|canal|swamp|waterfall",
    "mountains": (
        "mountain|alps|alpine|peak|summit|himalaya|cliff|volcan|glacier|fjord|canyon|valley"
    ),
    "desert": "desert|dune|sahara|sand$|oasis|camel|pyramid|mars$|martian",
    "forest": "forest|jungle|wood$|woods$|trees$|pine|rainforest|grove",
    "hills": (
        "hill|meadow|field|farm|countryside|village|prairie|grass|garden|vineyard|pasture"
        "|landscape|valley"
    ),
}
THING_WORDS = {
    "lighthouse": "lighthouse|light house",
    "boat": "boat|ship$|ships|sail|vessel|yacht|ferry|fisherman|pirate|galleon",
    "castle": "castle|fortress|palace|citadel|kingdom|ruin",
    "house": "house$|cottage|cabin|hut$|barn|farm$|home$|village|mill$|temple|church|inn$",
    "windmill": "windmill|wind turbine",
    "bridge": "bridge",
    "pyramid": "pyramid",
    "rocket": "rocket|spaceship|spacecraft|starship|shuttle",
    "planet": "planet|saturn|jupiter|orbit|space$|cosmos|galax|interstellar",
    "balloon": "balloon|airship|zeppelin",
    "cat": "cat$|cats$|kitten|kitty|panther",
    "fox": "fox$|foxes|vixen",
    "wolf": "wolf|wolves|dog$|coyote|hound",
    "whale": "whale|dolphin|orca",
    "fish": "fish$|reef|coral|shark|turtle|aquarium",
    "robot": "robot|android$|cyborg|mech$|automaton",
    "figure": (
        "person|man$|woman|girl|boy|child|keeper|knight|wizard|witch|king$|queen|prince"
        "|samurai|travel|wander|hero|soldier|sailor|monk|explorer|detective|figure"
        "|someone|stranger|old man|fisherman|hiker|dancer|lover|couple|grandmother|grandfather"
        r"|mother|father|painter|poet$|musician|scientist|doctor|nurse|thief|captain|nomad"
        r"|\w*maker$"
    ),
    "astronaut": "astronaut|cosmonaut|spaceman|spacewoman|space ?suit",
    "baker": "baker|cook$|cooks|chef|pastry",
    "oven": "oven$|ovens|stove|fireplace|hearth|bakery|furnace",
    "horse": "horse|pony|ponies|stallion|mare$|foal|unicorn|knight",
    "dragon": "dragon|wyvern",
    "car": "car$|cars|sports car|automobile|taxi|truck|jeep|limousine|race car|vehicle|bus$|buses",
    "train": "train$|trains|locomotive|railway|railroad|steam engine|tram$",
    "kite": "kite$|kites",
    "ball": "ball$|balls|football|basketball|soccer",
    "bird": "bird$|owl$|parrot|eagle|falcon|hawk|robin|sparrow|phoenix|hummingbird|raven|crow$",
    # "Face to face with a storm" is no portrait.
    "portrait": r"portrait|(?<!to )face$(?! to )|headshot|close-up|closeup|selfie",
    "tree": "tree$|oak|willow|baobab|bonsai|blossom|cherry",
    "flowers": "flower|poppy|poppies|tulip|rose$|roses|lavender|sunflower|daisy|meadow|blossom",
    "bottle": "bottle|message",
    "lantern": "lantern|candle",
    "birds": "birds|gull|crows|ravens|swan|geese|doves|owls|flock|pigeon",
    "sun": "sun$|sunset|sunrise|sunny|sunlight",
    "moon": "moon|lunar|night",
    "aurora": "aurora|northern lights",
    "rainbow": "rainbow",
    "lightning": "lightning|thunder|storm|tempest",
    "rain": "rain$|rainy|raining|downpour|storm|tempest|umbrella",
    "snowfall": "snow|blizzard|winter|christmas",
    "fireflies": "firefl|magic|fairy|enchant|dream|spark|lantern",
    "embers": "fire$|flame|volcan|lava|burning|ember|dragon|inferno",
    "volcano": "volcan|lava|erupt",
}
HOME = {  # where a thing stands when the prompt names no place
    "lighthouse": "sea",
    "boat": "sea",
    "whale": "sea",
    "bottle": "sea",
    "castle": "mountains",
    "volcano": "mountains",
    "balloon": "mountains",
    "bridge": "lake",
    "pyramid": "desert",
    "planet": "space",
    "fish": "underwater",
    "robot": "city",
    "oven": "room",
    "baker": "room",
    "car": "city",
}
COLOUR_WORDS = {
    "red": "c2362b",
    "scarlet": "d0301f",
    "crimson": "a51c30",
    "orange": "e07b26",
    "golden": "d9a521",
    "gold": "d9a521",
    "yellow": "e8c83a",
    "green": "3f8f46",
    "emerald": "1f9d68",
    "turquoise": "30b8b0",
    "teal": "1f7f80",
    "blue": "2f63b8",
    "purple": "7a3fa0",
    "violet": "7a4fc0",
    "pink": "e58aa8",
    "brown": "7a4b2a",
    "white": "f0ece4",
    "silver": "b9c0c8",
    "grey": "83888d",
    "gray": "83888d",
    "black": "141416",
}
USUAL_MOODS = {
    "sea": "sunset",
    "city": "dusk",
    "lake": "dawn",
    "hills": "day",
    "mountains": "dawn",
    "forest": "forest",
}
_COLOUR = re.compile(rf"\b({'|'.join(COLOUR_WORDS)})\b")
WEATHERS = ("storm", "fog", "snow", "noir")


@dataclass(frozen=True)
class Plan:
    """`place` is None for a prompt that names nothing visible: it gets an abstract picture.

    `colours` has the hex digits of those things whose colour the prompt names.
    """

    mood: str
    place: str | None
    text: str
    things: frozenset[str]
    colours: Mapping[str, str]
    #: The hex digits of every colour that the prompt names, in its order.
    named: tuple[str, ...] = ()
    #: The moods that the prompt names; `mood` is the first of them, or a usual one.
    moods: tuple[str, ...] = ()

    def has(self, *things: str) -> bool:
        """True if any of these is in the picture."""
        return not self.things.isdisjoint(things)


def read(prompt: str, rng: np.random.Generator) -> Plan:
    """The plan of a prompt; chance decides what it leaves open."""
    text = translate_prompt(prompt).lower()
    things = frozenset(thing for thing, words in THING_WORDS.items() if _matches_words(text, words))
    moods = [mood for mood, words in MOOD_WORDS.items() if _matches_words(text, words)]
    place = _find_place(text, things, moods)
    if "portrait" in things:
        place = "portrait"
    mood = (
        moods[0]
        if moods
        else USUAL_MOODS.get(place or "", str(rng.choice(["day", "sunset", "dawn", "dusk"])))
    )
    if place in ("desert", "space", "underwater") and mood not in moods:
        mood = place
    return Plan(
        mood=mood,
        place=place,
        text=text,
        things=things,
        colours=_find_colours(text, things),
        named=tuple(COLOUR_WORDS[word] for word in _COLOUR.findall(text)),
        moods=tuple(moods),
    )


def _find_place(text: str, things: frozenset[str], moods: list[str]) -> str | None:
    for place, words in PLACE_WORDS.items():
        if _matches_words(text, words):
            return place
    for thing, place in HOME.items():
        if thing in things:
            return place
    seen = things - {"fireflies"}
    return "hills" if seen or set(moods) - {"dream", "noir"} else None


def _find_colours(text: str, things: frozenset[str]) -> dict[str, str]:
    """Colours named at most two words before a thing: "a red fox", "the blue sailing boat"."""
    found = {}
    for thing in things:
        words = THING_WORDS[thing].replace("$", r"(?!\w)")
        named = re.search(
            rf"\b({'|'.join(COLOUR_WORDS)})\s+(?:[\w'-]+\s+){{0,2}}?(?:{words})", text
        )
        if named:
            found[thing] = COLOUR_WORDS[named[1]]
    return found


def _matches_words(text: str, words: str) -> bool:
    pattern = words.replace("$", r"(?!\w)")
    return re.search(rf"\b(?:{pattern})", text) is not None
