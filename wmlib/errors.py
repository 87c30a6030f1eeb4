"""The one error that a reader causes."""


class InputError(ValueError):
    """Something the reader gave or has is not as it must be. The message says what, what was expected, and what to do."""
