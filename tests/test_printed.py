"""The papers' printed figures beside what is measured, and the ranks that are quoted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from occlureid import methods
from occlureid.cli import main
from occlureid.data import LAYOUTS, ReidDataset, with_training
from occlureid.described import Described, score
from occlureid.errors import DataError
from occlureid.evaluation import Report
from occlureid.matching import MatchRule
from occlureid.methods.pgfa import PGFA
from occlureid.printed import printed_figures, with_printed
from occlureid.report import write_evaluation
from occlureid.runs import RowSettings, RunSettings, read_recipe, read_row, recipes, train
from occlureid.types import Descriptor, Protocol, Sample

ROWS = [
    *recipes(),
    *(
        name
        for method in ("gasm", "hcga", "hcga-holistic", "pgfa", "sgam", "sorn")
        for name in recipes(f"ablations/{method}")
    ),
]


def described(
    recipe: str, trained_on: Any, test: str, *, ranks: tuple[int, ...] = (1, 3), **settings: Any
) -> Described:
    """What a training by a recipe says of three images of each of two persons; the first query's person comes second."""
    row = read_row(recipe)
    run = RunSettings.build(read_recipe(row.train_as))
    config = methods.load(run.method).Config.build(run.model, row.model, settings)
    query = Descriptor.from_vectors(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    gallery = Descriptor.from_vectors(torch.tensor([[0.6, 0.8], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]]))
    samples = [tuple(Sample(Path(f"{split}{i}.jpg"), p, split) for i, p in enumerate(people))
               for split, people in (("query", "ab"), ("gallery", "abbb"))]  # fmt: skip
    record = {
        "method": run.method,
        "settings": json.loads(json.dumps(config.to_dict())),
        "training": {"trained_on": trained_on},
        "data": {"name": test},
    }
    protocol = Protocol(test, ignore="none", junk=(), ranks=ranks)
    return Described(query, gallery, *samples, MatchRule(part_factor=0), protocol, (), record)


@pytest.mark.parametrize(
    ("recipe", "trained", "test", "figures"),
    [
        ("pgfa", "occluded-duke", "occluded-duke", (51.4, None, 68.6, 74.9, 37.3)),
        ("pgfa", "market1501", "market1501", (91.2, None, None, None, 76.8)),  # PGFA, Table 4
        ("pgfa", "dukemtmc", "dukemtmc", (82.6, None, None, None, 65.5)),
        ("pgfa-partial", "market1501", "partial-reid", (68.0, 80.0, None, None, None)),  # Table 3
        ("pgfa-partial", "market1501", "partial-ilids-uncropped", (69.1, 80.9, None, None, None)),
        ("sgam", "market1501", "partial-reid", (74.3, 82.3, None, None, None)),  # SGAM, Table 2
        ("sgam", "market1501", "partial-ilids-uncropped", (70.6, 82.4, None, None, None)),
        ("sgam", "market1501", "market1501", (91.4, None, None, None, 77.6)),  # Table 3
        ("sgam", "dukemtmc", "dukemtmc", (83.5, None, None, None, 67.3)),
        ("sorn", "market1501", "partial-reid", (76.7, 84.3, None, None, None)),  # SORN, Table V
        ("sorn", "market1501", "partial-ilids-uncropped", (79.8, 86.6, None, None, None)),
        ("sorn", "market1501", "market1501", (94.8, None, None, None, 84.5)),  # Table VI
        ("sorn", "dukemtmc", "dukemtmc", (86.9, None, None, None, 74.1)),
        ("hcga", "occluded-reid-half", "occluded-reid-half", (88.0, None, 96.0, None, None)),  # HCGA, Table III
        ("ablations/hcga/table6-hcnet", "occluded-reid-half", "occluded-reid-half", (87.2, None, 95.6, None, None)),
        ("hcga-holistic", "market1501", "market1501", (95.2, None, 98.2, None, 88.4)),  # Table IV
        ("ablations/hcga-holistic/table4-no-gam", "market1501", "market1501", (95.3, None, 98.4, None, 87.8)),
        ("hcga-holistic", "cuhk03-np-detected", "cuhk03-np-detected", (76.9, None, None, None, 73.2)),  # Table V
        ("hcga-holistic", "cuhk03-np-labeled", "cuhk03-np-labeled", (78.3, None, None, None, 75.8)),
        ("ablations/hcga-holistic/table6-baseline", "cuhk03-np-labeled", "cuhk03-np-labeled", (71.9, None, None, None, 68.5)),
        ("ablations/hcga-holistic/table6-extra-info", "cuhk03-np-detected", "cuhk03-np-detected", (72.2, None, None, None, 69.6)),
        ("ablations/hcga-holistic/table6-isp", "cuhk03-np-labeled", "cuhk03-np-labeled", (76.5, None, None, None, 74.1)),
        ("ablations/hcga-holistic/table6-hcnet", "cuhk03-np-detected", "cuhk03-np-detected", (74.7, None, None, None, 71.9)),
        ("ablations/hcga-holistic/table10-resnet50", "cuhk03-np-labeled", "cuhk03-np-labeled", (70.6, None, None, None, 67.4)),
        ("ablations/gasm/table2-gasm", "market1501", "market1501", (95.3, None, None, None, 84.7)),
        ("ablations/pgfa/table5-openpose-pgfa", "occluded-duke", "occluded-duke", (49.1, None, 66.7, None, 35.3)),
    ],
)  # fmt: skip
def test_the_papers_figures_are_found(recipe: str, trained: str, test: str, figures: tuple[float | None, ...]) -> None:
    named = zip(("rank_1", "rank_3", "rank_5", "rank_10", "mAP"), figures, strict=True)
    expected = {name: value for name, value in named if value is not None}
    assert expected in [row["figures"] for row in printed_figures(described(recipe, [trained], test))]


