"""Venues whose windows are as much shorter as those of a local exchange with a `scale`."""

from __future__ import annotations

from collections.abc import Mapping

from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product, Venue


def scaled_venues(scale: int) -> Mapping[tuple[str, Product], Venue]:
    """VENUES, with the same budgets in windows that are `scale` times shorter."""
    return {key: _scaled(venue, scale) for key, venue in VENUES.items()}


def _scaled(venue: Venue, scale: int) -> Venue:
    weights = venue.weights._replace(window_ms=venue.weights.window_ms // scale)
    limits = {path: (most, ms // scale) for path, (most, ms) in venue.per_account.items()}
    return venue._replace(weights=weights, per_account=limits)
