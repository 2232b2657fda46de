"""A report as Markdown, with the picture as Mermaid. Pure; every name is escaped."""

from __future__ import annotations

import re

from consulfwd.audit.finding import SEVERITIES
from consulfwd.audit.layout import picture
from consulfwd.audit.report import Report
from consulfwd.audit.shown import MOST_FALLS, fall_text
from consulfwd.audit.wording import MOST_TOLD, counted, cut, plain, summary

_MARKS = re.compile(r"([\\`*_\[\]#|~]|^[-+])")
_ODD = re.compile(r"[^A-Za-z0-9 ._/-]")
_SHAPES = {"node": ("[/", "/]"), "rack": ("[[", "]]")}
_STYLES = (
    "classDef alone stroke:#c62828,stroke-width:3px",
    "classDef hidden stroke:#e08600,stroke-width:3px",
    "classDef down stroke:#c62828,stroke-width:3px,stroke-dasharray:4",
    "classDef unknown stroke-dasharray:4",
)


def markdown(report: Report) -> str:
    """Return the report."""
    title = f"of {escaped(report.site.datacenter)}" if report.site.datacenter else "of the site"
    lines = [f"# Audit {title}", "", f"**{summary(report)}.**", ""]
    lines += [f"Looked at {escaped(report.looked_at)}.", ""]
    if chart := mermaid(report):
        lines += ["```mermaid", chart, "```", ""]
    for severity in SEVERITIES:
        found = [one for one in report.findings if one.severity == severity]
        if not found:
            continue
        lines += [f"## {counted(len(found), severity).capitalize()}", ""]
        lines += ["| Rule | Subject | What falls | Mend |", "|---|---|---|---|"]
        for one in found[:MOST_TOLD]:
            new = " (new)" if report.changes and one.key in report.changes.new else ""
            cells = (one.id, cut(plain(one.subject)), one.what, one.mend)
            first, *rest = (escaped(cell) for cell in cells)
            lines.append(f"| {first}{new} | {' | '.join(rest)} |")
        if len(found) > MOST_TOLD:
            lines += ["", f"And {len(found) - MOST_TOLD} more."]
        lines.append("")
    several = [one for one in report.falls if one.total > 1]
    parts = [
        ("What falls with what", [fall_text(one) for one in several[:MOST_FALLS]]),
        ("Gone since the baseline", list(report.changes.gone if report.changes else ())),
        ("Ignored", [f"{one.key}: {reason}" for one, reason in report.ignored]),
        ("Not looked at", [f"{one.what}: {one.why}" for one in report.unseen]),
    ]
    for title, listed in parts:
        if listed:
            lines += [f"## {title}", "", *(f"- {escaped(one)}" for one in listed[:MOST_TOLD]), ""]
    return "\n".join(lines)


def mermaid(report: Report) -> str:
    """Return the picture as a flow chart of Mermaid's; "" where there is nothing to draw."""
    drawn = picture(report)
    if not drawn.boxes:
        return ""
    ids = {one.key: f"n{number}" for number, one in enumerate(drawn.boxes)}
    lines = ["flowchart LR"]
    for one in drawn.boxes:
        begin, end = _SHAPES.get(one.kind, ("(", ")"))
        label = f"{_label(cut(plain(one.name), 40))}<br>{_label(one.words)}"
        lines.append(f'    {ids[one.key]}{begin}"{label}"{end}')
    for arrow in drawn.arrows:
        line = "-.->" if arrow.place else "==>" if arrow.hot else "-->"
        lines.append(f"    {ids[arrow.source]} {line} {ids[arrow.target]}")
    lines += [f"    {one}" for one in _STYLES]
    for kind in ("alone", "hidden", "down", "unknown"):
        if named := [ids[one.key] for one in drawn.boxes if one.kind == kind]:
            lines.append(f"    class {','.join(named)} {kind}")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return a text as it stands in Markdown, whatever is in it."""
    safe = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", safe)


def _label(text: str) -> str:
    return _ODD.sub(lambda one: f"#{ord(one[0])};", text)
