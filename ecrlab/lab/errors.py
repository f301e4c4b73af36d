"""What can go wrong with a lab, each with one sentence for the learner."""

from __future__ import annotations


class LabError(Exception):
    """A lab could not do what was asked; the message is one sentence that says what to do."""

    exit_status = 2


class StateUnusable(LabError):
    """The state folder cannot be used: not writable, damaged, or written by a newer ecrlab."""


class StateBusy(LabError):
    """Another lab holds the state folder."""


class NotRunning(LabError):
    """No lab runs on the state folder."""

    exit_status = 1


class StartFailed(LabError):
    """The cloud, the engine or JupyterLab did not start."""
