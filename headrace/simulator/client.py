"""The engine's HTTP API as one viewer's app or one creator's upload tool uses it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from contracts.errors import UnavailableError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video

_json = msgspec.json.Encoder()
_HEADERS = {"content-type": "application/json"}
T = TypeVar("T")


class RefusedError(UnavailableError):
    """The API answered, but not with what was asked for; `kind` is a short name to count by."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Item(msgspec.Struct, frozen=True):
    """One video of a page."""

    video_id: str
    tracking_token: str | None = None
    source: str | None = None


class Page(msgspec.Struct, frozen=True):
    """One answer of the feed."""

    items: tuple[Item, ...]
    latency_ms: int
    next_page_token: str | None = None
    degraded: str | None = None


class Posted(msgspec.Struct, frozen=True):
    """The answer to posted events."""

    accepted: int
    position: str | None = None
    rejected: tuple[dict[str, Any], ...] = ()


_page = msgspec.json.Decoder(Page)
_posted = msgspec.json.Decoder(Posted)


class Client:
    """Calls over kept-alive connections. Every method raises RefusedError on anything unexpected."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def feed(self, user_id: str, params: Mapping[str, str | int]) -> Page:
        """GET /v1/recommendations/feed."""
        query = {"user_id": user_id, **params}
        answer = await self._call("feed", "GET", "/v1/recommendations/feed", 200, params=query)
        return self._decoded("feed", _page, answer)

    async def post(self, events: Sequence[Event]) -> Posted:
        """POST /v1/events with all of them in one batch."""
        body = _json.encode(events)
        answer = await self._call("events", "POST", "/v1/events", 202, content=body)
        return self._decoded("events", _posted, answer)

    async def put_video(self, video: Video) -> None:
        """PUT /v1/videos/{id}."""
        path = f"/v1/videos/{video.video_id}"
        await self._call("publish", "PUT", path, 202, content=_json.encode(video))

    async def delete_video(self, video_id: str) -> None:
        """DELETE /v1/videos/{id}."""
        await self._call("remove", "DELETE", f"/v1/videos/{video_id}", 202)

    async def put_profile(self, profile: Profile) -> None:
        """PUT /v1/users/{id}."""
        path = f"/v1/users/{profile.user_id}"
        await self._call("profile", "PUT", path, 202, content=_json.encode(profile))

    async def retrievable(self, video_id: str) -> bool:
        """Does GET /v1/recommendations/similar know the video yet?"""
        params = {"video_id": video_id, "limit": 1}
        path = "/v1/recommendations/similar"
        return (await self._send("similar", "GET", path, params=params)).status_code == 200

    async def _call(
        self, what: str, method: str, path: str, wanted: int, **more: Any
    ) -> httpx.Response:
        answer = await self._send(what, method, path, **more)
        if answer.status_code != wanted:
            text = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
            raise RefusedError(f"{what}: {answer.status_code}", text)
        return answer

    async def _send(self, what: str, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, headers=_HEADERS, **more)
        except httpx.HTTPError as e:
            name = type(e).__name__
            raise RefusedError(f"{what}: {name}", f"{method} {path}: {name}: {e}") from None

    @staticmethod
    def _decoded(what: str, decoder: msgspec.json.Decoder[T], answer: httpx.Response) -> T:
        try:
            return decoder.decode(answer.content)
        except msgspec.DecodeError as e:
            raise RefusedError(f"{what}: bad answer", f"{what}: {e}") from None
