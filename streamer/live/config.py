"""Reads a gateway's settings from a YAML file. Every mistake ends in one line that shows no secret."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ValidationError

from streamer.errors import SettingsError
from streamer.live import settings as models
from streamer.live.settings import GatewaySettings
from streamer.redact import redact_urls
from streamer.settings import AnalysisSettings, EncodeSettings, PrivacySettings

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OUTPUT_KINDS = ("push", "hls", "segments", "preview")
_USER_PART = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)@")


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> GatewaySettings:
    """Settings from a YAML file, with `${NAME}` taken from the environment. Raises SettingsError, one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: cannot be read ({reason}); check the path") from None
    try:
        content = yaml.load(text, Loader=_OneKeyLoader)
    except _TwiceError as error:
        raise SettingsError(f"{path}, line {error.line}: this key was given before; keep one") from None
    except yaml.YAMLError as error:
        # The library's text quotes the file, and with it whatever stands there.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise SettingsError(f"{path}{where}: not valid YAML; check indentation, quotes and colons") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected a list of cameras under the key cameras")
    return parse_config(content, where=str(path), environment=environment)


def parse_config(
    content: Mapping[str, Any], *, where: str, environment: Mapping[str, str] = os.environ
) -> GatewaySettings:
    """Settings from plain values, as a file would hold them.

    Args:
        where: named in errors: the file, or what stands for it.

    Raises:
        SettingsError: one line that names the camera and the key.
    """
    expanded = _expand(dict(content), environment, (), content, where)
    try:
        return GatewaySettings.model_validate(expanded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = _place(tuple(first["loc"]), content)
        raise SettingsError(redact_urls(f"{where}: {place}{_explanation(first)}")) from None


def _expand(
    value: Any,
    environment: Mapping[str, str],
    loc: tuple[int | str, ...],
    content: Mapping[str, Any],
    where: str,
) -> Any:
    """A copy in which variables stand resolved. Only texts are expanded: a value can never become structure."""
    if isinstance(value, dict):
        return {k: _expand(v, environment, (*loc, k), content, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environment, (*loc, i), content, where) for i, v in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    user_part = _USER_PART.match(value)
    user_end = user_part.end(1) if user_part is not None else 0

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1]
        place = redact_urls(f"{where}: {_place(loc, content)}")
        if not _VARIABLE_NAME.fullmatch(name):
            raise SettingsError(
                f"{place}: ${{...}} must hold the name of an environment variable; $$ is a dollar sign"
            )
        if not environment.get(name):
            raise SettingsError(
                f"{place}: the environment variable {name} is not set; set it, or take it out"
            )
        # In user and password a slash or @ would move the host.
        return quote(environment[name], safe="") if match.start() < user_end else environment[name]

    return _VARIABLE.sub(replace, value)


def _place(loc: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """`camera 'door': outputs[1].url` for ("cameras", 0, "outputs", 1, "push", "url")."""
    begin = ""
    rest = list(loc)
    if len(rest) >= 2 and rest[0] == "cameras" and isinstance(rest[1], int):
        try:
            name = content["cameras"][rest[1]]["name"]
        except (KeyError, IndexError, TypeError):
            name = None
        begin = f"camera {name!r}: " if isinstance(name, str) else f"cameras[{rest[1]}]: "
        rest = rest[2:]
    if len(rest) >= 3 and rest[0] == "outputs" and rest[2] in _OUTPUT_KINDS:
        del rest[2]  # the tag of the union, which pydantic puts in
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return begin + path if path or not begin else begin.removesuffix(": ")


def _explanation(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").replace("Tuple", "List")
    message = message[:1].lower() + message[1:]
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, _known_keys(), n=1)
        return " is not a known key" + (f"; did you mean {close[0]}?" if close else "; take it out")
    if error["type"] == "missing":
        return " is missing"
    return f": {message}" if error["loc"] else message


def _known_keys() -> list[str]:
    classes: list[type[BaseModel]] = [PrivacySettings, AnalysisSettings, EncodeSettings]
    classes += [
        item for item in vars(models).values() if isinstance(item, type) and issubclass(item, BaseModel)
    ]
    return sorted({name for model in classes for name in model.model_fields})


class _TwiceError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _OneKeyLoader(yaml.SafeLoader):
    """Refuses a key given twice, which YAML readers take silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise _TwiceError(key_node.start_mark.line + 1)
            seen.add(key) if isinstance(key, str) else None
        return super().construct_mapping(node, deep)
