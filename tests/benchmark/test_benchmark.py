"""The benchmark in miniature, through the same code: what it writes, that it goes on, and that it shares its work."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from occlureid.benchmark import METHODS, Benchmark, BenchmarkSettings, open_benchmark, put_into_docs
from occlureid.benchmark.fixed import KNOWN, digest
from occlureid.benchmark.groups import query_groups
from occlureid.benchmark.measure import FIGURES, WHOLE, measure, variants
from occlureid.benchmark.result import update_rates
from occlureid.benchmark.summary import Entry, Resampling, differences
from occlureid.cli import main
from occlureid.described import describe_dataset, score
from occlureid.errors import SettingsError, UsageError
from occlureid.gallery.lock import only_writer
from occlureid.matching import MatchRule
from occlureid.methods import restore
from occlureid.runs import RunSettings, read_recipe
from occlureid.types import Sample
from tests.benchmark.conftest import command, settings


def record_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def written(folder: Path) -> dict[str, int]:
    names = ("benchmark.md", "results.json", "*.svg")
    files = [p for p in folder.rglob("*") if p.is_file() and not (p.parent == folder and any(map(p.match, names)))]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_the_settings_are_what_the_benchmark_promises() -> None:
    found = BenchmarkSettings()
    world = found.world
    assert world.test_persons >= 200
    assert world.cameras == 8
    assert world.visible_range == (0.2, 0.95)
    assert set(world.obstacles) >= {"person", "border", "car", "tree"}
    assert digest(world.to_dict()) in KNOWN, (
        "the world's settings have changed: render it, and write its checksums down"
    )
    budgets = set()
    for method in METHODS:
        run = RunSettings.build(read_recipe(method), *found.layers(method, 1, "cpu"))
        assert (run.method, run.train.seed, run.train.accelerator) == (method, 1, "cpu")
        assert (run.model["backbone"], run.model["size"]) == ("resnet10t", [192, 64])
        budgets.add((run.train.epochs, run.train.batch_size, run.train.optimiser, run.train.lr, run.initial_weights))
        if run.train.sampler == "identity":  # an epoch of either sampler is as many images
            assert world.cameras * world.train_images % run.train.instances == 0
    assert len(budgets) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": {"keypoints": {"jitter": [0.2, 0.1]}}},
        {"noise": {"keypoints": {"wobble": [0.1]}}},
        {"every": {"train": {"seed": 3}}},
    ],
)
def test_wrong_settings_are_named(wrong: dict) -> None:
    with pytest.raises(SettingsError, match=r"wobble|rising|seed"):
        BenchmarkSettings.build(wrong)


def test_the_record_is_what_the_descriptors_give(finished: Path, benchmark: Benchmark) -> None:
    record = record_of(finished)
    assert list(record["entries"]) == ["baseline", "pgfa"]
    assert record["entries"]["baseline"]["seeds"] == [0, 1]
    reports = {
        label: score(describe_dataset(restore(finished / label / "weights.safetensors"), benchmark.world.dataset))
        for label in ("baseline-0", "baseline-1", "pgfa-0")
    }
    pgfa, both = record["entries"]["pgfa"], record["entries"]["baseline"]
    report = reports["pgfa-0"]
    assert pgfa["rank_1"]["mean"] == pytest.approx(report.rank(1), abs=2e-6)
    assert pgfa["mAP_hits"]["mean"] == pytest.approx(report.average_precision, abs=2e-6)
    assert pgfa["mAP_trapezoid"]["mean"] == pytest.approx(report.average_precision_trapezoid, abs=2e-6)
    assert pgfa["mINP"]["mean"] == pytest.approx(report.inverse_negative_penalty, abs=2e-6)
    means = [reports[f"baseline-{seed}"].average_precision for seed in (0, 1)]
    assert both["mAP_hits"]["seeds"] == pytest.approx(means, abs=2e-6)
    assert both["mAP_hits"]["mean"] == pytest.approx(sum(means) / 2, abs=2e-6)
    low, high = both["mAP_hits"]["interval"]
    assert low <= both["mAP_hits"]["mean"] <= high
    by_obstacle = {s.name: (s.queries, s.rank_1) for s in report.by_obstacle}
    found = {name: (row["queries"], row["rank_1"]["mean"]) for name, row in pgfa["groups"]["obstacle"].items()}
    assert found.keys() == by_obstacle.keys()
    assert all(found[k] == (q, pytest.approx(r, abs=2e-6)) for k, (q, r) in by_obstacle.items())
    (difference,) = record["differences"]
    assert (difference["of"], difference["to"]) == ("pgfa", "baseline")
    gap = pgfa["mAP_hits"]["mean"] - both["mAP_hits"]["mean"]
    assert difference["difference"]["mAP_hits"]["mean"] == pytest.approx(gap, abs=3e-6)


def test_variants_of_the_rule_are_measured(finished: Path, benchmark: Benchmark) -> None:
    described = describe_dataset(restore(finished / "pgfa-0" / "weights.safetensors"), benchmark.world.dataset)
    rules = record_of(finished)["entries"]["pgfa"]["rules"]
    found = variants(described.rule, described.query.parts.shape[1])
    assert {WHOLE, *rules} == set(found)
    for name, row in rules.items():
        assert row["rank_1"]["mean"] == pytest.approx(measure(described, found[name])["rank_1"].mean(), abs=2e-6)
    assert variants(MatchRule(spatial_weight=0.5), 0) == {WHOLE: {}, "no local vectors": {"spatial_weight": 0.0}}
    assert set(variants(MatchRule(global_weight=0.0), 3)) == {WHOLE, "all parts as visible"}
    assert set(variants(MatchRule(visibility="ignore"), 3)) == {WHOLE, "global vector only", "parts only"}


def test_noise_and_rates(finished: Path) -> None:
    record = record_of(finished)
    assert list(record["noise"]) == ["pgfa"]  # the baseline describes without cues
    faults = record["noise"]["pgfa"]
    assert {fault: [row["rate"] for row in rows] for fault, rows in faults.items()} == {"jitter": [0.2], "miss": [1.0]}
    for rows in faults.values():
        for row in rows:
            clean = record["entries"]["pgfa"]["mAP_hits"]["mean"]
            assert row["difference"]["mAP_hits"]["mean"] == pytest.approx(row["mAP_hits"]["mean"] - clean, abs=3e-6)
    rates = record["rates"]
    assert (rates["batch"], rates["rounds"], rates["reference"], rates["device"]) == (4, 1, "baseline", "cpu")
    assert rates["methods"]["baseline"]["of_reference"] == 1.0
    for name in ("baseline", "pgfa"):
        method = restore(finished / f"{name}-0" / "weights.safetensors")
        assert rates["methods"][name]["parameters"] == sum(p.numel() for p in method.parameters())
        assert 0 < rates["methods"][name]["parameters_to_describe"] <= rates["methods"][name]["parameters"]


def test_page_charts_and_docs(finished: Path, tmp_path: Path) -> None:
    text = (finished / "benchmark.md").read_text()
    assert "| pgfa − baseline |" in text
    assert "16 queries of 4 persons in 2 cameras" in text
    files = put_into_docs(finished, tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in files}
    assert {"results/benchmark.json", "images/benchmark_visible.svg", "images/benchmark_noise_pgfa.svg"} <= names
    assert (finished / "visible.svg").read_text() == (tmp_path / "images/benchmark_visible.svg").read_text()
    assert str(finished) not in (tmp_path / "results/benchmark.json").read_text()


def test_a_second_call_makes_nothing_again_and_a_lost_piece_is_made(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before, record = written(out), record_of(out)
    for name in ("results.json", "benchmark.md", "visible.svg"):
        (out / name).unlink()
    assert main(command(out, "--only", "baseline:0", "baseline:1", "pgfa:0")) == 0
    assert written(out) == before
    assert record_of(out) == record
    (out / "pieces" / "pgfa-0.json").write_text('{"of": ')
    (out / "pieces" / "noise-pgfa-0-miss-1.json").unlink()
    trained = (out / "pgfa-0" / "weights.safetensors").stat().st_mtime_ns
    assert main(command(out, "--only", "pgfa:0")) == 0
    assert "pgfa-0.json is not used, and made again" in caplog.text
    assert (out / "pgfa-0" / "weights.safetensors").stat().st_mtime_ns == trained
    assert record_of(out) == record


def test_a_process_killed_before_its_first_checkpoint_is_no_obstacle(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    record = record_of(out)
    for name in ("pieces/pgfa-0.json", "pgfa-0/checkpoint.pt", "pgfa-0/weights.safetensors"):
        (out / name).unlink()
    assert (out / "pgfa-0" / "log.jsonl").is_file()
    assert main(command(out, "--only", "pgfa:0")) == 0
    assert record_of(out) == record


def test_rates_are_those_of_the_settings(
    finished: Path, benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rates.json").write_text((finished / "rates.json").read_text())
    monkeypatch.setattr("occlureid.benchmark.result.methods.restore", lambda path: path)
    monkeypatch.setattr("occlureid.benchmark.result.measure_rates", lambda *_, batch, rounds, **__: [batch, rounds])
    world, pieces = benchmark.world, benchmark.pieces
    known = json.loads((finished / "rates.json").read_text())
    assert update_rates(tmp_path, settings(), world, pieces, "cpu") == known
    for changes, expected in (({"rate_batch": 3}, [3, 1]), ({"rate_rounds": 2}, [4, 2])):
        (tmp_path / "rates.json").write_text(json.dumps(known))
        assert update_rates(tmp_path, settings().with_changes(**changes), world, pieces, "cpu") == expected


def test_a_difference_to_several_trainings_is_clear_only_if_all_of_them_agree() -> None:
    def entry(name: str, *means: float) -> Entry:
        columns = ({WHOLE: {figure: np.full(4, mean) for figure in FIGURES}} for mean in means)
        return Entry(name, "method", tuple(range(len(means))), tuple(columns))

    resampling = Resampling(["a", "a", "b", "b"], 20)
    for others, clear in (((0.3, 0.5), True), ((0.3, 0.7), False)):
        entries = {"baseline": entry("baseline", *others), "mine": entry("mine", 0.6)}
        (row,) = differences(entries, {}, resampling)
        found = row["difference"]["rank_1"]
        assert found["mean"] == pytest.approx(0.6 - sum(others) / 2)
        assert (found["clear"], len(found["seeds"])) == (clear, 2)


def test_every_query_has_a_place_on_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"a.jpg": 0.12, "b.jpg": 0.3, "c.jpg": 1.0}
    truth = {
        name: SimpleNamespace(visible_fraction=v, obstacle="tree", others=(), box="whole", size=(4, 2))
        for name, v in shown.items()
    }
    monkeypatch.setattr("occlureid.benchmark.groups.read_truth", lambda root: truth)
    samples = [Sample(Path("/w") / name, "1", "1") for name in shown]
    found = {name: rows.tolist() for name, rows in query_groups(Path("/w"), samples)["visible"].items()}
    assert found == {
        "0.1-0.2": [True, False, False],
        "0.3-0.4": [False, True, False],
        "0.9-1.0": [False, False, True],
    }


def test_what_another_process_makes_is_left_to_it(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "pieces" / "pgfa-0.json").unlink()
    with only_writer(out / "pgfa-0", 0.0):
        assert main(command(out, "--only", "pgfa:0", "baseline:0")) == 0
    assert "left to other processes: pgfa-0; call again" in capsys.readouterr().err
    assert list(record_of(out)["entries"]) == ["baseline"]


def test_another_benchmark_is_refused_in_the_same_folder(finished: Path, benchmark: Benchmark) -> None:
    changed = settings().to_dict()
    changed["every"]["train"]["lr"] = 0.5
    with pytest.raises(UsageError, match=r"every\.train\.lr: there 0\.001, wanted 0\.5"):
        open_benchmark(finished, BenchmarkSettings.build(changed))
    with pytest.raises(UsageError, match="has the methods baseline, pcb"):
        benchmark.run([("osnet", 0)])


def test_a_world_that_differs_from_the_published_one_is_said(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = benchmark.world
    assert world.known is None
    monkeypatch.setitem(KNOWN, world.settings, (world.truth, world.images))
    assert world.known is True
    assert "is the published one" in world.sentence()
    monkeypatch.setitem(KNOWN, world.settings, (world.truth, "0" * 64))
    assert world.known is False
    assert "NOT bit for bit the published one: its image bytes differ" in world.sentence()
    monkeypatch.setitem(KNOWN, world.settings, ("1" * 64, world.images))
    assert "its truth differ" in world.sentence()


def test_world_only_and_wrong_options(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(finished)
    assert main(command(finished, "--world-only")) == 0
    assert capsys.readouterr().out.strip() == str(finished / "world")
    assert written(finished) == before
    for more, message in (
        (["--only", "pgfa:0", "--methods", "pgfa"], "either --methods"),
        (["--descriptors", "a.npz", "--weights", "b"], "either --descriptors or --weights"),
        (["--name", "mine"], "neither is given"),
        (["--threads", "0"], "at least 1"),
        (["--only", "pgfa"], "METHOD:SEED"),
        (["--only", "pgfa:0", "--seeds", "1"], "either --methods, with --seeds"),
        (["--distance", "cosine"], "none are given"),
    ):
        assert main(command(finished, *more)) == 2
        assert message in capsys.readouterr().err
    assert main(command(finished, "--initial-weights", "nowhere.safetensors")) == 4
    assert "no file 'nowhere.safetensors'" in capsys.readouterr().err
