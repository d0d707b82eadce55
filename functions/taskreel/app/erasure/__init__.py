"""The removal of everything that is stored about a person, and its proof."""
