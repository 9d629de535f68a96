"""Every error that Headrace raises on purpose.

HeadraceError
  ConfigError           a wrong or unknown setting; the process must not start
  BadMessageError       goes to the dead-letter topic with its payload
  TokenError            a tracking, page or position token that we did not sign, or not for this user
  NoCandidatesError     every source failed or was empty; serve the static feed
  UnavailableError      Kafka or Redis did not answer in time; the caller may try again
  FencedError           the stored position is not the one this writer read from; read it again
  IndexCorruptError     a snapshot that does not match its own checksums; boot from the topic instead
  BundleError           a bundle that is missing, torn or of another layout
  DatasetError          a training log that lacks something or holds what cannot be used; nothing starts
"""


class HeadraceError(Exception):
    """Root of the tree: catch it at an entry point, print it, exit 1."""


class ConfigError(HeadraceError):
    """A wrong or unknown setting; the process must not start."""


class BadMessageError(HeadraceError):
    """A message that cannot be used; its text is the reason that the dead letter carries."""


class TokenError(HeadraceError):
    """A token that we did not sign, or that was signed for somebody else."""


class NoCandidatesError(HeadraceError):
    """Every source failed or was empty."""


class UnavailableError(HeadraceError):
    """A backing service did not answer in time."""


class FencedError(HeadraceError):
    """The stored position moved under this writer: it wrote nothing and has to read again."""


class IndexCorruptError(HeadraceError):
    """A snapshot that does not match its checksums."""


class BundleError(HeadraceError):
    """A model bundle that is missing, torn or of another layout."""


class DatasetError(HeadraceError):
    """A training log that lacks something, or holds what cannot be used."""
