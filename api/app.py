"""The ASGI application: routes, errors, limits and documentation around one `Engine`."""

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from api.dependencies import Dependencies
from api.docs_page import PlainDocs
from api.engine import Engine
from api.keys import guard_of
from api.problems import HANDLERS
from api.routes.events import post_events
from api.routes.explain import explain
from api.routes.recommendations import feed, similar, trending
from api.routes.schemas import schema
from api.routes.service import healthz, metrics, readyz
from api.routes.users import delete_user, get_user, put_user
from api.routes.videos import delete_video, put_video


def create_app(deps: Dependencies) -> Litestar:
    """The application of one worker process.

    Raises:
        ConfigError: several workers without a common token secret.
        BundleError: the bundle's ranker reads a column that no hydrator provides.
    """
    engine = Engine(deps)
    v1 = Router(
        "/v1",
        route_handlers=[
            feed, similar, trending, explain, post_events, put_video, delete_video, get_user,
            put_user, delete_user,
        ],
        guards=[guard_of(deps.settings.api.keys)],
    )  # fmt: skip

    def provide() -> Engine:
        return engine

    return Litestar(
        [v1, healthz, readyz, metrics, schema],
        dependencies={"engine": Provide(provide, use_cache=True, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        request_max_body_size=deps.settings.api.max_body_bytes,
        logging_config=None,  # how this process logs is for its entry point to say
        openapi_config=OpenAPIConfig(
            title="Headrace",
            version="1",
            description="Streaming personalization for video feeds: a click changes the next feed.",
            path="/docs",
            use_handler_docstrings=True,
            render_plugins=[PlainDocs(), JsonRenderPlugin(path="/openapi.json")],
        ),
    )
