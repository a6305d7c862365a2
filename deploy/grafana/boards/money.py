"""Money and data quality: what the books say of themselves, and what they made."""

from deploy.grafana.panels import Board, Query, Row, figure, history, lines, table, total

_CHECK = "by (check, dimension)"

_PNL = """
SELECT day::timestamptz AS time, asset AS metric, SUM(net)::float8 AS value
FROM fleet.pnl_daily
WHERE account_id = ${account:sqlstring} AND day >= $__timeFrom()::timestamptz::date
  AND day <= $__timeTo()::timestamptz::date
GROUP BY day, asset
ORDER BY day, asset
"""
_EQUITY = """
SELECT at AS time, asset AS metric, (cash + unrealized)::float8 AS value
FROM fleet.equity
WHERE account_id = ${account:sqlstring}
  AND at >= $__timeFrom()::timestamptz AND at <= $__timeTo()::timestamptz
ORDER BY at, asset
"""
_FILLS = """
SELECT hour AS time, venue AS metric, SUM(fills)::float8 AS value
FROM fleet.trading_hourly
WHERE hour >= $__timeFrom()::timestamptz AND hour <= $__timeTo()::timestamptz
GROUP BY hour, venue
ORDER BY hour, venue
"""

BOARD = Board(
    "money",
    "Tradefleet: money and data quality",
    "Do the books hold, are they whole, do they tie to the exchanges?",
    (
        Row(
            "The books",
            (
                figure("Identities broken", "none", alert="FleetBooksBroken"),
                figure("Breaks open", "none",
                       total("fleet_breaks_open", "kind", beside="fleet_identity_breaks"),
                       alert="FleetBreaksOpen"),
                figure("Events parked", "none",
                       total("fleet_parked_open", "stream", "reason",
                             beside="fleet_identity_breaks"),
                       alert="FleetEventsParked"),
                figure("Accounts incomplete", "none", "max(fleet_accounts_incomplete)"),
                figure("Differ from the exchange", "none", "max(fleet_unreconciled_accounts)"),
                figure("Late fills wait", "none", "max(fleet_restating_positions)"),
                lines("Breaks open", "none", alert="FleetBreaksOpen"),
                lines("Events parked", "none", alert="FleetEventsParked"),
                lines("Accounts that are not right yet", "none",
                      Query("max(fleet_accounts_incomplete)", "incomplete"),
                      Query("max(fleet_unreconciled_accounts)", "differ from the exchange"),
                      Query("max(fleet_restating_positions)", "positions with late fills")),
            ),
        ),
        Row(
            "Checks of the data",
            (
                table("Checks", "none",
                      Query(f"max {_CHECK} (fleet_quality)", "found"),
                      Query(f"max {_CHECK} (fleet_quality_objective)", "objective"),
                      Query(f"min {_CHECK} (fleet_quality_met)", "met"),
                      Query(f"min {_CHECK} (avg_over_time(fleet_quality_met[7d]))",
                            "met, part of 7 days"),
                      Query(f"max {_CHECK} (fleet_quality_age_seconds)", "seconds ago"),
                      width=16),
                lines("Objective met", "bool_yes_no", alert="FleetQualityMissed"),
            ),
        ),
        Row(
            "What was made (TimescaleDB)",
            (
                history("P&L of the account by day", "none", _PNL, draws="bars",
                        about="Net: realized - fees + funding + other. Assets do not add up."),
                history("Equity of the account", "none", _EQUITY,
                        about="Cash and unrealized; nothing where a position had no price."),
                history("Fills by hour and venue", "none", _FILLS, draws="bars", width=24,
                        about="Of all accounts, as they stand now."),
            ),
        ),
    ),
)  # fmt: skip
