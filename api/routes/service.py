"""GET /healthz, /readyz, /metrics."""

from http import HTTPStatus

from litestar import MediaType, Response, get
from litestar.openapi import ResponseSpec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.routes.parameters import EngineDep


@get("/healthz", media_type=MediaType.TEXT, sync_to_thread=False, summary="Alive")
def healthz() -> str:
    """The process answers."""
    return "ok\n"


@get(
    "/readyz",
    media_type=MediaType.TEXT,
    sync_to_thread=False,
    summary="Caught up",
    responses={503: ResponseSpec(str, description="Not caught up yet", media_type=MediaType.TEXT)},
)
def readyz(engine: EngineDep) -> Response[str]:
    """200 once the catalog has caught up with its topics; an empty one is ready. Else 503."""
    ready, why = engine.deps.ready()
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {} if ready else {"Retry-After": "1"}
    return Response(f"{why}\n", status_code=status, media_type=MediaType.TEXT, headers=headers)


@get(
    "/metrics",
    sync_to_thread=True,
    media_type=MediaType.TEXT,
    summary="Prometheus, of all worker processes",
)
def metrics(engine: EngineDep) -> Response[bytes]:
    """Of this process; of all that share a folder if there is one."""
    registry = REGISTRY
    if folder := engine.deps.metrics_folder:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
