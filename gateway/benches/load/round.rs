//! One process under load for a while.

use std::io::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Connection;
use crate::latency::Latencies;
use crate::message::{Call, Target};
use crate::process::{Memory, cpu_micros, memory};

/// Each connection's first answer and then every so many are read in full.
const CHECKED_EVERY: u64 = 64;
/// How long calls that are on their way at the end may take.
const GRACE: Duration = Duration::from_secs(10);
/// After a failed call, so that a dead process is not called in a tight loop.
const PAUSE: Duration = Duration::from_millis(10);

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// CPU time of the process for each call, in microseconds.
    pub(crate) cpu_micros: f64,
    /// CPUs that it kept busy; where it has one and less than that was busy,
    /// the load held it back.
    pub(crate) busy: f64,
    pub(crate) calls_per_second: f64,
    /// Milliseconds that 99 of 100 calls took at most.
    pub(crate) p99_millis: f64,
    /// Calls that got no answer or a wrong one.
    pub(crate) errors: u64,
    /// While all connections were open.
    pub(crate) memory: Memory,
}

#[derive(Debug)]
struct Tally {
    /// One for each connection that has had its first answer.
    warm: Semaphore,
    answered: AtomicU64,
    latencies: Latencies,
    errors: AtomicU64,
    first_error: OnceLock<Error>,
    over: AtomicBool,
}

/// Loads the process for `window`, once every connection has had an answer
/// and after a fifth of that to warm up.
pub(crate) async fn measure(target: &Target, pid: u32, connections: u32, window: Duration) -> anyhow::Result<Measured> {
    let tally = Arc::new(Tally {
        warm: Semaphore::new(0),
        answered: AtomicU64::new(0),
        latencies: Latencies::new(),
        errors: AtomicU64::new(0),
        first_error: OnceLock::new(),
        over: AtomicBool::new(false),
    });
    let mut callers = JoinSet::new();
    for connection in 0..connections as usize {
        callers.spawn(call_until_over(target.clone(), connection, Arc::clone(&tally)));
    }
    // An error ends the wait: it is measured and counted all the same.
    let _ = timeout(GRACE, tally.warm.acquire_many(connections)).await;
    sleep(window / 5).await;
    tally.latencies.clear();
    let (start, cpu_before) = (Instant::now(), cpu_micros(pid)?);
    let answered_before = tally.answered.load(Ordering::Relaxed);
    sleep(window).await;
    let (took, cpu) = (start.elapsed(), cpu_micros(pid)? - cpu_before);
    let answered = tally.answered.load(Ordering::Relaxed) - answered_before;
    let (memory, p99_millis) = (memory(pid)?, tally.latencies.quantile(0.99));

    tally.over.store(true, Ordering::Relaxed);
    let all_ended = async { while callers.join_next().await.is_some() {} };
    if timeout(GRACE, all_ended).await.is_err() {
        bail!("{} at {}: {} calls get no answer", target.tool, target.address, callers.len());
    }
    if let Some(error) = tally.first_error.get() {
        eprintln!("{} at {}: {error}", target.tool, target.address);
    }
    let calls = f64::from(u32::try_from(answered)?);
    Ok(Measured {
        cpu_micros: cpu / calls.max(1.0),
        busy: cpu / 1e6 / took.as_secs_f64(),
        calls_per_second: calls / took.as_secs_f64(),
        p99_millis,
        errors: tally.errors.load(Ordering::Relaxed),
        memory,
    })
}

async fn call_until_over(target: Target, connection: usize, tally: Arc<Tally>) {
    let call = target.call(connection);
    while let Err(error) = call_while_right(&target, &call, &tally).await {
        tally.errors.fetch_add(1, Ordering::Relaxed);
        tally.warm.close();
        // The first of a round speaks for the others.
        let _ = tally.first_error.set(error);
        if tally.over.load(Ordering::Relaxed) {
            break;
        }
        sleep(PAUSE).await;
    }
}

/// Calls over one connection, once at the least, until the round is over or an
/// answer is wrong.
async fn call_while_right(target: &Target, call: &Call, tally: &Tally) -> std::io::Result<()> {
    let mut connection = Connection::open(target.address).await?;
    for count in 0_u64.. {
        let sent = Instant::now();
        let answer = connection.exchange(&call.request).await?;
        tally.latencies.count(sent.elapsed());
        let is_right = call.may_be_answered_by(&answer) && (count % CHECKED_EVERY != 0 || call.is_answered_by(&answer));
        if !is_right {
            return Err(Error::other(format!("a wrong answer, status {}", answer.status)));
        }
        tally.answered.fetch_add(1, Ordering::Relaxed);
        if count == 0 {
            tally.warm.add_permits(1);
        }
        if tally.over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}
