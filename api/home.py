"""The product: each funnel is one literal. What runs is what is listed here, in this order."""

from api.dependencies import Dependencies
from api.filters.allowed import LicensedHere, NotAnchor, NotRemoved, OldEnough
from api.filters.refused import NotBlocked, NotRefused
from api.filters.seen import NotSeen, NotServed
from api.hydrators.cosine import Cosine
from api.hydrators.rates import Rates, Trend
from api.hydrators.video_facts import AnchorCosine, VideoFacts
from api.hydrators.viewer_features import ViewerFeatures
from api.rerankers.creator_decay import CreatorDecay
from api.rerankers.explore import ExploreDraw, ExploreSlots
from api.rerankers.freshness_boost import FreshnessBoost
from api.rerankers.mmr import Mmr
from api.rerankers.spread import Spread
from api.scorers.fallback import Fallback
from api.scorers.plain import ByAge, ByTrend, Similarity
from api.scorers.ranker_heads import RankerHeads
from api.scorers.value_model import ValueModel
from api.sources.followed import Followed, SameCreator
from api.sources.fresh import Explore, Fresh
from api.sources.neighbours import AnchorNeighbours, Neighbours
from api.sources.similar_content import AnchorContent, SimilarContent
from api.sources.sponsored import Sponsored
from api.sources.trending import Trending, TrendingOf
from api.sources.two_tower import TwoTower
from contracts.funnel import Filter, FunnelSpec


def safety(deps: Dependencies) -> list[Filter]:
    """What no funnel may do without: gone, not licensed, not for this age, blocked, shown above."""
    return [NotRemoved(), LicensedHere(deps.catalog), OldEnough(), NotBlocked(), NotServed()]


def personal(deps: Dependencies) -> list[Filter]:
    """Safety, and what this viewer has seen or does not want."""
    return [*safety(deps), NotSeen(deps.settings.user.shown_for_h), NotRefused()]


def home(deps: Dependencies) -> FunnelSpec:
    """The feed."""
    feed, catalog, index, board = deps.settings.feed, deps.catalog, deps.index, deps.board
    return FunnelSpec(
        sources=[  # the first that found a video is the `source` of its item
            TwoTower(index, feed.two_tower),
            Neighbours(board, feed.neighbours),
            Trending(board, feed.trending),
            SimilarContent(index, catalog, feed.similar),
            Followed(catalog, feed.fresh),
            Fresh(catalog, feed.fresh, deps.settings.user.shown_for_h),
            Explore(catalog, board, feed.fresh, feed.explore_below_impressions),
            Sponsored(catalog),
        ],
        hydrators=[VideoFacts(catalog), ViewerFeatures(), Rates(board), Cosine(catalog)],
        filters=personal(deps),
        scorers=[
            ExploreDraw(feed.explore_below_impressions),
            Fallback(),
            RankerHeads(deps.bundle.ranker),
            ValueModel(deps.bundle.appeal),
        ],
        rerankers=[
            FreshnessBoost(feed.freshness_half_life_d),
            CreatorDecay(),
            Mmr(catalog, feed.mmr_lambda),
            Spread("category", window=6, most=4, name="category_spread"),
            Spread("creator", window=4, most=1, name="creator_spread"),
            Spread("sponsored", window=8, most=1, name="sponsored_spread"),
            ExploreSlots(feed.explore_every),
        ],
    )


def similar(deps: Dependencies) -> FunnelSpec:
    """More like one video."""
    feed, catalog = deps.settings.feed, deps.catalog
    return FunnelSpec(
        sources=[
            AnchorContent(deps.index, catalog, feed.neighbours),
            AnchorNeighbours(deps.board, feed.neighbours),
            SameCreator(catalog, feed.similar),
        ],
        hydrators=[
            VideoFacts(catalog), ViewerFeatures(), Rates(deps.board), Cosine(catalog),
            AnchorCosine(catalog),
        ],
        filters=[*personal(deps), NotAnchor()],
        scorers=[Similarity(neighbours_bit=1)],
        rerankers=[CreatorDecay(), Mmr(catalog, 0.9)],
    )  # fmt: skip


def trending(deps: Dependencies) -> FunnelSpec:
    """The list of one country or category, as it is."""
    n = deps.settings.feed.trending
    return FunnelSpec(
        sources=[TrendingOf(deps.board, n)],
        hydrators=[VideoFacts(deps.catalog), Trend(deps.board, n)],
        filters=[*safety(deps), NotAnchor()],
        scorers=[ByTrend()],
        rerankers=[],
    )


def rung_trending(deps: Dependencies) -> FunnelSpec:
    """What many watch: the rung below a personal page. Needs catalog and statistics."""
    n = deps.settings.feed.two_tower
    return FunnelSpec(
        sources=[Trending(deps.board, n)],
        hydrators=[VideoFacts(deps.catalog), Trend(deps.board, n, world=True)],
        filters=[*personal(deps), NotAnchor()],
        scorers=[ByTrend()],
        rerankers=[CreatorDecay()],
    )


def rung_static(deps: Dependencies) -> FunnelSpec:
    """The newest videos that are allowed: the last rung. Needs the catalog alone."""
    feed = deps.settings.feed
    return FunnelSpec(
        sources=[Fresh(deps.catalog, feed.two_tower, deps.settings.user.shown_for_h)],
        hydrators=[VideoFacts(deps.catalog)],
        filters=[*personal(deps), NotAnchor()],
        scorers=[ByAge(feed.freshness_half_life_d)],
        rerankers=[CreatorDecay()],
    )
