"""Sites, profiles and who can read them: what is honoured, warned of and refused."""

from __future__ import annotations

import os
import warnings

import pytest

from okx_funding import Credentials, FundingClient, InvalidArgumentError
from okx_funding.auth import settings
from okx_funding.auth.credentials import resolve

BOT = """
[profiles.bot]
api_key = "bot-key-0001"
secret_key = "bot-secret"
passphrase = "bot-phrase"
demo = true
site = "eea"

[profiles.other]
api_key = "other-key-0001"
secret_key = "other-secret"
passphrase = "other-phrase"
"""


@pytest.fixture
def write(write_profile):
    """Write the profile file, for its owner alone."""

    def write(text: str, mode: int = 0o600):
        path = write_profile(text)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(
    ("site", "url"),
    [
        ("global", "https://www.okx.com"),
        ("EEA", "https://eea.okx.com"),
        ("Us", "https://us.okx.com"),
        ("tr", "https://tr.okx.com"),
    ],
)
def test_the_site_of_the_environment_chooses_the_host(monkeypatch, site, url):
    monkeypatch.setenv("OKX_SITE", site)
    assert settings.settings().base_url == url


def test_a_client_goes_to_the_site_of_the_environment(monkeypatch):
    monkeypatch.setenv("OKX_SITE", "eea")
    assert "https://eea.okx.com" in repr(FundingClient(Credentials("k", "s", "p")))


def test_a_base_url_comes_before_the_site(monkeypatch):
    monkeypatch.setenv("OKX_SITE", "eea")
    monkeypatch.setenv("OKX_API_BASE_URL", "https://openapi.okx.com")
    assert settings.settings().base_url == "https://openapi.okx.com"


def test_a_site_that_is_not_known_is_refused(monkeypatch):
    monkeypatch.setenv("OKX_SITE", "moon")
    with pytest.raises(InvalidArgumentError, match="OKX_SITE must be global, eea, us, tr"):
        settings.settings()


def test_the_site_of_a_profile_may_be_in_capitals(write):
    write(BOT.replace('"eea"', '"EEA"'))
    assert settings.settings("bot").base_url == "https://eea.okx.com"


def test_without_a_site_the_host_is_the_global_one():
    assert "https://www.okx.com" in repr(FundingClient(Credentials("k", "s", "p")))


def test_the_environment_names_the_default_profile(write, monkeypatch):
    write(BOT)
    monkeypatch.setenv("OKX_PROFILE", "bot")
    credentials, found = resolve()
    assert credentials.api_key == "bot-key-0001"
    assert (found.demo, found.base_url) == (True, "https://eea.okx.com")


def test_a_profile_that_is_given_comes_before_the_environments(write, monkeypatch):
    write(BOT)
    monkeypatch.setenv("OKX_PROFILE", "bot")
    assert resolve(None, "other")[0].api_key == "other-key-0001"


def test_a_profile_of_the_environment_that_is_not_there_is_refused(write, monkeypatch):
    write(BOT)
    monkeypatch.setenv("OKX_PROFILE", "nobody")
    with pytest.raises(InvalidArgumentError, match="OKX_PROFILE: there is no profile 'nobody'"):
        resolve(Credentials("k", "s", "p"))


def test_keys_that_no_profile_has_are_named_in_a_warning(write):
    write(BOT.replace("demo = true", 'base_url = "https://eea.okx.com"\nretries = 3'))
    with pytest.warns(
        settings.CredentialsWarning, match="unknown keys, which have no effect: base_url, retries"
    ):
        settings.settings("bot")


@pytest.mark.skipif(os.name == "nt", reason="modes of Unix")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_warned_of(write, mode):
    write(BOT, mode)
    with pytest.warns(settings.CredentialsWarning, match="chmod 600 ~/.okx/config.toml"):
        FundingClient(profile="bot")


def test_a_key_file_of_ones_own_is_no_matter(write):
    write(BOT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FundingClient(profile="bot")


@pytest.mark.skipif(os.name == "nt", reason="modes of Unix")
def test_a_file_whose_keys_are_not_used_is_no_matter(write):
    write(BOT, 0o644)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FundingClient(Credentials("k", "s", "p"), profile="bot")


def test_the_source_of_credentials_is_told_without_them(write, monkeypatch):
    write(BOT)
    assert settings.source("bot") == "profile 'bot' in ~/.okx/config.toml"
    for name in ("OKX_API_KEY", "OKX_SECRET", "OKX_PASSPHRASE"):
        monkeypatch.setenv(name, "canary")
    told = settings.source()
    assert told == "the environment (OKX_API_KEY, OKX_SECRET and OKX_PASSPHRASE)"
