"""The events of a scene, by its place in the story.

Braces are filled in: {Name}, {hero} ("the lighthouse keeper"), {a_hero}, {thing} ("the message"),
{a_thing}, {name_deed} ("Mara finds a message"), {friend}, {foe}, {the_place}, {feeling}, {end}, the
pronouns {she}, {her}, {his}, and the thing's: {it_is}, {it_obj}. With a capital: {Hero},
{The_thing}, {Friend}, {Foe}, {She}.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Beat:
    """One kind of scene.

    `first` and `second` are the narration's sentences; `poses` show the hero; `light` is one of
    LIGHTS.
    """

    titles: tuple[str, ...]
    light: str
    poses: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]


OPENING = Beat(
    ("Before", "An Ordinary Day", "Where It Begins", "The Usual Hour"),
    "fresh",
    ("standing alone", "looking out", "beginning the day's work"),
    (
        "Every day begins the same way for {Name}, {hero}.",
        "{Name} had been {a_hero} for as long as anyone could remember.",
        "Nobody gave much thought to {hero}, and that suited {Name}.",
        "This is the story of {Name}, {a_hero} who believed that nothing would ever change.",
    ),
    (
        "Then {name_deed}.",
        "Until the morning when {name_deed}.",
        "And on the last quiet day of the year, {name_deed}.",
    ),
    (("hero", "Same as yesterday. Same as tomorrow."), ("hero", "One more hour, and then home.")),
)
CALL = Beat(
    ("The Discovery", "Something New", "The First Sign", "What Was Waiting"),
    "turning",
    ("holding {thing}", "bending over {thing}", "looking at {thing}"),
    (
        "{The_thing} should not have been there, and yet {it_is} waiting.",
        "It was {a_thing}, plain as daylight, and nobody had lost it.",
        "{Name} turned {thing} over twice before believing in {it_obj}.",
        "There was no mistaking {thing}, and no explaining {it_obj}.",
    ),
    (
        "{Name} felt {feeling}, and did not look away.",
        "Whoever had left it knew exactly who would come.",
        "Somewhere out there was an answer, and it had a direction.",
    ),
    (("hero", "Who would leave this here?"), ("friend", "Whatever it is, it knows your name.")),
)
DOUBT = Beat(
    ("Second Thoughts", "The Warning", "Not Yet", "A Reason to Stay"),
    "turning",
    ("sitting in silence with {thing}", "waiting", "walking back and forth"),
    (
        "{Friend} said to leave {thing} alone, and {friend} was usually right.",
        "For three days {Name} did nothing at all, and slept badly.",
        "There were a hundred good reasons to forget {thing}.",
    ),
    (
        "But forgetting takes practice, and {Name} had none.",
        "On the fourth morning the bag was packed.",
        "{Name} listened to every one of them, and then reached for a coat.",
    ),
    (("friend", "You could still say no."), ("hero", "I have been saying no all my life.")),
)
DEPARTURE = Beat(
    ("Setting Out", "Past the Last Light", "The Way There", "Leaving"),
    "open",
    ("setting out", "walking with a bag over the shoulder", "travelling"),
    (
        "So {Name} went, with {thing} close at hand and no good plan.",
        "The way led further than any map ever had.",
        "Past the last familiar sign, {hero} began to hurry.",
    ),
    (
        "Behind {her}, home grew small and did not call after.",
        "With every mile the question grew heavier, and the heart lighter.",
        "It was the first time in years that {she} sang.",
    ),
    (("hero", "If I stop now, I will never start again."), ("friend", "Then do not stop.")),
)
FRIEND = Beat(
    ("A Stranger's Help", "Two of Us", "Company", "The One Who Knew"),
    "warm",
    ("meeting a stranger", "sharing bread with a stranger", "walking beside a traveller"),
    (
        "{Friend} appeared where the path divides, asking for nothing.",
        "It was {friend} who first understood what {thing} meant.",
        "Nobody had told {Name} about {friend}, which was the best thing about {friend}.",
    ),
    (
        "Two can carry a question more easily than one.",
        "They spoke little, and agreed on everything that mattered.",
        "Trust came slowly, and then all at once.",
    ),
    (
        ("friend", "I have seen one like it before. Once."),
        ("hero", "Then you know where it leads."),
    ),
)
TRIAL = Beat(
    ("The Storm Breaks", "What Stood in the Way", "No Way Round", "The Test"),
    "hard",
    ("struggling on", "holding on", "facing the wind"),
    (
        "But between {Name} and the truth stood {foe}.",
        "No one had spoken of {foe}; perhaps no one had come back to speak.",
        "Then came {foe}, and the world turned against them.",
    ),
    (
        "{Name} held on to {thing}, and to very little else.",
        "Every step forward had to be bought twice.",
        "{Hero} had never been so {feeling}, nor so sure.",
    ),
    (("friend", "We have to turn back!"), ("hero", "There is no back.")),
)
LOW = Beat(
    ("The Longest Night", "Lost", "Nothing Left", "The Dark Hour"),
    "dark",
    ("sitting alone", "kneeling", "standing beneath the empty sky"),
    (
        "That night {thing} was gone, and {friend} with it.",
        "For one whole night {Name} believed that it had all been for nothing.",
        "There is an hour in which even {hero} could give up. This was that hour.",
    ),
    (
        "And in the silence, something small refused to end.",
        "Only then did {she} see what had been there all along.",
        "The dark, it turned out, was full of directions.",
    ),
    (("hero", "I was wrong about everything."), ("hero", "No. Not everything.")),
)
TURN = Beat(
    ("The Answer", "Seeing Clearly", "What It Meant", "The Turning"),
    "fresh",
    ("lifting {thing} to the light", "running", "standing up"),
    (
        "And suddenly {thing} made sense: it had never been meant for keeping.",
        "The answer had been written on {thing} from the first day.",
        "{Name} laughed out loud, because it was so simple.",
    ),
    (
        "There was just enough time, if {she} was brave.",
        "All that was left was to do it.",
        "{Friend} understood without a word.",
    ),
    (
        ("hero", "It was never lost. It was waiting."),
        ("friend", "Then let us not keep it waiting."),
    ),
)
CLIMAX = Beat(
    ("Face to Face", "Everything at Once", "The Last Step", "Now"),
    "hard",
    ("raising {thing} high", "standing face to face with the unknown", "taking the last step"),
    (
        "Face to face with {foe}, {Name} did the one thing nobody expected.",
        "There, at the end of the way, {Name} let go of {thing}.",
        "{Foe} asked for a price, and {hero} named another.",
    ),
    (
        "For a moment everything held its breath.",
        "What had begun with {a_thing} ended with a choice.",
        "The world shook, and then it shifted.",
    ),
    (("hero", "This is what I came to say."), ("friend", "Look. It is working.")),
)
RETURN = Beat(
    ("Home", "After", "What Remains", "The New Morning"),
    "warm",
    ("standing in the quiet light", "walking home", "smiling at the horizon"),
    (
        "When {Name} came home, {the_place} was the same, and {hero} {was} not.",
        "To this day {the_place} speaks of {Name}, {hero}.",
        "Today anyone may see {thing}, and hear the story from {Name}.",
    ),
    ("{end}",),
    (("friend", "Would you do it again?"), ("hero", "Ask me tomorrow.")),
)

ARC = (OPENING, CALL, DOUBT, DEPARTURE, FRIEND, TRIAL, LOW, TURN, CLIMAX, RETURN)
#: Which beats a story of so many scenes has; a longer one repeats the middle with other words.
CHOSEN: dict[int, tuple[int, ...]] = {
    1: (0,),
    2: (0, 9),
    3: (0, 5, 9),
    4: (0, 1, 5, 9),
    5: (0, 1, 5, 8, 9),
    6: (0, 1, 3, 5, 8, 9),
    7: (0, 1, 3, 5, 6, 8, 9),
    8: (0, 1, 3, 4, 5, 6, 8, 9),
    9: (0, 1, 2, 3, 4, 5, 6, 8, 9),
    10: (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
}


def choose_beats(count: int) -> list[Beat]:
    """The beats of a story of `count` scenes, in order."""
    chosen = list(CHOSEN[min(count, 10)])
    middle = [3, 4, 5]
    while len(chosen) < count:
        chosen.append(middle[len(chosen) % 3])
    return [ARC[index] for index in sorted(chosen)]
