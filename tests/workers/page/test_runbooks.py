from __future__ import annotations

from pathlib import Path

import pytest

from workers.alerts import ALERTS
from workers.page import runbooks
from workers.page.picture import runbook

TEXT = """# Streams

A line with `fleet <status>`
that goes on, **loudly**.

## FleetStreamLag

- look at [the other](capture.md#FleetCaptureLag)
  and think
- then [read](https://example.com/a)
1. not [there](../../etc/passwd)

```
fleet status
## not a heading
```
| a | b |
|---|---|
| `x` | <b> |
"""


def test_a_runbook_is_shown_as_it_was_meant() -> None:
    assert runbooks.html(TEXT) == (
        '<h1 id="Streams">Streams</h1>'
        "<p>A line with <code>fleet &lt;status&gt;</code> that goes on, <strong>loudly</strong>."
        '</p><h2 id="FleetStreamLag">FleetStreamLag</h2>'
        '<ul><li>look at <a href="/runbooks/capture#FleetCaptureLag">the other</a> and think</li>'
        '<li>then <a href="https://example.com/a">read</a></li><li>not there</li></ul>'
        "<pre>fleet status\n## not a heading</pre>"
        "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>"
        '<tr><td data-of="a"><code>x</code></td><td data-of="b">&lt;b&gt;</td></tr>'
        "</tbody></table>"
    )


@pytest.mark.parametrize("name", ["nothing", "../alerts", "", "streams/..", "streams.md"])
def test_only_runbooks_are_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "streams.md").write_text("# Streams\n")
    assert runbooks.page(name, tmp_path) is None
    assert runbooks.page("streams", tmp_path) is not None
    assert '<a href="/runbooks/streams">' in runbooks.index(tmp_path)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_link_of_every_alert_leads_to_its_section(alert: str) -> None:
    path, _, anchor = runbook(alert).partition("#")
    shown = runbooks.page(path.removeprefix("/runbooks/"))
    assert shown is not None, path
    assert f'id="{anchor}"' in shown
