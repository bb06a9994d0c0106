//! `replicas`: several processes that serve as one.

use super::check::Check;
use super::file::{ConfigFile, ReplicasFile};
use super::place::Place;
use super::secret::Plain;
use crate::replicas::{Advertised, ReplicaSettings};

/// `replicas`
pub(super) fn replicas(check: &mut Check<'_>, file: &ConfigFile, replicas: &ReplicasFile) -> Option<ReplicaSettings> {
    let place = Place::root("replicas");
    if file.sessions.keys.as_ref().is_none_or(Vec::is_empty) {
        check.fault(
            &place,
            "needs `sessions.keys`, the same at all replicas: they know each other, and what clients bring, by them",
        );
    }
    let listen = replicas.listen.0;
    for (key, other) in [("listen", file.listen.0), ("admin.listen", file.admin.listen.0)] {
        if listen == other && listen.port() != 0 {
            check.fault(&place.key("listen"), format!("{listen} is what `{key}` says already"));
        }
    }
    let place = place.key("advertise");
    let advertise = match &replicas.advertise {
        Some(written) => {
            let written = written.resolve(check, &place, Plain::Fine)?;
            let parsed = written.expose().parse::<Advertised>();
            parsed.map_err(|error| format!("`{}` {error}: write 10.0.0.7 or gateway-0.gateway:7443", written.expose()))
        }
        None => Advertised::of_listener(listen)
            .ok_or_else(|| format!("is needed: nobody reaches another machine by {}", listen.ip())),
    };
    match advertise {
        Ok(advertise) => Some(ReplicaSettings { listen, advertise }),
        Err(fault) => {
            check.fault(&place, fault);
            None
        }
    }
}
