"""The Laravel-shaped application: copied into the root, given its .env, reached by a wrapper."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection
from pathlib import Path

from instances import CHECKOUT, Instance, application_settings, env_text, write_private
from processes import BIN_PATH, must_run_inside

USER = "www-data"
NAME = "app"
# Place in the application's folder → folder of the checkout. There is no Composer in the root: the
# package goes where Composer would put it.
PARTS = {
    Path(): CHECKOUT / "deploy" / "desk" / "laravel",
    Path("vendor/tradefleet/laravel"): CHECKOUT / "deploy" / "laravel",
}
WRITABLE = ("storage/framework/cache", "storage/framework/views", "storage/logs", "bootstrap/cache")
OWN = ("storage", "bootstrap/cache", ".env")


def install(instance: Instance) -> None:
    """The checkout's files and no others; what the application itself has written stays."""
    folder = instance.server_folder(NAME)
    sources = _sources()
    for name, source in sorted(sources.items()):
        target = folder / name
        if source is None:
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(source, target)
        # Readable to the application's user, whatever umask the checkout was made with.
        target.chmod(0o755 if source is None or name.name == "artisan" else 0o644)
    _remove_former(folder, sources)
    for name in WRITABLE:
        instance.make_folder(folder / name, USER)
    for name in ("storage", "storage/framework"):
        (folder / name).chmod(0o755)
    settings = application_settings(instance.ports, instance.secrets)
    instance.write(folder / ".env", env_text(settings), USER)
    _write_wrapper(instance)


def _sources() -> dict[Path, Path | None]:
    """Path in the application's folder → file of the checkout, None for a folder."""
    found: dict[Path, Path | None] = {}
    for place, source in PARTS.items():
        for path in (source, *source.rglob("*")):
            name = place / path.relative_to(source)
            if name.name != ".env":
                found[name] = None if path.is_dir() else path
                found |= dict.fromkeys(name.parents)
    return found


def _remove_former(folder: Path, sources: Collection[Path]) -> None:
    """A migration or command that the checkout no longer has must not go on living here."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder)
        own = any(name.is_relative_to(kept) for kept in OWN)
        if own or name in sources:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def migrate(instance: Instance) -> None:
    """Laravel's own tables; the fleet's are `fleet migrate`'s."""
    artisan = ["php", "artisan", "migrate", "--force"]
    must_run_inside(instance.root, USER, instance.server_inside(NAME), artisan)


def _write_wrapper(instance: Instance) -> None:
    """`<wrapper> artisan …` as an unprivileged user in the application's folder."""
    folder = shlex.quote(instance.server_inside(NAME))
    root = shlex.quote(str(instance.root))
    # Started from / because the caller's directory does not exist in the root; settings in the
    # caller's environment win over .env, as Laravel has it.
    text = (
        "#!/bin/sh\n"
        "cd / || exit 1\n"
        f"export PATH={BIN_PATH} HOME=/nonexistent\n"
        f"exec chroot --userspec={USER}:{USER} {root} env --chdir={folder} php "
        '"$@"\n'
    )
    # Replaced whole: a shell that runs the former one goes on reading the former one.
    write_private(instance.wrapper, text)
    instance.wrapper.chmod(0o755)
