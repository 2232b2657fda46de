"""A report as one HTML file: no script, no style or picture but its own, light and dark.

Pure; every name is escaped. What the browser may do is said in the page (Content-Security-Policy):
nothing but this very style, told by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from consulfwd.audit.finding import SEVERITIES
from consulfwd.audit.layout import picture
from consulfwd.audit.report import Report
from consulfwd.audit.rules import RULES
from consulfwd.audit.shown import fall_text
from consulfwd.audit.svg import COLOURS, SHAPES, svg
from consulfwd.audit.wording import counted, cut, plain, summary

MOST_ROWS = 500

STYLE = COLOURS + SHAPES + """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 75rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .dim, .mend { color: var(--dim); }
.counts { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; padding: 0;
  list-style: none; }
.counts li { border: 1px solid var(--line); border-radius: .6rem; background: var(--card);
  padding: .4rem .9rem; } .counts b { font-size: 1.4rem; }
.critical b, h2.critical { color: var(--critical); }
.warning b, h2.warning { color: var(--warning); }
.note b, h2.note { color: var(--note); } .good { color: var(--good); font-weight: 600; }
.picture { overflow: auto; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); padding: .5rem; }
.findings { list-style: none; margin: 0; padding: 0; }
.findings li { border-left: 4px solid var(--line); background: var(--card); margin: .5rem 0;
  padding: .5rem .9rem; border-radius: 0 .5rem .5rem 0; }
.findings .critical { border-color: var(--critical); }
.findings .note { border-color: var(--note); }
.findings .warning { border-color: var(--warning); }
code { font: .9em ui-monospace, monospace; } .new { color: var(--critical); font-weight: 600; }
/* Never made smaller than it can be read: it is scrolled. */
svg { display: block; margin: 0 auto; }
@media print { body { max-width: none; } }
"""


def page(report: Report, made: str) -> str:
    """Return the report as a file; `made` says when it was made."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(f"Audit of {plain(report.site.datacenter) or 'the site'}")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        f'<p class="dim">{escape(made)}: {escape(summary(report))}</p>',
        *_counts(report),
        f"<p>Looked at {escape(plain(report.looked_at))}, by {len(RULES)} rules.</p>",
        *_picture(report),
        *_findings(report),
        *_list("What falls with what", (fall_text(one) for one in report.falls if one.total > 1)),
        *_list("Gone since the baseline", report.changes.gone if report.changes else ()),
        *_list("Ignored", (f"{one.key}: {reason}" for one, reason in report.ignored)),
        *_list("Not looked at", (f"{one.what}: {one.why}" for one in report.unseen)),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _counts(report: Report) -> list[str]:
    if not report.findings:
        return ['<p class="good">Nothing was found in what was looked at.</p>']
    found = []
    for one in SEVERITIES:
        number, words = counted(report.count(one), one).split(" ")
        found.append(f'<li class="{one}"><b>{number}</b> {words}</li>')
    return ['<ul class="counts">', *found, "</ul>"]


def _picture(report: Report) -> list[str]:
    drawn = picture(report)
    if not drawn.boxes:
        return []
    words = [
        "An arrow leads to what is needed, a dashed one to the node or rack that a service is on"
        " alone. Red: it falls with that. Orange: it falls with what it needs."
    ]
    if drawn.left_out:
        words.append(f"{drawn.left_out} more are not drawn.")
    if drawn.apart:
        words.append(f"{drawn.apart} others need nobody, and are in several places.")
    return [
        "<h2>Who needs whom</h2>",
        f'<div class="picture" tabindex="0" role="region" aria-label="picture">{svg(drawn)}</div>',
        f'<p class="dim">{" ".join(words)}</p>',
    ]


def _findings(report: Report) -> list[str]:
    lines = []
    for severity in SEVERITIES:
        found = [one for one in report.findings if one.severity == severity]
        if not found:
            continue
        title = counted(len(found), severity)
        lines += [f'<h2 class="{severity}">{title}</h2>', '<ul class="findings">']
        for one in found[:MOST_ROWS]:
            fresh = report.changes is not None and one.key in report.changes.new
            new = ' <span class="new">new</span>' if fresh else ""
            lines.append(
                f'<li class="{severity}"><code>{escape(one.id)}</code>'
                f" <b>{escape(cut(plain(one.subject)))}</b>{new}"
                f"<p>{escape(plain(one.what))}</p>"
                f'<p class="mend">{escape(plain(one.mend))}</p></li>'
            )
        lines.append("</ul>")
        if len(found) > MOST_ROWS:
            lines.append(f'<p class="dim">And {len(found) - MOST_ROWS} more.</p>')
    return lines


def _list(title: str, listed: Iterable[str]) -> list[str]:
    found = list(listed)
    if not found:
        return []
    rows = [f"<li>{escape(plain(one))}</li>" for one in found[:MOST_ROWS]]
    more = [f'<p class="dim">And {len(found) - MOST_ROWS} more.</p>'] if found[MOST_ROWS:] else []
    return [f"<h2>{title}</h2>", "<ul>", *rows, "</ul>", *more]
