<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/** Eloquent's builder for tables whose key is several columns: chunk() and lazy() need an order that is total. */
final class RowBuilder extends Builder
{
    protected function enforceOrderBy(): void
    {
        if (empty($this->query->orders) && empty($this->query->unionOrders)) {
            foreach ($this->model::KEY as $column) {
                $this->orderBy($column);
            }
        }
    }
}
