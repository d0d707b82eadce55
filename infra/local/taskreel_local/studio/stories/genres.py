"""The kinds of story: their places, feelings, foes, things and ends."""

from __future__ import annotations

from dataclasses import dataclass


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
