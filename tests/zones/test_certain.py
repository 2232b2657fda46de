"""Names that nobody has any more, and who had them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consulfwd.zones.certain import Certain

_STEPS = st.tuples(st.sampled_from(["put", "discard", "back"]), st.integers(0, 3), st.text("ab"))


@given(st.lists(_STEPS, max_size=20))
def test_who_had_each(steps: list[tuple[str, int, str]]) -> None:
    found, known = Certain(), dict[bytes, str]()
    for what, number, service in steps:
        name = b"%d" % number
        if what == "put":
            found.put(name, service)
            known[name] = service
        elif what == "discard":
            found.discard(name)
            known.pop(name, None)
        else:
            found.back(service)
            known = {one: had for one, had in known.items() if had != service}
        assert dict(found) == known
    found.clear()
    assert not found
    found.back("a")


def test_a_service_that_is_back_costs_what_it_had() -> None:
    class Compared(str):
        times = 0

        def __eq__(self, other: object) -> bool:
            Compared.times += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    found = Certain()
    for number in range(200):
        found.put(b"%d" % number, Compared(f"s{number}"))
    for number in range(200):
        found.back(f"s{number}")
    assert not found
    assert Compared.times < 1_000
