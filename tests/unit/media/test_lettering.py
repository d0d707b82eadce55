"""Words on pictures: every European language is drawn, and what cannot be is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bidi import get_display
from hypothesis import given
from hypothesis import strategies as st

from taskreel.media import fonts
from taskreel.media.compose import compose_film
from taskreel.media.directions import Direction, find_levels, reorder_levels
from taskreel.media.draw_text import Face
from taskreel.media.fonts import FontFile, find_undrawable, load_font, remove_undrawable
from taskreel.media.overlay import draw_caption, draw_title, schedule_captions
from taskreel.media.phrases import balance_lines, split_phrases
from taskreel.media.scenes import FilmOptions, Scene
from taskreel.media.text_runs import split_runs

SAMPLES = {
    "Bosnian, Croatian": "Gojazni đačić s biciklom drži hmelj i finu vatu u džepu nošnje",
    "Bulgarian": "Ах чудна българска земьо, полюшвай цъфтящи жита",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Danish": "Quizdeltagerne spiste jordbær med fløde, "
    "mens cirkusklovnen Walther spillede på xylofon. Å!",
    "French": "Dès Noël où un zéphyr haï me vêt de glaçons würmiens, "
    "je dîne d’exquis rôtis de bœuf. Ÿ",
    "German": "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg – „so“, für 5 €. ẞ",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ΐ ΰ ώ",
    "Hungarian": "Árvíztűrő tükörfúrógép",
    "Icelandic": "Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa",
    "Irish": "Ċuaiġ bé ṁórṡáċ le dlúṫspád fíorḟinn",
    "Latvian": "Glāžšķūņa rūķīši dzērumā čiepj Baha koncertflīģeļu vākus",
    "Lithuanian": "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą",
    "Macedonian": "Ѕидарски пејзаж: шугав билмез со чудење ги држи ѓ и ќ",
    "Maltese": "Għandek ħafna żmien ċar ġdid",
    "Polish": "Pchnąć w tę łódź jeża lub ośm skrzyń fig",
    "Portuguese": "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim: ações, informações",
    "Romanian": "Gheorghe a reușit să obțină jucându-se un flux în Quebec",
    "Russian": "Съешь же ещё этих мягких французских булок, да выпей чаю № 5",
    "Sami": "Vuol Ruoŧa geđggiid leat máŋga luosa ja čuovžža",
    "Serbian": "Љубазни фењерџија чађавог лица хоће да ми покаже штос",
    "Spanish": "¿Quién? ¡El pingüino Wenceslao hizo kilómetros!",
    "Swedish": "Flygande bäckasiner söka hwila på mjuka tuvor",
    "Turkish": "Pijamalı hasta yağız şoföre çabucak güvendi. İı",
    "Ukrainian": "Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів!",
    "Welsh": "Parciais fy jac codi baw hud llawn dŵr ger tŷ Mabon. Ŵ ŷ",
    "signs": "“a” ‘b’ ‹c› «d» … — – • × ÷ ± ° £ ¥ € ¢ © ® ™ § ¶ † ½ → ← − ≤ ≥ ≠ ≈ ∞ ‰ ′ ″ ₂ ²",
}


@pytest.mark.parametrize("language", SAMPLES)
def test_our_own_face_draws_every_european_language(language: str) -> None:
    face = load_font(32, fonts.OWN)
    box = bytes(face.getmask("\U0010ffff"))
    assert {run.font for run in split_runs(SAMPLES[language], "ltr")} == {fonts.OWN}
    assert [letter for letter in SAMPLES[language] if bytes(face.getmask(letter)) == box] == []


def test_an_accent_that_stands_apart_is_joined_to_its_letter() -> None:
    assert remove_undrawable("Cafe\N{COMBINING ACUTE ACCENT}") == "Café"


@pytest.fixture(autouse=True)
def forget_which_face_was_best() -> Iterator[None]:
    yield
    for known in (
        fonts._find_font,
        split_runs,
        fonts._has_glyph,
        fonts._list_package_fonts,
        fonts._list_system_fonts,
    ):
        known.cache_clear()


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", ())


#: Scripts beyond Europe's, and the font that draws them, with its place in a collection.
SCRIPTS = {
    "Arabic": ("وجد حارس المنارة رسالة", "NotoSansArabic", 0),
    "Bengali": ("বাতিঘরের রক্ষক", "NotoSansBengali", 0),
    "Hebrew": ("שומר המגדלור מצא הודעה", "NotoSansHebrew", 0),
    "Hindi": ("प्रकाशस्तंभ के रखवाले को एक संदेश मिला", "NotoSansDevanagari", 0),
    "Tamil": ("கலங்கரை விளக்கக் காவலர்", "NotoSansTamil", 0),
    "Thai": ("ผู้ดูแลประภาคารพบข้อความ", "NotoSansThai", 0),
    "Japanese": ("灯台守は瓶の中に手紙を見つけた。", "NotoSansCJK", 0),
    "Korean": ("등대지기는 편지를 발견했다.", "NotoSansCJK", 1),
    "Chinese": ("灯塔看守人发现了一个瓶子。", "NotoSansCJK", 2),
    "emoji": ("🚀👩‍🚀👍🏽🇵🇱❤️", "NotoEmoji", 0),
}


@pytest.mark.parametrize("language", SCRIPTS)
def test_fonts_that_come_with_us_draw_other_scripts(language: str, no_system_fonts: None) -> None:
    del no_system_fonts
    text, name, place = SCRIPTS[language]
    assert find_undrawable([text]) == ""
    others = {run.font for run in split_runs(text, "ltr")} - {fonts.OWN}
    assert {(font.path.stem[: len(name)], font.place) for font in others} == {(name, place)}


def name_runs(text: str, direction: Direction = "ltr") -> list[tuple[str, str, str]]:
    return [
        (run.text, run.font.path.stem.removesuffix("[wght]"), run.direction)
        for run in split_runs(text, direction)
    ]


def test_each_part_of_a_line_has_the_font_of_its_script(no_system_fonts: None) -> None:
    del no_system_fonts
    assert name_runs("It says 灯塔, नमस्ते! 🚀 Go") == [
        ("It says ", "SourceSans3", "ltr"),
        ("灯塔, ", "NotoSansCJK-Regular", "ltr"),
        ("नमस्ते! ", "NotoSansDevanagari", "ltr"),
        ("🚀", "NotoEmoji", "ltr"),
        (" ", "NotoSansDevanagari", "ltr"),
        ("Go", "SourceSans3", "ltr"),
    ]


def test_parts_of_both_directions_stand_in_the_order_in_which_they_are_seen(
    no_system_fonts: None,
) -> None:
    del no_system_fonts
    assert name_runs("say שלום to 12 עץ") == [
        ("say ", "SourceSans3", "ltr"),
        ("שלום", "NotoSansHebrew", "rtl"),
        (" ", "NotoSansHebrew", "ltr"),
        ("to 12 ", "SourceSans3", "ltr"),
        ("עץ", "NotoSansHebrew", "rtl"),
    ]
    assert [text for text, _, _ in name_runs("עץ 12 (ok)", "rtl")][-1] == "עץ "


MIXED = st.text("ab אבגمع123 ,.:-%()[]!$", min_size=1, max_size=24).map(str.strip).filter(bool)


@given(MIXED, st.sampled_from(["ltr", "rtl"]))
def test_the_order_of_letters_is_that_of_the_unicode_algorithm(
    text: str, direction: Direction
) -> None:
    levels = find_levels(text, direction)
    ordered = "".join(text[place] for place in reorder_levels(levels))
    expected = get_display(text, base_dir="R" if direction == "rtl" else "L")
    assert ordered.translate(UNTURNED) == expected.translate(UNTURNED)


#: A bracket that runs from right to left is drawn as its mirror image.
UNTURNED = str.maketrans(")]", "([")


def test_a_caption_of_several_scripts_is_as_wide_as_its_parts(no_system_fonts: None) -> None:
    del no_system_fonts
    face = Face(40)
    parts = ("It says ", "灯塔", " ", "नमस्ते")
    assert face.measure("".join(parts)) == pytest.approx(sum(map(face.measure, parts)), abs=2)


def test_what_no_font_can_draw_is_omitted_and_named(no_system_fonts: None) -> None:
    del no_system_fonts
    assert remove_undrawable("Lhasa ལས € 1") == "Lhasa  € 1"
    assert find_undrawable(["Lhasa ལས", "fine", "ལ"]) == "ལས"


def test_a_mark_that_no_font_has_goes_with_its_letter(no_system_fonts: None) -> None:
    del no_system_fonts
    assert remove_undrawable("བོད་") == ""


def test_a_film_says_what_its_words_lack_and_shows_the_rest(
    no_system_fonts: None, red: Path, tmp_path: Path
) -> None:
    del no_system_fonts
    look = FilmOptions(width=160, height=90, fps=10)
    scenes = [
        Scene(visual=red, seconds=1, narrated="ལས is far"),
        Scene(visual=red, seconds=1, narrated="ལས"),
    ]
    assert compose_film(scenes, out=tmp_path / "a.mp4", options=look).undrawn == "ལས"
    assert (
        compose_film(
            scenes[:1], out=tmp_path / "a.mp4", options=FilmOptions(fps=10, captions="none")
        ).undrawn
        == ""
    )


def test_a_face_of_the_machine_draws_what_ours_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ours, under another name, stands for the machine's, and ours is made to lack Greek."""
    (tmp_path / "Broken-Regular.ttf").write_bytes(b"no font")
    theirs = tmp_path / "Theirs-Regular.ttf"
    theirs.write_bytes(fonts.OWN.path.read_bytes())
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", (str(tmp_path),))
    draws = fonts._has_glyph.__wrapped__
    monkeypatch.setattr(
        fonts,
        "_has_glyph",
        lambda font, one: draws(font, one) and (one.isascii() or font != fonts.OWN),
    )
    monkeypatch.setattr(fonts, "_FONT_PACKAGES", ())
    assert [run.font for run in split_runs("Ωmega", "ltr")] == [FontFile(theirs), fonts.OWN]
    assert [run.font for run in split_runs("Omega", "ltr")] == [fonts.OWN]
    assert find_undrawable(["Ωmega"]) == ""


WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=12), min_size=1, max_size=30).map(
    " ".join
)


@given(WORDS, st.integers(14, 60))
def test_lines_are_as_few_as_fit_and_as_even_as_can_be(text: str, most: int) -> None:
    lines = balance_lines(text, most, len)
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= most
    if len(lines) == 2:
        narrowest = min(
            max(len(text[:at]), len(text[at + 1 :]))
            for at, letter in enumerate(text)
            if letter == " "
        )
        assert max(map(len, lines)) <= narrowest + 1


def test_no_line_has_a_single_word() -> None:
    face = Face(30)
    text = "The answer had been written on the message from the first day."
    lines = balance_lines(text, face.measure(text) * 0.95, face.measure)
    assert [len(line.split()) > 3 for line in lines] == [True, True]


def test_a_caption_of_more_than_a_line_of_subtitles_has_two_lines_and_a_shorter_one_has_one() -> (
    None
):
    long, short = (
        "The red fox had never been so out of rope and of reasons, nor so sure.",
        "Every map has an edge.",
    )
    heights = [draw_caption(text, (1280, 720)).planes[0].shape[0] for text in (long, short)]
    assert heights[0] > 1.5 * heights[1]


def test_a_word_longer_than_the_line_is_cut_and_not_lost() -> None:
    assert balance_lines("a" + "b" * 25, 10, len) == ["a" + "b" * 9, "b" * 10, "b" * 6]


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (360, 360)])
def test_words_stay_within_the_picture_whatever_its_shape(size: tuple[int, int]) -> None:
    text = (
        "Whoever speaks of the long, long winter after dark has to tell the whole of the story "
        "to the very end."
    )
    for overlay in [
        *(shown.overlay for shown in schedule_captions(text, size, 0, 90)),
        draw_title(text, text, size),
    ]:
        height, width = overlay.planes[0].shape
        assert overlay.left > 0
        assert overlay.left + width < size[0]
        assert overlay.top + height < size[1]
    assert draw_caption(split_phrases(text)[0], size).top > size[1] * 0.6
    assert np.max(draw_caption("A word", size).alphas[0]) == 1
