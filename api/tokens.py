"""Tokens that clients carry and cannot forge: keyed BLAKE2b over msgpack or raw bytes.

A tracking token says what was served where. A page token says what earlier pages showed, and is good
only for the viewer and list that it was made for.
"""

import base64
import hmac
import secrets
from binascii import Error as Base64Error
from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, TokenError
from contracts.settings import ApiSettings

MAX_TOKEN: Final = 8192
MAX_SERVED: Final = (
    1000  # ids a page token carries: 4 KB, 5.4 KB in base64, below what proxies take
)
_MAC: Final = 16
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_LONGEST_USER: Final = 256  # bytes; with the rest a tracking token stays below its 1024 characters


class Tracking(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an event's `tracking_token` refers to.

    Attributes:
        video: 64-bit hash of the video's id.
        position: 0-based, counted across the pages of one session of paging.
        user_id: empty if it is too long to carry.
        limit: of the page; re-rankers look at whole pages, so an explanation needs it.
    """

    request_id: str
    video: int
    position: int
    bundle: str
    variant: str
    user_id: str
    limit: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Seals and opens; one key for all, separated by `person`."""

    key: bytes

    @classmethod
    def of(cls, api: ApiSettings) -> "Tokens":
        """From the secret of the settings.

        Raises:
            ConfigError: several workers and no secret, so that they could not read each other's.
        """
        if api.token_secret is not None:
            secret = api.token_secret.get_secret_value().encode()
        elif api.workers > 1:
            raise ConfigError("several workers need one HEADRACE_API__TOKEN_SECRET")
        else:  # good for as long as the process lives
            secret = secrets.token_bytes(32)
        return cls(blake2b(secret, digest_size=32, person=b"headrace").digest())

    def tracking(self, tracking: Tracking) -> str:
        """The token of one served item, at most 1024 characters."""
        user_id = tracking.user_id  # a character takes 4 bytes at most
        if 4 * len(user_id) > _LONGEST_USER < len(user_id.encode("utf-8", "surrogatepass")):
            tracking = msgspec.structs.replace(tracking, user_id="")
        return self._seal(b"tracking", _pack.encode(tracking), b"")

    def open_tracking(self, token: str) -> Tracking:
        """Raises TokenError unless `tracking` made it with this key."""
        try:
            return _tracking.decode(self._open(b"tracking", token, b""))
        except msgspec.DecodeError as e:
            raise TokenError(f"not a tracking token: {e}") from None

    def page(self, scope: str, user_id: str, served: NDArray[np.uint32]) -> str | None:
        """The token of the next page, None when it would carry more than `MAX_SERVED` ids.

        Args:
            scope: which list is paged through, for example "feed".
            served: (m,) 32-bit hashes of everything shown so far.
        """
        if len(served) > MAX_SERVED:
            return None
        return self._seal(b"page", served.astype("<u4").tobytes(), _bound(scope, user_id))

    def open_page(self, scope: str, user_id: str, token: str) -> NDArray[np.uint32]:
        """(m,) hashes served so far; raises TokenError if it is not of this list and viewer."""
        raw = self._open(b"page", token, _bound(scope, user_id))
        return np.frombuffer(raw, "<u4").astype(np.uint32)

    def _seal(self, kind: bytes, payload: bytes, bound: bytes) -> str:
        return _encode(self._mac(kind, payload, bound) + payload)

    def _open(self, kind: bytes, token: str, bound: bytes) -> bytes:
        raw = _decode(token)
        mac, payload = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac(kind, payload, bound)):
            raise TokenError(f"not a {kind.decode()} token of ours, or not for this request")
        return payload

    def _mac(self, kind: bytes, payload: bytes, bound: bytes) -> bytes:
        digest = _keyed(self.key, kind).copy()
        digest.update(bound + payload)
        return digest.digest()


@lru_cache(maxsize=8)  # one key and two kinds a process; a feed makes 21 tokens
def _keyed(key: bytes, kind: bytes) -> blake2b:
    return blake2b(digest_size=_MAC, key=key, person=kind)


_pack: Final = msgspec.msgpack.Encoder()
_tracking: Final = msgspec.msgpack.Decoder(Tracking)


def _bound(scope: str, user_id: str) -> bytes:
    """Scope and viewer as one prefix-free byte string of 16 bytes."""
    text = _pack.encode((scope, user_id))
    return blake2b(text, digest_size=16).digest()


def _encode(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def _decode(token: str) -> bytes:
    if not 22 <= len(token) <= MAX_TOKEN or not token.isascii():
        raise TokenError(f"a token of {len(token)} characters is not ours")
    padded = token.encode() + b"=" * (-len(token) % 4)
    try:
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (Base64Error, ValueError):
        raise TokenError("not a token: it is not base64url") from None
    if _encode(raw) != token:  # spare bits of the last character: one value, one spelling
        raise TokenError("not a token: it is not canonical base64url")
    return raw
