"""Process pictures, sound and video: functions of files, and worker processes to run them.

A function takes paths and values, writes the file that it is given as `out`, and returns a frozen
result. It raises `PermanentError` for media that cannot be processed; the message says what to do.
It uses no job, store or network. Import a module inside the function that calls it: numpy, Pillow
and libav are loaded in the worker processes only, so cold starts are short.
"""
