"""The English words by which prompts are parsed: people, verbs, determiners and so on."""

from __future__ import annotations


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
