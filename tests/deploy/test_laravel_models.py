"""The read-only models of tradefleet/laravel, on a real Laravel and the fleet's real tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.mysql.schema import statements
from tests.laravel_application import LaravelApplication

pytestmark = pytest.mark.database

SOURCES = Path(__file__).parents[2] / "deploy" / "laravel" / "src" / "Models"
NO_MODELS = {"FleetModel", "RowBuilder", "RowQuery", "UtcDateTime"}
MODELS = """
use Tradefleet\\Laravel\\Models\\{
    AccountOwner, AccountState, CashEntry, ClosedDay, Equity, Fill, LedgerBreak, Order, ParkedEvent,
    PnlAttribution, PnlByUser, PnlDaily, Position, Restatement, RowQuery, Signal,
};
"""


@pytest.fixture
def books(app: LaravelApplication) -> LaravelApplication:
    """The application, with a row in every table that a model reads."""
    text = Path(__file__).with_name("php").joinpath("rows.sql").read_text()
    for statement in statements(text.replace("{laravel}", app.environ["DB_DATABASE"])):
        app.rows(statement)
    return app


def test_amounts_stay_text_and_times_are_in_utc(books: LaravelApplication) -> None:
    code = """
        $fill = Fill::query()->forAccount(7)->where('trade_id', 't1')->sole();
        say([$fill->account_id, $fill->qty, $fill->price, $fill->executed_at->format('c u')]);
        say(PnlDaily::query()->forAccount(7)->between('2026-01-01', '2026-01-02')
            ->pluck('realized', 'day'));
        say(PnlByUser::query()->forUser(70)->orderBy('day')->get(['day', 'realized', 'fills'])
            ->toArray());
        say(AccountState::query()->find(7)->incomplete);
        say([CashEntry::query()->sole()->amount, Position::query()->sole()->qty]);
        say(ParkedEvent::query()->open()->value('reason'));
        say([Order::query()->sole()->reduce_only, Signal::query()->ofChannel('api', 'c')->count()]);
    """
    assert books.php(MODELS + code, APP_TIMEZONE="Asia/Tokyo") == [
        [7, "0.100000000000000000", "12345678901234567890.000000000000000001",
         "2026-01-01T12:00:00+00:00 123456"],
        {"2026-01-01": "1.500000000000000000"},
        [{"day": "2026-01-01", "realized": "1.500000000000000000", "fills": 2},
         {"day": "2026-01-03", "realized": "2.500000000000000000", "fills": 1}],
        True,
        ["-0.500000000000000000", "-2.000000000000000000"],
        "invalid_json",
        [True, 1],
    ]  # fmt: skip


def test_what_is_made_of_the_books_is_read_as_they_are(books: LaravelApplication) -> None:
    code = """
        say(ClosedDay::query()->find('2026-01-01')->closed_at->format('c u'));
        say(ClosedDay::query()->find(['2026-01-01', '2026-01-02'])->pluck('accounts', 'day'));
        $day = ['2026-01-01', '2026-01-01'];
        $restated = Restatement::query()->forAccount(7)->between(...$day)->sole();
        say([$restated->version, $restated->realized, $restated->cause, $restated->announced_at]);
        say(Restatement::query()->find($restated->id)->is($restated));
        $break = LedgerBreak::query()->open()->sole();
        say([$break->details, $break->expected, $break->actual, $break->opened_at->format('c')]);
        say(PnlAttribution::query()->forAccount(7)->between(...$day)->orderBy('bucket')
            ->pluck('realized', 'bucket'));
        say([PnlAttribution::query()->forSignal(991)->value('strategy'),
            PnlAttribution::query()->forStrategy('breakout')->count()]);
        say(Equity::query()->forAccount(7)->orderBy('at')->get()->map(
            fn ($row) => [$row->at->format('c'), $row->cash, $row->unrealized, $row->unpriceable]));
        say(AccountOwner::query()->forUser(71)->get(['account_id', 'valid_from'])->toArray());
    """
    assert books.php(MODELS + code, APP_TIMEZONE="Asia/Tokyo") == [
        "2026-01-02T00:10:00+00:00 500000",
        {"2026-01-01": 1},
        [3, "1.250000000000000000", {"identities": ['["fill",7]'], "more": 2}, None],
        True,
        [{"qty": ["1", "2"]}, "1.000000000000000000", "2.000000000000000000",
         "2026-01-05T12:00:00+00:00"],
        {"manual": "-0.250000000000000000", "signal": "1.750000000000000000"},
        ["breakout", 1],
        [["2026-01-02T00:00:00+00:00", "1001.500000000000000000", "-3.500000000000000000", 0],
         ["2026-01-03T00:00:00+00:00", "1001.500000000000000000", None, 1]],
        [{"account_id": 7, "valid_from": "2026-02-01"}],
    ]  # fmt: skip


def test_keys_of_several_columns_tell_rows_apart(books: LaravelApplication) -> None:
    code = """
        $fills = Fill::query()->orderBy('trade_id')->get();
        [$one, $two] = $fills->all();
        say([$fills->unique()->count(), $one->is($two), $one->is($one->fresh())]);
        say($two->refresh()->trade_id);
        say(Fill::query()->lazy(1)->pluck('trade_id')->all());
        say(refusal(fn () => Fill::query()->find(7)));
    """
    counts, refreshed, lazily, (_, sentence) = books.php(MODELS + code)
    assert counts == [2, False, True]
    assert (refreshed, lazily) == ("t2", ["t1", "t2"])
    assert sentence == (
        "fleet_fills has no single key column but (account_id, product, instrument, trade_id, "
        "side): use where() or a scope."
    )


def test_every_write_of_a_model_throws_a_sentence(books: LaravelApplication) -> None:
    code = """
        $write = [
            fn (string $model) => $model::query()->first()->save(),
            fn (string $model) => $model::query()->first()->forceFill(['venue' => 'x'])->save(),
            fn (string $model) => $model::query()->first()->delete(),
            fn (string $model) => $model::query()->first()->update(['venue' => 'x']),
            fn (string $model) => $model::query()->first()->push(),
            fn (string $model) => $model::query()->create(['venue' => 'x']),
            fn (string $model) => (new $model())->forceFill(['venue' => 'x'])->saveQuietly(),
            fn (string $model) => $model::query()->updateOrCreate(['account_id' => -1], []),
            fn (string $model) => $model::query()->firstOrCreate(['account_id' => -1]),
            fn (string $model) => $model::query()->insert(['venue' => 'x']),
            fn (string $model) => $model::query()->insertGetId(['venue' => 'x']),
            fn (string $model) => $model::query()->upsert([['venue' => 'x']], ['venue']),
            fn (string $model) => $model::query()->where('account_id', 7)->update(['venue' => 'x']),
            fn (string $model) => $model::query()->where('account_id', 7)->delete(),
            fn (string $model) => $model::query()->toBase()->delete(),
            fn (string $model) => $model::query()->increment('version'),
            fn (string $model) => $model::query()->first()->increment('version'),
            fn (string $model) => $model::query()->truncate(),
            fn (string $model) => $model::destroy([7]),
        ];
        foreach ([Position::class, AccountState::class, LedgerBreak::class] as $model) {
            foreach ($write as $at => $one) {
                say([$model, $at, refusal(fn () => $one($model))]);
            }
        }
    """
    for model, at, refused in books.php(MODELS + code):
        assert refused is not None, f"{model}: write {at} went through"
        assert refused[0] == "Tradefleet\\Laravel\\Exceptions\\ReadOnlyTable", (at, refused)
        assert "is written by the fleet alone: send an event" in refused[1]


def test_no_writing_method_of_laravels_query_is_left_open(app: LaravelApplication) -> None:
    code = """
        $write = '/^(insert|update|upsert|delete|truncate|increment|decrement)/';
        foreach ((new ReflectionClass(RowQuery::class))->getMethods() as $method) {
            if ($method->isPublic() && preg_match($write, $method->getName())) {
                say([$method->getName(), $method->getDeclaringClass()->getName()]);
            }
        }
    """
    methods = dict(app.php(MODELS + code))
    assert len(methods) >= 15
    assert set(methods.values()) == {"Tradefleet\\Laravel\\Models\\RowQuery"}


def test_every_column_that_a_model_names_is_there(books: LaravelApplication) -> None:
    code = """
        foreach (lines() as $name) {
            $model = "Tradefleet\\\\Laravel\\\\Models\\\\{$name}";
            $row = $model::query()->first();
            $documented = (new ReflectionClass($model))->getDocComment();
            preg_match_all('/@property-read \\S+ \\$(\\w+)/', $documented, $named);
            $wanted = array_unique([...$named[1], ...$model::KEY, ...array_keys($row->getCasts())]);
            $missing = array_diff($wanted, array_keys($row->getAttributes()));
            say([$name, count($wanted) > 3, array_values($missing)]);
        }
    """
    names = [path.stem for path in sorted(SOURCES.glob("*.php")) if path.stem not in NO_MODELS]
    assert len(names) == 15
    for model, documented, missing in books.php(MODELS + code, *names):
        assert (documented, missing) == (True, []), model
