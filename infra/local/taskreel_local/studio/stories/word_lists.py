"""The words of the studio's stories and worlds."""

from __future__ import annotations

from dataclasses import dataclass


def _split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHE, HE = ("she", "her", "her"), ("he", "him", "his")
NAMES = {
    SHE: (
        "Mara",
        "Ines",
        "Nadia",
        "Wren",
        "Juno",
        "Alma",
        "Thea",
        "Soraya",
        "Greta",
        "Noor",
        "Lena",
        "Odile",
    ),
    HE: (
        "Elias",
        "Tomas",
        "Oren",
        "Anton",
        "Idris",
        "Rafe",
        "Mikko",
        "Jonah",
        "Silas",
        "Bram",
        "Caspar",
        "Ravi",
    ),
}
HER_WORDS = _split_words(
    "woman girl queen princess mother grandmother daughter sister witch widow aunt lady "
    "actress nun bride"
)
HIS_WORDS = _split_words(
    "man boy king prince father grandfather son brother wizard uncle monk groom fisherman"
)

AGENTS = _split_words(
    "astronaut pilot robot android cat dog fox wolf bear whale dragon ghost child kid boy girl "
    "man woman king queen prince princess knight wizard witch monk thief detective sailor "
    "captain pirate fisherman chef cook scientist doctor nurse student hero heroine soldier "
    "samurai cowboy alien mermaid giant elf dwarf fairy vampire zombie orphan twin friend "
    "family couple mother father grandmother grandfather sister brother daughter son stranger "
    "bird owl crow rabbit mouse elephant lion tiger horse turtle penguin bee ant spider snail "
    "squirrel goblin troll nomad monkey ape gorilla guard spy poet musician violinist pianist "
    "botanist mechanic apprentice nun librarian smith queen explorer keeper wanderer villager "
    "tailor clown ninja angel demon god goddess snowman unicorn children people men women"
)
AGENT_ENDINGS = ("er", "or", "ist", "ian", "man", "woman", "eer", "smith", "wright", "herd", "naut")
NOT_AGENTS = _split_words(
    "water river tower flower winter summer weather power matter paper letter number corner "
    "border harbor harbour theater theatre center silver copper feather leather thunder wonder "
    "door floor color mirror error motor future shower chapter monster danger anger desert "
    "order murder computer glacier crater answer dinner laser razor forever fever flavor honor "
    "horror humor labor tractor sensor elevator escalator generator reactor meteor mayor"
) - {"mayor", "monster"}

VERBS = _split_words(
    "find discover meet lose build save steal chase follow seek search travel learn teach "
    "fight face fall grow hear see watch open close send receive write read paint draw play "
    "sing dance cook bake eat drink plant raise rescue help hunt hide escape return leave "
    "reach cross climb sail fly dive swim walk run drive ride wait want need love hate "
    "remember forget dream wake sleep become turn make take give bring carry keep break fix "
    "repair mend invent solve uncover befriend betray protect guard defend attack conquer "
    "explore enter survive win try decide refuse promise inherit buy sell catch trap free heal "
    "visit live work wander dig cut burn drown crash land launch awaken summon speak talk "
    "whisper tell ask answer call sign count collect deliver trade hold look listen arrive "
    "begin start stop end finish change switch stumble race compete challenge defeat destroy "
    "create discover haunt hatch adopt mourn unlock decode translate photograph film map sew "
    "knit weave forge tame train share remembers bury swallow plan plot marry divorce raise "
    "pack ship feed nurse befriends go come get put set stand sit"
)
#: Verbs that are things as well, which a story can be about: not all of a prompt's are deeds.
THINGS_TO_DO = _split_words("dream film land map photograph plant race ship trap train web")
#: What a bare verb follows: `must repair`, `learns to paint`.
MODALS = _split_words("can could may might must shall should to will would")
#: Plurals that do not end in s.
IRREGULAR_PLURALS = _split_words("children people men women mice geese sheep fish")
BEING = _split_words("am are be is was were")
DETERMINERS = _split_words(
    "a an the his her their its my our your this that these those some any every"
)
NUMBERS = _split_words("one two three four five six seven eight nine ten several many")
PREPOSITIONS = _split_words(
    "in on at by near under over inside beneath beyond across through between among behind "
    "above below during after before with without from into onto to for about against along "
    "around towards toward within aboard amid until who that which when where while because as "
    "but and or of"
)
#: Little words of other languages that no English sentence has.
FOREIGN_WORDS = _split_words(
    "der das ein eine einen einem einer eines und ist mit im zwei drei dem zu nicht von für "
    "auf aus wird sich les une des du et est dans avec sur aux qui sa leur dans cherche il "
    "elle los las una un por que del el su y es está gli di che della nel alla uno sono cerca "
    "um uma com ao pelo não het een voor zijn och ett att det som på är jag og til w z jest "
    "się nie jego"
)
STOP_WORDS = (
    DETERMINERS
    | NUMBERS
    | PREPOSITIONS
    | _split_words("is are was were be been being has have had it")
)


