"""`tandem users`: who may sign in, and what they may do."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from cyclopts import App, Parameter

from app.commands.home import AsJson, InHome
from app.commands.output import tell, tell_json, tell_table

users = App(name="users", help="Add people and say what they may do.")

RoleName = Literal["administrator", "researcher", "annotator"]
LINK_LIFETIME = timedelta(days=7)


@users.command(name="list")
def list_users(*, home: InHome, as_json: AsJson = False) -> None:
    """List everybody who has judged or may sign in."""
    from storage import annotators

    with home.open() as (_, database), database.read() as connection:
        people = annotators.annotators(connection)
    rows = [
        {
            "name": one.name,
            "pseudonym": one.pseudonym,
            "role": one.role,
            "kind": one.kind,
            "active": one.active,
        }
        for one in people
    ]
    if as_json:
        tell_json({"users": rows})
        return
    tell_table(
        ("name", "pseudonym", "role", "kind", "active"),
        [[*row.values()] for row in rows],
        empty="There is nobody yet; add the first with: tandem users add NAME",
    )


@users.command
def add(
    name: Annotated[str, Parameter(help="What the person is called here; never exported.")],
    /,
    *,
    home: InHome,
    role: Annotated[RoleName, Parameter(help="What the person may do.")] = "annotator",
    as_json: AsJson = False,
) -> None:
    """Add a person and print a link that signs the person in once."""
    from app.progress import utc_now
    from storage import annotators
    from storage.records import Role

    with home.open() as (_, database), database.write() as connection:
        annotators.add_annotator(connection, name, role=Role(role), now=utc_now())
    _tell_link(home, name, as_json=as_json)


@users.command
def link(
    name: Annotated[str, Parameter(help="Whose link.")], /, *, home: InHome, as_json: AsJson = False
) -> None:
    """Print a new link that signs a person in once. Older links stay as they are."""
    _tell_link(home, name, as_json=as_json)


@users.command(name="role")
def set_role(
    name: Annotated[str, Parameter(help="Whose role.")],
    role: Annotated[RoleName, Parameter(help="What the person may do from now on.")],
    /,
    *,
    home: InHome,
    as_json: AsJson = False,
) -> None:
    """Change what a person may do; it works at once, also where the person is signed in."""
    from storage import annotators
    from storage.records import Role

    with home.open() as (_, database), database.write() as connection:
        person = annotators.annotator_named(connection, name)
        annotators.set_role(connection, person.id, Role(role))
    if as_json:
        tell_json({"name": name, "role": role})
    else:
        tell(f"{name} is now {role}.")


def _tell_link(home: InHome, name: str, *, as_json: bool) -> None:
    from app.access import link_address
    from app.progress import utc_now
    from storage import annotators

    with home.open() as (settings, database), database.write() as connection:
        person = annotators.annotator_named(connection, name)
        token = annotators.make_sign_in_link(
            connection, person.id, now=utc_now(), lifetime=LINK_LIFETIME
        )
    address = link_address(settings, token)
    if as_json:
        tell_json({"name": name, "role": person.role, "link": address})
    else:
        tell(f"{name} ({person.role}) signs in once, within {LINK_LIFETIME.days} days, with:")
        tell(address)