def test_no_figures_of_anything_else() -> None:
    asked = described("sorn", ["market1501"], "partial-reid")
    assert [row["recipe"] for row in printed_figures(asked)] == ["sorn"]
    assert printed_figures(asked, MatchRule(part_factor=0, metric="euclidean")) == []
    assert printed_figures(described("sorn", ["market1501"], "partial-reid", parts=4)) == []
    assert printed_figures(described("sorn", ["market1501"], "partial-reid-cropped")) == []
    assert printed_figures(described("sorn", ["market1501", "msmt17"], "partial-reid")) == []
    assert printed_figures(described("pgfa", ["market1501"], "partial-reid")) == []  # six parts are in the paper
    for unknown in (None, 3, [["market1501"]], "market1501"):
        assert printed_figures(described("sorn", unknown, "partial-reid")) == []
    asked.record.pop("training")
    assert printed_figures(asked) == []
    asked.record.update(method="../sorn", training={"trained_on": ["market1501"]})
    assert printed_figures(asked) == []


def test_a_row_with_a_rule_of_its_own() -> None:
    """SORN's Table II, "Global Features": the same weights, matched by the global vector."""
    asked = described("ablations/sorn/table2-spc-global", ["occluded-duke"], "occluded-duke")
    row = read_row("ablations/sorn/table2-spc-global")
    changed = MatchRule.from_json({**asked.rule.to_json(), **row.rule})
    found = printed_figures(asked, changed)
    assert row.printed.reported in [each["figures"] for each in found]


def test_figures_of_one_set_alone() -> None:
    plain = RowSettings(reported={"rank_1": 50.0})
    assert plain.printed(["occluded-duke"], "occluded-duke") == {"rank_1": 50.0}
    assert plain.printed(["market1501"], "occluded-duke") == plain.printed(["market1501"], "market1501") == {}
    both = RowSettings(reported={"rank_1": 50.0}, transferred={"market1501": {"msmt17": {"rank_1": 30.0}}})
    assert both.printed(["market1501"], "msmt17") == {"rank_1": 30.0}
    assert both.printed(["occluded-duke"], "occluded-duke") == both.printed([], "msmt17") == {}


@pytest.mark.parametrize("name", ROWS)
def test_printed_figures_name_layouts(name: str) -> None:
    row = read_row(name).printed
    for source, cells in row.transferred.items():
        for test, figures in cells.items():
            assert {source, test} <= {*LAYOUTS, "crowd-reid"}  # which was never given out
            assert figures.keys() <= {"rank_1", "rank_3", "rank_5", "rank_10", "mAP"}
            assert all(0 < value < 100 for value in figures.values())


def test_report_shows_them_beside_what_is_measured(tmp_path: Path) -> None:
    item = described("sorn", ["market1501"], "partial-reid")
    report = with_printed(score(item), item)
    assert "  the paper prints, of sorn: rank-1 76.7, rank-3 84.3 (%)" in report.summary().splitlines()
    assert Report.from_json(report.to_json()).printed == (("sorn", {"rank_1": 76.7, "rank_3": 84.3}),)
    page = write_evaluation(tmp_path / "report.html", {"one": (item, report)})
    text = page.read_text(encoding="utf-8")
    row = text[text.index("the paper, of sorn") :]
    assert row[: row.index("</tr>")].count("<td>") == 5  # Rank-1, Rank-3, mAP twice, mINP
    assert row.index("76.7") < row.index("84.3") < row.index("–") < row.index("</tr>")
    figures = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["runs"][0]["printed"]
    assert figures == [{"recipe": "sorn", "figures": pytest.approx({"Rank-1": 0.767, "Rank-3": 0.843})}]
    other = described("sorn", ["market1501"], "msmt17")
    assert "the paper prints" not in with_printed(score(other), other).summary()


