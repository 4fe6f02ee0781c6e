"""etcd keys: where they are, and that no site's prefix is another's."""

from bridge.core import keys


def test_a_site_has_its_own_prefix() -> None:
    enrolment = [keys.spec("paris"), keys.owner("paris")]
    held = [keys.alive("paris"), keys.instance("paris", "u"), keys.site_flavor("paris", "42")]
    assert all(key.startswith(keys.site("paris")) for key in enrolment)
    assert all(key.startswith(keys.held("paris")) for key in held)
    assert not [key for key in enrolment + held if key.startswith((keys.site("pari"), keys.held("pari")))]
    assert len(set(enrolment + held)) == len(enrolment + held)


def test_instances_are_listed_by_their_prefix_alone() -> None:
    assert keys.instance("paris", "u").startswith(keys.instances("paris"))
    assert not keys.spec("paris").startswith(keys.instances("paris"))


def test_only_an_owner_key_names_the_site_it_owns() -> None:
    assert keys.site_of_owner(keys.owner("paris")) == "paris"
    for key in (keys.spec("paris"), keys.instance("paris", "owner"), keys.bridge("7"), "/owner", ""):
        assert keys.site_of_owner(key) is None


def test_only_a_spec_names_its_site() -> None:
    assert keys.site_of_spec(keys.spec("paris")) == "paris"
    for key in (keys.owner("paris"), keys.instance("paris", "spec"), keys.flavor("spec"), "/spec", ""):
        assert keys.site_of_spec(key) is None
