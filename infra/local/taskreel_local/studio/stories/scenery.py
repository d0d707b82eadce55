"""The places and lights of scenes, and the words of a prompt that name them."""

from __future__ import annotations

#: Places by family: what a painter could show there, and how it is named in a heading.
VISTAS: dict[str, tuple[tuple[str, str], ...]] = {
    "sea": (
        ("on a rocky coast above the waves", "rocky coast"),
        ("on a wide beach where the tide runs out", "beach"),
        ("at the end of a wooden pier in the harbour", "harbour"),
        ("in a small boat on the open sea", "open sea"),
        ("on a cliff over the ocean, gulls turning below", "cliff"),
        ("in a quiet bay with a boat at anchor", "bay"),
    ),
    "city": (
        ("on a rooftop above the city", "rooftop"),
        ("in a narrow street of the old town", "old town street"),
        ("on a bridge over the city canal", "bridge"),
        ("in front of the skyline across the river", "riverside"),
        ("in a crowded downtown street under skyscrapers", "downtown"),
        ("at a small station at the edge of the city", "station"),
    ),
    "forest": (
        ("on a path in a deep forest", "forest path"),
        ("in a clearing among old trees", "clearing"),
        ("by a brook in the mossy forest", "forest brook"),
        ("at a cottage where the forest begins", "cottage"),
        ("under a giant oak tree in the forest", "giant oak"),
        ("at the edge of the pine forest below the mountains", "pine edge"),
    ),
    "mountains": (
        ("on a ridge between mountain peaks", "mountain ridge"),
        ("in a valley below the mountains", "valley"),
        ("at a hut high in the mountains", "mountain hut"),
        ("by a mountain lake under the summit", "mountain lake"),
        ("in a narrow gorge beneath the cliffs", "gorge"),
        ("on the summit above the clouds", "summit"),
    ),
    "desert": (
        ("on the crest of a dune in the desert", "dune"),
        ("at an oasis in the desert", "oasis"),
        ("among half-buried ruins in the desert", "desert ruins"),
        ("on the long desert plain", "desert plain"),
        ("in front of the pyramids of sand and stone", "pyramids"),
        ("beneath a red desert cliff", "red cliff"),
    ),
    "space": (
        ("aboard a spaceship in front of a bright nebula", "spaceship"),
        ("in orbit above a ringed planet", "orbit"),
        ("on the surface of a pale planet under two moons", "planet surface"),
        ("at the window of a station among the stars", "space station"),
        ("beside a rocket on the launch field under the galaxy", "launch field"),
        ("in the dark between the asteroids in space", "asteroid field"),
    ),
    "lake": (
        ("on the shore of a still lake", "lake shore"),
        ("on a footbridge over the river", "footbridge"),
        ("in a rowing boat on the lake", "lake"),
        ("at a house by the water", "house by the water"),
        ("under a willow tree at the river bend", "river bend"),
        ("on a jetty with the hills reflected in the lake", "jetty"),
    ),
    "hills": (
        ("on a hill above the village", "hill"),
        ("in a meadow full of flowers", "meadow"),
        ("at the door of an old house in the countryside", "old house"),
        ("on a country road between the fields", "country road"),
        ("by a lone tree on the hill", "lone tree"),
        ("in front of the mill at the edge of the village", "mill"),
    ),
    "underwater": (
        ("above a coral reef underwater", "coral reef"),
        ("at a shipwreck on the seabed underwater", "shipwreck"),
        ("in a blue underwater canyon", "underwater canyon"),
        ("among a school of fish underwater", "blue water"),
        ("in the deep sea where the light ends", "deep sea"),
        ("at a dome of glass on the sea floor underwater", "glass dome"),
    ),
}
PLACE_WORDS: dict[str, str] = {
    "underwater": "underwater|under the sea|deep sea|seabed|coral|reef|submarine|mermaid|diver",
    "space": (
        "space|planet|orbit|galax|star$|stars$|moon base|starship|asteroid|mars$|astronaut|rocket"
    ),
    "sea": (
        "sea$|ocean|coast|island|harbou?r|lighthouse|ship$|ships$|boat|beach|pirate|sailor"
        "|whale|wave|port$"
    ),
    "desert": "desert|dune|sahara|oasis|camel|pyramid",
    "city": (
        "city|robot|android|town|street|subway|metro|rooftop|apartment|office|bakery|cafe"
        "|museum|neon|taxi|library"
    ),
    "forest": "forest|wood$|woods$|jungle|tree$|trees$|fairy|elf$|elves$",
    "mountains": "mountain|peak|summit|alps|cliff|glacier|dragon|castle|monastery|valley",
    "lake": "lake|river|pond|canal|swamp|fjord",
    "hills": "farm|village|field|meadow|garden|hill|countryside|vineyard|orchard|barn",
}

#: When a scene plays: as a painter would be told, and for a heading.
LIGHTS: dict[str, tuple[tuple[str, str], ...]] = {
    "fresh": (("at dawn", "DAWN"), ("on a bright clear day", "DAY"), ("in the morning", "MORNING")),
    "turning": (("at dusk", "DUSK"), ("in the evening", "EVENING"), ("in thin fog", "DAY")),
    "open": (
        ("on a sunny day", "DAY"),
        ("in clear weather at noon", "DAY"),
        ("at sunrise", "SUNRISE"),
    ),
    "hard": (("in a storm", "STORM"), ("in thick fog", "FOG"), ("in driving rain", "RAIN")),
    "dark": (
        ("at night under the moon", "NIGHT"),
        ("after midnight", "NIGHT"),
        ("by starlight", "NIGHT"),
    ),
    "warm": (("at sunset", "SUNSET"), ("in golden evening light", "EVENING")),
}
LIGHTS_OF: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "space": {
        "fresh": (
            ("in the first light of a rising sun", "FIRST LIGHT"),
            ("in clear silver light", "DAY SHIFT"),
        ),
        "turning": (
            ("in the shadow of the planet", "ECLIPSE"),
            ("in pale starlight", "NIGHT SHIFT"),
        ),
        "open": (("under a river of stars", "DAY SHIFT"), ("in bright sunlight", "DAY SHIFT")),
        "hard": (("in a swarm of meteors", "ALARM"), ("in red emergency light", "ALARM")),
        "dark": (("in complete silence", "NIGHT SHIFT"), ("far from any sun", "NIGHT SHIFT")),
        "warm": (
            ("in the glow of the nebula", "DAY SHIFT"),
            ("as the sun comes round the planet", "FIRST LIGHT"),
        ),
    },
    "underwater": {
        "fresh": (("in bright blue light", "DAY"), ("in clear water", "DAY")),
        "turning": (("in green half-light", "DUSK"), ("where the light grows thin", "DUSK")),
        "open": (("in shafts of sunlight", "DAY"), ("in warm shallow water", "DAY")),
        "hard": (("in a strong current", "DAY"), ("in murky water", "DUSK")),
        "dark": (("in the deep dark", "NIGHT"), ("in the glow of jellyfish", "NIGHT")),
        "warm": (("in golden light from above", "SUNSET"), ("in soft turquoise light", "DAY")),
    },
}
#: The weather and the hour of words that name them otherwise: "in the snow", not "in the snowy".
LIGHT_NOUNS = {
    "foggy": "fog",
    "misty": "mist",
    "moon": "moonlight",
    "moonlit": "moonlight",
    "rainy": "rain",
    "snowy": "snow",
    "stormy": "storm",
}
LIGHT_WORDS = (
    "storm|thunder|rain|fog|mist|snow|winter|night|midnight|moon|dawn|sunrise|morning|sunset"
    "|evening|dusk|autumn|noon"
)
