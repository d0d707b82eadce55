"""German, French, Spanish, Polish, Portuguese and Italian words for what can be drawn.

A prompt in one of these languages is read as the English words of its nouns and colours. Words of
five letters and more also match as beginnings, so that endings and compounds are understood.
"""

from __future__ import annotations

import re
import unicodedata


def _split_words(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: English words: `de|fr|es|pl|pt|it`, each with its alternatives.
_TABLE = """
lighthouse: leuchtturm|phare|faro|latarnia morska latarnik latarni|farol farois|faro fari
boat: boot boote schiff segel segelboot|bateau voilier navire|barco barcos velero barca|łódź \
łodzi statek statku żaglówka żagl|barco barcos navio veleiro|barca barche nave navi
castle: burg schloss|château|castillo|zamek zamku zamki|castelo|castello castelli
house: haus häuser hütte dorf|maison cabane village|casa casas cabaña aldea pueblo|dom domu \
domek wioska wieś|casa casas cabana aldeia|casa case capanna villaggio
windmill: windmühle mühle|moulin|molino|wiatrak|moinho|mulino
bridge: brücke|pont ponts|puente|most mostu mosty|ponte pontes|ponte ponti
pyramid: pyramide|pyramide|pirámide|piramid|pirâmide|piramide piramidi
rocket: rakete raumschiff|fusée vaisseau|cohete nave espacial|rakieta rakiety statek \
kosmiczny|foguete espaçonave|razzo razzi astronave
planet: planet|planète|planeta|planeta planet|planeta|pianeta
balloon: ballon ballons heißluft|montgolfière|globo globos|balon balony|balão \
balões|mongolfiera
cat: katze katzen kater kätzchen|chat chats chatte chaton|gato gatos gata gatito|kot kota koty \
kotek|gato gatos gata gatinho|gatto gatti gatta gattino
fox: fuchs füchse|renard|zorro|lis lisa lisy|raposa|volpe volpi
dog: hund hunde hündin|chien chiens|perro perros|pies psa psy|cachorro cão cães|cane cani
wolf: wolf wölfe|loup loups|lobo lobos|wilk wilki wilka|lobo lobos|lupo lupi
whale: wal wale delfin|baleine dauphin|ballena delfín|wieloryb delfin|baleia golfinho|balena \
delfino
fish: fisch fische|poisson|pez peces|ryba ryby|peixe peixes|pesce pesci
robot: roboter|robot robots|robot robots|robot robota roboty|robô robôs|robot
astronaut: astronaut kosmonaut|astronaute cosmonaute|astronauta|astronaut \
kosmonaut|astronauta|astronauta
baker: bäcker koch köchin|boulanger pâtissier cuisinier|panadero cocinero|piekarz \
kucharz|padeiro cozinheiro|fornaio panettiere cuoco pasticcer
oven: ofen backofen|four fours fourneau|horno hornos|piec pieca piekarnik|forno fornos|forno \
forni
horse: pferd pferde einhorn|cheval chevaux licorne|caballo unicornio|koń konia konie \
jednorożec|cavalo unicórnio|cavallo cavalli unicorno
dragon: drache drachens|dragon dragons|dragón dragones|smok smoka smoki|dragão dragões|drago \
draghi
kite: papierdrachen lenkdrachen|cerf-volant|cometa cometas|latawiec latawce|pipa pipas \
papagaio|aquilone aquiloni
car: auto autos wagen sportwagen|voiture voitures|coche coches auto|samochód samochody \
auto|carro carros|macchina auto automobile
train: zug züge lokomotive eisenbahn dampflok|train trains locomotive|tren trenes \
locomotora|pociąg pociągi lokomotywa|trem trens comboio|treno treni locomotiva
ball: ball bälle fußball|balle balles balle|pelota pelotas balón|piłka piłki piłką|bola \
bolas|palla palle pallone
bird: vogel eule adler|oiseau hibou aigle|pájaro búho águila|ptak ptaka sowa orzeł|pássaro \
coruja águia|uccello gufo aquila
birds: vögel|oiseaux|pájaros aves|ptaki|pássaros|uccelli
woman: frau mädchen königin hexe|femme fille reine sorcière|mujer niña reina bruja|kobieta \
dziewczyn królowa|mulher menina rainha|donna ragazza regina strega
man: mann junge könig ritter wanderer|homme garçon chevalier|hombre niño rey \
caballero|mężczyzna chłopiec król rycerz|homem menino cavaleiro|uomo ragazzo re cavaliere
child: kind kinder|enfant|niños|dziecko dzieci|criança|bambino bambina bambini
tree: baum bäume eiche|arbre arbres chêne|árbol árboles|drzewo drzewa|árvore|albero alberi \
quercia
flower: blume blumen blüte|fleur fleurs|flor flores|kwiat kwiaty|flor flores|fiore fiori
lantern: laterne|lanterne bougie|linterna farol|latarenka świeca|lanterna vela|lanterna \
candela
bottle: flasche|bouteille|botella|butelka butelk|garrafa|bottiglia
city: stadt städte straße|ville villes rue|ciudad calle|miasto miasta mieście ulica|cidade \
rua|città strada
sea: meer ozean küste strand insel welle|mer océan plage île vague côte|mar océano playa isla \
ola|morze morza ocean plaża wyspa|mar oceano praia ilha onda|mare oceano spiaggia isola onda
lake: see fluss teich|lac rivière fleuve étang|lago río|jezioro rzeka|lago rio|lago fiume
mountain: berg berge gebirge alpen|montagne montagnes|montaña|góra góry \
górach|montanha|montagna montagne
desert: wüste düne|désert dune|desierto duna|pustynia pustyni|deserto duna|deserto duna
forest: wald wälder|forêt|bosque selva|las lasu lesie|floresta|foresta bosco
meadow: wiese feld hügel|prairie champ colline|prado campo colina|łąka pole wzgórze|prado \
campo colina|prato campo collina
garden: garten gärten|jardin|jardín|ogród ogrodzie|jardim|giardino
space: weltraum weltall|espace|espacio|kosmos kosmosie|espaço|spazio
underwater: unterwasser korallen|sous-marin corail|submarino coral|podwodny koral|subaquático \
coral|subacqueo corallo
kitchen: küche bäckerei|cuisine boulangerie|cocina panadería|kuchnia kuchni piekarnia|cozinha \
padaria|cucina panetteria
volcano: vulkan|volcan|volcán|wulkan|vulcão|vulcano
storm: sturm gewitter|tempête orage|tormenta tempestad|burza burzy sztorm|tempestade|tempesta
rain: regen|pluie|lluvia|deszcz|chuva|pioggia
snow: schnee winter|neige hiver|nieve invierno|śnieg zima|neve inverno|neve inverno
fog: nebel|brouillard brume|niebla|mgła mgle|nevoeiro névoa|nebbia
fire: feuer flamme|feu flammes|fuego llamas|ogień płomień|fogo chamas|fuoco fiamme
sunset: sonnenuntergang abend|coucher crépuscule soir|atardecer ocaso|zachód zachodzie|pôr \
entardecer|tramonto sera
dawn: morgen sonnenaufgang|aube aurore matin|amanecer alba|świt poranek|amanhecer aurora|alba \
mattina
night: nacht nachts|nuit|noche|noc nocy nocą|noite|notte
moon: mond|lune|luna|księżyc|lua|luna
sun: sonne|soleil|sol|słońce|sol|sole
stars: sterne stern|étoile étoiles|estrella estrellas|gwiazda gwiazdy|estrela estrelas|stella \
stelle
rainbow: regenbogen|arc-en-ciel|arcoíris|tęcza|arco-íris|arcobaleno
autumn: herbst|automne|otoño|jesień|outono|autunno
spring: frühling|printemps|primavera|wiosna|primavera|primavera
red: rot rote roter rotes roten|rouge rouges|rojo roja rojos rojas|czerwony czerwona|vermelho \
vermelha|rosso rossa rossi rosse
blue: blau blaue blauer blaues blauen|bleu bleue bleus|azul azules|niebieski niebieska|azul \
azuis|blu azzurro azzurra
green: grün grüne grüner grünes|vert verte verts|verde verdes|zielony zielona|verde \
verdes|verde verdi
yellow: gelb gelbe gelber gelbes|jaune jaunes|amarillo amarilla|żółty żółta|amarelo \
amarela|giallo gialla
white: weiß weiße weißer weißes|blanc blanche|blanco blanca|biały biała|branco branca|bianco \
bianca
black: schwarz schwarze schwarzer|noir noire|negro negra|czarny czarna|preto preta|nero nera
golden: golden goldene|doré dorée|dorado dorada|złoty złota|dourado dourada|dorato dorata
pink: rosa rosafarben|rose rosé|rosado rosada|różowy różowa|rosa|rosa
purple: lila violett|violet violette|morado morada|fioletowy|roxo roxa|viola
orange: orangefarben|orange|naranja|pomarańczowy|laranja|arancione
grey: grau graue grauer|gris grise|gris|szary szara|cinza|grigio grigia
"""
_FUNCTION_WORDS = (
    "der die das ein eine einen einem einer und mit im auf am über unter durch ist den dem",
    "le la les un une des du et dans avec sur sous au aux qui est par",
    "el la los las un una y con en del sobre bajo al por",
    "w na z i nad pod przez o się jest we ze do",
    "o a os as um uma e com no na do da sobre ao em",
    "il lo la i gli le un una uno e con nel nella sul sulla del della di al",
)
#: French, Spanish, Portuguese and Italian, by their columns.
_COLOUR_LAST = (1, 2, 4, 5)
_ENGLISH = _split_words("the an of with and at by over under from to on through is are")
#: Words that are English as well: alone they do not show that a prompt is foreign.
_BOTH = _split_words(
    "chat pies most cane sole mare bald kind see rot boot dom las main four ball star robot "
    "rose train orange violet globe golden auto wolf dragon real casa lago re nave case note "
    "do no i a as planet space winter prairie die pole pole lis wale son zug pipa rosa luna "
    "mar sol ocean oceano village lanterne astronaut aurora viola koch most garden villa pont "
    "lila"
)
_EXACT_LETTERS = 5  # shorter words match only whole
_WORD = re.compile(r"[\w-]+")


def translate_prompt(prompt: str) -> str:
    """The prompt followed by the English of its words, if it is in one of the six languages."""
    words = [_fold_accents(word) for word in _WORD.findall(prompt.lower())]
    if not words or _ENGLISH.intersection(words):
        return prompt
    found = [(_count_signs(words, number), number) for number in range(len(_FUNCTION_WORDS))]
    signs, language = max(found, key=lambda pair: (pair[0], -pair[1]))
    if not signs:
        return prompt
    english = [_VOCABULARY[language](word) for word in words]
    if language in _COLOUR_LAST:
        english = _move_colours_first(english)
    return f"{prompt} . {' '.join(filter(None, english))}"


def _count_signs(words: list[str], language: int) -> int:
    functions = _FUNCTIONS[language]
    marks = [word for word in words if word in functions or _VOCABULARY[language](word)]
    return len(marks) if set(marks) - _BOTH else 0


def _move_colours_first(words: list[str]) -> list[str]:
    """Each colour before the noun that it follows: "gato negro" becomes "black cat"."""
    placed: list[str] = []
    for word in filter(None, words):
        if word in _COLOURS and placed and placed[-1] not in _COLOURS:
            placed.insert(len(placed) - 1, word)
        else:
            placed.append(word)
    return placed


def _fold_accents(word: str) -> str:
    plain = word.replace("ß", "ss").replace("ł", "l")
    return "".join(
        letter
        for letter in unicodedata.normalize("NFD", plain)
        if not unicodedata.combining(letter)
    )


class _Vocabulary:
    """The words of one language and their English."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._beginnings = sorted(
            (word for word in words if len(word) >= _EXACT_LETTERS), key=len, reverse=True
        )

    def __call__(self, word: str) -> str:
        """The English of a word; empty for an unknown one."""
        if word in self._words:
            return self._words[word]
        found = next((start for start in self._beginnings if word.startswith(start)), "")
        return self._words.get(found, "")


def _read_table() -> tuple[_Vocabulary, ...]:
    languages: tuple[dict[str, str], ...] = tuple({} for _ in _FUNCTION_WORDS)
    for row in _TABLE.strip().splitlines():
        english, _, columns = row.partition(":")
        for words, column in zip(languages, columns.split("|"), strict=True):
            for word in column.split():
                words.setdefault(_fold_accents(word), english)
    return tuple(_Vocabulary(words) for words in languages)


_VOCABULARY = _read_table()
_FUNCTIONS = tuple(frozenset(map(_fold_accents, row.split())) for row in _FUNCTION_WORDS)
_COLOURS = _split_words("red blue green yellow white black golden pink purple orange grey")
