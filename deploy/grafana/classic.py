"""Dashboards as Grafana reads them: its classic JSON, which 10.4 to 13 take as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from deploy.grafana.panels import LOOKED_AT, Board, Limit, Panel, Query, uid_of
from shared.metrics import METRICS
from workers.alerts import ALERTS

SCHEMA_VERSION = 39  # of Grafana 10.4; newer ones take older versions
COLUMNS = 24
COLOURS = {"page": "red", "ticket": "orange"}
# Lines of what happens seldom are empty while it does not; a figure never is while it is known.
EMPTY = {"figure": "not told", "firing": "nothing fires"}
RUNBOOKS = "http://127.0.0.1:9540/runbooks"

# Variables choose the sources, so a Grafana that has others than the provisioned ones works, too.
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
TIMESCALE = {"type": "grafana-postgresql-datasource", "uid": "${timescale}"}
SOURCES = {"prometheus": PROMETHEUS, "timescale": TIMESCALE}

_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "background_solid", "graphMode": "none", "textMode": "auto",
        "justifyMode": "center", "orientation": "auto",
    },
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "table": {"showHeader": True, "cellHeight": "sm"},
}  # fmt: skip
_KINDS = {
    "figure": "stat", "lines": "timeseries", "bars": "timeseries", "table": "table",
    "firing": "table",
}  # fmt: skip
_HIDDEN = ("Time", "Value", "__name__", "alertstate", "instance", "job")


def text(board: Board) -> str:
    """The file: a line for each panel, so that a change of one is a change of one line."""
    made = dashboard(board)
    panels = ",\n".join(json.dumps(panel, sort_keys=True) for panel in made.pop("panels"))
    head = json.dumps(made, indent=1, sort_keys=True).removesuffix("\n}")
    return f'{head},\n "panels": [\n{panels}\n ]\n}}\n'


def dashboard(board: Board) -> dict[str, Any]:
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["tradefleet"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "utc",
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [_planes()],
        "templating": {"list": list(_variables(board))},
        "annotations": {"list": [_firing_marks()]},
        "panels": list(_placed(board)),
    }


def _planes() -> dict[str, Any]:
    """Links to all dashboards of the fleet, the time kept."""
    return {
        "type": "dashboards", "tags": ["tradefleet"], "title": "Planes", "asDropdown": False,
        "includeVars": False, "keepTime": True, "targetBlank": False, "icon": "", "tooltip": "",
        "url": "",
    }  # fmt: skip


def _variables(board: Board) -> Iterator[dict[str, Any]]:
    yield _source("prometheus", "Prometheus", "prometheus")
    kinds = {panel.draws for panel in board.panels}
    asked = " ".join(query.asks for panel in board.panels for query in panel.queries)
    if any(panel.source == "timescale" for panel in board.panels):
        yield _source("timescale", "TimescaleDB", TIMESCALE["type"])
    if "${account:" in asked:
        yield _entered("account", "Account", "1")
    if "firing" in kinds:
        yield _entered("runbooks", "Runbooks", RUNBOOKS)


def _source(name: str, label: str, kind: str) -> dict[str, Any]:
    provisioned = f"tradefleet-{name}"
    return {
        "type": "datasource", "name": name, "label": label, "query": kind, "regex": "", "hide": 0,
        "refresh": 1, "multi": False, "includeAll": False, "skipUrlSync": False, "options": [],
        "current": {"selected": False, "text": f"Tradefleet {label}", "value": provisioned},
    }  # fmt: skip


def _entered(name: str, label: str, value: str) -> dict[str, Any]:
    shown = {"selected": True, "text": value, "value": value}
    return {"type": "textbox", "name": name, "label": label, "query": value, "hide": 0,
            "skipUrlSync": False, "current": shown, "options": [shown]}  # fmt: skip


def _firing_marks() -> dict[str, Any]:
    """When something was wrong, over every graph."""
    return {
        "name": "Alerts", "datasource": PROMETHEUS, "enable": True, "hide": False,
        "iconColor": "red", "step": "30s", "titleFormat": "{{alertname}}",
        "tagKeys": "severity,plane",
        "expr": 'ALERTS{alertname=~"Fleet.+", alertstate="firing", severity="page"}',
    }  # fmt: skip


# -- panels ----------------------------------------------------------------------------------------


def _placed(board: Board) -> Iterator[dict[str, Any]]:
    """Rows and panels from left to right, as many side by side as there is room."""
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield {
            "id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            at = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": at, **_panel(panel, board)}
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, board: Board) -> dict[str, Any]:
    kind = _KINDS[panel.draws]
    made: dict[str, Any] = {
        "type": kind,
        "title": panel.title,
        "description": "\n\n".join(_about(panel)),
        "datasource": SOURCES[panel.source],
        "targets": [
            _target(panel, query, _ref(place)) for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel, kind), "overrides": _overrides(panel)},
        "options": _options(panel, kind),
        "transformations": _transformations(panel),
    }
    if panel.plane and panel.plane != board.plane:
        made["links"] = [_link(panel.plane.capitalize(), panel.plane)]
    return made


def _about(panel: Panel) -> Iterator[str]:
    """What the metrics mean, and what the alert says to do."""
    if panel.about:
        yield panel.about
    asked = " ".join(query.asks.partition(" or 0 *")[0] for query in panel.queries)
    asked = asked.replace(f"on () {LOOKED_AT}", "")
    for name in dict.fromkeys(re.findall(r"\bfleet_\w+", asked)):
        metric = METRICS.get(name) or METRICS.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if metric is not None:
            yield f"`{name}`: {metric.help}"
    if panel.alert:
        alert = ALERTS[panel.alert]
        yield f"{panel.alert}: {alert.do}. Runbook: deploy/runbooks/{alert.runbook}"


def _ref(place: int) -> str:
    return chr(ord("A") + place)


def _target(panel: Panel, query: Query, ref: str) -> dict[str, Any]:
    common = {"refId": ref, "datasource": SOURCES[panel.source], "editorMode": "code"}
    if panel.source == "timescale":
        return {**common, "format": "time_series", "rawQuery": True, "rawSql": query.asks.strip()}
    now = panel.draws not in {"lines", "bars"}
    return {
        **common, "expr": query.asks, "legendFormat": query.legend, "instant": now,
        "range": not now, "format": "table" if _KINDS[panel.draws] == "table" else "time_series",
    }  # fmt: skip


def _field(panel: Panel, kind: str) -> dict[str, Any]:
    field: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": EMPTY.get(panel.draws, "nothing"),
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": _steps(panel.limit)},
        "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
    }
    if kind == "timeseries":
        field["min"] = 0
        bars = panel.draws == "bars"
        field["custom"] = {
            "drawStyle": "bars" if bars else "line", "fillOpacity": 60 if bars else 8,
            "lineWidth": 1, "showPoints": "never", "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if _is_drawn(panel.limit) else "off"},
        }  # fmt: skip
    if kind == "table":
        field["custom"] = {"align": "auto"}
    if panel.source == "timescale":
        del field["min"]
        field["displayName"] = "${__field.labels.metric}"
    return field


def _options(panel: Panel, kind: str) -> dict[str, Any]:
    options = _OPTIONS[kind]
    # A figure that nobody judges has no colour.
    return options | {"colorMode": "none"} if kind == "stat" and not panel.limit else options


def _steps(limit: Limit | None) -> list[dict[str, Any]]:
    """Grafana colours from a step's value on; a count is bad beyond 0, not at it."""
    if limit is None:
        return [{"color": "text", "value": None}]
    bad = COLOURS[limit.severity]
    if limit.below:
        return [{"color": bad, "value": None}, {"color": "green", "value": limit.value}]
    return [{"color": "green", "value": None}, {"color": bad, "value": limit.value or 1e-9}]


