"""HTML and SVG by small functions. Whatever is not markup of ours is escaped."""

from __future__ import annotations

from html import escape

from workers.terminal import shown


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | Markup
_VOID = frozenset({"meta", "line", "polyline", "polygon", "rect", "circle"})


def tag(name: str, /, *children: Child, **attributes: str | None) -> Markup:
    """An element. An attribute's `_` is a dash, one at the end falls away; None leaves it out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(shown(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{told}>" if name == "meta" else f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


def together(*children: Child) -> Markup:
    """A str is text: it is escaped, and what no page should hold is spelled out."""
    return Markup(
        "".join(one if isinstance(one, Markup) else escape(shown(one)) for one in children)
    )
