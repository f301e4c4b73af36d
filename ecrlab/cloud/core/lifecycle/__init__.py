"""Lifecycle policies: reading one, and finding what it does to a repository's images. Pure: no database, no clock.

policy = parse(text)
for outcome in evaluate(policy, images, now).outcomes:
    ...
"""

from __future__ import annotations

from ecrlab.cloud.core.lifecycle.evaluation import Candidate, Evaluation, Outcome, evaluate
from ecrlab.cloud.core.lifecycle.policy import Action, Policy, Rule, Selection, parse

__all__ = ["Action", "Candidate", "Evaluation", "Outcome", "Policy", "Rule", "Selection", "evaluate", "parse"]
