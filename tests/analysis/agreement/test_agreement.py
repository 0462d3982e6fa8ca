"""`ex2 agreement` on fabricated runs, with the numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from labeled_runs import simple_sample

from analysis.agreement.command import agreement, main
from analysis.agreement.labels import RunLabels, distinct, pooled_votes, read_run, settle
from analysis.agreement.raters import krippendorff_alpha
from analysis.judge.base import Unparsed, Verdict
from analysis.labeling.log import Asked, Label, append_label, label_path
from analysis.labeling.sample import frame_digest, open_sample, read_frame, sample_path
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import Verdicts
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, append_jsonl, read_json, write_json, write_jsonl


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], None), ([False], False), ([True, False], True), ([False, True], False), ([True, False, False], False)],
)
def test_the_majority_counts_and_the_first_settles(given: list[bool], expected: bool | None) -> None:
    assert settle(given) is expected


def make_run(folder: Path, *, judge: str = "d", flipped: int = 0, texts: list[str] | None = None) -> Path:
    """40 aligned descriptions, 16 visual, 8 non-visual, 14 spurious, 1 empty and 1 unparsed; 40 spurious base ones.

    Of the aligned ones the judge calls the first `flipped` visual ones spurious. Other aligned `texts` have the kind as
    their second word.
    """
    where, verdicts = RunDirectory(folder).seed(0), []
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: fabricated\n")
    kinds = ["visual"] * 16 + ["non_visual"] * 8 + ["spurious"] * 14 + ["empty", "unparsed"]
    rows = [
        {"class": "pug", "label": 0, "policy": policy, "text": "" if kind == "empty" else f"{policy} {kind} {index}"}
        for policy, mix in (("aligned", kinds), ("base", ["spurious"] * 40))
        for index, kind in enumerate(mix)
    ]
    if texts is not None:
        rows = [{"class": "pug", "label": 0, "policy": "aligned", "text": text} for text in texts]
    for row in rows:
        if not row["text"]:
            continue
        _, kind, index = str(row["text"]).split()
        wrong = kind == "visual" and int(index) < flipped
        first = "unparsed" if kind == "unparsed" else "no" if kind == "spurious" or wrong else "yes"
        said = {"informative": first} | ({"visual": "yes" if kind == "visual" else "no"} if first == "yes" else {})
        verdicts += [
            {"question": question, "class": "pug", "description": row["text"], "verdict": verdict, "raw": verdict}
            | {"judge": "j", "rubric": "paper-1", "settings": judge}
            for question, verdict in said.items()
        ]
    append_jsonl(where.descriptions, rows)
    append_jsonl(where.verdicts, verdicts)
    said = JudgeIdentity("j", False, "paper-1", judge)
    shares = Breakdown(judge=said, denominator="parsed", confidence=0.95, policies={})
    write_json(where.breakdown, shares.to_json())
    return folder


def label_all(run: Path, rater: str, *, n: int = 1000, wrong: int = 0, skip: int = 0) -> None:
    """Answer by the text's own words; call the first `wrong` spurious ones non-visual, skip the first `skip` items."""
    for position, item in enumerate(simple_sample(run, n).items):
        kind = item.text.split()[1]
        if kind == "spurious" and wrong:
            wrong, kind = wrong - 1, "non_visual"
        given: dict[Any, Any] = {"informative": "no" if kind == "spurious" else "yes"}
        if given["informative"] == "yes":
            given["visual"] = "no" if kind == "non_visual" else "yes"
        if position < skip:
            given = {"informative": "skip"}
        for question, answer in given.items():
            time = f"2024-01-01T00:{position:02}:00+00:00" if rater == "anna" else f"2025-01-01T00:{position:02}:00"
            label = Label(Asked(question, item.class_name, item.text), answer, "paper-1", time)
            append_label(label_path(run, rater), rater, label)


def options(*runs: Path, **more: Any) -> Namespace:
    return Namespace(**{"runs": list(runs), "per_run": False, "rater": None, "confidence": 0.95} | more)


def stored(runs: list[RunLabels], *, pooled: bool = True) -> list[JSON]:
    """What `ex2 agreement` writes for runs, one each."""
    return [found.to_json() for found in agreement(runs, pooled=pooled)]


