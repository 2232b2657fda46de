"""The part of docs/audit.md that is made of the rules; as a program this writes it."""

from __future__ import annotations

from pathlib import Path

from consulfwd.audit.rules import GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->"


def rules() -> str:
    """Return the rules as the document has them."""
    lines = []
    for title, listed in GROUPS:
        lines += ["", f"### {title}", ""]
        lines += ["| Rule | | Finds | Why it bites | Mend |", "|---|---|---|---|---|"]
        for one in listed:
            cells = (f"`{one.id}`", one.severity, one.title, one.why, one.mend)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", ""])


def parts(text: str) -> tuple[str, str, str]:
    """Return what is before the rules, the rules, and what is behind them."""
    before, _, rest = text.partition(BEGIN)
    made, _, after = rest.partition(END)
    return before + BEGIN, made, END + after


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text())
    PAGE.write_text(before + rules() + after)
