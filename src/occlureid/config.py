"""Validated settings: dataclass-like defaults, then YAML, then ``--set key=value``; unknown keys name their neighbour."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from occlureid.errors import SettingsError

__all__ = ["Settings", "merge", "parse_assignments", "read_yaml"]


class Settings(BaseModel):
    """Base of every settings class: frozen, validated, no unknown keys; the string under a field documents it.

    Raises:
        SettingsError: from ``build`` and from construction, with one line a problem.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(type(self), error)) from None

    # pydantic would otherwise call the method above for nested settings too, and their errors would lose the outer key
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def build(cls, *layers: Mapping[str, Any]) -> Self:
        """Settings from the defaults and any number of layers, later ones winning key by key, nested ones too.

        Raises:
            SettingsError: a key is unknown (its nearest neighbour is named), or a value is of the wrong type or range.
        """
        return cls(**merge(*layers))

    def with_changes(self, **changes: Any) -> Self:
        """A copy with some values changed, validated again."""
        return type(self)(**{**self.model_dump(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, ready for JSON or YAML."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The settings as YAML, in the order in which they are declared."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def describe_fields(cls) -> list[tuple[str, str, str]]:
        """(name, default, documentation) of each setting, for help pages and tables."""
        return [
            (name, repr(field.get_default(call_default_factory=True)), " ".join((field.description or "").split()))
            for name, field in cls.model_fields.items()
        ]


def _explain(cls: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            owner: Any = cls
            for part in problem["loc"][:-1]:
                field = owner.model_fields.get(part) if hasattr(owner, "model_fields") else None
                owner = field.annotation if field else None
            known = list(getattr(owner, "model_fields", {}))
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            lines.append(f"unknown setting {key!r}{hint}")
        elif (
            problem["type"] == "settings"
        ):  # several that do not go together; "@" stands before the name of one to be changed
            above = f"{key}." if key else ""
            lines.append((f"settings of {key!r}: " if key else "") + problem["msg"].replace("@", above))
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            lines.append(f"setting {key!r}: {message}, got {problem['input']!r}" if key else message)
    return "\n".join(lines)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Joins nested mappings; where two layers have a key, the later wins, unless both values are mappings."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def read_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML file as a mapping; safe loading only.

    Raises:
        SettingsError: the file is missing, is not YAML, or is not a mapping at its top.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{path}: expected a mapping of setting names to values, found {type(content).__name__}")
    return content


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """``["method.parts=6", "lr=0.02"]`` as a nested mapping; values are read as YAML.

    Raises:
        SettingsError: an item is not of the form key=value.
    """
    result: dict[str, Any] = {}
    for item in assignments:
        key, equals, text = item.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise SettingsError(f"--set expects key=value, for example --set method.parts=6, got {item!r}")
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"--set {key}: {text!r} is not a YAML value") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result