def test_agreement_of_one_run_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "pugs", flipped=4)
    label_all(run, "anna")
    monkeypatch.setenv("COLUMNS", "160")
    assert main(options(run)) == 0
    result = read_json(run / "agreement.json")
    # 79 descriptions are not empty; one is unparsed. People: 16 visual, 8 non-visual, 54 spurious.
    frame = frame_digest(read_frame(run))
    assert result["sample"] == {"n": 79, "population": 79, "inclusion_probability": 1.0, "seed": 0, "frame": frame}
    assert result["seeds"] == [0]
    assert result["own"]["labelled"] == 79
    assert result["own"]["unparsed"] == 1
    assert result["own"]["kinds"] == ["spurious", "non_visual", "visual"]
    assert result["own"]["verdicts"] == [*result["own"]["kinds"], "informative_unparsed"]
    assert result["own"]["table"] == [[54, 0, 0, 0], [0, 8, 0, 0], [4, 0, 12, 0]]
    assert result["own"]["kind_agreement"]["value"] == pytest.approx(74 / 78)
    first, second = result["own"]["questions"].values()
    assert (first["both_yes"], first["only_people"], first["only_judge"], first["both_no"]) == (20, 4, 0, 54)
    assert first["sensitivity"]["value"] == pytest.approx(20 / 24)
    assert first["specificity"]["value"] == 1
    assert first["paper"] == {"agreement": 0.858, "n": 500}
    assert (second["both_yes"], second["n"]) == (12, 20), "where both call it informative"
    assert first["alpha"] is None, "one rater"
    aligned = result["policies"]["aligned"]
    assert (aligned["descriptions"], aligned["empty"], aligned["unparsed"]) == (40, 1, 1)
    shares = aligned["shares"]
    # As judged, with the empty one: (14 + 4 + 1)/39 spurious, 12/39 visual, 12/20 of the informative.
    assert shares["spurious"]["judged"]["value"] == pytest.approx(19 / 39)
    assert shares["visual"]["judged"]["value"] == pytest.approx(12 / 39)
    assert shares["visual_of_informative"]["judged"]["value"] == pytest.approx(12 / 20)
    # All are labelled: corrected are people's, 14 spurious and the empty one, and 16 visual.
    assert shares["spurious"]["corrected"]["value"] == pytest.approx(15 / 39)
    assert shares["visual"]["corrected"]["value"] == pytest.approx(16 / 39)
    for share in shares.values():
        assert 0 <= share["corrected"]["low"] <= share["corrected"]["value"] <= share["corrected"]["high"] <= 1
    assert len(result["disagreements"]) == 4
    assert result["disagreements"][0]["people"] == "visual"
    shown = capsys.readouterr().out
    assert "85.8 % (n = 500)" in shown
    assert "83.3 % [64.1–93.3] (n = 24)" in shown
    # κ of [[20, 4], [0, 54]]: agreement 74/78, by chance (24·20 + 54·58)/78² = .5937; (.9487 − .5937)/.4063 = .8738.
    assert re.search(r"0\.87 \[0\.\d\d, 0\.9\d\] \(n = 78\)", shown)
    # Each share under its own denominator: 39 of 40 could be read, 20 of these are informative.
    assert "aligned, 40 descriptions" in shown
    assert re.search(r"spurious +48\.7 % \[33\.9–63\.8\] \(n = 39\)", shown)
    assert re.search(r"visual, of the informative +60\.0 % \[38\.7–78\.1\] \(n = 20\)", shown)
    assert "where people and judge both call a description informative" in shown
    assert "labelled 79 of a random 79 of 79 descriptions, unparsed by the judge 1" in shown
    lines = list(csv.DictReader((run / "agreement.csv").read_text().splitlines()))
    sensitivity = next(row for row in lines if row["subject"] == "informative" and row["quantity"] == "sensitivity")
    assert (sensitivity["run"], sensitivity["labels_of"], sensitivity["n"]) == ("pugs", "own", "24")
    assert float(sensitivity["value"]) == pytest.approx(20 / 24)
    corrected = [row for row in lines if row["policy"] == "aligned" and row["quantity"] == "share_corrected"]
    assert [row["subject"] for row in corrected] == ["spurious", "visual", "visual_of_informative"]


