"""Token of the server and cookies of browsers."""

import pytest

from depthbox.app.guard.access import Access, check_token, make_token


def test_a_cookie_identifies_a_browser() -> None:
    access = Access(cookie="depthbox_1")
    first, second = access.make_cookie(), access.make_cookie()
    owner = access.find_owner(f"a=b; depthbox_1={first}; c=d")
    assert owner and owner == first.split(".")[0] != second.split(".")[0]
    assert access.find_owner(f"depthbox_1=forged; depthbox_1={first}") == owner


def test_a_browser_cannot_choose_its_cookie() -> None:
    access = Access(cookie="depthbox_1")
    owner, _, signature = access.make_cookie().partition(".")
    changed = f"{owner[:-1]}{'a' if owner[-1] != 'a' else 'b'}"
    other = Access(cookie="depthbox_1").make_cookie()  # of an earlier server
    for value in (
        f"{changed}.{signature}",
        f"{owner}.{'0' * 64}",
        owner,
        f"{owner}.",
        other,
        "",
        f"{owner}.{signature}x",
    ):
        assert access.find_owner(f"depthbox_1={value}") == ""
    assert access.find_owner(f"depthbox_2={owner}.{signature}") == ""


def test_only_the_token_is_accepted() -> None:
    access = Access("secret-12")
    assert access.accepts("secret-12")
    assert not any(access.accepts(text) for text in ("", "secret-1", "secret-123", "SECRET-12", "é", "\udc80"))
    assert not Access("").accepts("")
    assert len(make_token()) == 32 and make_token() != make_token()


@pytest.mark.parametrize("token", ["short", "", "with space", "with&amp", "é" * 9, "a" * 8 + "\n"])
def test_tokens_must_fit_into_a_url(token: str) -> None:
    with pytest.raises(ValueError, match="--token must have 8 characters or more"):
        check_token(token)


def test_usual_tokens_are_accepted() -> None:
    check_token("abc.DEF_12~-")
