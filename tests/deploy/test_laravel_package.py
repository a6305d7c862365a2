"""The Composer package tradefleet/laravel, on a real Laravel: events, outbox, streams, models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.desk.market import Market, troubled
from shared.streams.decode import decode, routes
from shared.streams.event import Event
from shared.streams.keys import partition_of, stream_key
from tests.event_samples import SAMPLES, key_of
from tests.laravel_application import BOOT as BOOTED
from tests.laravel_application import LaravelApplication
from tests.malformed import Malformed, malformed
from workers.registry import EVENTS, UPCASTERS

pytestmark = pytest.mark.database

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "deploy" / "laravel"
DESK = CHECKOUT / "deploy" / "desk" / "laravel"
GOLDEN = sorted((CHECKOUT / "tests" / "fixtures" / "events").glob("*.json"))
TABLE = routes(EVENTS, UPCASTERS)
PARTITIONS = 8
HAPPENED = ("at_ms", "executed_at_ms", "watermark_ms", "received_at_ms")
LINE_CHARACTERS = 120  # PSR-12's soft limit

USE = """
use Tradefleet\\Laravel\\Fleet;
use Tradefleet\\Laravel\\Stream\\{
    CashMoved, Event, OrderFilled, OrderPlaced, PositionOpened, SignalReceived,
};
use Illuminate\\Support\\Facades\\{DB, Redis};
function filled(int $account, string $trade) {
    return new OrderFilled(
        accountId: $account, venue: 'binance', product: 'linear', instrument: 'BTCUSDT',
        positionSide: 'net', tradeId: $trade, side: 'buy', qty: '0.125', price: '64123.10',
        settleAsset: 'USDT', executedAtMs: 1764000000123,
    );
}
"""
ENTRIES = """
foreach (lines() as $line) {
    $event = Event::of($line['type'], $line['data'])->withId($line['id']);
    say((array) $event->toEntry());
}
"""


def php_sources() -> Iterator[Path]:
    for folder in (PACKAGE, DESK):
        yield from sorted(folder.rglob("*.php"))


def known(value: Any) -> Any:
    """Without the fields that say nothing: left out, null and empty are one."""
    if isinstance(value, dict):
        return {name: known(one) for name, one in value.items() if one not in (None, "", [], ())}
    return [known(one) for one in value] if isinstance(value, list | tuple) else value


def within_php(golden: dict[str, Any]) -> dict[str, Any]:
    """PHP's integers end at 2^63 - 1; ids of accounts may be twice that."""
    large, small = str((1 << 64) - 1), str((1 << 62) - 1)
    text: dict[str, Any] = json.loads(json.dumps(golden).replace(large, small))
    return text


def decoded(stream: str, fields: dict[bytes, bytes]) -> Event[Any]:
    partition = partition_of(fields[b"key"], PARTITIONS)
    return decode(stream, partition, PARTITIONS, "5-1", fields, TABLE)


def as_fields(entry: dict[str, Any]) -> dict[bytes, bytes]:
    """Of PHP's Entry, as XADD would send it."""
    names = {"type": "type", "key": "key", "id": "id", "tsUs": "ts_us", "data": "data"}
    return {wire.encode(): entry[name].encode() for name, wire in names.items()}


# -- the files -------------------------------------------------------------------------------------


def test_every_php_file_parses_and_is_strict(app: LaravelApplication) -> None:
    files = list(php_sources())
    assert len(files) > 60
    for path in files:
        assert "declare(strict_types=1);" in path.read_text(), path
    code = """
        foreach (lines() as $text) {
            say(refusal(fn () => token_get_all($text, TOKEN_PARSE)));
        }
    """
    answers = app.php(code, *(path.read_text() for path in files))
    assert dict(zip(files, answers, strict=True)) == dict.fromkeys(files)


