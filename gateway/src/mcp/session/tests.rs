use super::*;
use crate::secret::Secret;

const ALICE: Bearer<'static> = Bearer { principal: "alice", server: None };

fn agreement(principal: &str) -> Agreement {
    Agreement {
        version: Version::NEWEST_LEGACY,
        principal: principal.into(),
        server: None,
        capabilities: Bytes::from_static(b"{}"),
        client_info: None,
    }
}

/// As another process has it that knows the same secret.
fn with_secret(secret: &str) -> Sessions {
    let sessions = Sessions::for_tests(10);
    sessions.keys().replace(&[Secret::new(secret.to_owned())]);
    sessions
}

#[test]
fn a_session_is_its_principals_alone() {
    let sessions = Sessions::for_tests(10);
    let id = sessions.open(agreement("alice")).id.clone();
    let bob = Bearer { principal: "bob", ..ALICE };
    assert!(sessions.get(&id, ALICE).is_some());
    assert!(sessions.get(&id, bob).is_none());
    assert!(sessions.end(&id, bob).is_none());
    assert!(sessions.end(&id, ALICE).is_some());
    assert!(sessions.get(&id, ALICE).is_none());
    assert!(sessions.end(&id, ALICE).is_none());
}

#[test]
fn a_session_is_of_no_use_at_another_path() {
    let sessions = with_secret("one");
    let crm = Bearer { server: Some("crm"), ..ALICE };
    let erp = Bearer { server: Some("erp"), ..ALICE };
    let at_crm = sessions.open(Agreement { server: Some("crm".into()), ..agreement("alice") });
    let at_all = sessions.open(agreement("alice"));
    for sessions in [sessions, with_secret("one")] {
        for (session, bearer, is_there) in [
            (&at_crm, crm, true),
            (&at_crm, erp, false),
            (&at_crm, ALICE, false),
            (&at_all, ALICE, true),
            (&at_all, crm, false),
        ] {
            assert_eq!(sessions.get(&session.id, bearer).is_some(), is_there, "{bearer:?}");
        }
    }
}

#[test]
fn a_session_is_made_again_where_its_id_can_be_opened() {
    let opened = with_secret("one").open(agreement("alice"));
    let elsewhere = with_secret("one");
    let (first, second) = (elsewhere.get(&opened.id, ALICE).unwrap(), elsewhere.get(&opened.id, ALICE).unwrap());
    assert!(Arc::ptr_eq(&first, &second), "it is made once");
    assert_eq!((first.key, &first.id, first.version), (opened.key, &opened.id, opened.version));
    assert_eq!((&*first.principal, first.capabilities.as_ref()), ("alice", b"{}".as_slice()));
    assert!(elsewhere.get(&opened.id, Bearer { principal: "bob", ..ALICE }).is_none());
    assert!(with_secret("two").get(&opened.id, ALICE).is_none());
}

#[test]
fn an_id_that_is_none_of_ours_is_unknown() {
    let sessions = Sessions::for_tests(10);
    let id = sessions.open(agreement("alice")).id.to_string();
    for id in ["", ".", "made-up", &id[1..], &format!("{id}A"), &"A".repeat(100_000)] {
        assert!(sessions.get(id, ALICE).is_none());
    }
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_session_that_was_ended_does_not_come_back() {
    let (here, there) = (with_secret("one"), with_secret("one"));
    let opened = there.open(agreement("alice"));
    assert_eq!(here.end(&opened.id, ALICE).unwrap().key, opened.key, "it need not be known before");
    assert!(here.get(&opened.id, ALICE).is_none());
    assert!(here.open_again(&opened.id, ALICE, UnixSeconds::now()).is_none());
    here.sweep(IDLE_TIMEOUT);
    assert!(here.get(&opened.id, ALICE).is_none());
}

#[test]
fn a_session_too_large_for_its_id_is_only_where_it_was_opened() {
    let (here, there) = (with_secret("one"), with_secret("one"));
    let capabilities = Bytes::from(vec![b' '; MAX_KEPT_BYTES]);
    let opened = here.open(Agreement { capabilities: capabilities.clone(), ..agreement("alice") });
    assert_eq!(here.get(&opened.id, ALICE).unwrap().capabilities, capabilities);
    assert!(there.get(&opened.id, ALICE).is_none());
}

#[test]
fn a_flood_of_sessions_stays_within_bounds() {
    let sessions = Sessions::for_tests(100);
    for _ in 0..10_000 {
        sessions.open(agreement("alice"));
    }
    assert!(sessions.len() <= 100);
}

#[test]
fn sessions_that_keep_much_are_fewer() {
    let sessions = Sessions::for_tests(90);
    let much = Bytes::from(vec![b' '; MAX_KEPT_BYTES]);
    for _ in 0..1_000 {
        let (capabilities, client_info) = (much.clone(), Some(much.clone()));
        sessions.open(Agreement { capabilities, client_info, ..agreement("alice") });
    }
    assert!((1..=10).contains(&sessions.len()), "{} are open", sessions.len());
}

#[tokio::test(start_paused = true)]
async fn only_idle_sessions_are_swept_and_they_come_back_when_they_are_used() {
    let sessions = Sessions::for_tests(10);
    let [idle, busy] = [(); 2].map(|()| sessions.open(agreement("alice")).id.clone());
    let held = sessions.open(agreement("alice"));
    let key = sessions.get(&idle, ALICE).unwrap().key;
    tokio::time::advance(Duration::from_secs(40)).await;
    sessions.get(&busy, ALICE).unwrap();
    assert_eq!(sessions.sweep(Duration::from_secs(30)), 2);
    assert!(Arc::ptr_eq(&sessions.get(&held.id, ALICE).unwrap(), &held), "its requests can be cancelled");
    assert_eq!(sessions.get(&idle, ALICE).unwrap().key, key);
    assert_eq!(sessions.len(), 3);
}
