"""Credentials are taken strictly, found by rule, and never shown."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import os
import pickle
import string
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.auth.credentials import Credentials, resolve
from okx_funding.auth.settings import CredentialsWarning, Settings
from okx_funding.errors import InvalidArgumentError

KEY, SECRET, PASSPHRASE = "canary-key-4711", "canary-secret-4712", "canary-phrase-4713"
PARTS = (KEY, SECRET, PASSPHRASE)
NAMES = ("api_key", "secret_key", "passphrase")
VARIABLES = ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE")
WriteProfile = Callable[[str | bytes], object]

PROFILES = f"""
default_profile = "main"

[profiles.main]
api_key = "{KEY}"
secret_key = "{SECRET}"
passphrase = "{PASSPHRASE}"
user_id = "1234"
demo = true
site = "eea"
proxy_url = "http://proxy:3128"

[profiles.other]
api_key = "other-key"
secret_key = "other-secret"
passphrase = "other-phrase"

[profiles.bare]
site = "us"
"""


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(*PARTS, user_id="1234")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, PARTS, strict=True):
        monkeypatch.setenv(name, value)


def rendered(error: BaseException) -> str:
    """Everything that a crash reporter could show of an error, frames' locals included."""
    texts = []
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__]
        report = traceback.TracebackException.from_exception(one, capture_locals=True)
        # The source lines are the test's own; what matters is what the frames hold.
        texts += [
            str(frame.locals)
            for frame in report.stack
            if "okx_funding" in frame.filename or "tomllib" in frame.filename
        ]
        texts += [str(one), repr(one), str(one.__dict__), str(getattr(one, "__notes__", ""))]
    return "\n".join(texts)


def hides(text: str) -> bool:
    return not any(part in text for part in PARTS)


# What is taken.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "is empty"),
        (" canary", "white space"),
        ("canary\n", "white space"),
        ("can\nary", "control"),
        ("can\x00ary", "control"),
        ("can\x7fary", "control"),
        ("canäry", "ASCII"),
        ("can\u200bary", "ASCII"),
        (b"canary", "must be a str, not bytes"),
        (None, "must be a str, not NoneType"),
        (4711, "must be a str, not int"),
    ],
)
def test_an_unusable_part_is_refused_by_name_and_without_its_value(name, value, complaint):
    parts = dict(zip(NAMES, PARTS, strict=True)) | {name: value}
    with pytest.raises(InvalidArgumentError, match=f"^{name} .*{complaint}") as caught:
        Credentials(**parts)
    assert isinstance(caught.value, ValueError)
    assert "can" not in str(caught.value)


@pytest.mark.parametrize("user_id", ["", " 1", "1\r\n", "\uff11", 1])
def test_an_unusable_user_id_is_refused(user_id):
    with pytest.raises(InvalidArgumentError, match="^user_id "):
        Credentials(*PARTS, user_id=user_id)


@given(st.text(max_size=6))
def test_a_part_is_taken_exactly_when_it_is_printable_ascii_with_no_blank_at_its_ends(text):
    allowed = set(string.ascii_letters + string.digits + string.punctuation + " ")
    fine = bool(text) and set(text) <= allowed and text == text.strip(" ")
    try:
        Credentials("key", text, "passphrase")
    except InvalidArgumentError:
        assert not fine
    else:
        assert fine


def test_blanks_within_a_passphrase_are_its_own():
    assert Credentials("key", "secret", "pass phrase").reveal()[2] == "pass phrase"


# What is shown.


def test_the_repr_shows_the_masked_key_and_the_user(credentials):
    assert repr(credentials) == "Credentials('cana...11', user_id='1234')"
    assert repr(Credentials(*PARTS)) == "Credentials('cana...11')"


