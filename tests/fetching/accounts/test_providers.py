"""What is known of providers."""

import re
from datetime import date

import pytest

from pop3proto.core.quirks import PROFILES
from pop3proto.fetching.accounts import AccountError, provider_named, provider_of
from pop3proto.fetching.accounts.providers import providers


@pytest.mark.parametrize("provider", providers().values(), ids=lambda provider: provider.name)
def test_a_row_is_complete(provider):
    assert provider.source
    assert date(2026, 1, 1) < provider.checked
    assert bool(provider.host) != bool(provider.no_pop3)
    assert provider.every >= 0
    if provider.host:
        assert provider.login
        assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+", provider.host)
        assert provider_of(provider.host) is provider
        assert provider_named(provider.name.upper()) is provider


def test_a_name_leads_to_one_provider():
    names = [name for each in providers().values() for name in (each.name, *each.names)]
    hosts = [host for each in providers().values() for host in (each.host, *each.hosts) if host]
    assert len(names) == len({*names})
    assert len(hosts) == len({*hosts})


def test_gmail_is_known():
    gmail = provider_named("googlemail")
    assert (gmail.host, gmail.port, gmail.partial_from, gmail.every) == ("pop.gmail.com", 995, 200, 600)
    assert gmail.quirks == PROFILES["gmail"]
    assert provider_of("POP.googlemail.com.") is gmail


def test_an_unknown_one_is_told_with_the_nearest():
    assert provider_of("pop.example.org") is None
    with pytest.raises(AccountError, match=r"no provider 'gmial' is known; did you mean \"gmail\"\?"):
        provider_named("gmial")


def test_one_without_pop3_says_so():
    with pytest.raises(AccountError, match="iCloud Mail has no POP3"):
        provider_named("icloud")
