use http::HeaderValue;
use serde_json::Value;
use tracing::subscriber::with_default;
use tracing::{debug, error, info, info_span, warn};

use super::*;
use crate::record::CallRecord;

/// The lines that `work` logs.
fn logged(level: LevelFilter, work: impl FnOnce()) -> Vec<Value> {
    let settings = LogSettings { format: LogFormat::Json, level };
    let sink = Sink::default();
    let queue = LineQueue::start(Box::new(sink.clone()), settings.format);
    with_default(subscriber(settings, Arc::clone(&queue)), work);
    queue.flush();
    sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn fields_stand_flat_beside_the_message() {
    let lines = logged(LevelFilter::INFO, || {
        let cause = std::io::Error::other("disk\nfull");
        warn!(upstream = "crm", attempt = 3, ok = false, ratio = 0.5, error = %cause, kind = ?Some(1), "unreachable");
    });
    let line = &lines[0];
    assert_eq!(line["message"], "unreachable");
    assert_eq!(line["level"], "warn");
    assert_eq!(line["target"], "portcullis::telemetry::tests");
    assert_eq!(line["upstream"], "crm");
    assert_eq!(line["attempt"], 3);
    assert_eq!(line["ok"], false);
    assert_eq!(line["ratio"], 0.5);
    assert_eq!(line["error"], "disk\nfull");
    assert_eq!(line["kind"], "Some(1)");
}

#[test]
fn a_field_does_not_pose_as_a_member_of_every_line() {
    let lines = logged(LevelFilter::INFO, || info!(level = "x", target = "y", nan = f64::NAN, "m"));
    assert_eq!((&lines[0]["level"], &lines[0]["field_level"]), (&Value::from("info"), &Value::from("x")));
    assert_eq!(lines[0]["nan"], "NaN");
}

#[test]
fn lines_bear_the_ids_of_the_request_at_work() {
    let traceparent = HeaderValue::from_static("00-x");
    let record = Arc::new(CallRecord::new(HeaderValue::from_static("r-1"), Some(traceparent)));
    let lines = logged(LevelFilter::INFO, || {
        scope::within(&record, || info!("inside"));
        info_span!("request", request_id = %"r-2").in_scope(|| info!("in a span"));
        info!("outside");
    });
    assert_eq!((&lines[0]["request_id"], &lines[0]["traceparent"]), (&Value::from("r-1"), &Value::from("00-x")));
    assert_eq!(lines[1]["request_id"], "r-2");
    assert_eq!(lines[2].get("request_id"), None);
}

#[test]
fn less_severe_lines_and_other_crates_below_warn_are_left_out() {
    let lines = logged(LevelFilter::DEBUG, || {
        debug!("ours");
        tracing::trace!("ours, too detailed");
        info!(target: "hyper", "theirs");
        error!(target: "hyper", "theirs, severe");
    });
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["ours", "theirs, severe"]);
}
