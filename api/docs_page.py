"""/docs as one plain HTML page made from the OpenAPI document: no script, nothing from elsewhere."""

import re
from html import escape
from typing import Any, Final

from litestar import Request
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.openapi.plugins import OpenAPIRenderPlugin

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1em .3em;border-radius:4px}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{border:1px solid #8886;padding:.2rem .6rem;"
    "text-align:left}h2{margin-top:2.5rem;border-top:1px solid #8886;padding-top:1rem}"
    ":root{color-scheme:light dark}"
)

_NAME: Final = re.compile(r"#/components/schemas/(\w+)")


class PlainDocs(OpenAPIRenderPlugin):
    """Renders every operation with its parameters and answers."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=OpenAPIMediaType.OPENAPI_JSON)
        self.media_type = MediaType.HTML

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        info = openapi_schema["info"]
        operations = [
            _operation(method, path, operation)
            for path, methods in openapi_schema["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict)
        ]
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
            f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
            f"<p>{escape(info.get('description', ''))}</p>"
            "<p>For tools: <a href=/docs/openapi.json>openapi.json</a>; schemas of what is posted: "
            "<a href=/docs/schemas/event>event</a>, <a href=/docs/schemas/video>video</a>, "
            "<a href=/docs/schemas/profile>profile</a>.</p>"
            f"{''.join(operations)}</html>"
        ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(p) for p in operation.get("parameters", ()))
    table = f"<table><tr><th>parameter<th>in<th>type<th>default<th>{rows}</table>" if rows else ""
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer.get('description', ''))}"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p><b>"
        f"{escape(operation.get('summary', ''))}</b>. {escape(operation.get('description', ''))}</p>"
        f"{table}{_body(operation)}<ul>{answers}</ul>"
    )


def _body(operation: dict[str, Any]) -> str:
    """What is posted, by the names of its schemas."""
    names = dict.fromkeys(_NAME.findall(str(operation.get("requestBody", ""))))
    return f"<p>Body, JSON: {', '.join(map(escape, names))} (openapi.json)</p>" if names else ""


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    kind = " ".join(
        str(schema[name]) if name == "type" else f"{name} {schema[name]}"
        for name in ("type", "minimum", "maximum", "minLength", "maxLength", "pattern")
        if name in schema
    )
    name = escape(parameter["name"]) + (" *" if parameter.get("required") else "")
    default = escape(str(schema.get("default", "")))
    return (
        f"<tr><td><code>{name}</code><td>{escape(parameter['in'])}<td>{escape(kind)}<td>{default}"
        f"<td>{escape(parameter.get('description', '') or '')}"
    )
