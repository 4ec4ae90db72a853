"""Which trainings the rows of ablation tables need: rows that take the same weights share one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlureid import methods
from occlureid.ablation.shard import Shard
from occlureid.config import merge
from occlureid.errors import SettingsError, UsageError
from occlureid.runs import Row, RunSettings, packaged, read_recipe, read_row, recipes

__all__ = ["Plan", "Training", "label", "plan"]

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Training:
    """One training, and the rows that take its weights.

    Attributes:
        recipe: what is trained.
        folder: the name of its folder.
        settings: of the training, changes included.
        rows: in the order of the tables.
    """

    recipe: str
    folder: str
    settings: RunSettings
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and for which rows.

    Attributes:
        trainings: in the order in which the tables need them.
        rows: (the row, its training), table by table; tables before figures.
        changes: what was changed in every training.
    """

    trainings: tuple[Training, ...]
    rows: tuple[tuple[Row, Training], ...]
    changes: dict[str, Any]

    def summary(self) -> str:
        """A line for each training, and below it one for each row that takes its weights."""
        lines = [f"{_counted(len(self.trainings), 'training')} for {_counted(len(self.rows), 'row')}"]
        for training in self.trainings:
            lines.append(f"{label(training.recipe)} ({training.settings.method})")
            lines += [f"  {title(row)}: {row.printed.name or label(row.recipe)}" for row in training.rows]
        return "\n".join(lines)

    def share(self, shard: Shard) -> Plan:
        """The trainings of a share, and their rows."""
        trainings = shard.pick(self.trainings)
        return Plan(trainings, tuple(pair for pair in self.rows if pair[1] in trainings), self.changes)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def label(recipe: str) -> str:
    """A recipe's name; of a file of one's own, the file's name without folders and suffix."""
    return Path(recipe).stem if recipe.endswith(_SUFFIXES) else recipe


def title(row: Row) -> str:
    """What a row's table is called: "Table III", "Fig. 5", or "no table" where the recipe names none."""
    name = row.printed.table
    return name if name.startswith("Fig.") else f"Table {name}" if name else "no table"


def plan(names: Iterable[str], *changes: Mapping[str, Any]) -> Plan:
    """Groups rows by the training whose weights they take. Nothing is trained, and no data is looked at.

    Args:
        names: recipes of the package, folders of them ("ablations/sorn"), YAML files, or folders of YAML files.
        changes: values to change in every training (``RunSettings``), such as its size and epochs; later ones win.

    Raises:
        SettingsError: there is no such recipe, it is no row, or the changes do not make settings.
        UsageError: nothing is named, a table has two references, two trainings would share a folder, or a change would undo
            what a table compares.
    """
    changed = merge(*changes)
    rows = [read_row(name) for name in dict.fromkeys(_expand(names))]
    if not rows:
        raise UsageError('no row to train and to score; name a recipe, or a folder of them such as "ablations/sorn"')
    plain = {row.train_as: RunSettings.build(read_recipe(row.train_as)) for row in rows}
    _check_tables(rows, plain, changed)
    settings = {recipe: _settings(recipe, changed) for recipe in plain}
    rows.sort(key=lambda row: _order(row, plain[row.train_as].method))
    trainings: dict[str, Training] = {}
    for recipe in dict.fromkeys(row.train_as for row in rows):
        folder = label(recipe).removeprefix("ablations/").replace("/", "-")
        for other in trainings.values():
            if other.folder == folder:
                raise UsageError(
                    f"{other.recipe} and {recipe} would both be trained into {folder!r}; rename one of them"
                )
        taking = tuple(row for row in rows if row.train_as == recipe)
        trainings[recipe] = Training(recipe, folder, settings[recipe], taking)
    return Plan(tuple(trainings.values()), tuple((row, trainings[row.train_as]) for row in rows), changed)


def _expand(names: Iterable[str]) -> Iterator[str]:
    """Recipes, for recipes and folders of them; files by their whole path, so that two spellings are one file."""
    for name in names:
        path = Path(name)
        if name.endswith(_SUFFIXES):
            yield str(path.resolve())
        elif packaged(name):
            yield name
        elif path.is_dir():
            files = sorted(str(file.resolve()) for file in path.iterdir() if file.suffix in _SUFFIXES)
            if not files:
                raise UsageError(f"{name}: no YAML files there")
            yield from files
        else:
            found = recipes(name)
            if not found:
                raise UsageError(f"{name!r} holds no recipes itself; name a folder below it, such as ablations/sorn")
            yield from found


def _settings(recipe: str, changes: Mapping[str, Any]) -> RunSettings:
    try:
        settings = RunSettings.build(read_recipe(recipe), changes)
        methods.load(settings.method).Config.build(settings.model)
    except SettingsError as error:
        raise SettingsError(f"{label(recipe)}: {error}") from error
    return settings


def _order(row: Row, method: str) -> tuple[str, bool, str, int, str]:
    table = row.printed.table
    return method, table.startswith("Fig."), table, row.printed.place, row.recipe


def _check_tables(rows: Sequence[Row], plain: Mapping[str, RunSettings], changes: Mapping[str, Any]) -> None:
    """Raises:
    UsageError: a table has two references, or a change would make two rows of a table the same.
    """  # noqa: D205
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.printed.table:
            tables.setdefault((plain[row.train_as].method, row.printed.table), []).append(row)
    for (method, _), members in tables.items():
        marked = [row.recipe for row in members if row.printed.reference]
        if len(marked) > 1:
            raise UsageError(f"{title(members[0])} of {method} can have one reference, found {', '.join(marked)}")
        full = {row.recipe: _values(plain[row.train_as]) for row in members}
        for key in _leaves(changes):
            said = {recipe: _at(values, key) for recipe, values in full.items()}
            if any(value != next(iter(said.values())) for value in said.values()):
                raise UsageError(
                    f"{'.'.join(key)} is what the rows of {title(members[0])} of {method} differ in, so it cannot be changed "
                    f"in all of them: {', '.join(f'{label(recipe)} has {value!r}' for recipe, value in said.items())}"
                )


def _values(settings: RunSettings) -> dict[str, Any]:
    """All settings of a training, those that the recipe does not name included."""
    model = methods.load(settings.method).Config.build(settings.model).to_dict()
    return {**settings.to_dict(), "model": model}


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


def _at(values: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
