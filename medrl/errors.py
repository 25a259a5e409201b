"""The one exception a user is meant to read."""


class MedrlError(Exception):
    """A user's mistake or a fault in their data, told in one paragraph: found, expected, where, remedy."""
