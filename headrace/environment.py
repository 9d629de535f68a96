"""Settings from the environment: `HEADRACE_<SECTION>__<NAME>`, and `HEADRACE_DATA`.

An empty value means "not set". A list is JSON or comma-separated. A secret may lie in a file that
`<VARIABLE>_FILE` names. An unknown name is refused, at any level, with the nearest known one.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from contracts.errors import ConfigError
from contracts.settings import Settings

PREFIX: Final = "HEADRACE_"
_TESTS: Final = "HEADRACE_TEST_"  # where the tests find servers: no setting of the engine
_FILE: Final = "_FILE"


def fields() -> dict[str, FieldInfo]:
    """Variable name -> field, for every setting there is."""
    known: dict[str, FieldInfo] = {}
    for section, outer in Settings.model_fields.items():
        if not _is_section(outer):
            known[f"{PREFIX}{section.upper()}"] = outer
            continue
        for name, inner in outer.annotation.model_fields.items():  # type: ignore[union-attr]
            known[f"{PREFIX}{section.upper()}__{name.upper()}"] = inner
    return known


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The whole tree; what the environment does not say has its default.

    Raises:
        ConfigError: unknown names, wrong values or unreadable files; all of them at once.
    """
    known, problems, tree = fields(), list[str](), dict[str, Any]()
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable.startswith(_TESTS) or not text:
            continue
        name, raw = _resolve(variable, text, known, environ, problems)
        if name is None:
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        section = tree if len(path) == 1 else tree.setdefault(path[0], {})
        section[path[-1]] = _parse(known[name], raw)
    if not problems:
        try:
            return Settings.model_validate(tree)
        except ValidationError as e:
            problems = _wrong_values(e, environ)
    raise ConfigError("; ".join(problems))


def says(variable: str, environ: Mapping[str, str]) -> bool:
    """Whether the environment has a value for a variable, or the file of one."""
    return bool(environ.get(variable) or environ.get(variable + _FILE))


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _resolve(
    variable: str,
    text: str,
    known: Mapping[str, FieldInfo],
    environ: Mapping[str, str],
    problems: list[str],
) -> tuple[str | None, str]:
    """The setting that a variable is for, and its raw value; None after noting a problem."""
    if variable in known:
        return variable, text
    name = variable.removesuffix(_FILE)
    if variable.endswith(_FILE) and name in known and _is_secret(known[name]):
        if environ.get(name):
            problems.append(f"{name} and {variable} are both set: keep one")
            return None, ""
        try:
            return name, Path(text).read_text().strip()
        except OSError as e:
            problems.append(f"{variable}: cannot read {text}: {e.strerror}")
            return None, ""
    problems.append(f"unknown setting {variable}{_nearest(variable, known)}")
    return None, ""


def _nearest(variable: str, known: Mapping[str, FieldInfo]) -> str:
    close = difflib.get_close_matches(variable, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else " (no such name; see `headrace settings`)"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in _types(field.annotation)


def _types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation, get_origin(annotation)} | {t for a in inner for t in _types(a)}


def _parse(field: FieldInfo, text: str) -> Any:
    """Text as it is (pydantic converts it), or a list where the setting is one."""
    if tuple not in _types(field.annotation):
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text  # refused by its type, with its name
    return [part.strip() for part in text.split(",") if part.strip()]


def _wrong_values(error: ValidationError, environ: Mapping[str, str]) -> list[str]:
    """One sentence a value; what may be secret is not repeated."""
    known, out = fields(), []
    for problem in error.errors(include_url=False, include_context=False):
        path = [str(part).upper() for part in problem["loc"] if isinstance(part, str)]
        name = PREFIX + "__".join(path[:2])
        said = problem["msg"][:1].lower() + problem["msg"][1:]
        value = environ.get(name)
        shown = value is not None and name in known and not _is_secret(known[name])
        out.append(f"{name}{f'={value}' if shown else ''}: {said}")
    return out
