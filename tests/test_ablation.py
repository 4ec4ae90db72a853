"""Rows of ablation tables: trainings shared, stages resumed, failures named, the table beside the paper's checked by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from occlureid.ablation import Shard, ablate, plan, table
from occlureid.ablation import scoring as stages
from occlureid.ablation.record import Outcome, build_record
from occlureid.data import ReidDataset, open_dataset
from occlureid.errors import MissingCueError, SettingsError, UsageError
from occlureid.evaluation import Report, evaluate
from occlureid.matching import MatchRule
from occlureid.runs import recipes
from occlureid.types import Protocol, Sample

SMALL: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [64, 32]},
    "train": {"epochs": 1, "batch_size": 4, "workers": 0, "accelerator": "cpu", "warmup_epochs": 0, "milestones": []},
}
ROWS = {
    "whole.yaml": "train_as: training.yaml\n"
    "row: {table: T, place: 1, name: Whole, reported: {rank_1: 50.0, mAP: 40.0}, reference: true}\n",
    "global.yaml": "train_as: training.yaml\nrule: {part_factor: 0.0}\n"
    "row: {table: T, place: 2, name: Global, reported: {rank_1: 45.0, mAP: 42.0}}\n",
    "narrow.yaml": "base: training.yaml\nmodel: {parts: 2}\nrow: {table: T, place: 3, name: Two | parts}\n",
    "elsewhere.yaml": "base: training.yaml\ncues: {folder: nowhere}\nrow: {table: T, place: 4, name: Elsewhere}\n",
}


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    """Four rows of a table: two of one training, one of its own, and one whose landmarks are not there."""
    folder = tmp_path / "rows"
    folder.mkdir()
    (tmp_path / "training.yaml").write_text("method: pgfa\ntrain: {sampler: shuffle}\n")
    for name, text in ROWS.items():
        (folder / name).write_text(text.replace("training.yaml", "../training.yaml"))
    return [str(folder)]


@pytest.fixture
def world(rendered_world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ReidDataset:
    monkeypatch.chdir(tmp_path)  # the folder "nowhere" would be looked for here
    return open_dataset(rendered_world)


def written(folder: Path) -> dict[str, int]:
    """When each file was last written; not those that are rewritten by every call."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_each_training_once_and_each_row_beside_the_paper(world: ReidDataset, rows: list[str], tmp_path: Path) -> None:
    labels: list[str] = []

    def bar(label: str):
        labels.append(label)
        return lambda done, of: None

    result = ablate(world, rows, tmp_path / "out", SMALL, bar=bar)
    record = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert record == result.record
    assert set(record["trainings"]) == {"training", "narrow", "elsewhere"}
    assert labels == [f"{name}: describe {split}" for name in ("training", "narrow") for split in ("query", "gallery")]
    assert [row["name"] for row in record["rows"]] == ["Whole", "Global", "Two | parts", "Elsewhere"]
    whole, global_, narrow, elsewhere = record["rows"]
    assert result.failed == {"elsewhere": elsewhere["reason"]}
    assert "nowhere/pose" in elsewhere["reason"]
    assert whole["fingerprint"] == global_["fingerprint"] != narrow["fingerprint"]
    assert whole["differences"] == elsewhere["differences"] == {}
    assert record["data"]["checksum"] == world.checksum()
    assert record["trainings"]["narrow"]["settings"]["model"] == {**SMALL["model"], "parts": 2}
    for row in (global_, narrow):
        for figure in ("rank_1", "mAP"):
            expected = row["measured"][figure] - whole["measured"][figure]
            assert row["differences"][figure]["measured"] == pytest.approx(expected, abs=0.002)
    assert global_["differences"]["mAP"]["reported"] == 2.0
    assert narrow["differences"]["mAP"]["reported"] is None
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert table(record) in text
    assert "`model.size=[64, 32]`" in text
    assert str(tmp_path) not in text.replace(elsewhere["reason"], "")
    before = written(tmp_path / "out")
    assert ablate(world, rows, tmp_path / "out", SMALL).record == record
    assert written(tmp_path / "out") == before
    with pytest.raises(UsageError, match="holds a run already"):
        ablate(world, rows, tmp_path / "out", SMALL, resume=False)
    with pytest.raises(UsageError, match="belongs to a run that differs"):
        ablate(world, rows, tmp_path / "out", SMALL, {"train": {"lr": 0.02}})


