use super::*;

#[test]
fn an_upstreams_uri_is_told_by_its_name_and_found_again() {
    for (uri, shown) in [
        ("file:///srv/a b", "crm+file:///srv/a b"),
        ("git+ssh://host/x", "crm+git+ssh://host/x"),
        ("crm+x:y", "crm+crm+x:y"),
        ("test://template/{id}/data", "crm+test://template/{id}/data"),
        ("no uri at all", "crm+no uri at all"),
        ("", "crm+"),
        ("ui://widget/a?b#c", "ui://crm/widget/a?b#c"),
        ("ui://", "ui://crm/"),
        ("UI://x", "crm+UI://x"),
        ("ui:x", "crm+ui:x"),
    ] {
        assert_eq!(public("crm", uri), shown);
        assert_eq!(own(shown), Some(("crm".into(), uri.into())), "{shown}");
    }
}

/// Every text there is comes back, whatever it holds.
#[test]
fn naming_is_total_and_reversible() {
    let pieces = ["", "+", ":", "/", "//", "ui", "ui://", "crm", "http", "https:", "{x}", "é", " ", "%2F", "_", "A"];
    for one in pieces {
        for two in pieces {
            for three in pieces {
                let uri = [one, two, three].concat();
                if is_web(&uri) {
                    assert_eq!(public("a.b", &uri), uri);
                } else {
                    let shown = public("a.b", &uri);
                    assert_eq!(own(&shown), Some(("a.b".into(), uri.as_str().into())), "{shown}");
                }
            }
        }
    }
}

#[test]
fn names_are_written_as_schemes_have_them() {
    assert_eq!(label("My_Files-2"), "my.files-2");
    assert_eq!(own("CRM+x:y"), Some(("crm".into(), "x:y".into())));
}

#[test]
fn what_names_no_upstream_is_left_alone() {
    for uri in ["http://a/b+c", "HTTPS://a", "file:///x", "ui://x", ""] {
        assert_eq!(own(uri), None, "{uri}");
        let meant = of_all(&uri.into());
        assert_eq!((&*meant.own, &*meant.public, meant.upstream), (uri, uri, None));
    }
    let meant = of_one("My_Files", &"file:///x".into());
    assert_eq!((&*meant.own, &*meant.public), ("file:///x", "my.files+file:///x"));
    assert_eq!(meant.upstream.as_deref(), Some("my.files"));
}

#[test]
fn web_addresses_are_compared_as_the_web_does() {
    assert!(same_web("https://Example.com", "https://example.com/"));
    assert!(!same_web("https://example.com/a", "https://example.com/A"));
    assert!(same_web("not one", "not one"));
}

#[test]
fn a_template_is_recognised_by_its_fixed_parts() {
    for (template, uri, fits_it) in [
        ("https://a/{id}", "https://a/7", true),
        ("https://a/{id}/data", "https://a/7/data", true),
        ("https://a/{id}/data", "https://a/7/other", false),
        ("https://a/{id}", "https://b/7", false),
        ("https://a/x", "https://a/x", true),
        ("https://a/x", "https://a/xy", false),
        ("https://a/{x", "https://a/1", false),
    ] {
        assert_eq!(fits(template, uri), fits_it, "{template} {uri}");
    }
}

/// A rule for a name must hold however the name is spelt.
#[test]
fn another_spelling_is_the_same_resource() {
    for (spelt, name, own) in [
        ("CRM+file:///a", "crm+file:///a", "file:///a"),
        ("crm+ui://x", "ui://crm/x", "ui://x"),
        ("crm+https://a/b", "https://a/b", "https://a/b"),
    ] {
        let meant = of_all(&spelt.into());
        assert_eq!((&*meant.public, &*meant.own, meant.upstream.as_deref()), (name, own, Some("crm")));
    }
}
