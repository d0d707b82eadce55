"""The texts of stories: filled in, and with their capital letters and full stops."""

from __future__ import annotations

from collections.abc import Mapping


def fill_template(template: str, words: Mapping[str, str]) -> str:
    """Fill in the words; a sentence that begins with one gets its capital letter."""
    text = template.format_map(words)
    return capitalize_first(text) if template[:1] == "{" and template[-1:] in ".?!" else text


def as_sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop, and single spaces."""
    return f"{capitalize_first(' '.join(text.split()))}."


def capitalize_first(text: str) -> str:
    """Return the text with a capital letter, and the others as they are."""
    return text[:1].upper() + text[1:]


def in_title_case(text: str) -> str:
    """Return the text with capital letters as a title has them."""
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
        word if index and word.lower() in small else capitalize_first(word)
        for index, word in enumerate(words)
    )
