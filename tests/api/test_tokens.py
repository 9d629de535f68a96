"""Laws of tokens: what was sealed opens; anything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from api.tokens import MAX_SERVED, Tokens, Tracking
from contracts.errors import ConfigError, TokenError
from contracts.settings import ApiSettings

TOKENS = Tokens.of(ApiSettings(token_secret=SecretStr("one")))
OTHER = Tokens.of(ApiSettings(token_secret=SecretStr("another")))
text = st.text(st.characters(codec="utf-8"), max_size=40)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
trackings = st.builds(
    Tracking,
    request_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    video=st.integers(-(2**63), 2**63 - 1),
    position=st.integers(0, 10_000),
    bundle=text,
    variant=text,
    user_id=ids,
    limit=st.integers(1, 100),
)
served = st.lists(st.integers(1, 2**32 - 1), max_size=60).map(lambda x: np.array(x, np.uint32))


@given(trackings)
def test_a_tracking_token_opens_to_what_was_sealed(tracking: Tracking) -> None:
    token = TOKENS.tracking(tracking)
    opened = TOKENS.open_tracking(token)
    assert len(token) <= 1024
    assert opened.user_id in (tracking.user_id, "")
    assert (opened.request_id, opened.video, opened.position, opened.bundle, opened.variant) == (
        tracking.request_id, tracking.video, tracking.position, tracking.bundle, tracking.variant
    )  # fmt: skip


@given(trackings, st.data())
def test_a_tracking_token_with_any_character_changed_is_refused(
    tracking: Tracking, data: st.DataObject
) -> None:
    token = TOKENS.tracking(tracking)
    at = data.draw(st.integers(0, len(token) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=! \n\x00é"
    letter = data.draw(st.sampled_from([c for c in alphabet if c != token[at]]))
    for forged in (token[:at] + letter + token[at + 1 :], token[:at], token + letter):
        with pytest.raises(TokenError):
            TOKENS.open_tracking(forged)


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_token_error(text: str) -> None:
    for open_it in (TOKENS.open_tracking, lambda t: TOKENS.open_page("feed:0", "ann", t)):
        with pytest.raises(TokenError):
            open_it(text)


@given(ids, ids, served)
def test_a_page_token_is_bound_to_its_viewer_and_list(
    user: str, other: str, shown: np.ndarray
) -> None:
    token = TOKENS.page("feed:0", user, shown)
    assert token is not None
    assert TOKENS.open_page("feed:0", user, token).tolist() == shown.tolist()
    with pytest.raises(TokenError):
        TOKENS.open_page("similar:5", user, token)
    if other != user:
        with pytest.raises(TokenError):
            TOKENS.open_page("feed:0", other, token)
    with pytest.raises(TokenError):
        OTHER.open_page("feed:0", user, token)
    with pytest.raises(TokenError):
        TOKENS.open_tracking(token)


def test_a_page_token_is_bounded() -> None:
    longest = TOKENS.page("feed:0", "ann", np.arange(1, MAX_SERVED + 1, dtype=np.uint32))
    assert longest is not None
    assert len(longest) < 6000
    assert TOKENS.page("feed:0", "ann", np.arange(MAX_SERVED + 1, dtype=np.uint32)) is None


def test_several_workers_need_a_common_secret() -> None:
    with pytest.raises(ConfigError, match="TOKEN_SECRET"):
        Tokens.of(ApiSettings(workers=2))
    first, second = Tokens.of(ApiSettings()), Tokens.of(ApiSettings())
    assert first.key != second.key
