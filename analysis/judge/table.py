"""The judges that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.judge.base import Judge
from reward.components import Parts, build
from reward.errors import UserError

JUDGES = Parts(
    {
        "scripted": "analysis.judge.scripted:ScriptedJudge",
        "local": "analysis.judge.local:LocalJudge",
        "openai": "analysis.judge.server.client:OpenAIJudge",
        "panel": "analysis.judge.panel:PanelJudge",
    },
    kind="judge",
    methods=("answer",),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path.

A judge satisfies `analysis.judge.base.Judge`; the parameters of its constructor are settings of the recipe.
"""


def build_judge(name: str, settings: Mapping[str, Any], where: str, folder: Path | None = None) -> Judge:
    """Build a judge from its name and settings.

    Args:
        name: A key of `JUDGES` or a dotted path.
        settings: Keyword arguments of its constructor.
        where: File and section for messages.
        folder: Folder of the seed's results, for judges that remember there what they have handed in.

    Returns:
        The judge. Nothing has been sent; only what its constructor needs has been loaded.

    Raises:
        UserError: For an unknown name or setting, or for a class that is not a judge.
    """
    judge = build(name, settings, JUDGES, where, folder=folder)
    missing = [attribute for attribute in ("name", "exact", "answer") if not hasattr(judge, attribute)]
    if missing:
        raise UserError(f"{where}: '{name}' is no judge: it lacks {', '.join(missing)}; see analysis.judge.base.Judge.")
    result: Judge = judge
    return result
