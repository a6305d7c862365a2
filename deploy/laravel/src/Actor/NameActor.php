<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Actor;

use Closure;
use Illuminate\Http\Request;
use Symfony\Component\HttpFoundation\Response;

/** Middleware: whoever is logged in is behind the transactions of a request. To stand behind `auth`. */
final class NameActor
{
    public function __construct(private CurrentActor $actor)
    {
    }

    /** @param  Closure(Request): Response  $next */
    public function handle(Request $request, Closure $next): Response
    {
        $user = $request->user();
        $this->actor->is(
            $user === null ? null : 'user:'.$user->getAuthIdentifier(),
            self::plain((string) $request->headers->get('X-Request-Id', '')),
        );
        try {
            return $next($request);
        } finally {
            $this->actor->is(null);
        }
    }

    /** A header may hold anything; a request must not fail because of it. */
    private static function plain(string $id): string
    {
        return preg_match('/^[\x21-\x7e]{1,128}$/D', $id) === 1 ? $id : '';
    }
}
