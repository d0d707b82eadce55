"""Pictures painted from words: a plan is read from the prompt, then sky, land, water, things and weather follow.

Arrays are float32 in 0…1, colours first: a canvas is `(3, height, width)`, a mask `(height, width)`. Positions are
pixels from the top left; sizes are fractions of the shorter side, so that a small picture shows what a large one does.
"""
