"""The report of a look through data: one HTML file, the verdict first."""

from __future__ import annotations

from evaluation.linting.check import CheckReport
from evaluation.linting.figures import FIGURES, drawn
from evaluation.linting.findings import Severity
from evaluation.report_parts import rendered


def check_report(report: CheckReport) -> str:
    """A whole HTML document that loads nothing from anywhere."""
    return rendered(
        "check.html.jinja",
        report=report,
        figures=drawn(report),
        words=FIGURES,
        severities=[
            (
                severity,
                TITLES[severity],
                [one for one in report.findings if one.severity is severity],
            )
            for severity in Severity
        ],
    )


TITLES = {
    Severity.ERROR: "Mend these first",
    Severity.WARNING: "Look at these",
    Severity.NOTE: "Good to know",
}
