"""The one error of bad input."""


class InputError(ValueError):
    """Something from outside is wrong: a file, a parameter, a mask.

    The message is one line that says what was expected, what was found and what to do.
    The command line prints it as ``error: …`` and exits with code 2; every other exception
    is a bug of ours and shows its traceback.
    """
