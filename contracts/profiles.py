"""The `profiles` topic: what a person told us. A null value means: forget this person."""

from typing import Annotated, Final

import msgspec

from contracts.errors import BadMessageError
from contracts.events import Id, Timestamp
from contracts.user_record import BLOCKS, INTERESTS
from contracts.videos import Label

MAX_PROFILE_BYTES: Final = 65_536


class Profile(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """Only `user_id` is required. Longer lists than the state can hold are refused, not cut."""

    user_id: Id
    country: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    language: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    age: Annotated[int, msgspec.Meta(ge=0, le=150)] | None = None
    device: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    subscription: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    interests: Annotated[tuple[Label, ...], msgspec.Meta(max_length=INTERESTS)] = ()
    blocked_creators: Annotated[tuple[Id, ...], msgspec.Meta(max_length=BLOCKS)] = ()
    created_at: Timestamp | None = None


_decoder = msgspec.json.Decoder(Profile)
_encoder = msgspec.json.Encoder()


def decode_profile(payload: bytes) -> Profile:
    """One profile from its JSON.

    Raises:
        BadMessageError: with the reason; nothing else, whatever the bytes are.
    """
    if len(payload) > MAX_PROFILE_BYTES:
        raise BadMessageError(f"profile of {len(payload)} bytes, at most {MAX_PROFILE_BYTES}")
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not a profile: {e}") from None


def encode_profile(profile: Profile) -> bytes:
    """JSON bytes that `decode_profile` turns back into an equal profile."""
    return _encoder.encode(profile)
