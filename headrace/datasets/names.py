"""The public data sets that can be prepared. No import of what reads them: the command line needs it."""

from enum import Enum


class Name(Enum):
    """A data set, by the name that the command line takes."""

    MOVIELENS_1M = "movielens-1m"
    MOVIELENS_100K = "movielens-100k"
    KUAIRAND = "kuairand"
    KUAIRAND_WARM = "kuairand-warm"
