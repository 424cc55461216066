"""The report as one HTML file that opens anywhere, offline: verdict first, then everything it rests on."""

import hashlib
from base64 import b64encode

from plotly.offline import get_plotlyjs

from edgekd.report.card import render_bars
from edgekd.report.plots import Figure, accuracy_latency_figure, latency_figure, training_figure
from edgekd.report.rows import model_rows
from edgekd.report.schema import Report
from edgekd.report.templates import render
from edgekd.report.verdict import findings, gates_finding


def render_html(report: Report) -> str:
    """Return the whole page.

    Every text of the report is escaped. The page's content security policy allows no network and only the
    scripts that carry its nonce, a digest of the report, so that no text of the report could have named it.
    """
    figures: dict[str, Figure] = {}
    if report.student.history:
        figures["training"] = training_figure(report)
    targets = []
    for index, target in enumerate(report.targets):
        figures[f"accuracy-{index}"] = accuracy_latency_figure(report, target)
        figures[f"latency-{index}"] = latency_figure(report, target)
        targets.append(
            {
                "index": index,
                "report": target,
                "findings": findings(report, target),
                "rows": model_rows(report, target),
                "bars": _data_uri(render_bars(report, target=index)),
                "bars_narrow": _data_uri(render_bars(report, target=index, columns=1)),
            }
        )
    return render(
        "report.html.jinja",
        report=report,
        gates=gates_finding(report),
        targets=targets,
        figures=figures,
        nonce=hashlib.sha256(report.model_dump_json().encode()).hexdigest(),
        plotly_js=get_plotlyjs(),
    )


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
