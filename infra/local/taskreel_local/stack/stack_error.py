"""The error of a stack that cannot start."""


class StackError(Exception):
    """The stack cannot start; the message says what to do."""


class WrongSettingError(StackError):
    """A setting of the environment is wrong: the servers would end as soon as they start."""
