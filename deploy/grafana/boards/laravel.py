"""Laravel's queues, in both directions."""

from deploy.grafana.panels import Board, Query, Row, figure, lines, quantile, rate, risen, total

_RECORDED = "fleet_dispatches_total"

BOARD = Board(
    "laravel",
    "Tradefleet: Laravel's queues",
    "Jobs that Laravel dispatches and Python runs, and the other way round.",
    (
        Row(
            "Is anything stuck?",
            (
                figure("Oldest job from Laravel", "s", alert="FleetLaravelQueueOld"),
                figure("Oldest job towards Laravel", "s", alert="FleetDispatchesOld"),
                figure("Failed within the hour", "none",
                       total("fleet_laravel_failed_jobs", "queue"),
                       alert="FleetLaravelJobsFailing"),
                figure("Payloads set aside", "none", alert="FleetPayloadsQuarantined"),
            ),
        ),
        Row(
            "From Laravel",
            (
                lines("A job waits", "s", alert="FleetLaravelQueueOld"),
                lines("Jobs on the queues", "none",
                      "max by (queue, state) (fleet_laravel_queue_jobs)"),
                lines("Failed within the hour", "none", alert="FleetLaravelJobsFailing"),
                lines("Runs by outcome", "cps",
                      rate("fleet_laravel_jobs_total", "queue", "outcome")),
                lines("Runs by job", "cps", rate("fleet_laravel_jobs_total", "job_name")),
                lines("Run time", "s",
                      Query(quantile(0.5, "fleet_laravel_job_seconds", "queue"),
                            "{{queue}} p50"),
                      Query(quantile(0.95, "fleet_laravel_job_seconds", "queue"),
                            "{{queue}} p95")),
            ),
        ),
        Row(
            "Towards Laravel",
            (
                lines("A job waits", "s", Query("max(fleet_dispatches_oldest_seconds)", "oldest"),
                      alert="FleetDispatchesOld"),
                lines("Jobs not yet pushed", "none",
                      Query("max(fleet_dispatches_waiting)", "waiting")),
                lines("Pushed", "cps", Query(rate("fleet_dispatches_pushed_total"), "pushed")),
                lines("Recorded, in 5 minutes", "none", risen(_RECORDED, "job_name", "outcome"),
                      width=24),
            ),
        ),
    ),
)  # fmt: skip