def test_pooled_and_per_run(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "runs" / "a", flipped=4), make_run(tmp_path / "runs" / "b")
    label_all(first, "anna")
    label_all(second, "anna")
    main(options(tmp_path / "runs"))
    one, two = read_json(first / "agreement.json"), read_json(second / "agreement.json")
    assert [run["policies"]["aligned"]["shares"]["visual"]["corrected"]["value"] for run in (one, two)] == (
        pytest.approx([16 / 39] * 2)
    ), "where all is labelled, people's shares"
    assert one["pooled"] == two["pooled"]
    # Both runs hold the same texts: 78 different ones with a verdict, with that of the run named first.
    assert one["pooled"]["table"] == [[54, 0, 0, 0], [0, 8, 0, 0], [4, 0, 12, 0]]
    assert (one["pooled"]["labelled"], one["pooled"]["unparsed"]) == (79, 1)
    first_question = one["pooled"]["questions"]["informative"]
    assert (first_question["n"], first_question["sensitivity"]["n"]) == (78, 24)
    assert one["pooled"]["questions"]["informative"]["agreement"] == one["own"]["questions"]["informative"]["agreement"]
    assert one["corrected_with"] == "pooled"
    main(options(first, second, per_run=True))
    alone = read_json(second / "agreement.json")
    assert (alone["pooled"], alone["corrected_with"]) == (None, "own")


def test_a_text_of_several_runs_counts_once(tmp_path: Path) -> None:
    """Three runs of 3 texts each, one of them in all: 7 different ones, in table, rates, alpha and its interval."""
    runs = []
    for name in "abc":
        run = make_run(tmp_path / name, texts=["base spurious 0", f"{name} visual 1", f"{name} spurious 2"])
        label_all(run, "anna")
        label_all(run, "zoe", wrong=1 if name == "a" else 0)
        runs.append(read_run(run))
    (result, *_) = stored(runs)
    pooled = result["pooled"]
    assert pooled["labelled"] == sum(map(sum, pooled["table"])) == pooled["kind_kappa"]["n"] == 7
    assert pooled["table"] == [[4, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0]]
    first = pooled["questions"]["informative"]
    assert (first["n"], first["specificity"]["n"], first["sensitivity"]["n"]) == (7, 4, 3)
    # Zoe's one error is on the first spurious text of run a; 7 units, whether or not it is the shared one.
    assert first["alpha"] == krippendorff_alpha([[True, True]] * 3 + [[False, False]] * 3 + [[False, True]])._asdict()
    assert [run.labeled for run in runs] == [tuple(distinct([run])) for run in runs], "alone, each text is drawn once"


