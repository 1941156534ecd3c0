"""The two kinds of failure a person is told about in one line, and the exit status of each."""


class HereticError(Exception):
    """A failure with a message for people: one line that says what was wrong, where, and what to do."""

    exit_status = 1


class UsageError(HereticError):
    """The input was wrong (a setting, a file, a model): nothing was computed, nothing was lost."""

    exit_status = 2
