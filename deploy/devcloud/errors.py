"""The one error of this package."""


class DevcloudError(Exception):
    """A failure the user can act on: its first line says what to do and names a log, whose end may follow."""
