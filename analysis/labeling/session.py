"""One rater's way through the samples of several runs: which question comes next, and what an answer changes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from analysis.judge.base import JudgeRequest, Question
from analysis.judge.rubric import Rubric, one_line
from analysis.labeling.local_pages import Stale as Stale
from analysis.labeling.log import Asked, Given, Label, append_label, label_path, merged, now, read_labels, standing
from analysis.labeling.sample import Drawn, Sample
from ex2.run.descriptions import DescribedClass
from reward.files import JSON

_PLACE = "PLACEOFTHEDESCRIPTION"
"""Placeholder for the description, by which the wording before and after it is found; no rubric has this word."""


Stage = Literal["informative", "visual", "done", "skipped"]
"""Where a description stands: the question that is open, or `done` or `skipped`."""


class Progress(NamedTuple):
    """How far a rater is, in numbers of distinct descriptions.

    Attributes:
        total: All descriptions.
        done: Descriptions with all answers that they need.
        skipped: Descriptions with a skipped question.
    """

    total: int
    done: int
    skipped: int

    @property
    def left(self) -> int:
        """Number of descriptions that are neither done nor skipped."""
        return self.total - self.done - self.skipped


class Session:
    """Asks one rater, in a random order that mixes the runs; every answer is saved before the next question.

    The logs are read again each time and are the only place where answers are held, so a session can end at any moment.
    """

    def __init__(self, samples: Mapping[Path, Sample], rater: str, rubric: Rubric) -> None:
        """Prepare the session.

        Args:
            samples: Sample of each run, by the run's folder.
            rater: Name of the rater.
            rubric: Wording of the questions; a question that was answered in another wording is asked again.

        Raises:
            UserError: If the rater's name is not allowed, or if a log cannot be read.
        """
        self.samples, self.rater, self.rubric = samples, rater, rubric
        self._logs = {run: label_path(run, rater) for run in samples}
        self._homes: dict[DescribedClass, list[Path]] = {}  # a text that occurs several times is asked about once
        for run, drawn in _mixed(samples):
            homes = self._homes.setdefault(DescribedClass(drawn.class_name, drawn.text), [])
            if run not in homes:
                homes.append(run)
        self._mend()

    def progress(self) -> Progress:
        """Return how far the rater is."""
        return _progress(self._stages(self._standing()))

    def state(self) -> JSON:
        """Return what the page shows.

        Returns:
            `rater`, `total`, `done` and `skipped` descriptions, `can_undo`, and `ask`: the next question with its
            wording and the description, or `None` at the end.
        """
        given = self._standing()
        stages = self._stages(given)
        ask = next(((d, stage) for d, stage in stages.items() if stage in ("informative", "visual")), None)
        return {
            "rater": self.rater,
            **_progress(stages)._asdict(),
            "can_undo": bool(given),
            "ask": self._wording(ask[0], ask[1]) if ask and ask[1] not in ("done", "skipped") else None,
        }

    def answer(self, key: str, question: str, answer: Given) -> None:
        """Save an answer.

        Args:
            key: Key of the description, from `state`.
            question: The question that `state` asked.
            answer: The rater's answer.

        Raises:
            Stale: If this question is not the one that is asked; nothing is saved.
            EnvironmentFault: If the answer cannot be saved.
        """
        given = self._standing()
        for description in self._homes:
            stage = _stage(description, given)
            if stage == "informative" or stage == "visual":
                if (_key(description), stage) != (key, question):
                    break
                self._save(Asked(stage, *description), answer)
                return
        raise Stale

    def undo(self) -> None:
        """Take the latest answer back; if there is none, nothing happens.

        Raises:
            EnvironmentFault: If the change cannot be saved.
        """
        given = self._standing()
        if given:
            self._save(next(reversed(given)), None)

    def reopen(self) -> None:
        """Ask the skipped questions again.

        Raises:
            EnvironmentFault: If the change cannot be saved.
        """
        for asked, label in self._standing().items():
            if label.answer == "skip":
                self._save(asked, None)

    def _stages(self, given: Mapping[Asked, Label]) -> dict[DescribedClass, Stage]:
        return {description: _stage(description, given) for description in self._homes}

    def _standing(self) -> dict[Asked, Label]:
        labels = merged([read_labels(log) for log in self._logs.values()])
        return {
            asked: label
            for asked, label in standing(labels).items()
            if label.rubric == self.rubric.version and DescribedClass(asked.class_name, asked.text) in self._homes
        }

    def _save(self, asked: Asked, answer: Given | None) -> None:
        label = Label(asked, answer, self.rubric.version, now())
        for run in self._homes[DescribedClass(asked.class_name, asked.text)]:
            append_label(self._logs[run], self.rater, label)

    def _mend(self) -> None:
        """Copy answers to every run that has the same text.

        An answer is missing in a run's log if it was given in a session without the run, or if a kill came between two
        writes.
        """
        given = self._standing()
        own = {run: standing(read_labels(log)) for run, log in self._logs.items()}
        for description, homes in self._homes.items():
            questions: tuple[Question, Question] = ("informative", "visual")
            for asked in (Asked(question, *description) for question in questions):
                for run in homes:
                    mine, latest = own[run].get(asked), given.get(asked)
                    if latest and mine != latest:
                        append_label(self._logs[run], self.rater, latest)
                    elif mine and not latest and mine.rubric == self.rubric.version:
                        append_label(self._logs[run], self.rater, Label(asked, None, mine.rubric, now()))

    def _wording(self, description: DescribedClass, question: Question) -> JSON:
        asked = self.rubric.question(JudgeRequest(question, description.class_name, _PLACE))
        before, _, after = asked.partition(_PLACE)
        example = self.rubric.question(self.rubric.example(question))
        return {
            "key": _key(description),
            "question": question,
            "class": description.class_name,
            "before": before.strip(),
            "description": one_line(description.text),
            "after": after.strip(),
            "example": [example, self.rubric.example_answer(question)],
        }


def _key(description: DescribedClass) -> str:
    """Return the key by which the page knows a description: a hash, which reveals neither run nor policy."""
    return hashlib.sha256(json.dumps(list(description)).encode()).hexdigest()[:16]


def _progress(stages: Mapping[DescribedClass, Stage]) -> Progress:
    given = [*stages.values()]
    return Progress(len(given), given.count("done"), given.count("skipped"))


def _stage(description: DescribedClass, given: Mapping[Asked, Label]) -> Stage:
    """Return the question that is open on a description, or how its labelling ended."""
    first = given.get(Asked("informative", *description))
    if first is None:
        return "informative"
    if first.answer != "yes":
        return "skipped" if first.answer == "skip" else "done"
    second = given.get(Asked("visual", *description))
    if second is None:
        return "visual"
    return "skipped" if second.answer == "skip" else "done"


def _mixed(samples: Mapping[Path, Sample]) -> Iterator[tuple[Path, Drawn]]:
    """Take one description of each run in turn, the runs in a new random order each time.

    Whoever stops early has labelled the start of every run's random order, and cannot tell the runs apart.
    """
    order: Sequence[Path] = sorted(samples)
    shuffle = random.Random(0)
    for position in range(max((len(sample.items) for sample in samples.values()), default=0)):
        for run in shuffle.sample(order, len(order)):
            items = samples[run].items
            if position < len(items):
                yield run, items[position]
