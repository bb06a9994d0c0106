use super::*;

fn complaint<T: Scalar>(text: &str) -> String {
    T::parse(text).err().unwrap_or_else(|| panic!("{text:?} was accepted"))
}

#[test]
fn a_length_of_time_has_a_number_and_a_unit() {
    for (text, milliseconds) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)] {
        let duration = <Duration as Scalar>::parse(text).unwrap();
        assert_eq!(duration.as_millis(), milliseconds, "{text}");
        assert_eq!(duration.write(), text);
    }
    for text in ["", "30", "s", "30 s", "-1s", "1.5s", "1d", "30S", "99999999999999999999s", "18446744073709551615h"] {
        assert_eq!(
            complaint::<Duration>(text),
            format!("`{text}` is not a length of time: write 500ms, 30s, 5m or 1h")
        );
    }
}

#[test]
fn a_size_has_a_number_and_perhaps_a_unit() {
    for (text, bytes) in
        [("4MiB", 4 << 20), ("512KiB", 512 << 10), ("1MB", 1_000_000), ("123", 123), ("2GiB", 2 << 30), ("9B", 9)]
    {
        assert_eq!(ByteSize::parse(text).unwrap(), ByteSize(bytes), "{text}");
    }
    for text in ["", "MiB", "4 MiB", "4mib", "4M", "1.5MiB", "-1", "99999999999999999999", "18446744073709551615GiB"] {
        assert_eq!(
            complaint::<ByteSize>(text),
            format!("`{text}` is not a size: write 4MiB, 512KiB, 1MB or a number of bytes")
        );
    }
    for size in [0, 1, 1 << 10, 3 << 20] {
        assert_eq!(ByteSize::parse(&ByteSize(size).write()), Ok(ByteSize(size)));
    }
}

#[test]
fn an_address_to_listen_on_has_a_port() {
    for text in ["127.0.0.1:8080", "0.0.0.0:0", "[::1]:8080"] {
        assert_eq!(<SocketAddr as Scalar>::parse(text).unwrap().write(), text);
    }
    for text in ["8080", ":8080", "localhost:8080", "127.0.0.1", "::1:8080:x", "127.0.0.1:99999"] {
        assert!(complaint::<SocketAddr>(text).contains("write 127.0.0.1:8080"), "{text}");
    }
}

#[test]
fn a_network_is_a_prefix_or_one_address() {
    for (text, network) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.9.9.9", "10.9.9.9/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ] {
        assert_eq!(<IpNet as Scalar>::parse(text).unwrap().to_string(), network);
    }
    for text in ["10.0.0.0/33", "10.0.0", "example.com", ""] {
        assert!(complaint::<IpNet>(text).contains("is not an address or range"), "{text}");
    }
    assert!(complaint::<IpNet>("10.1.2.3/8").contains("write 10.0.0.0/8"));
}

#[test]
fn a_url_is_absolute_and_keeps_no_password() {
    assert!(<Url as Scalar>::parse("http://crm:8000/mcp").is_ok());
    assert!(complaint::<Url>("crm:8000/mcp").contains("absolute URL"));
    assert!(complaint::<Url>("/mcp").contains("absolute URL"));
    assert!(complaint::<Url>("https://h/#x").contains("fragment"));
    let message = complaint::<Url>("https://user:hunter2@host/");
    assert!(message.contains("name or password") && !message.contains("hunter2"), "{message}");
}

#[test]
fn an_origin_ends_after_its_port() {
    for (text, origin) in [
        ("https://console.example.com", "https://console.example.com"),
        ("https://Console.example.com:443/", "https://console.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
    ] {
        assert_eq!(<WebOrigin as Scalar>::parse(text).unwrap().write(), origin);
    }
    assert_eq!(
        complaint::<WebOrigin>("https://a.example:444/path"),
        "an origin ends after its host and port: write https://a.example:444"
    );
    for text in ["*", "console.example.com", "file:///x", "data:x", "https://user:hunter2@a.example"] {
        assert!(complaint::<WebOrigin>(text).starts_with("is not a web origin"), "{text}");
    }
}

#[test]
fn a_header_name_is_a_token() {
    assert_eq!(<HeaderName as Scalar>::parse("X-API-Key").unwrap(), "x-api-key");
    for text in ["", "X API", "X:Y", "Ü"] {
        assert!(complaint::<HeaderName>(text).contains("is not a header name"), "{text}");
    }
}

#[test]
fn a_moment_is_rfc_3339() {
    let moment = <SystemTime as Scalar>::parse("2027-01-01T00:00:00Z").unwrap();
    assert_eq!(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 1_798_761_600);
    assert_eq!(moment.write(), "2027-01-01T00:00:00Z");
    for text in ["2027-01-01", "tomorrow", "2027-13-01T00:00:00Z"] {
        assert!(complaint::<SystemTime>(text).contains("is not a moment"), "{text}");
    }
}

#[test]
fn a_digest_is_64_hexadecimal_digits_and_is_never_repeated() {
    let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    assert_eq!(<Sha256 as Scalar>::parse(text).unwrap().write(), text);
    assert_eq!(<Sha256 as Scalar>::parse(&text.to_uppercase()).unwrap().write(), text);
    for text in ["", "9f86", "pcl_0123456789abcdef", &"g".repeat(64), &"ä".repeat(32)] {
        let message = complaint::<Sha256>(text);
        assert!(text.is_empty() || !message.contains(text), "{message}");
    }
}

#[test]
fn only_signatures_with_a_public_key_are_taken() {
    for text in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        assert_eq!(<Algorithm as Scalar>::parse(text).unwrap().write(), text);
    }
    assert!(complaint::<Algorithm>("none").contains("nobody signed"));
    assert!(complaint::<Algorithm>("None").contains("nobody signed"));
    for text in ["HS256", "HS384", "HS512"] {
        assert!(complaint::<Algorithm>(text).contains("could forge tokens"), "{text}");
    }
    assert!(complaint::<Algorithm>("RSA").contains("not a signature algorithm"));
}
