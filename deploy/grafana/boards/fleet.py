"""The fleet itself: servers, processes, schedule and operator jobs."""

from deploy.grafana.panels import (
    Board,
    Query,
    Row,
    below_one,
    figure,
    lines,
    quantile,
    rate,
    risen,
)

BOARD = Board(
    "fleet",
    "Tradefleet: processes",
    "Servers, processes, the schedule, and what operators asked for.",
    (
        Row(
            "Is anything stuck?",
            (
                figure("Servers away", "none", below_one("fleet_server_up", "server"),
                       alert="FleetServerAway"),
                figure("Somebody tells", "bool_yes_no", alert="FleetMetricsMissing"),
                figure("It could be read", "bool_yes_no", alert="FleetCollectFails"),
                figure("A task's delay", "s", alert="FleetScheduleLate"),
                figure("Messages that wait", "none", alert="FleetTasksWaiting"),
                figure("Processes that do not answer", "none", 'count(up{role!=""} == 0)'
                       ' or 0 * max(up{role!=""})',
                       about="Processes that Prometheus knows of and cannot ask."),
            ),
        ),
        Row(
            "Processes",
            (
                lines("Processes by role", "none", 'sum by (role) (up{role!=""})',
                      about="Those that answer Prometheus."),
                lines("Memory", "bytes",
                      'max by (role) (process_resident_memory_bytes{role!=""})',
                      about="Resident, of the largest process of each role."),
                lines("CPU, of one core", "percentunit",
                      'sum by (role) (rate(process_cpu_seconds_total{role!=""}'
                      "[$__rate_interval]))",
                      about="Of all processes of each role."),
                lines("Open files", "none", 'max by (role) (process_open_fds{role!=""})',
                      about="Of the process of each role that has most."),
                lines("Servers answer", "bool_yes_no", alert="FleetServerAway"),
                lines("Collecting takes", "s", Query("max(fleet_collect_seconds)", "collection")),
            ),
        ),
        Row(
            "Schedule",
            (
                lines("Overdue", "s", alert="FleetScheduleLate"),
                lines("Since the last success", "s",
                      "max by (task) (fleet_schedule_age_seconds)"),
                lines("Runs by outcome", "cps", rate("fleet_task_runs_total", "task", "outcome")),
                lines("Run time, p95", "s", quantile(0.95, "fleet_task_seconds", "task")),
                lines("Messages that wait", "none", alert="FleetTasksWaiting"),
                lines("Summaries for Flower", "cps", rate("fleet_reports_total", "outcome")),
            ),
        ),
        Row(
            "Operator jobs",
            (
                lines("Failed, in 15 minutes", "none", alert="FleetOperatorJobsFail", width=12),
                lines("Runs by outcome, in 5 minutes", "none",
                      risen("fleet_operator_jobs_total", "job_name", "outcome"), width=12),
            ),
        ),
    ),
)  # fmt: skip
