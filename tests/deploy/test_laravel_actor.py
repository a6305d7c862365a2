"""Who is behind a transaction of Laravel's, on a real Laravel: one row in that transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.laravel_application import LaravelApplication
from workers import build

pytestmark = pytest.mark.database

ROWS = "SELECT actor, request_id FROM fleet_change_context ORDER BY id"
USE = """
use Tradefleet\\Laravel\\Fleet;
use Tradefleet\\Laravel\\Actor\\{CurrentActor, NameActor};
use Illuminate\\Http\\Request;
use Illuminate\\Support\\Facades\\DB;
"""
# What a controller does, behind the middleware, as the user with an id or as nobody.
REQUEST = """
function request(?int $user, array $headers, Closure $controller) {
    $request = Request::create('/accounts', 'POST');
    foreach ($headers as $name => $value) { $request->headers->set($name, $value); }
    $request->setUserResolver(fn () => $user === null ? null : new class($user) {
        public function __construct(private int $id) {}
        public function getAuthIdentifier() { return $this->id; }
    });
    return app(NameActor::class)->handle($request, function () use ($controller) {
        $controller();
        return new Illuminate\\Http\\Response('done');
    })->getContent();
}
"""


def test_an_actor_stands_in_the_callers_transaction(app: LaravelApplication) -> None:
    code = """
        DB::transaction(fn () => Fleet::actor('user:42', 'req-1'));
        DB::transaction(fn () => Fleet::actor('job:CloseMonth'));
        say(refusal(fn () => DB::transaction(function () {
            Fleet::actor('user:7');
            throw new RuntimeException('no');
        }))[1]);
    """
    assert app.php(USE + code) == ["no"]
    assert app.rows(ROWS) == [("user:42", "req-1"), ("job:CloseMonth", "")]


def test_an_actor_without_a_transaction_is_refused_and_told_why(app: LaravelApplication) -> None:
    ((name, text),) = app.php(USE + "say(refusal(fn () => Fleet::actor('user:42')));")
    assert name == "Tradefleet\\Laravel\\Exceptions\\NoTransaction"
    assert "call it inside DB::transaction()" in text
    assert app.rows(ROWS) == []


def test_what_would_be_cut_is_refused(app: LaravelApplication) -> None:
    code = """
        foreach ([['', ''], [str_repeat('é', 191), ''], ['user:1', str_repeat('x', 129)]] as $one) {
            say(refusal(fn () => DB::transaction(fn () => Fleet::actor(...$one)))[0]);
        }
        DB::transaction(fn () => Fleet::actor(str_repeat('é', 190), str_repeat('x', 128)));
    """
    assert app.php(USE + code) == ["InvalidArgumentException"] * 3
    assert app.rows(ROWS) == [("é" * 190, "x" * 128)]


def test_behind_the_middleware_every_transaction_names_who_is_logged_in(
    app: LaravelApplication,
) -> None:
    code = """
        $twice = function () {
            DB::transaction(fn () => DB::transaction(fn () => DB::select('SELECT 1')));
            DB::transaction(fn () => DB::select('SELECT 1'));
        };
        say(request(42, ['X-Request-Id' => 'req-1'], $twice));
        say(request(null, [], $twice));
        DB::transaction(fn () => DB::select('SELECT 1'));
    """
    assert app.php(USE + REQUEST + code) == ["done", "done"]
    assert app.rows(ROWS) == [("user:42", "req-1")] * 2


@pytest.mark.parametrize("header", ["a b", "x" * 129, "\\xff\\xfe", "é"])
def test_a_request_does_not_fail_because_of_its_id(app: LaravelApplication, header: str) -> None:
    begin = "DB::transaction(fn () => DB::select('SELECT 1'))"
    code = f"""say(request(42, ['X-Request-Id' => "{header}"], fn () => {begin}));"""
    assert app.php(USE + REQUEST + code) == ["done"]
    assert app.rows(ROWS) == [("user:42", "")]


def test_nobody_is_left_behind_a_request_that_failed(app: LaravelApplication) -> None:
    code = """
        say(refusal(fn () => request(42, [], fn () => throw new RuntimeException('no')))[1]);
        DB::transaction(fn () => DB::select('SELECT 1'));
    """
    assert app.php(USE + REQUEST + code) == ["no"]
    assert app.rows(ROWS) == []


def test_the_fake_keeps_actors_too(app: LaravelApplication) -> None:
    code = """
        $fake = Fleet::fake();
        Fleet::actor('user:42');
        say(request(7, [], fn () => DB::transaction(fn () => DB::select('SELECT 1'))));
        say(Fleet::actors());
    """
    assert app.php(USE + REQUEST + code) == ["done", ["user:42", "user:7"]]
    assert app.rows(ROWS) == []


def test_rows_of_yesterday_are_pruned(
    settings_for: Callable[..., Settings], mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    with closing(connect(mysql_root, fleet_schema)) as root:
        cursor = root.cursor()
        cursor.execute(
            "INSERT INTO fleet_change_context (actor, at) VALUES"
            " ('old', UTC_TIMESTAMP(6) - INTERVAL 25 HOUR), ('new', UTC_TIMESTAMP(6))"
        )
        root.commit()
        assert build.prune_laravel(settings_for("jobs")) == 1
        cursor.execute("SELECT actor FROM fleet_change_context")
        assert cursor.fetchall() == (("new",),)