def test_an_interrupted_call_goes_on(
    world: ReidDataset, rows: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:  # trained, not described
        patched.setattr(stages, "describe_dataset", stopped)
        with pytest.raises(KeyboardInterrupt):
            ablate(world, rows, out, SMALL)
    trained = written(out)
    assert "training/weights.safetensors" in trained
    assert "training/described/described.json" not in trained
    with monkeypatch.context() as patched:  # described, not scored
        patched.setattr(stages, "score", stopped)
        with pytest.raises(KeyboardInterrupt):
            ablate(world, rows, out, SMALL)
    described = written(out)
    assert described.items() > trained.items()
    assert "training/described/described.json" in described
    first = rows[0] + "/whole.yaml"
    ablate(world, [first], out, SMALL)  # scored, one row of its training
    scored = written(out)
    assert scored.items() > described.items()
    assert len(scored.keys() - described.keys()) == 1
    whole = ablate(world, rows, out, SMALL).record
    assert written(out).items() > scored.items()
    assert whole == ablate(world, rows, tmp_path / "at once", SMALL).record


def test_shares_of_the_trainings_leave_what_one_call_does(world: ReidDataset, rows: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shares = [Shard.parse(f"{index}/2") for index in (1, 2)]
    planned = plan(rows, SMALL)
    assert [[each.folder for each in planned.share(share).trainings] for share in shares] == [
        ["training", "elsewhere"],
        ["narrow"],
    ]
    assert [row.printed.name for row, _ in planned.share(shares[0]).rows] == ["Whole", "Global", "Elsewhere"]
    second = ablate(world, rows, out, SMALL, shard=shares[1])
    assert [row["name"] for row in second.record["rows"] if row["measured"]] == ["Two | parts"]
    assert sorted(path.name for path in out.iterdir()) == ["narrow"]
    ablate(world, rows, out, SMALL, shard=shares[0])
    assert not list(out.glob("ablation.*"))
    before = written(out)
    whole = ablate(world, rows, out, SMALL).record
    assert written(out) == before  # nothing was trained, described or scored again
    assert whole == ablate(world, rows, tmp_path / "at once", SMALL).record
    assert ablate(world, rows, tmp_path / "many", SMALL, shard=Shard(9, 9)).record["rows"] == []


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "-1/2", "1/0", "1/2/3", "a/b", "²/2"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError, match="1/2 and 2/2"):
        Shard.parse(text)


def test_what_is_stale_or_damaged_is_made_again(world: ReidDataset, rows: list[str], tmp_path: Path) -> None:
    out, first = tmp_path / "out", [rows[0] + "/whole.yaml"]
    record = ablate(world, first, out, SMALL).record
    (scores,) = (out / "training").glob("scores-*.json")
    descriptors = out / "training" / "described" / "query.safetensors"
    for spoil in (scores, descriptors):
        spoil.write_bytes(spoil.read_bytes()[:100])
    assert ablate(world, first, out, SMALL).record == record
    assert Report.from_json(scores.read_text()).provenance["fingerprint"] == record["rows"][0]["fingerprint"]
    other = scores.read_text().replace(record["rows"][0]["fingerprint"], "pgfa@other")
    scores.write_text(other)  # of other weights
    assert ablate(world, first, out, SMALL).record == record
    assert "pgfa@other" not in scores.read_text()


def test_a_row_that_changes_the_restored_model(world: ReidDataset, rows: list[str], tmp_path: Path) -> None:
    """Two of three rows of a training change the model: alike changed, they share their descriptors."""
    folder = Path(rows[0])
    for name, rule in (("pooled", ""), ("pooled-all", "rule: {visibility: ignore}\n")):
        text = f"train_as: ../training.yaml\nmodel: {{partial_test_feature: pooled}}\n{rule}"
        (folder / f"{name}.yaml").write_text(text)
    chosen = [str(folder / f"{name}.yaml") for name in ("whole", "pooled", "pooled-all")]
    record = ablate(world, chosen, tmp_path / "out", SMALL).record
    folders = sorted(path.name for path in (tmp_path / "out" / "training").iterdir() if path.is_dir())
    assert len([name for name in folders if name.startswith("described")]) == 2
    fingerprints = {row["name"]: row["fingerprint"] for row in record["rows"]}
    assert fingerprints["pooled"] == fingerprints["pooled-all"] != fingerprints["Whole"]
    assert {row["table"] for row in record["rows"]} == {"Table T", "no table"}


def test_where_no_row_can_be_run_the_first_error_is_raised(world: ReidDataset, rows: list[str], tmp_path: Path) -> None:
    with pytest.raises(MissingCueError, match="nowhere/pose"):
        ablate(world, [rows[0] + "/elsewhere.yaml"], tmp_path / "out", SMALL)
    assert "nowhere" in (tmp_path / "out" / "ablation.md").read_text()
    with pytest.raises(SettingsError, match=r"cues come from the folder 'nowhere', but cues.source was set to exact"):
        ablate(world, [rows[0] + "/elsewhere.yaml"], tmp_path / "out", SMALL, {"cues": {"source": "exact"}})


# -- the table -----------------------------------------------------------------------------------------------------------

PERSONS = ("a", "a", "b", "b")


def scored(*wrong: int) -> Report:
    """Two queries of each of two persons, against one image of each; some queries have the other person first."""
    query = [Sample(Path(f"{number}.png"), person, "1") for number, person in enumerate(PERSONS)]
    gallery = [Sample(Path(f"{person}.png"), person, "2") for person in "ab"]
    distances = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    for number in wrong:
        distances[number] = 1 - distances[number]
    return evaluate(distances, query, gallery, Protocol("toy"), rule=MatchRule(), seed=0)


def test_the_table_by_hand(world: ReidDataset, rows: list[str]) -> None:
    """Of "Global" both queries of person a fail: draws of the persons then give differences from -100 to 0."""
    planned = plan(rows, SMALL)
    reports = {"whole": scored(), "global": scored(0, 1), "narrow": scored(0, 1, 2, 3)}
    outcomes = {row.recipe: Outcome(reports[Path(row.recipe).stem], "x") for row, _ in planned.rows[:3]}
    record = build_record(planned, world, outcomes)
    assert record["rows"][1]["differences"]["rank_1"] == {
        "measured": -50.0,
        "interval": [-100.0, 0.0],
        "reported": -5.0,
    }
    assert table(record).split("\n\n", 1)[1] == (
        "**pgfa, Table T**\n\n"
        "| row | Rank-1 | paper | mAP | paper | Rank-1, to the reference | mAP, to the reference |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| Whole (reference) | 100.0 [100.0, 100.0] | 50.0 | 100.0 [100.0, 100.0] | 40.0 |  |  |\n"
        "| Global | 50.0 [0.0, 100.0] | 45.0 | 75.0 [50.0, 100.0] | 42.0 | ~ -50.0 (-5.0) ✓ | ~ -25.0 (+2.0) ✗ |\n"
        "| Two \\| parts | 0.0 [0.0, 0.0] |  | 50.0 [50.0, 50.0] |  | -100.0 | -50.0 |\n"
        "| Elsewhere | not run: its turn has not come yet |  |  |  |  |  |\n\n"
        "Rank-1: 1 of 1 printed differences have the same sign here, 0 of the 0 whose interval does not hold 0. "
        "mAP: 0 of 1 printed differences have the same sign here, 0 of the 0 whose interval does not hold 0.\n"
    )


def test_the_papers_figures_are_those_of_the_data_set_where_it_prints_them(world: ReidDataset, rows: list[str]) -> None:
    """Of "Global" on a rendered world 30 and 20 at ranks 1 and 3; "Whole" has only those of its own table, 50 and 40 (mAP)."""
    path = Path(rows[0]) / "global.yaml"
    figures = "{synthetic: {synthetic: {rank_1: 30.0, rank_3: 20.0}}}"
    path.write_text(path.read_text().replace("mAP: 42.0}}", f"mAP: 42.0}}, transferred: {figures}}}"))
    planned = plan(rows, SMALL)
    reports = {"whole": scored(), "global": scored(0, 1)}
    outcomes = {row.recipe: Outcome(reports[Path(row.recipe).stem], "x") for row, _ in planned.rows[:2]}
    whole, changed, *_ = build_record(planned, world, outcomes)["rows"]
    assert (whole["reported"], changed["reported"]) == ({"rank_1": 50.0, "mAP": 40.0}, {"rank_1": 30.0, "rank_3": 20.0})
    assert changed["measured"]["rank_3"] == 100 * reports["global"].rank(3)
    assert [changed["differences"][name]["reported"] for name in ("rank_1", "mAP")] == [-20.0, None]
    elsewhere = build_record(planned, replace(world, name="folder"), outcomes)["rows"][1]
    assert elsewhere["reported"] == {"rank_1": 45.0, "mAP": 42.0}


def test_without_its_reference_a_row_is_not_compared(world: ReidDataset, rows: list[str]) -> None:
    planned = plan([rows[0] + "/global.yaml"], SMALL)
    ((row, _),) = planned.rows
    record = build_record(planned, world, {row.recipe: Outcome(scored(0), "x")})
    assert record["rows"][0]["differences"] == {}
    planned = plan(rows, SMALL)  # it is there, and was not run
    record = build_record(planned, world, {row.recipe: Outcome(scored(0), "x")})
    assert [found["differences"] for found in record["rows"]] == [{}] * 4


# -- the plan ------------------------------------------------------------------------------------------------------------


def test_the_plan_of_a_paper() -> None:
    planned = plan(["ablations/sorn"])
    assert len(planned.rows) == len(recipes("ablations/sorn"))
    assert {training.recipe for training in planned.trainings} >= {"sorn", "ablations/sorn/table3-none"}
    assert {training.folder for training in planned.trainings} >= {"sorn", "sorn-table3-none"}
    tables = list(dict.fromkeys(row.printed.table for row, _ in planned.rows))
    assert tables == ["I", "II", "III", "Fig. 8a", "Fig. 8b", "Fig. 8c"]
    assert planned.summary().splitlines()[0] == f"{len(planned.trainings)} trainings for {len(planned.rows)} rows"
    assert "  Table III: 8 Labels, SORN" in planned.summary().splitlines()


@pytest.mark.parametrize(
    "folder",
    [
        "ablations/sorn",
        "ablations/sgam",
        "ablations/pgfa",
        "ablations/hcga",
        "ablations/hcga-holistic",
        "ablations/gasm",
    ],
)
def test_every_table_has_one_reference(folder: str) -> None:
    planned = plan([folder])
    tables = {row.printed.table for row, _ in planned.rows}
    marked = [row.printed.table for row, _ in planned.rows if row.printed.reference]
    assert sorted(marked) == sorted(tables)


def test_rows_named_twice_are_run_once(rows: list[str]) -> None:
    planned = plan([*rows, rows[0] + "/../rows/whole.yaml"], SMALL)
    assert len(planned.rows) == 4
    assert [training.settings.train.epochs for training in planned.trainings] == [1, 1, 1]


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        ([], {}, "no row to train"),
        (["ablations"], {}, "holds no recipes itself"),
        (["ablations/sonr"], {}, "no folder of recipes"),
        (["pgfa", "nothing.yaml"], {}, "no recipe and no file"),
        (["pgfa"], {"train": {"epoch": 3}}, r"pgfa: .*did you mean 'epochs'"),
        (["pgfa"], {"model": {"part": 3}}, r"pgfa: .*did you mean 'parts'"),
        (["ablations/pgfa"], {"model": {"parts": 4}}, r"model.parts is what the rows of Fig. 6a of pgfa differ in"),
        (["ablations/sgam"], {"crop": {"mode": "rows"}}, r"crop.mode is what the rows of Table 5 of sgam differ in"),
    ],
)
def test_what_cannot_be_planned(names: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(names, changes)


def test_files_that_would_be_confused(rows: list[str], tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text("method: pgfa\n")
    with pytest.raises(UsageError, match="would both be trained into 'narrow'"):
        plan([*rows, str(tmp_path / "narrow.yaml")])
    Path(rows[0], "again.yaml").write_text("train_as: ../training.yaml\nrow: {table: T, reference: true}\n")
    with pytest.raises(UsageError, match="Table T of pgfa can have one reference"):
        plan(rows)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="no YAML files there"):
        plan([str(empty)])