def test_a_short_key_is_not_shown_at_all():
    assert Credentials("elevenchars", "secret", "passphrase").masked == "***"
    assert Credentials("twelve-chars", "secret", "passphrase").masked == "twel...rs"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        format,
        lambda it: f"{it} {it!r} {it!s:>40}",
        lambda it: "%s %r" % (it, it),  # noqa: UP031
        lambda it: repr([it, {"it": it}, {it: it}]),
        lambda it: str(inspect.getmembers(it, lambda member: not callable(member))),
        lambda it: repr([getattr(it, name) for name in it.__slots__]),
        lambda it: repr(it.headers("", "GET", "/")),
        lambda it: str(it.headers("", "GET", "/")),
        lambda it: repr(it.headers("", "GET", "/").copy()),
        lambda it: repr(list(it.headers("", "GET", "/").items())),
        lambda it: repr(it.api_key),
    ],
)
def test_nothing_that_shows_credentials_shows_a_secret(credentials, show):
    assert hides(show(credentials))


def test_dataclasses_that_hold_credentials_are_dumped_without_secrets(credentials):
    @dataclasses.dataclass
    class Holder:
        credentials: Credentials

    assert hides(str(dataclasses.asdict(Holder(credentials))))
    assert hides(str(dataclasses.astuple(Holder(credentials))))


@pytest.mark.parametrize(
    "dump", [vars, json.dumps, pickle.dumps, lambda it: it.__getstate__(), lambda it: it.__dict__]
)
def test_what_would_dump_them_is_refused(credentials, dump):
    with pytest.raises((TypeError, AttributeError)) as caught:
        dump(credentials)
    assert hides(rendered(caught.value))


def test_a_refusal_to_pickle_says_what_to_do(credentials):
    with pytest.raises(TypeError, match=r"Credentials\.from_env\(\)"):
        pickle.dumps(credentials)


def test_signed_headers_are_not_pickled_either(credentials):
    with pytest.raises(TypeError):
        pickle.dumps(credentials.headers("", "GET", "/"))


def test_the_signature_is_masked_in_the_headers_repr_and_the_time_is_not(credentials):
    headers = credentials.headers("2020-12-08T09:08:57.715Z", "GET", "/")
    assert headers["OK-ACCESS-SIGN"] not in repr(headers)
    assert "2020-12-08T09:08:57.715Z" in repr(headers)


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("broken", ["{}\n", "{}\x00{}", "ä{}"])
def test_no_frame_of_a_refused_construction_holds_a_secret(position, broken):
    parts = list(PARTS)
    parts[position] = broken.replace("{}", parts[position])
    with pytest.raises(InvalidArgumentError) as caught:
        Credentials(*parts)
    assert hides(rendered(caught.value))


def test_no_frame_of_a_failing_signature_holds_a_secret(credentials):
    with pytest.raises(UnicodeEncodeError) as caught:
        credentials.headers("", "GET", "\ud800")
    assert hides(rendered(caught.value))


def test_redact_replaces_every_part_however_it_is_written():
    odd = Credentials("key/+-0123456789", "se'cret\\\"4712", "a passphrase")
    plain = " ".join(odd.reveal())
    assert odd.redact(plain) == "*** *** ***"
    assert odd.redact(repr(odd.reveal())).count("***") == 3
    assert odd.redact(json.dumps(odd.reveal())) == '["***", "***", "***"]'
    assert odd.redact("?p=a%20passphrase&k=key%2F%2B-0123456789") == "?p=***&k=***"


def test_redact_leaves_nothing_of_a_part_that_contains_another():
    nested = Credentials("abc", "abcdef", "abcdefghi")
    assert nested.redact("abcdefghi abcdef abc") == "*** *** ***"


def test_reveal_gives_plain_text(credentials):
    assert credentials.reveal() == PARTS
    assert repr(credentials.reveal()) == repr(PARTS)


# What they are: values.


def test_copies_are_the_object_itself(credentials):
    assert copy.copy(credentials) is credentials
    assert copy.deepcopy([credentials])[0] is credentials


def test_they_can_not_be_changed(credentials):
    for name in ("_secret_key", "user_id", "anything"):
        with pytest.raises(AttributeError):
            setattr(credentials, name, "x")
        with pytest.raises(AttributeError):
            delattr(credentials, name)
    assert credentials.reveal() == PARTS


