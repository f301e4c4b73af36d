"""What the lab's registries would cost at AWS, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from ecrlab.cloud.core.cost import Cost as Costs
from ecrlab.lab import control
from ecrlab.lab.state import Record


class CostRow(Costs):
    """A repository, or with ``repository`` None a whole registry: what it used, and its cost in US dollars."""

    @property
    def name(self) -> str:
        """The row's name in a table."""
        if self.repository is None:
            return "total"
        return f"{self.repository} (deleted)" if self.is_deleted else self.repository


_COLUMNS: tuple[tuple[str, Callable[[CostRow], float]], ...] = (
    ("GB-months", lambda row: row.standard_gb_months),
    ("archived GB-months", lambda row: row.archive_gb_months),
    ("restored GB", lambda row: row.restored_gb),
    ("cost in USD", lambda row: row.cost),
    ("USD a month now", lambda row: row.monthly_cost),
    ("pulled GB", lambda row: row.transferred_gb),
    ("to internet, USD", lambda row: row.internet_cost),
)


@dataclass(frozen=True, repr=False)
class Cost:
    """The costs from ``since`` until ``until`` (UTC, the lab's clock), by repository and by registry.

    ``prices``: each figure with its unit and source; ``notes``: what to know before it is believed.
    """

    since: datetime
    until: datetime
    repositories: tuple[CostRow, ...]
    registries: tuple[CostRow, ...]
    prices_as_of: str
    prices: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, record: Record, since: datetime | None = None, until: datetime | None = None) -> Cost:
        """The costs of a running lab. Raises LabError; ValueError for times without a time zone."""
        period: dict[str, float] = {}
        for name, moment in (("since", since), ("until", until)):
            if moment is None:
                continue
            if moment.tzinfo is None:
                raise ValueError(f"{name} needs a time zone, such as lab.clock.now() has")
            period[name] = moment.timestamp()
        told = control.cost(record, period)
        return cls(
            since=datetime.fromtimestamp(told["since"], UTC),
            until=datetime.fromtimestamp(told["until"], UTC),
            repositories=tuple(CostRow(**row) for row in told["repositories"]),
            registries=tuple(CostRow(**row) for row in told["registries"]),
            prices_as_of=told["prices_as_of"],
            prices=tuple(told["prices"]),
            notes=tuple(told["notes"]),
        )

    @property
    def total(self) -> float:
        """US dollars for the period, all registries together."""
        return sum(row.cost for row in self.registries)

    @property
    def monthly(self) -> float:
        """US dollars a month for what is stored at the end of the period, all registries together."""
        return sum(row.monthly_cost for row in self.registries)

    def values(self) -> dict[str, Any]:
        """For ``--json``: all of it, times in ISO 8601."""
        return {**asdict(self), "since": self.since.isoformat(), "until": self.until.isoformat()}

    def _title(self) -> str:
        return f"Cost of the lab's registries, {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"

    def _table(self) -> tuple[list[str], list[list[str]], list[list[str]]]:
        """The heads, the rows of the repositories and those of the totals; the first cell of a row names it."""
        many = len(self.registries) > 1

        def cells(row: CostRow) -> list[str]:
            name = f"{row.account}/{row.region} {row.name}" if many else row.name
            return [name, *(_figure(value(row)) for _head, value in _COLUMNS)]

        return (
            ["repository", *(head for head, _value in _COLUMNS)],
            [cells(row) for row in self.repositories],
            [cells(row) for row in self.registries],
        )

    def __repr__(self) -> str:
        if not self.registries:
            return f"{self._title()}: nothing, there is no repository."
        heads, rows, totals = self._table()
        widths = [max(map(len, column)) for column in zip(heads, *rows, *totals, strict=True)]

        def line(cells: Sequence[str]) -> str:
            first, *others = cells
            padded = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
            return "  ".join((first.ljust(widths[0]), *padded))

        rule = "  ".join("-" * width for width in widths)
        table = [line(heads), rule, *map(line, rows), rule, *map(line, totals)]
        return "\n".join([self._title(), "", *table, "", *self.notes])

    def _repr_html_(self) -> str:
        heads, rows, totals = self._table()

        def body(lines: list[list[str]], tag: str) -> str:
            return f"<{tag}>{''.join(f'<tr>{_html_row(cells)}</tr>' for cells in lines)}</{tag}>"

        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>"
            + "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
            + f"</tr></thead>{body(rows, 'tbody')}{body(totals, 'tfoot')}</table>"
            + "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        )


def _html_row(cells: Sequence[str]) -> str:
    name, *figures = cells
    return f'<th scope="row" style="text-align:left">{escape(name)}</th>' + "".join(
        f"<td>{escape(figure)}</td>" for figure in figures
    )


def _figure(value: float) -> str:
    """Six decimals, because the images of a lab are small; what is less is not nothing."""
    return "<0.000001" if 0 < value < 0.000001 else f"{value:,.6f}"
