"""Work on pictures, sound and video: pure functions of files, and the worker processes that run them.

Every function takes `Path`s and values, writes the file it was told to write, and returns a frozen result. It raises
`PermanentError` for media nobody can work with (the message says what to do) and knows no job, store or network.
Import a function's module where it is called: numpy, Pillow and libav load only in the workers.
"""