def test_equality_and_hash_go_over_all_parts():
    base = Credentials("a", "b", "c", user_id="d")
    assert base == Credentials("a", "b", "c", user_id="d")
    assert hash(base) == hash(Credentials("a", "b", "c", user_id="d"))
    assert base != ("a", "b", "c", "d")
    others = [
        ("x", "b", "c", "d"),
        ("a", "x", "c", "d"),
        ("a", "b", "x", "d"),
        ("a", "b", "c", "x"),
    ]
    assert all(base != Credentials(*parts[:3], user_id=parts[3]) for parts in others)
    assert base != Credentials("a", "b", "c")


# The environment.


def test_the_environment_is_read(environment, monkeypatch):
    monkeypatch.setenv("OKX_USER_ID", "1234")
    assert Credentials.from_env() == Credentials(*PARTS, user_id="1234")


@pytest.mark.parametrize("alias", ["OKX_API_SECRET", "OKX_API_SECRET_KEY", "OKX_SECRET"])
def test_other_names_of_the_secret_key_are_accepted(environment, monkeypatch, alias):
    monkeypatch.delenv("OKX_SECRET_KEY")
    monkeypatch.setenv(alias, SECRET)
    assert Credentials.from_env().reveal() == PARTS


@pytest.mark.parametrize("alias", ["OKX_API_PASSPHRASE", "OKX_PASSWORD"])
def test_other_names_of_the_passphrase_are_accepted(environment, monkeypatch, alias):
    monkeypatch.delenv("OKX_PASSPHRASE")
    monkeypatch.setenv(alias, PASSPHRASE)
    assert Credentials.from_env().reveal() == PARTS


def test_two_names_of_one_part_may_agree(environment, monkeypatch):
    monkeypatch.setenv("OKX_SECRET", SECRET)
    assert Credentials.from_env().reveal() == PARTS


def test_two_names_that_disagree_are_named_without_their_values(environment, monkeypatch):
    monkeypatch.setenv("OKX_SECRET", "canary-other")
    with pytest.raises(InvalidArgumentError, match="OKX_SECRET_KEY and OKX_SECRET have") as caught:
        Credentials.from_env()
    assert "canary" not in rendered(caught.value)


def test_an_empty_environment_says_what_to_set():
    with pytest.raises(InvalidArgumentError, match="OKX_API_KEY, OKX_SECRET_KEY and OKX_PASSPHR"):
        Credentials.from_env()


@pytest.mark.parametrize("missing", VARIABLES)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named(environment, monkeypatch, missing, value):
    if value is None:
        monkeypatch.delenv(missing)
    else:
        monkeypatch.setenv(missing, value)
    with pytest.raises(InvalidArgumentError, match=f"set {missing} too") as caught:
        Credentials.from_env()
    assert hides(rendered(caught.value))


@pytest.mark.parametrize("variable", VARIABLES)
def test_white_space_around_a_variable_is_stripped_with_a_warning(
    environment, monkeypatch, variable
):
    monkeypatch.setenv(variable, f" {os.environ[variable]}\r\n")
    with pytest.warns(CredentialsWarning, match=f"^{variable} has white space") as warned:
        assert Credentials.from_env().reveal() == PARTS
    assert hides(str(warned[0].message))


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_made_an_error_shows_nothing_either(environment, monkeypatch):
    monkeypatch.setenv("OKX_SECRET_KEY", f" {SECRET}")
    with pytest.raises(CredentialsWarning) as caught:
        Credentials.from_env()
    assert hides(rendered(caught.value))


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("wrong", ["ä", "\x01"])
def test_an_unusable_variable_is_named_and_its_value_is_in_no_frame(
    environment, monkeypatch, variable, wrong
):
    monkeypatch.setenv(variable, f"{os.environ[variable]}{wrong}x")
    with pytest.raises(InvalidArgumentError, match=f"^{variable} contains") as caught:
        Credentials.from_env()
    assert hides(rendered(caught.value))