def test_no_line_of_the_package_is_longer_than_its_bound() -> None:
    long = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path in sorted(PACKAGE.rglob("*.php"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LINE_CHARACTERS
    ]
    assert long == []


def test_the_package_keeps_to_the_syntax_of_php_8_0() -> None:
    newer = re.compile(
        r"\breadonly\b"  # 8.1 and 8.2
        r"|^\s*enum \w"
        r"|\w\(\.\.\.\)"  # first-class callable
        r"|\): (never|null|true|false)\b"
        r"|\bfinal (public |protected )?const\b"
        r"|(public|private|protected) [\w?|\\]+ \$\w+ = new\b"
        r"|\w+&\w+ \$"
        r"|\barray_is_list\b"
        r"|const (string|int|array|bool) \w"  # 8.3
        r"|[^(]new \w+\(\)->",  # 8.4
        re.MULTILINE,
    )
    wrong = [
        f"{path.relative_to(CHECKOUT)}: {found[0]!r}"
        for path in sorted(PACKAGE.rglob("*.php"))
        if (found := newer.search(path.read_text()))
    ]
    assert wrong == []


# -- events ----------------------------------------------------------------------------------------


def test_there_is_a_class_for_every_event_type_that_python_knows(app: LaravelApplication) -> None:
    (classes,) = app.php(USE + "say(Event::CLASSES);")
    assert set(classes) == set(EVENTS)
    streams = app.php(USE + "foreach (Event::CLASSES as $class) { say($class::STREAM); }")
    assert streams == [EVENTS[name].stream for name in classes]


def test_php_writes_what_python_reads_as_the_very_same_event(app: LaravelApplication) -> None:
    golden = [within_php(json.loads(path.read_text())) for path in GOLDEN]
    told = []
    for one in golden:
        data = json.loads(one["entry"]["data"])
        data = {name: value for name, value in data.items() if name in one["body"]}
        told.append({"type": one["type"], "id": one["entry"]["id"], "data": data})
    for one, entry in zip(golden, app.php(USE + ENTRIES, *told), strict=True):
        wire = {name.encode(): text.encode() for name, text in one["entry"].items()}
        meant, said = decoded(one["stream"], wire), decoded(entry["stream"], as_fields(entry))
        assert known(said.body) == known(meant.body)
        assert (said.type, said.key, said.event_id) == (meant.type, meant.key, meant.event_id)
        assert None not in json.loads(entry["data"]).values()


def test_no_field_is_lost(app: LaravelApplication) -> None:
    told = [{"type": type_, "id": "x", "data": body} for type_, body in SAMPLES.values()]
    entries = app.php(USE + ENTRIES, *told)
    for (type_, body), entry in zip(SAMPLES.values(), entries, strict=True):
        assert json.loads(entry["data"]) == body
        assert (entry["type"], entry["key"]) == (type_, key_of(body))
        (at_ms,) = (body[name] for name in HAPPENED if name in body)
        assert int(entry["tsUs"]) == at_ms * 1000


def test_a_field_that_no_class_has_is_refused(app: LaravelApplication) -> None:
    code = "say(refusal(fn () => Event::of('cash.moved.1', ['ammount' => '1'])));"
    ((_, sentence),) = app.php(USE + code)
    assert sentence == "cash.moved.1 has no field ammount; leave it out"


def test_a_float_or_an_int_is_no_amount_and_the_sentence_says_what_to_do(
    app: LaravelApplication,
) -> None:
    # Without strict types, as most applications are: PHP would quietly make '0.3' of 0.1 + 0.2.
    code = """
        $cash = fn (mixed $amount) => new CashMoved(
            accountId: 7, venue: 'binance', asset: 'USDT', amount: $amount, kind: 'funding',
            venueType: 'FUNDING_FEE', ref: '1', atMs: 1764000000000,
        );
        foreach ([0.1 + 0.2, 1, null, '1e3', '+1', 'NaN', "1\\n", '-0.5'] as $amount) {
            say(refusal(fn () => $cash($amount)));
        }
    """
    *refused, good = app.php(USE + code)
    assert good is None
    for class_, sentence in refused:
        assert class_ == "Tradefleet\\Laravel\\Exceptions\\InvalidEvent"
        assert sentence.startswith("`amount` is ")
    assert "a float has lost digits" in refused[0][1]
    assert "send a string of a plain decimal such as '0.015'" in refused[1][1]


def test_an_opening_of_nothing_needs_no_cost(app: LaravelApplication) -> None:
    code = """
        $flat = fn (string $qty, ?string $price = null) => new PositionOpened(
            accountId: 7, venue: 'binance', product: 'linear', instrument: 'BTCUSDT',
            positionSide: 'long', ref: '1', qty: $qty, settleAsset: 'USDT', atMs: 1764000000000,
            entryPrice: $price,
        );
        foreach ([['0'], ['0.00'], ['-0'], ['0', '1'], ['1'], ['-1', '1']] as $given) {
            say(refusal(fn () => $flat(...$given)));
        }
    """
    *flat, no_cost, short = app.php(USE + code)
    assert flat == [None] * 4
    assert no_cost[1] == "an opening tells its cost by `entry_price` or by `cost`; send one of them"
    assert short[1].startswith("`qty` is negative for a short and positive otherwise")


def of_a_field(bad: Malformed) -> bool:
    """Whether one field of the data is wrong, in a way that PHP can be told of at all."""
    if not re.search(r": (\w+ = |no \w+$|\{.* against the rest$)", bad.kind):
        return False
    try:
        data = json.loads(bad.fields[b"data"])
    except ValueError:
        return False
    # Null and left out are one in PHP, as are an empty object and an empty list.
    same = re.fullmatch(r"\w+ fill: revision = 'null' \(4\)|signal: targets = '{}' \(2\)", bad.kind)
    return isinstance(data, dict) and not same


def test_php_refuses_what_python_would_park(app: LaravelApplication) -> None:
    kinds = [bad for bad in malformed() if of_a_field(bad)]
    assert len(kinds) > 3_000
    code = """
        while (($line = fgets(STDIN)) !== false) {
            [$type, $data] = explode("\\t", $line, 2);
            $data = json_decode($data, true);
            say(refusal(fn () => Event::of($type, $data)->toEntry()));
        }
    """
    given = [f"{bad.fields[b'type'].decode()}\t{bad.fields[b'data'].decode()}" for bad in kinds]
    done = app.run("-r", BOOTED + USE + code, given="".join(f"{line}\n" for line in given))
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    passed = [bad.kind for bad, refusal in zip(kinds, answers, strict=True) if refusal is None]
    assert passed == []


# -- record ----------------------------------------------------------------------------------------


def test_a_recorded_event_is_a_row_that_the_relay_can_send(app: LaravelApplication) -> None:
    code = """
        $event = filled(42, 't1')->withTraceparent('00-4bf92f3577b34da6-00f067aa0ba902b7-01');
        Fleet::record($event, filled(7, 't2'));
        say($event->id());
    """
    (event_id,) = app.php(USE + code)
    columns = "stream, type, event_key, event_id, ts_us, traceparent, state, data"
    rows = app.rows(f"SELECT {columns} FROM fleet_outbox ORDER BY id")  # noqa: S608 - ours
    trace = "00-4bf92f3577b34da6-00f067aa0ba902b7-01"
    assert rows[0][:-1] == (
        "orders", "order.filled.1", "42", event_id, 1_764_000_000_123_000, trace, 0,
    )  # fmt: skip
    assert rows[1][2] == "7"
    assert json.loads(rows[1][-1])["trade_id"] == "t2"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event_id)


