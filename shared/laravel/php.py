"""PHP serialization, bytes to values and back: what stands in a Laravel job's `data.command`.

Own code because the libraries that we tried (phpserialize 1.3, phpserialize3 0.1) fail vectors:
they read no enums, no `r:`, `R:` or `C:`, take bytes after the value and integers that PHP has not.

An object that PHP wrote once and then referred to (`r:`) is the very same Python object in all its
places, and goes out that way again; `php_values` has the table of types. Nothing in a text can make
the reader allocate more than the text's size, nest deeper than MAX_DEPTH, or hand out more than
MAX_REPEATED_BYTES of repetition.
"""

from __future__ import annotations

from shared.laravel.php_read import PhpFormatError, loads
from shared.laravel.php_values import (
    PROTECTED,
    PUBLIC,
    Key,
    PhpCustom,
    PhpEnum,
    PhpObject,
    PropertyName,
    Value,
    same_class,
)
from shared.laravel.php_write import dumps

__all__ = [
    "PROTECTED",
    "PUBLIC",
    "Key",
    "PhpCustom",
    "PhpEnum",
    "PhpFormatError",
    "PhpObject",
    "PropertyName",
    "Value",
    "dumps",
    "loads",
    "same_class",
]
