"""What the command line tells people: commands that its own parser takes, no names of exceptions; weights by default."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import occlureid
from occlureid.cli import _parser, main
from occlureid.dates import date_text
from occlureid.errors import reason
from occlureid.gallery import Gallery
from occlureid.zoo import default_name, weights_path
from tests.layout_trees import lay

SOURCES = sorted(Path(occlureid.__file__).parent.rglob("*.py"))
DOCS = [Path(__file__).parents[1] / "README.md", *sorted(Path(__file__).parents[1].glob("docs/*.md"))]


def parsers(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by its words, and its parser."""
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from parsers(inner, (*words, name))


COMMANDS = dict(parsers(_parser()))


def texts(path: Path) -> Iterator[str]:
    """The texts of a module, with X where a value is put in."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def quoted() -> list[tuple[str, str]]:
    """(what stands before, the command) of every command in quotation marks or backquotes in a text of the package."""
    found = []
    for path in SOURCES:
        for text in texts(path):
            found += re.findall(r"(\S*) ?[\"'`(]+occlureid ([a-z][^\"'`)]*)[\"'`)]", text)
    return found


def command_of(words: list[str]) -> tuple[str, ...]:
    """The longest beginning of the words that names a command; nothing where none does."""
    return next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in COMMANDS), ())


def accepted(words: list[str], capsys: Any) -> None:
    try:
        _parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"{words}: {capsys.readouterr().err}")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_examples_of_every_command_are_taken(words, capsys):
    epilog = COMMANDS[words].epilog.removeprefix("example:")
    lines = [line.strip() for part in epilog.split("\n") for line in part.split("&&") if line.strip()]
    assert lines
    for line in lines:
        name, *rest = shlex.split(line)
        assert name == "occlureid"
        accepted(rest, capsys)
    assert shlex.split(lines[0])[1 : len(words) + 1] == list(words)


def test_every_command_named_in_a_text_exists():
    found = quoted()
    assert len(found) >= 15
    for before, command in found:
        words = command.split()
        name = command_of(words)
        assert name, f"occlureid {command}: there is no such command"
        options = {option for action in COMMANDS[name]._actions for option in action.option_strings}
        wrong = [word for word in words if word.startswith("--") and word not in options]
        assert not wrong, f"occlureid {command}: no {wrong} (after {before!r})"


def test_commands_that_texts_say_to_run_are_whole(capsys):
    for before, command in quoted():
        if before == "run":
            accepted(shlex.split(command), capsys)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_commands_in_the_docs_are_taken(page, capsys):
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.partition(" #")[0])
            if words[:1] == ["occlureid"]:
                accepted(words[1:], capsys)


def test_no_text_of_the_package_puts_in_the_name_of_an_exception():
    """``type(error).__name__`` and ``{error!r}`` in a text say NameError or KeyError('x') to somebody who asked for neither."""
    wrong = []
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
        for node in ast.walk(tree):
            if isinstance(node, ast.FormattedValue):
                value = ast.unparse(node.value)
                shown = node.conversion == ord("r") and value in caught
                if shown or any(f"type({name})" in value or f"repr({name})" in value for name in caught):
                    wrong.append(f"{path.name}:{node.lineno}: {value}")
    assert not wrong, wrong


# -- weights by default -----------------------------------------------------------------------------------------------


def test_the_default_embedder_fills_and_searches_a_gallery(tmp_path, pictures, capsys):
    lay(tmp_path / "crops", ["a.jpg", "b.jpg"], pictures)
    people = str(tmp_path / "people")
    for command in (
        ["gallery", "create", people],
        ["gallery", "add", people, str(tmp_path / "crops")],
        ["gallery", "search", people, str(tmp_path / "crops" / "a.jpg")],
    ):
        assert main(command) == 0, capsys.readouterr().err
    assert "a.jpg" in capsys.readouterr().out
    assert Gallery.open(people).fingerprint == occlureid.restore(weights_path(default_name())).fingerprint()


def test_a_gallery_of_other_weights_names_the_default_embedder(tmp_path, pictures, capsys):
    lay(tmp_path / "crops", ["a.jpg"], pictures)
    people = str(tmp_path / "people")
    assert main(["gallery", "create", people, "--weights", "sorn-resnet10t-256"]) == 0
    capsys.readouterr()
    assert main(["gallery", "add", people, str(tmp_path / "crops")]) == 3
    error = capsys.readouterr().err
    assert "the default embedder is" in error
    assert "--weights" in error


def test_the_default_embedder_draws_figures_and_parses_pictures_together(rendered_world, tmp_path, capsys):
    assert main(["figures", str(rendered_world), "--out", str(tmp_path / "figures"), "--count", "1"]) == 0
    assert (tmp_path / "figures" / "parts.png").is_file()
    folder = rendered_world / "bounding_box_train"
    person = min(path.name for path in folder.iterdir()).split("_")[0]
    command = ["coparse", str(folder), "--person", person, "--out", str(tmp_path / "together.png")]
    assert main(command) == 0, capsys.readouterr().err
    assert (tmp_path / "together.png").is_file()


def test_the_service_runs_with_the_default_embedder(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("occlureid.service.server.serve", lambda *values, **named: given.append(values))
    assert main(["serve", str(tmp_path)]) == 0
    ((_, describer),) = given
    assert describer.fingerprint == occlureid.load().method.fingerprint()


# -- times and reasons ------------------------------------------------------------------------------------------------


def test_times_are_dates_and_days(tmp_path, pictures, capsys):
    people = str(tmp_path / "people")
    assert main(["gallery", "create", people, "--retention", "-1"]) == 2
    assert "retention must be a positive time, got -1 days" in capsys.readouterr().err
    assert main(["gallery", "create", people, "--retention", "30"]) == 0
    lay(tmp_path, ["a.jpg"], pictures)
    (tmp_path / "crops.csv").write_text("path,camera,time\na.jpg,gate,2001-09-09T01:46:40Z\n")
    assert main(["gallery", "add", people, str(tmp_path / "crops.csv")]) == 3
    error = capsys.readouterr().err
    assert re.search(r"is of 2001-09-09T01:46:40Z, now is 2\d{3}-\d\d-.*: this gallery keeps items for 30 days", error)
    assert date_text(1769864700.4) == "2026-01-31T13:05:00Z"
    assert date_text(-1e11) == "the year -1199"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("names"), "'names' is not there"),
        (KeyError(), "no reason was given"),
        (ValueError("one\n  two"), "one two"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (RuntimeError("x" * 300), "x" * 200),
    ],
)
def test_the_reason_of_another_library_is_one_line_without_a_class(error, text):
    assert reason(error) == text


# -- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["doctor", "{tmp}/nowhere"], 3, "give the path of a data set that is there"),
        (["doctor", "{tmp}/text.txt"], 3, "expected a folder"),
        (["doctor", "{tmp}/empty"], 3, r"--layout NAME"),
        (
            ["describe", "{tmp}/empty", "--out", "{tmp}/a.npz"],
            2,
            r"empty: there are no images in it \(looked for \.bmp",
        ),
        (["demo", "--out", "{tmp}/text.txt"], 3, r"text\.txt: File exists; the command ended there"),
        (["gallery", "create", "{tmp}/text.txt/people"], 3, "text"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, capsys, command, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    assert main([word.replace("{tmp}", str(tmp_path)) for word in command]) == code
    said = capsys.readouterr()
    assert re.search(message, said.out + said.err)
    assert "Traceback" not in said.err


def test_errors_write_no_controls_of_a_terminal(tmp_path, capsys):
    """A file that somebody sent may be called, and may say, anything."""
    name = "\x1b[31mred\x9b1m\u202eGNP"
    assert main(["gallery", "stats", str(tmp_path / name)]) == 3
    said = capsys.readouterr().err
    assert r"\x1b[31mred\x9b1m\u202eGNP" in said
    assert not set(name) & set(said) - set("[31mredGNP")
    assert "".join(said.split("\n")).isprintable()
