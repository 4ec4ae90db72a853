"""Settings: defaults, then layers, then errors that help."""

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from occlureid.config import Settings, merge, parse_assignments, read_yaml
from occlureid.errors import SettingsError


class Inner(Settings):
    rate: float = Field(0.1, gt=0)
    """the rate"""
    size: tuple[int, int] = (4, 2)
    """height and width"""


class Outer(Settings):
    epochs: int = 3
    """how many
    epochs"""
    inner: Inner = Inner()


def test_later_layers_win_key_by_key() -> None:
    settings = Outer.build({"epochs": 5, "inner": {"rate": 0.5}}, {"inner": {"size": [8, 4]}})
    assert settings == Outer(epochs=5, inner=Inner(rate=0.5, size=(8, 4)))
    assert Outer.build() == Outer()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"epoch": 1}, r"unknown setting 'epoch'; did you mean 'epochs'\?"),
        ({"inner": {"rat": 1}}, r"unknown setting 'inner.rat'; did you mean 'rate'\?"),
        ({"zzz": 1}, "unknown setting 'zzz'; known: epochs, inner"),
        ({"inner": {"rate": -1}}, "setting 'inner.rate': input should be greater than 0, got -1"),
        ({"epochs": "many"}, "setting 'epochs': .*got 'many'"),
        ({"inner": {"rate": float("nan")}}, "setting 'inner.rate'"),
        ({"inner": {"size": [1]}}, "setting 'inner.size.1'"),
    ],
)
def test_wrong_settings_say_what_is_wrong(layer: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Outer.build(layer)


def test_yaml_round_trip(tmp_path: Path) -> None:
    settings = Outer.build({"inner": {"rate": 0.25}})
    path = tmp_path / "s.yaml"
    path.write_text(settings.to_yaml())
    assert Outer.build(read_yaml(path)) == settings
    assert list(yaml.safe_load(path.read_text())) == ["epochs", "inner"]


def test_yaml_that_is_not_settings(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with pytest.raises(SettingsError, match="cannot be read"):
        read_yaml(path)
    for text, message in [
        ("- 1\n", "expected a mapping"),
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ]:
        path.write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_yaml(path)
    path.write_text("")
    assert read_yaml(path) == {}


def test_assignments_are_yaml_values() -> None:
    assert parse_assignments(["a.b=3", "a.c=[1, 2]", "d=null", "e=text"]) == {
        "a": {"b": 3, "c": [1, 2]},
        "d": None,
        "e": "text",
    }
    for item in ("a", "=3", "a..b=1", "a=["):
        with pytest.raises(SettingsError, match="--set"):
            parse_assignments([item])


def test_settings_are_frozen_and_copies_are_checked() -> None:
    settings = Inner()
    with pytest.raises(Exception, match="frozen"):
        settings.rate = 1.0
    assert settings.with_changes(rate=2.0).rate == 2.0
    with pytest.raises(SettingsError, match="greater than 0"):
        settings.with_changes(rate=0)


def test_documentation_comes_from_the_field_strings() -> None:
    assert Outer.describe_fields()[0] == ("epochs", "3", "how many epochs")


def test_merge_does_not_change_its_arguments() -> None:
    first = {"a": {"b": 1}}
    assert merge(first, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert first == {"a": {"b": 1}}