def test_a_transaction_that_rolls_back_leaves_nothing(app: LaravelApplication) -> None:
    code = """
        say(refusal(fn () => DB::transaction(function () {
            Fleet::record(filled(42, 't1'));
            throw new RuntimeException('the order was not saved');
        })));
        DB::transaction(fn () => Fleet::record(filled(42, 't2')));
    """
    ((class_, _),) = app.php(USE + code)
    assert class_ == "RuntimeException"
    assert [json.loads(data)["trade_id"] for (data,) in app.rows("SELECT data FROM fleet_outbox")] \
        == ["t2"]  # fmt: skip


def test_many_events_are_recorded_whole_or_not_at_all(app: LaravelApplication) -> None:
    many = "$events = array_map(fn (int $at) => filled(42, 't'.$at), range(1, 1200));"
    app.php(f"{USE} {many} Fleet::record(...$events); Fleet::record();")
    assert app.rows("SELECT COUNT(*) FROM fleet_outbox") == [(1200,)]
    app.rows(
        "CREATE TRIGGER refuse BEFORE INSERT ON fleet_outbox FOR EACH ROW"
        " IF NEW.event_key = '99' THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    try:
        last = "say(refusal(fn () => Fleet::record(...$events, ...[filled(99, 'x')])));"
        ((class_, _),) = app.php(USE + many + last)
    finally:
        app.rows("DROP TRIGGER refuse")
    assert class_ == "Illuminate\\Database\\QueryException"
    assert app.rows("SELECT COUNT(*) FROM fleet_outbox") == [(1200,)]


def test_without_a_schema_of_its_own_the_fleet_s_tables_are_in_laravel_s(
    app: LaravelApplication,
) -> None:
    code = "say(app(Tradefleet\\Laravel\\Schema\\FleetSchema::class)->quoted('fleet_outbox'));"
    laravel = app.environ["DB_DATABASE"]
    assert app.php(code, FLEET_DB_DATABASE="null") == [f"`{laravel}`.`fleet_outbox`"]


def test_a_table_prefix_of_laravel_is_not_put_before_the_outbox(app: LaravelApplication) -> None:
    code = """
        config(['database.connections.mysql.prefix' => 'app_']);
        DB::purge();
        Fleet::record(filled(42, 't1'));
    """
    app.php(USE + code)
    assert app.rows("SELECT COUNT(*) FROM fleet_outbox") == [(1,)]


# -- publish ---------------------------------------------------------------------------------------


@pytest.fixture
def streams(app: LaravelApplication) -> LaravelApplication:
    """The application, with the number of partitions published."""
    app.redis.set(f"{app.prefix}fleet:partitions", PARTITIONS)
    return app


STUBS = Path(__file__).with_name("php")
CLIENTS = ("phpredis", "predis")


def with_stub(name: str) -> dict[str, str]:
    """For `php()`: code that stands for a library which is not on the servers."""
    code = (STUBS / f"{name}.php").read_text().removeprefix("<?php")
    return {"before": "eval(getenv('STUB'));", "STUB": code}


def with_client(name: str) -> dict[str, str]:
    stub = with_stub("predis") if name == "predis" else {}
    return {"REDIS_CLIENT": name, **stub}


def entries(app: LaravelApplication, stream: str = "orders") -> dict[int, list[dict[bytes, bytes]]]:
    """Fields of the entries by partition."""
    found: dict[int, list[dict[bytes, bytes]]] = {}
    for number in range(PARTITIONS):
        read: Any = app.redis.xrange(stream_key(app.prefix, stream, number))
        if read:
            found[number] = [fields for _, fields in read]
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_published_events_are_in_the_partition_of_their_key(
    streams: LaravelApplication, client: str
) -> None:
    code = """
        $events = array_map(fn (int $at) => filled($at, "t{$at}"), range(1, 40));
        $ids = Fleet::publish(...$events, ...[new SignalReceived(
            source: 'telegram', channelId: -1001234567890, messageId: 4711, revision: 0,
            receivedAtMs: 1764000000123, text: "LONG BTC\n64k → 70k 🚀",
        )]);
        say([count($ids), $ids[0]]);
    """
    ((count, first),) = streams.php(USE + code, **with_client(client))
    assert count == 41
    assert re.fullmatch(r"\d+-\d+", first)
    found = entries(streams)
    assert sum(len(one) for one in found.values()) == 40
    for number, rows in found.items():
        for fields in rows:
            assert list(fields) == [b"type", b"key", b"id", b"ts_us", b"data"]
            event = decode("orders", number, PARTITIONS, "5-1", fields, TABLE)
            assert event.body["trade_id"] == f"t{event.key}"
    ((signal,),) = entries(streams, "signals").values()
    assert decoded("signals", signal).body["text"].endswith("70k \U0001f680")


def test_a_serializer_on_the_queue_connection_does_not_reach_the_stream(
    streams: LaravelApplication,
) -> None:
    code = """
        Redis::set('packed', ['a' => 1]);
        Fleet::publish(filled(42, 't1'));
        say(Redis::get('packed'));
    """
    packed = {"REDIS_SERIALIZER": "1", "REDIS_COMPRESSION": "1"}
    assert streams.php(USE + code, **packed) == [{"a": 1}]
    assert streams.redis.get(f"{streams.prefix}packed") != b'{"a":1}'
    ((fields,),) = entries(streams).values()
    assert decoded("orders", fields).body["trade_id"] == "t1"


@pytest.mark.parametrize("client", CLIENTS)
def test_what_redis_refuses_is_an_exception_that_says_how_much_it_took(
    streams: LaravelApplication, client: str
) -> None:
    taken = partition_of("1", PARTITIONS)
    streams.redis.set(stream_key(streams.prefix, "orders", taken), "no stream")
    code = """
        $events = array_map(fn (int $at) => filled($at, "t{$at}"), [1, 2, 3]);
        say(refusal(fn () => Fleet::publish(...$events)));
        say(refusal(fn () => Fleet::publish($events[1])));
    """
    (class_, sentence), after = streams.php(USE + code, **with_client(client))
    assert class_ == "Tradefleet\\Laravel\\Exceptions\\RedisRefused"
    others = sum(partition_of(str(number), PARTITIONS) != taken for number in (1, 2, 3))
    assert sentence.startswith(f"Redis took {others} of 3 events: WRONGTYPE")
    assert after is None


def test_a_user_who_may_not_append_is_told(streams: LaravelApplication) -> None:
    user = streams.prefix.rstrip(":")
    streams.redis.acl_setuser(
        user, enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-xadd"]
    )
    code = "say(refusal(fn () => Fleet::publish(filled(1, 't1'))));"
    environ = {"REDIS_USERNAME": user, "REDIS_PASSWORD": "secret"}
    ((_, sentence),) = streams.php(USE + code, **environ)
    assert sentence.startswith("Redis took at least 0 of 1 events: NOPERM")
    assert "secret" not in sentence


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_published_number_of_partitions_nothing_is_published(
    app: LaravelApplication, client: str
) -> None:
    code = "say(refusal(fn () => Fleet::publish(filled(1, 't1'))));"
    ((class_, sentence),) = app.php(USE + code, **with_client(client))
    assert class_ == "Tradefleet\\Laravel\\Exceptions\\NotConfigured"
    assert sentence.startswith(f"`{app.prefix}fleet:partitions` is not in Redis: start the fleet")


def test_a_process_asks_for_the_number_of_partitions_once(streams: LaravelApplication) -> None:
    code = """
        Fleet::publish(filled(1, 't1'));
        Redis::del('fleet:partitions');
        Fleet::publish(filled(2, 't2'));
    """
    streams.php(USE + code)
    assert sum(len(rows) for rows in entries(streams).values()) == 2


def test_a_lost_connection_is_made_anew(streams: LaravelApplication) -> None:
    code = """
        Fleet::publish(filled(1, 't1'));
        $killed = 0;
        $redis = Redis::connection()->client();
        foreach ($redis->client('list') as $one) {
            if ($one['cmd'] === 'xadd' && $one['name'] === getenv('REDIS_PREFIX')) {
                $killed += (int) $redis->client('kill', $one['addr']);
            }
        }
        $publish = fn () => Fleet::publish(filled(2, 't2'));
        say([$killed, refusal($publish) === null || refusal($publish) === null]);
    """
    named = {"REDIS_NAME": streams.prefix}
    assert streams.php(USE + code, **named) == [[1, True]]
    found = [fields for rows in entries(streams).values() for fields in rows]
    assert {json.loads(fields[b"data"])["trade_id"] for fields in found} == {"t1", "t2"}


def test_a_prefix_of_one_connection_holds_where_laravel_itself_heeds_it(
    streams: LaravelApplication,
) -> None:
    code = """
        config(['database.redis.default.prefix' => getenv('REDIS_PREFIX').'own:']);
        Redis::purge();
        Redis::set('fleet:partitions', 8);
        Fleet::publish(filled(42, 't1'));
        say(Redis::xlen('streams:{orders:'.(crc32('42') % 8).'}'));
    """
    assert streams.php(USE + code) == [1]


def test_streams_may_live_in_another_redis(streams: LaravelApplication) -> None:
    streams.redis.delete(f"{streams.prefix}fleet:partitions")
    code = """
        $redis = config('database.redis.default');
        $server = "{$redis['host']}:{$redis['port']}";
        config(['fleet.streams_redis_url' => "redis://:{$redis['password']}@{$server}/2"]);
        config(['database.redis.other' => ['database' => 2] + $redis]);
        Redis::connection('other')->set('fleet:partitions', 8);
        Fleet::publish(filled(42, 't1'));
        say(Redis::connection('other')->xlen('streams:{orders:'.(crc32('42') % 8).'}'));
    """
    assert streams.php(USE + code) == [1]


# -- fake ------------------------------------------------------------------------------------------


def test_the_fake_keeps_events_and_asserts_as_those_of_laravel_do(app: LaravelApplication) -> None:
    code = """
        $fake = Fleet::fake();
        Fleet::assertNothingRecorded();
        Fleet::assertNothingPublished();
        DB::transaction(fn () => Fleet::record(filled(42, 't1'), filled(43, 't2')));
        app(Tradefleet\\Laravel\\Producer::class)->publish(filled(7, 't3'));
        Fleet::assertRecorded(OrderFilled::class);
        Fleet::assertRecorded(OrderFilled::class, 2);
        Fleet::assertRecorded(OrderFilled::class, fn ($event) => $event->tradeId === 't2');
        Fleet::assertRecorded(fn (OrderFilled $event) => $event->qty === '0.125');
        Fleet::assertNotRecorded(CashMoved::class);
        Fleet::assertNotRecorded(fn (OrderFilled $event) => $event->accountId === 7);
        Fleet::assertPublished(OrderFilled::class, 1);
        Fleet::assertNotPublished(CashMoved::class);
        say($fake->recorded(OrderFilled::class)->pluck('accountId'));
        foreach ([
            fn () => Fleet::assertRecorded(CashMoved::class),
            fn () => Fleet::assertRecorded(OrderFilled::class, 3),
            fn () => Fleet::assertRecorded(fn (OrderFilled $event) => $event->accountId === 7),
            fn () => Fleet::assertNotRecorded(OrderFilled::class),
            fn () => Fleet::assertNothingRecorded(),
            fn () => Fleet::assertNothingPublished(),
            fn () => Fleet::assertPublished(CashMoved::class),
        ] as $wrong) {
            say(refusal($wrong)[1]);
        }
    """
    accounts, *sentences = app.php(USE + code, **with_stub("phpunit"))
    assert accounts == [42, 43]
    stream = "Tradefleet\\Laravel\\Stream\\"
    assert sentences == [
        f"The expected [{stream}CashMoved] was not recorded.",
        f"[{stream}OrderFilled] was recorded 2 times instead of 3 times.",
        f"The expected [{stream}OrderFilled] was not recorded.",
        f"The unexpected [{stream}OrderFilled] was recorded.",
        "Events were recorded unexpectedly: order.filled.1, order.filled.1.",
        "Events were published unexpectedly: order.filled.1.",
        f"The expected [{stream}CashMoved] was not published.",
    ]
    assert app.rows("SELECT COUNT(*) FROM fleet_outbox") == [(0,)]


# -- the desk's feed -------------------------------------------------------------------------------


def test_the_feed_of_the_demo_goes_through_the_package(streams: LaravelApplication) -> None:
    market = Market(7, 20)
    lines = troubled(list(market.lines(300)), market, 7)
    given = "".join(f"{line.as_json()}\n" for line in lines)
    done = streams.run("artisan", "desk:feed", "-", "--via=mixed", "--typed", given=given)
    assert done.returncode == 0, done.stdout + done.stderr
    sent = {
        (event_id, known(json.loads(data))["account_id"])
        for event_id, data in streams.rows("SELECT event_id, data FROM fleet_outbox")
        if "account_id" in data
    }
    for rows in entries(streams).values():
        sent |= {(row[b"id"].decode(), json.loads(row[b"data"])["account_id"]) for row in rows}
    assert sent == {(line.id, int(line.key)) for line in lines if line.stream == "orders"}


def test_the_typed_feed_refuses_what_the_raw_one_lets_pass(streams: LaravelApplication) -> None:
    line = {"stream": "orders", "type": "cash.moved.1", "key": "7", "id": "e", "ts_us": "1"}
    given = json.dumps(line | {"data": {"account_id": 7, "amount": 1.5}}) + "\n"
    raw = streams.run("artisan", "desk:feed", "-", given=given)
    typed = streams.run("artisan", "desk:feed", "-", "--typed", given=given)
    assert (raw.returncode, typed.returncode) == (0, 1)
    assert streams.rows("SELECT COUNT(*) FROM fleet_outbox") == [(1,)]