@dataclass(frozen=True, slots=True)
class Genre:
    """The traits of a kind of story. `home` is its place when the prompt names none."""

    words: str
    home: str
    look: str
    feelings: tuple[str, ...]
    foes: tuple[str, ...]
    things: tuple[str, ...]
    ends: tuple[str, ...]
    music: str


GENRES: dict[str, Genre] = {
    "drama": Genre(
        "drama|grief|family|memory|loss|widow",
        "hills",
        "natural colours, quiet wide shot",
        ("uneasy", "tired", "torn", "strangely calm"),
        (
            "an old promise",
            "the silence of the town",
            "a debt that was never spoken of",
            "the truth about the past",
        ),
        ("an unsent letter", "a photograph with one face cut out", "a key to a house long sold"),
        (
            "Nothing had been repaired, and yet it held.",
            "It was not forgiveness, but it was a beginning.",
            "Some doors stay open once they have been opened.",
        ),
        "tender drama",
    ),
    "fantasy": Genre(
        "fantas|magic|dragon|wizard|witch|elf|elves|fairy|spell|enchant|kingdom|unicorn"
        "|knight|quest",
        "forest",
        "painterly fantasy, rich colours",
        ("wide awake", "spellbound", "bold", "small beneath the old trees"),
        (
            "a king made of thorns",
            "the sleepless tower",
            "a bargain older than the mountains",
            "the winter court",
        ),
        ("a map that redraws itself", "a seed that hums", "a sword nobody can lift"),
        (
            "And the old magic, satisfied, went back to sleep.",
            "The songs would tell it larger, but never truer.",
            "From that day the forest kept one path open.",
        ),
        "fantasy wonder",
    ),
    "sci-fi": Genre(
        "sci-fi|science fiction|scifi|robot|android|space|planet|mars|alien|cyber|future"
        "|starship|galax|astronaut",
        "space",
        "clean science-fiction design, sharp detail",
        ("curious", "off course", "unsure what counted as alive", "very far from home"),
        (
            "a machine that had stopped asking",
            "the quiet between two stars",
            "a command no one remembered giving",
        ),
        (
            "a signal that answers itself",
            "a black box without a maker",
            "a seed bank sealed a century ago",
        ),
        (
            "Out there, someone was already answering.",
            "The log for that day has a single line: we stayed.",
            "The stars had not moved. Everything else had.",
        ),
        "space ambient future",
    ),
    "horror": Genre(
        "horror|ghost|haunt|demon|zombie|vampire|nightmare|curse|terror|creepy",
        "forest",
        "deep shadows, uneasy framing",
        ("watched", "cold to the bone", "certain of the footsteps", "afraid to blink"),
        (
            "the thing behind the wall",
            "a voice that knew every name",
            "whatever had kept the house so clean",
        ),
        (
            "a music box that winds itself",
            "a door that was not there yesterday",
            "a diary in one's own hand",
        ),
        (
            "In the morning the house was empty. It had always been empty.",
            "The knocking has not stopped since.",
            "They say it learned how to smile.",
        ),
        "dark horror",
    ),
    "comedy": Genre(
        "comed|funny|joke|clumsy|silly|hilarious|prank|slapstick",
        "city",
        "bright playful colours",
        ("overconfident", "two steps behind", "heroically late", "magnificently wrong"),
        (
            "a committee",
            "the neighbour with the leaf blower",
            "a goose with opinions",
            "the fine print",
        ),
        (
            "a suitcase full of the wrong things",
            "an invitation meant for somebody else",
            "a very small trophy",
        ),
        (
            "The goose was given a medal.",
            "Nobody ever asked about the piano again.",
            "It was, everyone agreed, almost exactly according to plan.",
        ),
        "happy playful comedy",
    ),
    "romance": Genre(
        "romance|love|wedding|kiss|heart|valentine|couple",
        "lake",
        "soft glowing colours",
        (
            "breathless",
            "tongue-tied",
            "hopeful in spite of everything",
            "homesick for someone still near",
        ),
        (
            "the last train",
            "a promise made to someone else",
            "pride, mostly",
            "an ocean and eleven hours",
        ),
        ("a letter read too late", "a borrowed umbrella", "a song only two people know"),
        (
            "They missed the train. It was the best decision of their lives.",
            "And neither of them let go.",
            "Years later they would argue about who spoke first.",
        ),
        "romance love",
    ),
    "adventure": Genre(
        "adventure|treasure|pirate|expedition|jungle|explor|journey|voyage|race",
        "mountains",
        "sweeping landscape, bold colours",
        (
            "restless",
            "fearless for once",
            "hungry for the horizon",
            "out of rope and out of reasons",
        ),
        (
            "a rival with a faster ship",
            "the pass nobody had crossed",
            "a river that ran the wrong way",
        ),
        ("a compass that points to one person", "torn treasure map", "a coin from a drowned city"),
        (
            "The treasure was smaller than the story, and worth less.",
            "Every map has an edge. This one had a beginning.",
            "By nightfall the next route was already drawn.",
        ),
        "epic adventure",
    ),
    "thriller": Genre(
        "thriller|crime|murder|detective|spy|heist|noir|conspir|assassin|steal",
        "city",
        "hard contrast, rain-slick streets",
        ("followed", "one move behind", "out of favours", "too calm to be safe"),
        (
            "the man in the grey car",
            "a name that opened every door",
            "someone inside the department",
        ),
        (
            "a phone that rings once a day",
            "a ledger with a missing page",
            "a photograph taken from too close",
        ),
        (
            "The file was closed. The case was not.",
            "Only one of them had been telling the truth.",
            "In the end it was the smallest lie that held.",
        ),
        "noir thriller",
    ),
    "documentary": Genre(
        "documentary|history of|science of|nature|wildlife|how .* works",
        "hills",
        "natural light, documentary framing",
        ("patient", "attentive", "used to waiting", "grateful for small signs"),
        ("a season that came too early", "time", "the numbers, which kept falling"),
        ("forty years of notebooks", "a single surviving specimen", "a tape recorded in 1961"),
        (
            "What happens next is, for once, up to us.",
            "The record continues.",
            "Someone has to look. Someone did.",
        ),
        "documentary nature",
    ),
    "children": Genre(
        "children|kids|bedtime|fable|puppy|kitten|bunny|teddy",
        "hills",
        "storybook colours, gentle light",
        ("brave as a button", "full of questions", "a little bit lost", "far too excited to sleep"),
        ("a grumbly cloud", "the very tall hill", "a shadow that only wanted a friend"),
        (
            "a star that fell asleep",
            "a box with something ticking inside",
            "a kite with a mind of its own",
        ),
        (
            "And they were home in time for supper.",
            "Good night, said the moon. Good night.",
            "The cloud still comes to visit, every other Tuesday.",
        ),
        "happy children",
    ),
}

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