def test_a_report_with_damaged_figures_says_so() -> None:
    report = score(described("sorn", ["market1501"], "partial-reid"))
    damaged = Report.from_json(json.dumps({**json.loads(report.to_json()), "provenance": {"printed": [3]}}))
    with pytest.raises(DataError, match=r"a list of recipes and their figures, got \[3\]"):
        damaged.summary()


def test_ranks_to_quote() -> None:
    """Query a's person stands second of four, query b's first: 50, 100 and 100 per cent."""
    item = described("sorn", [], "partial-reid", ranks=(1, 3))
    assert score(item).ranks == {1: 0.5, 3: 1.0}
    report = score(item, ranks=(1, 2, 10))
    assert report.ranks == {1: 0.5, 2: 1.0, 10: 1.0}
    assert report.curve == score(item).curve
    assert [line.split()[0] for line in report.summary().splitlines()[1:4]] == ["rank-1", "rank-2", "rank-10"]
    for wrong in ((), (0, 1)):
        with pytest.raises(DataError, match="ranks must be positive"):
            score(item, ranks=wrong)


def test_ranks_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(described("sorn", ["market1501"], "partial-reid").save(tmp_path / "described"))
    assert main(["evaluate", folder]) == 0
    said = capsys.readouterr().out
    assert ("rank-3 " in said, "rank-5" in said, "rank-3 84.3 (%)" in said) == (True, False, True)
    assert main(["evaluate", folder, "--ranks", "10,1,3,5", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out).values()
    assert report["protocol"]["ranks"] == [1, 3, 5, 10]
    assert report["provenance"]["printed"][0]["recipe"] == "sorn"
    for wrong in ("0", "1,,3", "one"):
        with pytest.raises(SystemExit):
            main(["evaluate", folder, "--ranks", wrong])
        assert "expected ranks from 1 with commas between them" in capsys.readouterr().err
    assert main(["evaluate", "--ranks", "1,3", "--train", "a", "--test", "b", "--recipe", "pgfa", "--out", "c"]) == 2
    assert "--report and --ranks" in capsys.readouterr().err


def test_weights_say_what_they_were_trained_on(rendered_world: Path, tmp_path: Path) -> None:
    from occlureid.data import open_dataset

    dataset = open_dataset(rendered_world)
    assert dataset.trained_on == ("synthetic",)
    elsewhere = ReidDataset("partial-reid", tmp_path, (), dataset.query, dataset.gallery, dataset.protocol)
    assert elsewhere.trained_on == ()
    joined = with_training(elsewhere, dataset)
    assert (joined.name, joined.trained_on) == ("partial-reid", ("synthetic",))
    small = {
        "method": "baseline",
        "initial_weights": "none",
        "model": {"backbone": "resnet10t", "size": [32, 16]},
        "train": {
            "epochs": 1,
            "batch_size": 4,
            "sampler": "shuffle",
            "warmup_epochs": 0,
            "milestones": [],
            "workers": 0,
            "accelerator": "cpu",
        },
    }
    result = train(joined, tmp_path / "run", small)
    assert methods.restore(result.weights).provenance["trained_on"] == ["synthetic"]


def test_pgfa_as_released() -> None:
    run = RunSettings.build(read_recipe("pgfa-released"))
    config = PGFA.Config.build(run.model)
    paper = PGFA.Config.build(read_recipe("pgfa")["model"])
    assert config == paper.with_changes(confidence_rule="above", interval="open", partial_test_feature="pooled")
    assert (config.parts, config.balance, config.confidence, config.min_landmarks, config.reduced) == (
        3,
        0.2,
        0.2,
        3,
        256,
    )
    assert (config.reducer, config.dropout, config.sigma, config.backbone_lr_factor) == ("block", 0.5, "area", 0.1)
    own = run.train
    assert (own.epochs, own.batch_size, own.lr, own.weight_decay, own.milestones) == (60, 32, 0.1, 5e-4, (40,))
    assert (own.momentum, own.nesterov, own.drop_last, own.flip_probability) == (0.9, True, True, 0.5)
    assert own.erasing_probability == 0