def test_the_verdict_of_the_run_that_has_one_counts(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a", texts=["a visual 1"]), make_run(tmp_path / "b", texts=["a visual 1"])
    label_all(first, "anna", skip=1)
    label_all(second, "zoe")
    rows = distinct([read_run(first), read_run(second)])
    assert [(row.truth, row.judged) for row in rows] == [("visual", "visual")]
    assert pooled_votes([read_run(first), read_run(second)], "informative") == [[True]]
    label_all(first, "anna")  # anna and zoe have now both answered, each in one of the runs
    assert pooled_votes([read_run(first), read_run(second)], "informative") == [[True, True]]


def test_labels_of_other_runs_correct_a_run_with_few(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a", flipped=4), make_run(tmp_path / "b")
    label_all(first, "anna")
    label_all(second, "anna", n=20)
    labels = read_run(second)
    truths = [row.truth for row in labels.labeled]
    assert len(truths) == 20
    aligned, base = labels.policies["aligned"], labels.policies["base"]
    of_base = sum(row.text.startswith("base") for row in labels.labeled)
    unparsed = sum(row.judged is None for row in labels.labeled)
    assert (sum(aligned.known.values()), sum(base.known.values())) == (20 - unparsed - of_base, of_base)
    assert sum(aligned.known.values()) + sum(aligned.unlabeled.values()) == 38, "without the empty and unparsed ones"
    assert {**aligned.kinds} == {"spurious": 15, "non_visual": 8, "visual": 16, "unparsed": 1} | {
        "informative_unparsed": 0
    }
    _, pooled = stored([read_run(first), labels])
    _, alone = stored([read_run(first), labels], pooled=False)
    shares = [run["policies"]["aligned"]["shares"]["visual"] for run in (pooled, alone)]
    # This run's judge made no error, the first's lost 4 of 16: only the pool has a reason to correct upwards.
    assert shares[1]["corrected"]["value"] == pytest.approx(16 / 39, abs=1e-6)
    assert shares[0]["corrected"]["value"] > 16.5 / 39
    assert shares[0]["judged"] == shares[1]["judged"]


def test_raters_missing_answers_and_who_settles(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    label_all(run, "zoe", wrong=6)
    label_all(run, "anna", skip=10)
    labels = read_run(run)
    assert labels.raters == ("anna", "zoe"), "in the order of their first answers"
    (found,) = stored([labels])
    assert found["raters"]["anna"] == {
        "yes": 25 - skipped_informative(run, 10),
        "no": found["raters"]["anna"]["no"],
    } | {"skipped": 10}
    assert found["own"]["labelled"] == 79, "what anna skipped, zoe settles"
    first = found["own"]["questions"]["informative"]
    alpha = krippendorff_alpha([[*given.values()] for given in labels.votes("informative").values()])
    assert alpha is not None
    assert first["alpha"]["value"] == pytest.approx(alpha.value)
    assert alpha.n == 69
    # Anna came first: zoe's errors count only where anna skipped.
    errors = zoe_alone(run)
    assert first["only_people"] == errors
    (alone,) = stored([read_run(run, "zoe")])
    assert alone["own"]["questions"]["informative"]["only_people"] == 6
    with pytest.raises(UserError, match=r"--rater: 'bob' has not labelled .*run; raters here: anna, zoe"):
        read_run(run, "bob")


def skipped_informative(run: Path, skip: int) -> int:
    return sum(item.text.split()[1] != "spurious" for item in open_sample(run, 1000).items[:skip])


def zoe_alone(run: Path) -> int:
    """Zoe errs on the first six spurious ones; anna skipped the first ten descriptions."""
    kinds = [item.text.split()[1] for item in open_sample(run, 1000).items]
    wrong = [position for position, kind in enumerate(kinds) if kind == "spurious"][:6]
    return sum(position < 10 for position in wrong)


def test_what_is_missing_is_said_all_at_once(tmp_path: Path) -> None:
    unlabeled, unjudged = make_run(tmp_path / "unlabelled"), make_run(tmp_path / "unjudged")
    label_all(unjudged, "anna")
    RunDirectory(unjudged).seed(0).breakdown.unlink()
    with pytest.raises(UserError) as caught:
        main(options(unlabeled, unjudged, confidence=95))
    said = str(caught.value).splitlines()
    assert len(said) == 3
    assert "--confidence: 95 is no coverage; give a number between 0 and 1" in said[0]
    assert "nobody has labelled this run; run `ex2 label" in said[1]
    assert "not found: seed 0 is not judged; run `ex2 analyze RECIPE` first" in said[2]


def test_a_wrong_folder_hides_no_other_problem(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--confidence: 0 is no coverage.*\n.*nowhere: not found; give a run's folder"):
        main(options(tmp_path / "nowhere", confidence=0))


def test_different_judges_are_not_pooled(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b", judge="other")
    label_all(first, "anna")
    label_all(second, "anna")
    with pytest.raises(UserError, match=r"different judges cannot be pooled: j with rubric paper-1 .* add --per-run"):
        main(options(first, second))
    assert main(options(first, second, per_run=True)) == 0


def test_changed_descriptions_and_verdicts_are_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    label_all(run, "anna")
    where = RunDirectory(run).seed(0)
    kept = where.verdicts.read_text()
    where.verdicts.write_text("")
    with pytest.raises(UserError, match=r"seed 0: a description of 'pug' has no verdict"):
        read_run(run)
    where.verdicts.write_text(kept)
    append_jsonl(where.descriptions, [{"class": "pug", "label": 0, "policy": "base", "text": "new"}])
    with pytest.raises(UserError, match=r"was drawn from other descriptions than .* holds now"):
        read_run(run)


def test_a_spoilt_log_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    label_all(run, "anna")
    path = label_path(run, "anna")
    lines = path.read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "answer": "perhaps"})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        read_run(run)
    told = "'answer' is 'perhaps': value error, allowed: yes, no, skip, withdrawn"
    assert str(caught.value) == (
        f"{path}: line 3: no label ({told}); delete the line, or move the file away and label again."
    )


def test_two_verdict_kinds_that_lack_an_answer(tmp_path: Path) -> None:
    """An unparsed second verdict still counts for the first question."""
    verdicts = Verdicts()
    verdicts.add("informative", "pug", "t", Verdict(True, "yes"))
    verdicts.add("visual", "pug", "t", Unparsed("?"))
    assert verdicts.kind("pug", "t") == "informative_unparsed"
    run = make_run(tmp_path / "run")
    where = RunDirectory(run).seed(0)
    rows = [json.loads(line) for line in where.verdicts.read_text().splitlines()]
    changed = next(row for row in rows if row["question"] == "visual")
    write_jsonl(where.verdicts, [row | {"verdict": "unparsed"} if row is changed else row for row in rows])
    label_all(run, "anna")
    (found,) = stored([read_run(run)])
    assert found["own"]["questions"]["informative"]["n"] == 78
    assert found["own"]["questions"]["visual"]["n"] == 23
    assert found["own"]["unparsed"] == 1, "its first answer could be read"
    assert found["own"]["table"] == [[54, 0, 0, 0], [0, 8, 0, 0], [0, 0, 15, 1]]
    assert found["own"]["kind_kappa"]["n"] == 77, "without the unread one"
    assert found["disagreements"] == [], "informative is no disagreement with visual"
    aligned = found["policies"]["aligned"]
    assert aligned["unparsed"] == 2
    shares = aligned["shares"]
    # As in the breakdown: 15 of 39 first answers say spurious; 15 of 38 in a leaf and of 23 informative ones visual.
    assert (shares["spurious"]["judged"]["value"], shares["spurious"]["judged"]["n"]) == (pytest.approx(15 / 39), 39)
    assert (shares["visual"]["judged"]["value"], shares["visual"]["judged"]["n"]) == (pytest.approx(15 / 38), 38)
    ratio = shares["visual_of_informative"]["judged"]
    assert (ratio["value"], ratio["n"]) == (pytest.approx(15 / 23), 23)
    # All 38 with a first verdict are labelled, the empty one is certain: people's shares, of all 39.
    assert (shares["spurious"]["corrected"]["value"], shares["spurious"]["corrected"]["n"]) == (
        pytest.approx(15 / 39),
        39,
    )
    assert shares["visual"]["corrected"]["value"] == pytest.approx(16 / 39)
    assert shares["visual_of_informative"]["corrected"]["n"] == 38


def test_as_judged_is_the_breakdowns(tmp_path: Path) -> None:
    """The same shares as `group_shares` and as one Wilson interval by statsmodels-free arithmetic: 26 of 65."""
    run = make_run(tmp_path / "run", texts=[f"x {kind} {i}" for kind in ("visual", "spurious") for i in range(40)])
    where = RunDirectory(run).seed(0)
    rows = [json.loads(line) for line in where.verdicts.read_text().splitlines()]
    for row in [row for row in rows if row["question"] == "visual"][:15]:
        row["verdict"] = "unparsed"
    write_jsonl(where.verdicts, rows)
    label_all(run, "anna", n=30)
    (found,) = stored([read_run(run)])
    shares = found["policies"]["aligned"]["shares"]
    judged = {name: (share["judged"]["value"], share["judged"]["n"]) for name, share in shares.items()}
    assert judged == {"spurious": (0.5, 80), "visual": (25 / 65, 65), "visual_of_informative": (1.0, 25)}
    # A perfect judge: what could not be read the second time still counts as informative, 40 of 80.
    assert shares["spurious"]["corrected"]["value"] == pytest.approx(0.5, abs=1e-6)


def test_a_kind_nobody_labeled_is_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"x {kind} {i}" for kind, n in (("spurious", 60), ("visual", 30), ("non_visual", 3)) for i in range(n)]
    run = make_run(tmp_path / "run", texts=texts)
    for seed in range(100):  # a sample of 20 without a non-visual one
        sample_path(run).unlink(missing_ok=True)
        if not any("non_visual" in item.text for item in simple_sample(run, 20, seed).items):
            break
    label_all(run, "anna", n=20)
    monkeypatch.setenv("COLUMNS", "160")
    main(options(run))
    shares = read_json(run / "agreement.json")["policies"]["aligned"]["shares"]
    reason = "the judge calls 3 descriptions non-visual, people none of the labelled"
    assert [shares[name]["reason"] for name in shares] == ["", reason, reason]
    assert shares["spurious"]["corrected"]["value"] == pytest.approx(60 / 93, abs=1e-6)
    assert shares["visual"]["corrected"] is None
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"not corrected (–): run, aligned: visual; run, aligned: visual, of the informative: {reason}; label" in shown
    )