# The profile.


def test_the_default_profile_is_read(write_profile):
    write_profile(PROFILES)
    assert Credentials.from_profile() == Credentials(*PARTS, user_id="1234")
    assert Settings.from_profile() == Settings(True, "https://eea.okx.com", "http://proxy:3128")


def test_a_profile_is_read_by_its_name(write_profile):
    write_profile(PROFILES)
    assert Credentials.from_profile("other").reveal()[0] == "other-key"
    assert Settings.from_profile("other") == Settings()


def test_without_a_default_the_profile_called_default_is_it(write_profile):
    write_profile('[profiles.default]\napi_key="a"\nsecret_key="b"\npassphrase="c"\nuser_id=7')
    assert Credentials.from_profile() == Credentials("a", "b", "c", user_id="7")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "there is no ~/.okx/config.toml"),
        ("", "no profile 'main' in ~/.okx/config.toml: there are none"),
        ("profiles = 3", "no profile 'main'"),
        ("[profiles]\nmain = 3", "no profile 'main'"),
        ("[profiles.a]\n[profiles.b]", "there are a, b"),
        (f'[profiles.main]\napi_key = "{KEY}"', "lacks secret_key and passphrase"),
        (PROFILES.replace(f'"{KEY}"', f"['{KEY}']"), "api_key of profile 'main' .* in quotes"),
        (PROFILES.replace(f'"{KEY}"', "4711"), "api_key of profile 'main' .* in quotes"),
        (PROFILES.replace(f'"{KEY}"', f'"{KEY}ä"'), "api_key of profile 'main' .* ASCII"),
        (PROFILES.replace(f'"{KEY}"', f'"{KEY}'), "isn't TOML: look at line 5"),
        (PROFILES.replace(f'"{KEY}"', KEY), "isn't TOML: look at line 5"),
        (PROFILES.replace('"1234"', '"12\\n34"'), "user_id of profile 'main' .* control"),
        (f"x = {'[' * 100_000}'{KEY}'", "isn't TOML"),
        (PROFILES.encode() + b"\xff", "isn't UTF-8"),
    ],
)
def test_an_unusable_profile_says_where_and_why_and_shows_nothing(write_profile, text, complaint):
    if text is not None:
        write_profile(text)
    with pytest.raises(InvalidArgumentError, match=complaint) as caught:
        Credentials.from_profile("main")
    assert hides(rendered(caught.value))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('site = "eea"', 'site = "moon"', "global, eea, us, tr, not 'moon'"),
        ("demo = true", 'demo = "maybe"', "demo of profile 'main' .* 1 or 0, true or false"),
        ("demo = true", "demo = []", "demo of profile 'main'"),
        ('"http://proxy:3128"', "3128", "proxy_url of profile 'main' .* in quotes"),
    ],
)
def test_an_unusable_setting_of_a_profile_is_named(write_profile, old, new, complaint):
    write_profile(PROFILES.replace(old, new))
    with pytest.raises(InvalidArgumentError, match=complaint):
        Settings.from_profile()


def test_a_file_that_can_not_be_read_is_an_error_not_a_missing_file(write_profile):
    path = write_profile("")
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidArgumentError, match=r"config\.toml can't be read: "):
        Credentials.from_profile()


def test_a_byte_order_mark_does_no_harm(write_profile):
    write_profile(PROFILES.encode("utf-8-sig"))
    assert Credentials.from_profile().user_id == "1234"


def test_white_space_in_a_profile_is_stripped_with_a_warning(write_profile):
    write_profile(PROFILES.replace(f'"{SECRET}"', f'" {SECRET}\\n"'))
    with pytest.warns(CredentialsWarning, match="^secret_key of profile 'main'"):
        assert Credentials.from_profile().reveal() == PARTS


# The settings, and who comes before whom.


