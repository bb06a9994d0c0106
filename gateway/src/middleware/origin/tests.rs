use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;

fn public() -> OriginSettings {
    OriginSettings {
        allowed: vec!["https://console.example.com".parse().unwrap()],
        public: Some("https://mcp.example.com".parse().unwrap()),
        loopback: false,
    }
}

fn loopback() -> OriginSettings {
    OriginSettings { loopback: true, ..OriginSettings::default() }
}

async fn call(settings: OriginSettings, uri: &str, headers: &[(&str, &str)]) -> Result<(), Rejection> {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ServiceBuilder::new()
        .layer(OriginLayer::new(Arc::new(settings)))
        .service(service_fn(|_: Request<()>| ready(Ok(()))))
        .oneshot(request.body(()).unwrap())
        .await
}

#[tokio::test]
async fn a_request_of_no_web_page_passes() {
    assert_eq!(call(public(), "/mcp", &[("host", "anything")]).await, Ok(()));
}

#[tokio::test]
async fn allowed_pages_and_our_own_pass() {
    for origin in ["https://console.example.com", "https://mcp.example.com", "https://mcp.example.com:443"] {
        assert_eq!(call(public(), "/mcp", &[("origin", origin)]).await, Ok(()), "{origin}");
    }
}

#[tokio::test]
async fn foreign_pages_are_refused() {
    for origin in ["https://evil.test", "http://mcp.example.com", "null", "http://localhost:3000", ""] {
        assert_eq!(call(public(), "/mcp", &[("origin", origin)]).await, Err(Rejection::OriginNotAllowed), "{origin}");
    }
}

#[tokio::test]
async fn a_second_origin_does_not_hide_behind_the_first() {
    let headers = [("origin", "https://mcp.example.com"), ("origin", "https://evil.test")];
    assert_eq!(call(public(), "/mcp", &headers).await, Err(Rejection::OriginNotAllowed));
}

#[tokio::test]
async fn on_loopback_pages_of_this_machine_pass() {
    for origin in ["http://localhost:3000", "http://127.0.0.1:6274", "http://[::1]"] {
        let headers = [("host", "127.0.0.1:8080"), ("origin", origin)];
        assert_eq!(call(loopback(), "/mcp", &headers).await, Ok(()), "{origin}");
    }
    let headers = [("host", "127.0.0.1:8080"), ("origin", "https://evil.test")];
    assert_eq!(call(loopback(), "/mcp", &headers).await, Err(Rejection::OriginNotAllowed));
}

#[tokio::test]
async fn on_loopback_a_rebound_name_is_refused() {
    for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
        assert_eq!(call(loopback(), "/mcp", &[("host", host)]).await, Ok(()), "{host}");
    }
    for host in ["evil.test", "evil.test:8080", "127.0.0.1.evil.test", ""] {
        assert_eq!(call(loopback(), "/mcp", &[("host", host)]).await, Err(Rejection::HostNotAllowed), "{host}");
    }
    assert_eq!(call(loopback(), "/mcp", &[]).await, Err(Rejection::HostNotAllowed));
}

#[tokio::test]
async fn on_loopback_the_authority_of_http2_is_checked_too() {
    assert_eq!(call(loopback(), "http://localhost:8080/mcp", &[]).await, Ok(()));
    assert_eq!(
        call(loopback(), "http://evil.test/mcp", &[("host", "localhost")]).await,
        Err(Rejection::HostNotAllowed)
    );
}

#[tokio::test]
async fn on_loopback_behind_a_proxy_our_public_name_passes() {
    let settings = OriginSettings { loopback: true, ..public() };
    assert_eq!(call(settings, "/mcp", &[("host", "MCP.example.com")]).await, Ok(()));
}
