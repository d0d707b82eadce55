"""Pictures painted from words.

A plan is read from the prompt; then sky, land, water, things and weather follow. Arrays are float32
in 0…1, colours first: a canvas is `(3, height, width)`, a mask `(height, width)`. Positions are
pixels from the top left. Sizes are fractions of the shorter side, so that a small picture shows
the same as a large one.
"""