@pytest.mark.parametrize("name", ["OKX_DEMO", "OKX_FLAG"])
@pytest.mark.parametrize(
    ("value", "demo"),
    [("1", True), ("0", False), ("true", True), ("False", False), ("", None), (None, None)],
)
def test_demo_is_read_from_the_environment(monkeypatch, name, value, demo):
    if value is not None:
        monkeypatch.setenv(name, value)
    assert Settings.from_env().demo is demo


def test_a_demo_that_is_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv("OKX_DEMO", "2")
    with pytest.raises(InvalidArgumentError, match="OKX_DEMO must be 1 or 0"):
        Settings.from_env()


def test_demo_and_flag_may_agree_but_not_contradict(monkeypatch):
    monkeypatch.setenv("OKX_DEMO", "true")
    monkeypatch.setenv("OKX_FLAG", "1")
    assert Settings.from_env().demo is True
    monkeypatch.setenv("OKX_FLAG", "0")
    with pytest.raises(InvalidArgumentError, match="OKX_DEMO and OKX_FLAG"):
        Settings.from_env()


def test_the_proxys_password_is_not_shown():
    settings = Settings(proxy="http://user:canary@proxy:3128", base_url="https://www.okx.com")
    assert repr(settings) == (
        "Settings(demo=None, base_url='https://www.okx.com', proxy='***@proxy:3128')"
    )


@pytest.fixture
def everywhere(environment, monkeypatch, write_profile) -> None:
    """Keys and settings in the environment and in the default profile, all different."""
    write_profile(PROFILES.replace(KEY, "profile-key"))
    monkeypatch.setenv("OKX_DEMO", "0")
    monkeypatch.setenv("OKX_API_BASE_URL", "https://env.example")
    monkeypatch.setenv("OKX_PROXY", "http://env:1")


def test_credentials_given_come_first(everywhere):
    given_ones = Credentials("a", "b", "c")
    credentials, _ = resolve(given_ones)
    assert credentials is given_ones


def test_the_environment_comes_before_the_default_profile(everywhere):
    credentials, settings = resolve()
    assert credentials.reveal() == PARTS
    assert settings == Settings(False, "https://env.example", "http://env:1")


def test_the_default_profile_fills_what_the_environment_leaves(everywhere, monkeypatch):
    for name in (*VARIABLES, "OKX_DEMO", "OKX_API_BASE_URL"):
        monkeypatch.delenv(name)
    credentials, settings = resolve()
    assert credentials.reveal()[0] == "profile-key"
    assert settings == Settings(True, "https://eea.okx.com", "http://env:1")


def test_a_named_profile_is_an_argument_and_comes_before_the_environment(everywhere):
    credentials, settings = resolve(None, "main")
    assert credentials.reveal()[0] == "profile-key"
    assert settings == Settings(True, "https://eea.okx.com", "http://proxy:3128")


def test_the_environment_fills_what_a_named_profile_leaves(everywhere):
    _, settings = resolve(None, "other")
    assert settings == Settings(False, "https://env.example", "http://env:1")


def test_a_profile_without_keys_does_for_credentials_given(everywhere):
    given_ones = Credentials("a", "b", "c")
    assert resolve(given_ones, "bare")[1].base_url == "https://us.okx.com"
    with pytest.raises(InvalidArgumentError, match="'bare' .* lacks api_key"):
        resolve(None, "bare")


def test_parts_are_never_mixed_from_two_places(everywhere, monkeypatch):
    monkeypatch.delenv("OKX_PASSPHRASE")
    with pytest.raises(InvalidArgumentError, match="set OKX_PASSPHRASE too"):
        resolve()


def test_a_named_profile_must_exist(environment):
    with pytest.raises(InvalidArgumentError, match=r"there is no ~/\.okx"):
        resolve(None, "main")


def test_credentials_nowhere_say_what_to_do():
    with pytest.raises(InvalidArgumentError, match=r"set OKX_API_KEY, .* \(there is no ~/\.okx"):
        resolve()


def test_nothing_set_leaves_everything_open():
    assert resolve(Credentials("a", "b", "c"))[1] == Settings()
