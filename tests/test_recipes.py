"""Recipes that start from others, and rows of ablation tables that share a training."""

from pathlib import Path

import pytest

from occlureid.errors import SettingsError
from occlureid.runs import RunSettings, read_recipe, read_row, recipes

SORN = "ablations/sorn"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_recipe_gives_only_what_differs_from_its_base(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", "base: sorn\nmodel: {labels: 5}\ntrain: {epochs: 3, warmup_epochs: 1}\n")
    changed = write(tmp_path / "more.yaml", "base: mine.yaml\ntrain: {epochs: 4}\nrow: {table: I}\n")
    expected = read_recipe("sorn")
    expected["model"]["labels"] = 5
    expected["train"] |= {"epochs": 4, "warmup_epochs": 1}
    assert read_recipe(changed) == expected
    assert RunSettings.build(read_recipe(changed)).train.milestones == (30, 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: b.yaml", r"cannot start from itself: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"),
        ("base: a.yaml", r"cannot start from itself: .*a\.yaml -> .*a\.yaml"),
        ("base: sorm", "no recipe and no file"),
        ("base: [sorn]", r"base must be the name of a recipe, got \['sorn'\]"),
        (f"base: {SORN}/table2-spc", "is not trained: it takes the weights of 'sorn'"),
        ("train_as: sorn", "is not trained: it takes the weights of 'sorn', train that one"),
    ],
)
def test_what_is_no_recipe_says_why(text: str, message: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    first = write(inside / "a.yaml", text)
    write(inside / "b.yaml", "base: ../inside/a.yaml")  # another spelling of the same file
    with pytest.raises(SettingsError, match=message):
        read_recipe(first)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_as: sorn\ntrain: {epochs: 3}", "only be row, model and rule.*got train"),
        ("train_as: sorn\nrule: {treshold: 0.2}", "not a matching rule"),
        ("train_as: sorn\nrule: {threshold: 2}", r"rule.threshold must lie in \(0, 1\]"),
        ("train_as: sorn\nrule: [0.2]", "rule must hold settings and their values"),
        ("train_as: sorn\nmodel: {visibilty: pose}", "did you mean 'visibility'"),
        (f"train_as: {SORN}/table2-spc", "is not trained"),
        ("train_as: 3", "train_as must be the name of a recipe, got 3"),
        ("base: sorn\nmodel: {labels: 3}", "labels"),
        ("base: sorn\nrow: {tabel: I}", "did you mean 'table'"),
        ("base: sorn\nrow: {reported: {mAP: high}}", "reported"),
        ("base: sorn\nrow: I", "row must hold settings"),
    ],
)
def test_what_is_no_row_says_why(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        read_row(write(tmp_path / "row.yaml", text))


def test_a_row_takes_anothers_training(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", "base: sorn\nmodel: {labels: 2}\nrow: {table: III, reported: {mAP: 41.9}}\n")
    row = read_row(
        write(tmp_path / "row.yaml", "train_as: mine.yaml\nmodel: {visibility: pose}\nrule: {threshold: 0.5}")
    )
    assert Path(row.train_as) == (tmp_path / "mine.yaml").resolve()
    assert (row.model, row.rule) == ({"visibility": "pose"}, {"threshold": 0.5})
    assert row.printed.reported == {}  # what is printed of the training is another row's
    own = read_row(str(tmp_path / "mine.yaml"))
    assert (own.train_as, own.model, own.rule, own.printed.table) == (own.recipe, {}, {}, "III")


def test_folders_of_recipes() -> None:
    assert "sorn" in recipes()
    assert not any("/" in name for name in recipes())
    assert f"{SORN}/table2-no-spc" in recipes(SORN)
    assert recipes("ablations") == []
    for folder in ("ablations/sonr", "..", "ablations/.."):
        with pytest.raises(SettingsError, match="no folder of recipes"):
            recipes(folder)
    with pytest.raises(SettingsError, match="no recipe and no file"):
        read_recipe("ablations/../sorn")


@pytest.mark.parametrize("name", recipes(SORN))
def test_the_rows_are_valid(name: str) -> None:
    row = read_row(name)
    assert row.train_as in {*recipes(), *recipes(SORN)}
    assert row.printed.table
    assert row.printed.name
    assert all(0 < value < 100 for value in row.printed.reported.values())


def test_the_rows_make_up_the_tables() -> None:
    """Every row of Tables I to III once, with all four figures; nine trainings beside the method's own are needed for them."""
    rows = [read_row(name) for name in recipes(SORN)]
    tables = {"I": 3, "II": 6, "III": 16}
    for table, count in tables.items():
        found = sorted((r.printed for r in rows if r.printed.table == table), key=lambda printed: printed.place)
        assert [printed.place for printed in found] == list(range(1, count + 1))
        assert all(set(printed.reported) == {"rank_1", "rank_5", "rank_10", "mAP"} for printed in found)
    trained = {row.train_as for row in rows if row.printed.table in tables}
    assert trained == {
        "sorn",
        *(f"{SORN}/table1-{name}" for name in ("global-semantic", "local-semantic")),
        f"{SORN}/table2-no-spc",
        *(f"{SORN}/table3-{name}" for name in ("none", "2-labels", "5-labels")),
        *(f"{SORN}/table3-{k}-labels-no-smoothing" for k in (2, 5, 8)),
    }
    whole = [row for row in rows if row.train_as == "sorn" and not row.model and row.rule in ({}, {"threshold": 0.15})]
    assert {row.printed.reported["mAP"] for row in whole} == {46.3}


def test_the_papers_training() -> None:
    """Section IV-B."""
    from occlureid.training.schedule import learning_rate_factor

    train = RunSettings.build(read_recipe("sorn")).train
    assert (train.epochs, train.batch_size, train.optimiser) == (80, 32, "adam")
    assert (train.flip_probability, train.pad, train.erasing_probability) == (0.5, 0, 0.0)
    rates = {epoch: train.lr * learning_rate_factor(train, epoch * 10, 10) for epoch in (0, 5, 10, 29, 30, 59, 60, 79)}
    expected = {0: 3e-5, 5: 1.65e-4, 10: 3e-4, 29: 3e-4, 30: 3e-5, 59: 3e-5, 60: 3e-6, 79: 3e-6}
    assert rates == pytest.approx(expected)