def _is_drawn(limit: Limit | None) -> bool:
    return limit is not None and limit.value > 0


def _link(title: str, plane: str) -> dict[str, Any]:
    return {"title": title, "url": f"/d/{uid_of(plane)}?${{__url_time_range}}",
            "targetBlank": False}  # fmt: skip


# -- tables ----------------------------------------------------------------------------------------


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    if panel.draws == "firing":
        order = ("alertname", "do", "severity", "plane")
        return [_organize({}, {name: place for place, name in enumerate(order)})]
    if panel.draws == "table":
        names = {
            f"Value #{_ref(place)}": query.legend for place, query in enumerate(panel.queries)
        }
        return [{"id": "merge", "options": {}}, _organize(names, {})]
    return []


def _organize(names: dict[str, str], order: dict[str, int]) -> dict[str, Any]:
    hidden = dict.fromkeys(_HIDDEN, True)
    return {
        "id": "organize",
        "options": {"excludeByName": hidden, "renameByName": names, "indexByName": order},
    }


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    if panel.draws != "firing":
        return []
    told = {name: {"text": alert.do, "index": place} for place, (name, alert)
            in enumerate(ALERTS.items())}  # fmt: skip
    severities = {
        name: {"text": name, "color": colour, "index": place}
        for place, (name, colour) in enumerate(COLOURS.items())
    }
    plane = "${__data.fields.plane}"
    links = [
        {"title": "Dashboard", "url": f"/d/{uid_of(plane)}?${{__url_time_range}}"},
        {"title": "Runbook", "url": f"${{runbooks}}/{plane}#${{__value.raw}}", "targetBlank": True},
    ]
    return [
        _override("alertname", links=links),
        _override("do", mappings=[{"type": "value", "options": told}], displayName="begin here",
                  **{"custom.width": 420}),
        _override("severity", mappings=[{"type": "value", "options": severities}],
                  **{"custom.cellOptions": {"type": "color-text"}}),
    ]  # fmt: skip


def _override(field: str, **properties: Any) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
