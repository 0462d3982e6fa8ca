"""Does the demo say the same on other seeds, thread counts and instruction sets?

Floating-point sums differ between processors, PPO carries the difference on, and a run on another machine is in effect
one with another seed. torch's instruction sets can be chosen (`ATEN_CPU_CAPABILITY`), and so can its threads, so that
one machine stands for several.

Rules, fixed beforehand, over ten runs of `recipes/demo/visual.yaml` as it is, five seeds on two instruction sets, the
second of which takes two threads:

* The same kind is named in at least 9 of 10. Twin: a policy that never moved.
* The accuracies of EX2's texts lie within 6 points of each other, and the KL of no ten batches in a row is above three
  times that of the end. Twin: the demo's earlier settings (a rate of 1e-3 without a KL target that it can reach),
  whose KL went to 45.
* The interval that a run prints for the share of visual descriptions, widened to what ten seeds differ by, holds the
  ten runs' mean in at least 9 of 10: README prints the range over the ten runs and not one run's interval. Twin: an
  interval of no width.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from analysis.accuracy.record import read_accuracy
from calibration.answers import Answer, Rule
from calibration.headlines import headline_kind
from calibration.runs import Job
from reward.files import read_jsonl

SEEDS = (0, 1, 2, 3, 4)
SETS = (
    (("ATEN_CPU_CAPABILITY", "default"), ("OMP_NUM_THREADS", "1")),
    (("ATEN_CPU_CAPABILITY", "avx2"), ("OMP_NUM_THREADS", "2")),
)
SAME, MOST_APART, MOST_SPIKE, WINDOW = 9, 0.06, 3.0, 10
EARLIER = ("rl.batches=100", "rl.batch_size=32", "rl.minibatch_size=8", "rl.learning_rate=1e-3", "rl.kl.controller=adaptive", "rl.kl.init_coef=0.2", "rl.kl.target=10", "rl.kl.horizon_unit=samples", "rl.kl.horizon=10000")
"""The demo's settings until they were found to swing between machines."""
