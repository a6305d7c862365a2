"""The dashboards, in the order in which they are read: a file and a line for each."""

from deploy.grafana.boards import capture, fleet, laravel, money, overview, streams, sync

BOARDS = (
    overview.BOARD,
    money.BOARD,
    streams.BOARD,
    laravel.BOARD,
    sync.BOARD,
    capture.BOARD,
    fleet.BOARD,
)
