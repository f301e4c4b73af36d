"""What a learner looks at: pictures of the registry's parts, each with a text that says the same."""

from ecrlab.widgets.anatomy import anatomy
from ecrlab.widgets.picture import Picture

__all__ = ["Picture", "anatomy"]
