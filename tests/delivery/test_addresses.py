"""Where deliveries may go: nowhere inside the operator's network, however it is spelt."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.delivery.addresses import parse_networks, parse_url, refusal
from headrace.model.errors import InvalidRequest, SettingsError

REFUSED = (
    *("127.0.0.1", "127.255.0.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "203.0.113.9", "198.51.100.1"),
    *(
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::7f00:1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
    ),
    *(
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "100::1",
        "4000::1",
    ),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2001:10::1"),
)
ALLOWED = ("8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808")


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    assert not refusal(ipaddress.ip_address(address), ())


@example(ipaddress.ip_address("2001:4860:4860::8888"))
@given(
    st.ip_addresses(v=4) | st.ip_addresses(v=6) | st.integers(0x2001 << 112, 0x2003 << 112).map(ipaddress.IPv6Address)
)
def test_whatever_is_allowed_is_global_to_python_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    nat64 = address in ipaddress.ip_network("64:ff9b::/96")
    assert refusal(address, ()) or nat64 or (address.is_global and not address.is_multicast)


def test_a_setting_opens_the_ranges_that_it_names_and_no_others() -> None:
    allowed = parse_networks(" 10.1.0.0/16 , fd00::/8,127.0.0.1,")
    for address in ("10.1.2.3", "fd00::1", "127.0.0.1", "64:ff9b::a01:203"):
        assert not refusal(ipaddress.ip_address(address), allowed), address
    for address in ("10.2.0.1", "fc00::1", "127.0.0.2", "::ffff:10.1.2.3", "::ffff:127.0.0.1"):
        assert refusal(ipaddress.ip_address(address), allowed), address


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "1.2.3.4/33", "10.0.0.0/8;::1"])
def test_a_range_that_is_none_names_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_WEBHOOK_ALLOWED_NETWORKS"):
        parse_networks(text)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path", "authority"),
    [
        ("https://example.com", "https", "example.com", 443, "/", "example.com"),
        ("http://Example.com:80/a%20b?c=d", "http", "example.com", 80, "/a%20b?c=d", "example.com"),
        ("https://example.com:8443/", "https", "example.com", 8443, "/", "example.com:8443"),
        ("https://[2606:4700::1111]:8443/x", "https", "2606:4700::1111", 8443, "/x", "[2606:4700::1111]:8443"),
        ("HTTPS://8.8.8.8/?", "https", "8.8.8.8", 443, "/", "8.8.8.8"),
    ],
)
def test_a_url_says_where_it_leads(url: str, scheme: str, host: str, port: int, path: str, authority: str) -> None:
    target = parse_url(url, ())
    assert (target.scheme, target.host, target.port, target.path, target.authority) == (
        scheme,
        host,
        port,
        path,
        authority,
    )


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)"),
        *(
            "https://",
            "https:///x",
            "https://user@example.com/",
            "https://user:pw@example.com/",
            "https://@example.com/",
        ),
        *("https://example.com:0/", "https://example.com:99999/", "https://example.com:x/", "https://[::1/"),
        *(
            "https://example.com/#part",
            "https://exa mple.com/",
            "https://example.com/\r\nHost: x",
            "https://example.com/é",
        ),
        *(
            "https://exämple.com/",
            "https://example.com\\@127.0.0.1/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://0/x\0",
        ),
        *("http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest", "http://[fe80::1%25eth0]/"),
        "https://example.com/" + "x" * 2000,
    ],
)
def test_a_url_that_no_delivery_may_go_to_is_refused_when_it_is_set(url: str) -> None:
    with pytest.raises(InvalidRequest, match="'url'"):
        parse_url(url, ())


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "https://a/", "http://[", "https://a:"]))
def test_any_text_is_a_url_or_refused(text: str, before: str) -> None:
    try:
        target = parse_url(before + text, ())
    except InvalidRequest:
        return
    assert target.host
    assert not set(target.path + target.authority) & set(" \r\n\t")
