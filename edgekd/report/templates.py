"""The one place where text becomes markup: every value is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgekd.report import costs, words

ENVIRONMENT = Environment(
    loader=PackageLoader("edgekd", "report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
for _filter in (
    costs.lost_lines,
    costs.saturation_line,
    costs.time_shares,
    words.bits_and_kinds,
    words.count,
    words.duration,
    words.gate_limit,
    words.gate_state,
    words.gate_value,
    words.metric_interval,
    words.metric_value,
    words.milliseconds,
    words.native_words,
    words.percent,
    words.size,
    words.speedup_interval,
    words.stored_form,
):
    ENVIRONMENT.filters[_filter.__name__] = _filter


def render(template: str, /, **values: object) -> str:
    """Return the template file of this package, filled in with ``values``; all text in them is escaped."""
    return ENVIRONMENT.get_template(template).render(values)
