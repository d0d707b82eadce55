"""The codes of languages that providers name in other ways."""

from __future__ import annotations

#: Whisper's name of a language, its code by ISO 639-1, and by ISO 639-3.
_LANGUAGES = """
    afrikaans af afr
    arabic ar ara
    armenian hy hye
    azerbaijani az aze
    belarusian be bel
    bengali bn ben
    bosnian bs bos
    bulgarian bg bul
    catalan ca cat
    chinese zh zho
    croatian hr hrv
    czech cs ces
    danish da dan
    dutch nl nld
    english en eng
    estonian et est
    finnish fi fin
    french fr fra
    galician gl glg
    georgian ka kat
    german de deu
    greek el ell
    gujarati gu guj
    hebrew he heb
    hindi hi hin
    hungarian hu hun
    icelandic is isl
    indonesian id ind
    italian it ita
    japanese ja jpn
    kannada kn kan
    kazakh kk kaz
    korean ko kor
    latvian lv lav
    lithuanian lt lit
    macedonian mk mkd
    malay ms msa
    malayalam ml mal
    marathi mr mar
    maori mi mri
    nepali ne nep
    norwegian no nor
    persian fa fas
    polish pl pol
    portuguese pt por
    punjabi pa pan
    romanian ro ron
    russian ru rus
    serbian sr srp
    slovak sk slk
    slovenian sl slv
    spanish es spa
    swahili sw swa
    swedish sv swe
    tagalog tl tgl
    tamil ta tam
    telugu te tel
    thai th tha
    turkish tr tur
    ukrainian uk ukr
    urdu ur urd
    vietnamese vi vie
    welsh cy cym
"""
_CODES = {
    word: code
    for name, code, long_code in map(str.split, _LANGUAGES.strip().splitlines())
    for word in (name, long_code)
}


def find_language_code(name: str) -> str:
    """The ISO 639-1 code of `english` or `eng`; any other word unchanged, in lower case."""
    word = name.lower()
    return _CODES.get(word, word)
