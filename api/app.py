"""The ASGI application: routes, errors, limits and documentation around one `Engine`."""

from collections.abc import Callable
from typing import Any, Final

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from api.dependencies import Dependencies
from api.docs_page import PlainDocs
from api.documented import documented_components
from api.engine import Engine
from api.keys import guards_of
from api.paths import one_segment
from api.problems import HANDLERS
from api.routes.events import post_events
from api.routes.explain import explain
from api.routes.recommendations import feed, similar, trending
from api.routes.schemas import schema
from api.routes.service import healthz, metrics, readyz
from api.routes.users import delete_user, get_user, put_user
from api.routes.videos import delete_video, put_video
from contracts.settings import ApiSettings

_ABOUT: Final = (
    "Streaming personalization for video feeds: a click changes the next feed. Errors are "
    "application/problem+json; an address beyond 64 KB is a 414 without a body, and what is no HTTP "
    "a 400 without one. Ids in paths are any text, percent-encoded."
)


class App(Litestar):
    """Litestar, with ids in paths whatever characters they have (`api.paths`)."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection."""
        await super().__call__(one_segment(scope), receive, send)


def create_app(deps: Dependencies) -> Litestar:
    """The application around one engine, for good.

    Raises:
        ConfigError, BundleError: see `Engine`.
    """
    engine = Engine(deps)
    return app_of(deps.settings.api, lambda: engine)


def app_of(api: ApiSettings, current: Callable[[], Engine]) -> Litestar:
    """The application of one worker process.

    Args:
        current: asked once a request, which then uses that engine for whatever it needs.
    """
    v1 = Router(
        "/v1",
        route_handlers=[
            feed, similar, trending, explain, post_events, put_video, delete_video, get_user,
            put_user, delete_user,
        ],
        guards=guards_of(api.keys),
    )  # fmt: skip

    def provide() -> Engine:
        return current()

    return App(
        [v1, healthz, readyz, metrics, schema],
        dependencies={"engine": Provide(provide, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        request_max_body_size=api.max_body_bytes,
        logging_config=None,  # how this process logs is for its entry point to say
        openapi_config=OpenAPIConfig(
            title="Headrace",
            version="1",
            description=_ABOUT,
            path="/docs",
            use_handler_docstrings=True,
            components=documented_components(bool(api.keys)),
            security=[{"key": []}] if api.keys else None,
            render_plugins=[PlainDocs(), JsonRenderPlugin(path="/openapi.json")],
        ),
    )
